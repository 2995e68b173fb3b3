"""Normalisation of the values of events into the one form that the rules compare.

A normaliser never fails: a value that does not fit its type is stored as `{"unfit": …}`, counts as absent, and leads to
a finding (R2, R18). An amount with more than four decimals is stored as `{"rounded": …, "sent": …}`, counts as rounded,
and leads to a finding. An accounting date that was sent with a time of day is stored as `{"date": …, "sent": …}` and
counts as its date: the time may be that of a shifted time zone.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final

from engine import money
from engine.events.facts import guid, microseconds, time_order
from engine.mapping.roles import ValueType

_SHOWN: Final = 200  # characters stored of a value that does not fit; the event has the rest
# In bytes. The numbers, names and codes of both systems are shorter. A longer text could exceed an index entry of
# PostgreSQL (2,704 bytes, including a record key), which would stop the writer permanently.
_LONGEST: Final = 800
_LONGEST_CODE: Final = 100

_WHOLE = re.compile(r"-?\d{1,19}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NO_DATES: Final = ("1900-01-01", "0001-01-01")
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def unfit(value: Any) -> dict[str, str]:
    """Return the stored form of a value that does not fit."""
    text = value if isinstance(value, str) else repr(value)
    return {"unfit": text[:_SHOWN].replace("\0", "\ufffd")}


def is_unfit(value: Any) -> bool:
    """Return True if a stored value does not fit its type."""
    return type(value) is dict and "unfit" in value


def rounded(amount: int, value: str) -> dict[str, Any]:
    """Return the stored form of an amount with more than four decimals: rounded (units of 1/10000), and as sent."""
    return {"rounded": amount, "sent": value}


def plain_value(value: Any) -> Any:
    """Return a stored value that fits as the rules read it: of an amount that was rounded the amount, of a date that
    was sent with a time the date.
    """
    if type(value) is not dict:
        return value
    return value["date"] if "date" in value else value["rounded"]


def _text(value: Any) -> Any:
    if type(value) is str:
        text = value.strip()
        # No column of either system contains NUL, and text in PostgreSQL cannot.
        return text or None if _is_within(text, _LONGEST) and "\0" not in text else unfit(text)
    if type(value) is int:
        return str(value)
    return unfit(value)


def _is_within(text: str, limit: int) -> bool:
    # Links hold it in upper case: at most three characters for one, each of at most four bytes.
    return len(text) <= limit // 12 or all(
        len(spelling.encode(errors="surrogatepass")) <= limit for spelling in (text, text.upper())
    )


def _code(value: Any) -> Any:
    text = _text(value)
    if type(text) is not str:
        return text
    return text.upper() if _is_within(text, _LONGEST_CODE) else unfit(text)


def _guid(value: Any) -> Any:
    if type(value) is dict:
        if "id" not in value:
            return unfit(value)
        value = value["id"]
        if value is None:
            return None
    if type(value) is not str:
        return unfit(value)
    if (identifier := guid(value)) is not None:
        return time_order(identifier)
    if "|" in value:
        # The primary field of a virtual row holds its key values, one may be a guid (`docs/domain/events.md` §3).
        guids = [part for part in value.split("|") if guid(part.strip())]
        return _guid(guids[0]) if len(guids) == 1 else unfit(value)
    stripped = value.strip().strip("{}")
    if not stripped.strip("0-"):
        return None
    identifier = guid(stripped)
    return unfit(value) if identifier is None else time_order(identifier)


def _recid(value: Any) -> Any:
    if type(value) is str:
        text = value.strip()
        if not text:
            return None
        if not _WHOLE.fullmatch(text):
            return unfit(value)
        value = int(text)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        return unfit(value)
    return str(value) if value else None


def _money(value: Any) -> Any:
    if type(value) is int:
        value = str(value) if -(2**63) <= value < 2**63 else "out of range"
    if type(value) is str and len(value) <= 60:
        if not value.strip():
            return None
        amount = money.units(value.strip())
        if amount is not None:
            return amount
        amount = money.rounded_units(value.strip())
        if amount is not None:
            return rounded(amount, value.strip())
    return unfit(value)


def _decimal(value: Any) -> Any:
    if type(value) is int:
        value = str(value) if -(2**63) <= value < 2**63 else "out of range"
    if type(value) is str and len(value) <= 60:
        if not value.strip():
            return None
        number = money.plain_decimal(value.strip())
        if number is not None:
            return number
    return unfit(value)


def _date(value: Any) -> Any:
    if type(value) is not str:
        return unfit(value)
    text = value.strip()
    if not text:
        return None
    day = text[:10]
    # A time means its date as written: both systems write dates as midnight or noon UTC.
    if not _DATE.fullmatch(day) or (len(text) > 10 and not _TIME.fullmatch(text)):
        return unfit(value)
    try:
        date.fromisoformat(day)
    except ValueError:
        return unfit(value)
    return None if day in _NO_DATES else day


def _accounting_date(value: Any) -> Any:
    day = _date(value)
    if type(day) is not str or value.strip()[11:19] in ("", "00:00:00"):
        return day
    return {"date": day, "sent": value.strip()}


def parse_time(text: str) -> int | None:
    """Parse an RFC 3339 time with any offset into microseconds since 1970 UTC; None if invalid."""
    if len(text) == 20 and text[4] + text[7] + text[10] + text[13] + text[16] + text[19] == "--T::Z":
        # The usual form, three times as fast; only its digits can be invalid. Without fraction the float is exact.
        try:
            return int(datetime.fromisoformat(text).timestamp()) * 1_000_000
        except ValueError:
            return None
    return _parsed_time(text) if len(text) < 64 else None


@lru_cache(maxsize=8_192)
def _parsed_time(text: str) -> int | None:
    match = _TIME.fullmatch(text.strip())
    if not match:
        return None
    clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(clock.upper() + ("+00:00" if zone in "Zz" else zone)).astimezone(UTC)
        return microseconds(moment) + int((fraction or "0")[:6].ljust(6, "0"))
    except (ValueError, OverflowError):
        return None


def _time(value: Any) -> Any:
    if type(value) is not str:
        return unfit(value)
    if not value.strip():
        return None
    at = parse_time(value)
    return unfit(value) if at is None else at


_FLAGS: Final[dict[Any, bool]] = {
    0: False,
    1: True,
    "0": False,
    "1": True,
    "false": False,
    "true": True,
    "no": False,
    "yes": True,
}


def _flag(value: Any) -> Any:
    if type(value) is bool:
        return value
    if type(value) is str:
        value = value.strip().lower()
        if not value:
            return None
    if type(value) is int or type(value) is str:
        flag = _FLAGS.get(value)
        if flag is not None:
            return flag
    return unfit(value)


def _choice(value: Any) -> Any:
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else unfit(value)
    if type(value) is str:
        text = value.strip()
        if not text:
            return None
        if _WHOLE.fullmatch(text):
            return _choice(int(text))
        # Finance OData writes choices by name, and a map may define their meaning.
        if text.isidentifier() and len(text) <= _SHOWN:
            return text
    return unfit(value)


_NORMALISERS: Final[dict[ValueType, Callable[[Any], Any]]] = {
    "text": _text,
    "code": _code,
    "guid": _guid,
    "recid": _recid,
    "money": _money,
    "decimal": _decimal,
    "date": _date,
    "accounting-date": _accounting_date,
    "time": _time,
    "flag": _flag,
    "choice": _choice,
}


def normaliser(kind: ValueType) -> Callable[[Any], Any]:
    """Return the function that normalises values of `kind`. It accepts anything but None and never raises."""
    return _NORMALISERS[kind]
