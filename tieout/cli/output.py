"""Output: JSON for programs, and formats of texts for people."""

import re
import sys
from typing import Any

# Characters that move the cursor or change the writing direction. Events carry texts from untrusted sources.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def emit(value: Any) -> None:
    """Write a value as one line of JSON."""
    import msgspec

    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")


def plain(text: str) -> str:
    """Return a text with its control characters escaped, so that no event can control the terminal."""
    return _CONTROL.sub(lambda match: repr(match.group())[1:-1], text)


def grouped(amount: str | None) -> str:
    """Return an amount with grouped thousands; an empty text for None.

    >>> grouped("-1234567.50"), grouped("100"), grouped(None)
    ('-1,234,567.50', '100', '')
    """
    if amount is None:
        return ""
    sign = "-" if amount.startswith("-") else ""
    whole, point, fraction = amount.removeprefix("-").partition(".")
    return f"{sign}{int(whole):,}{point}{fraction}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, in the plural unless it is 1.

    >>> counted(1, "line"), counted(2000, "line"), counted(0, "entry", "entries")
    ('1 line', '2,000 lines', '0 entries')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
