"""Translation of the texts that a code has. The engine holds them in English; a surface may show another language."""

from collections.abc import Callable

import msgspec

Translate = Callable[[str, str], str]
"""Returns the text of a code in another language, given the code and the English text with its placeholders."""


def english(_code: str, text: str) -> str:
    """Return the English text itself."""
    return text


class Words(msgspec.Struct, frozen=True):
    """The English texts of a code: last observed step, missing step, and remedy, with placeholders of `str.format`."""

    seen: str
    missing: str
    do: str
