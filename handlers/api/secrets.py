"""Redacts secrets in texts of ours, wherever a server or a proxy echoes them."""

from typing import Final
from urllib.parse import quote, quote_plus

from cachetools import LRUCache

_SHORTEST: Final = 8

_withheld: LRUCache[str, None] = LRUCache(maxsize=200)
"""The latest secrets: tokens expire after an hour, so the oldest need no redaction."""


def register_secret(secret: str) -> None:
    """Register a secret for `redact`, verbatim and as encoded in a form or an address."""
    if len(secret) < _SHORTEST:
        return
    for spelling in (secret, quote(secret, safe=""), quote_plus(secret)):
        _withheld[spelling] = None


def redact(text: str) -> str:
    """Return a text with `***` in place of every registered secret."""
    for secret in list(_withheld):
        if secret in text:
            text = text.replace(secret, "***")
    return text
