"""What the ledger calendar adds to a posting error: the period, its status, and the remedy (R57).

The date in the message is formatted in the language of the Finance user, so it may be ambiguous. Only the readings that
explain the error count.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import Final

from engine.calendar import Company, Period, accounting_date

AUTOMATIC: Final = {"NO_OPEN_PERIOD": False, "NO_OPEN_PERIOD_AFTER": True}
"""Posting errors for lack of an open period, and whether Finance searched for a later one automatically."""

_PARTS: Final = re.compile(r"(\d{1,4})\D{1,2}(\d{1,2})\D{1,2}(\d{1,4})(?:\D.*)?", re.ASCII | re.DOTALL)


def posting_error(company: Company, day: str, *, automatic: bool) -> str | None:
    """Return the error code of posting on `day`, None if it succeeds; `automatic` is the parameter of R57."""
    if accounting_date(company, day, automatic=automatic) is not None:
        return None
    return "NO_OPEN_PERIOD_AFTER" if automatic else "NO_OPEN_PERIOD"


def advice(code: str, written: str, company: Company | None) -> str | None:
    """Return the addition to the resolution of a posting error about the date as `written`; None if there is none.

    >>> advice("NO_OPEN_PERIOD", "2024-02-12", None) is None
    True
    """
    automatic = AUTOMATIC.get(code)
    if automatic is None or company is None or not company.periods:
        return None
    days = sorted({day for day in _readings(written) if _period(company, day) is not None})
    texts = {_period_advice(company, day) for day in days if posting_error(company, day, automatic=automatic) == code}
    if texts:
        return texts.pop() if len(texts) == 1 else None
    accounted = sorted({accounting_date(company, day, automatic=automatic) or day for day in days})
    return f"Post again: it is now posted on {' or '.join(accounted)}." if accounted else None


def _period_advice(company: Company, day: str) -> str:
    period = _period(company, day)
    assert period is not None
    status = f"The period of {day}, {period.start} to {period.end}, is {period.status.replace('-', ' ')}"
    later = accounting_date(company, day, automatic=True)
    if later is None:
        return f"{status}, and no later one is open."
    return f"{status}. With that parameter on, it is posted on {later}, the first day of the next open period."


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
