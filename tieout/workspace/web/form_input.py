"""Parses form input in the reader's format into the neutral format of addresses (R35)."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC

from engine.errors import QueryError
from store.queries.filters import COLUMNS
from tieout.workspace.web.grid_state import conditions_of, plain_amount
from tieout.workspace.web.locales import Locale

# No amount has more digits, and int() refuses more than some thousands of them.
_PLAIN = re.compile(r"-?\d{1,30}(\.\d+)?", re.ASCII)


def amount(text: str, locale: Locale) -> str:
    """Return an amount as plain digits. Raises `QueryError` with an example in the reader's format."""
    digits = locale.plain(text)
    if digits is None:
        raise QueryError(
            '"%(text)s" isn\'t an amount. Example: %(example)s.', text=text.strip(), example=locale.digits("1000.50")
        )
    return digits


def jump_target(text: str, locale: Locale) -> str:
    """Return a jump target: a date, a month or an amount."""
    typed = text.strip()
    return locale.iso(typed) or (typed if re.fullmatch(r"\d{4}-\d{2}(-\d{2})?", typed) else amount(typed, locale))


def filters(texts: Mapping[str, str], locale: Locale) -> tuple[dict[str, str], dict[str, QueryError]]:
    """Return the valid filters of a grid by column, and the errors of the invalid ones."""
    read, wrong = {}, {}
    for name, text in texts.items():
        try:
            read[name] = _filter(name, text, locale)
            conditions_of(name, read[name], UTC)
        except QueryError as error:
            read.pop(name, None)
            wrong[name] = error
    return read, wrong


def _filter(name: str, text: str, locale: Locale) -> str:
    match COLUMNS[name].of:
        case "amount":
            return each_value(text, lambda value: amount(value, locale))
        case "date" | "time":
            return each_value(text, lambda value: locale.iso(value) or value.strip())
        case _:
            return text


def each_value(text: str, change: Callable[[str], str]) -> str:
    """Apply `change` to each value of a range: both of `100..500`, the one of `>=100`."""
    values = text.lstrip("<>=!")
    sign = text[: len(text) - len(values)]
    return sign + "..".join(change(value) if value.strip() else "" for value in values.split(".."))


def filter_text(name: str, text: str, locale: Locale) -> str:
    """Return a filter of an address in the reader's format."""
    if COLUMNS[name].of != "amount":
        return text
    return each_value(
        text, lambda value: locale.digits(plain_amount(value)) if _PLAIN.fullmatch(plain_amount(value)) else value
    )
