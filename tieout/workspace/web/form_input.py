"""What people type into the forms, in their language, as addresses have it: the same for every reader (R35)."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC

from engine.errors import QueryError
from store.queries.filters import COLUMNS
from tieout.workspace.web.grid_state import conditions_of, plain
from tieout.workspace.web.locales import Locale

# No amount has more digits; an integer takes no more than some thousands of them.
_PLAIN = re.compile(r"-?\d{1,30}(\.\d+)?", re.ASCII)


def amount(text: str, locale: Locale) -> str:
    """An amount as plain digits. Raises `QueryError`, saying how the language writes one."""
    found = locale.plain(text)
    if found is None:
        raise QueryError(f'"{text.strip()}" isn\'t an amount. Example: {locale.digits("1000.50")}.')
    return found


def place(text: str, locale: Locale) -> str:
    """Where to go to: a date, a month, or an amount."""
    typed = text.strip()
    return locale.iso(typed) or (typed if re.fullmatch(r"\d{4}-\d{2}(-\d{2})?", typed) else amount(typed, locale))


def filters(texts: Mapping[str, str], locale: Locale) -> tuple[dict[str, str], dict[str, str]]:
    """The filters of a grid by column, and what is wrong with those that cannot be read."""
    read, wrong = {}, {}
    for name, text in texts.items():
        try:
            read[name] = _filter(name, text, locale)
            conditions_of(name, read[name], UTC)
        except QueryError as error:
            read.pop(name, None)
            wrong[name] = str(error)
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
    """A range's text with each of its values changed: both of `100..500`, the one of `>=100`."""
    values = text.lstrip("<>=!")
    sign = text[: len(text) - len(values)]
    return sign + "..".join(change(value) if value.strip() else "" for value in values.split(".."))


def shown(name: str, text: str, locale: Locale) -> str:
    """A filter of an address as its reader would type it."""
    if COLUMNS[name].of != "amount":
        return text
    return each_value(text, lambda value: locale.digits(plain(value)) if _PLAIN.fullmatch(plain(value)) else value)
