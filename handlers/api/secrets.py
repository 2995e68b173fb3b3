"""Secrets that no text of ours repeats, wherever a server or a proxy echoes them."""

from typing import Final
from urllib.parse import quote, quote_plus

_KEPT: Final = 200
"""Tokens change every hour; the oldest are of no use to anybody."""
_SHORTEST: Final = 8

_withheld: dict[str, None] = {}


def withhold(secret: str) -> None:
    """Have `without_secrets` hide this one, as it is and as it stands in a form or an address."""
    if len(secret) < _SHORTEST:
        return
    for spelling in (secret, quote(secret, safe=""), quote_plus(secret)):
        _withheld.pop(spelling, None)
        _withheld[spelling] = None
    while len(_withheld) > _KEPT:
        del _withheld[next(iter(_withheld))]


def without_secrets(text: str) -> str:
    """A text with `***` in the place of every secret."""
    for secret in list(_withheld):
        if secret in text:
            text = text.replace(secret, "***")
    return text
