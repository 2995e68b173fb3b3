"""What the ledger calendar adds to a posting error: the period, its status, and the remedy (R57).

The date in the message is formatted in the language of the Finance user, so it may be ambiguous. Only the readings that
explain the error count.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import reduce
from typing import Final, get_args

from engine.calendar import Company, Period, PeriodStatus, accounting_date
from engine.texts import Translate, english

AUTOMATIC: Final = {"NO_OPEN_PERIOD": False, "NO_OPEN_PERIOD_AFTER": True}
"""Posting errors for lack of an open period, and whether Finance searched for a later one automatically."""

_PARTS: Final = re.compile(r"(\d{1,4})\D{1,2}(\d{1,2})\D{1,2}(\d{1,4})(?:\D.*)?", re.ASCII | re.DOTALL)


def posting_error(company: Company, day: str, *, automatic: bool) -> str | None:
    """Return the error code of posting on `day`, None if it succeeds; `automatic` is the parameter of R57."""
    if accounting_date(company, day, automatic=automatic) is not None:
        return None
    return "NO_OPEN_PERIOD_AFTER" if automatic else "NO_OPEN_PERIOD"


ADVICE: Final[Mapping[str, str]] = {
    "posted-later": "Post again: it is now posted on {days}.",
    "or": "{first} or {last}",
    "none-later": "The period of {day}, {start} to {end}, is {status}, and no later one is open.",
    "with-parameter": (
        "The period of {day}, {start} to {end}, is {status}. "
        "With that parameter on, it is posted on {later}, the first day of the next open period."
    ),
}
"""The additions to the resolution of a posting error. Placeholders are those of `str.format`."""

STATUS_TEXTS: Final[Mapping[str, str]] = {status: status.replace("-", " ") for status in get_args(PeriodStatus)}
"""The status of a period within a sentence."""


def advice(code: str, written: str, company: Company | None, translate: Translate = english) -> str | None:
    """Return the addition to the resolution of a posting error about the date as `written`; None if there is none.

    >>> advice("NO_OPEN_PERIOD", "2024-02-12", None) is None
    True
    """
    automatic = AUTOMATIC.get(code)
    if automatic is None or company is None or not company.periods:
        return None
    days = sorted({day for day in _readings(written) if _period(company, day) is not None})
    wrong = [day for day in days if posting_error(company, day, automatic=automatic) == code]
    texts = {_period_advice(company, day, translate) for day in wrong}
    if texts:
        return texts.pop() if len(texts) == 1 else None
    accounted = sorted({accounting_date(company, day, automatic=automatic) or day for day in days})
    if not accounted:
        return None
    either = translate("or", ADVICE["or"])
    choice = reduce(lambda first, last: either.format(first=first, last=last), accounted)
    return translate("posted-later", ADVICE["posted-later"]).format(days=choice)


def _period_advice(company: Company, day: str, translate: Translate) -> str:
    period = _period(company, day)
    assert period is not None
    later = accounting_date(company, day, automatic=True)
    key = "none-later" if later is None else "with-parameter"
    status = translate(period.status, STATUS_TEXTS[period.status])
    return translate(key, ADVICE[key]).format(day=day, start=period.start, end=period.end, status=status, later=later)


def _period(company: Company, day: str) -> Period | None:
    return next((period for period in company.periods if period.start <= day <= period.end), None)


def _readings(written: str) -> Iterator[str]:
    """Yield the possible dates of a text: year first, month first, day first."""
    match = _PARTS.fullmatch(written.strip())
    if not match:
        return
    first, second, third = map(int, match.groups())
    for year, month, day in ((first, second, third), (third, first, second), (third, second, first)):
        if year >= 1900:
            try:
                yield date(year, month, day).isoformat()
            except ValueError:
                continue
