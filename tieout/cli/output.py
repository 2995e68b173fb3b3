"""Writing: JSON for programs, text for people, and the few formats of both."""

import re
import sys
from typing import Any

# What moves the cursor or turns the direction of writing: events carry texts of strangers.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def emit(value: Any) -> None:
    """Write a value as one line of JSON."""
    import msgspec

    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")


def plain(text: str) -> str:
    """A text on one line, its control characters written out, so that no event can draw on the terminal."""
    return _CONTROL.sub(lambda found: repr(found.group())[1:-1], text)


def grouped(amount: str | None) -> str:
    """An amount for people: thousands apart; empty when there is none.

    >>> grouped("-1234567.50"), grouped("100"), grouped(None)
    ('-1,234,567.50', '100', '')
    """
    if amount is None:
        return ""
    sign = "-" if amount.startswith("-") else ""
    whole, point, fraction = amount.removeprefix("-").partition(".")
    return f"{sign}{int(whole):,}{point}{fraction}"


def counted(number: int, what: str, several: str | None = None) -> str:
    """A number with its noun.

    >>> counted(1, "line"), counted(2000, "line"), counted(0, "entry", "entries")
    ('1 line', '2,000 lines', '0 entries')
    """
    return f"{number:,} {what if number == 1 else several or what + 's'}"
