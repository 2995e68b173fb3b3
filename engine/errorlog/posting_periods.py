"""What the ledger calendar says about an error of posting: which period is meant, how it stands, what helps (R57).

The date in the error's text is written as the language of Finance's user has it, so it may be read in two ways; only
those that explain the error count.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import Final

from engine.calendar import Company, Period, accounting_date

AUTOMATIC: Final = {"NO_OPEN_PERIOD": False, "NO_OPEN_PERIOD_AFTER": True}
"""The errors that posting ends with where no period is open, and whether Finance looked for a later one by itself."""

_PARTS: Final = re.compile(r"(\d{1,4})\D{1,2}(\d{1,2})\D{1,2}(\d{1,4})(?:\D.*)?", re.ASCII | re.DOTALL)


def posting_error(company: Company, day: str, *, automatic: bool) -> str | None:
    """The error that posting on `day` ends with, None when it is posted; `automatic` is the parameter of R57."""
    if accounting_date(company, day, automatic=automatic) is not None:
        return None
    return "NO_OPEN_PERIOD_AFTER" if automatic else "NO_OPEN_PERIOD"


def advice(code: str, written: str, company: Company | None) -> str | None:
    """What the calendar adds to the resolution of such an error about the date as `written`; None when it says nothing.

    >>> advice("NO_OPEN_PERIOD", "2024-02-12", None) is None
    True
    """
    automatic = AUTOMATIC.get(code)
    if automatic is None or company is None or not company.periods:
        return None
    days = sorted({day for day in _readings(written) if _period(company, day) is not None})
    told = {_told(company, day) for day in days if posting_error(company, day, automatic=automatic) == code}
    if told:
        return " ".join(sorted(told)) if len(told) == 1 else None
    accounted = sorted({accounting_date(company, day, automatic=automatic) or day for day in days})
    return f"Post again: it is now posted on {' or '.join(accounted)}." if accounted else None


def _told(company: Company, day: str) -> str:
    period = _period(company, day)
    assert period is not None
    standing = f"The period of {day}, {period.start} to {period.end}, is {period.status.replace('-', ' ')}"
    later = accounting_date(company, day, automatic=True)
    if later is None:
        return f"{standing}, and no later one is open."
    return f"{standing}. With that parameter on, it is posted on {later}, the first day of the next open period."


def _period(company: Company, day: str) -> Period | None:
    return next((period for period in company.periods if period.start <= day <= period.end), None)


def _readings(written: str) -> Iterator[str]:
    """The days that a date may mean: year first, month first, day first."""
    found = _PARTS.fullmatch(written.strip())
    if not found:
        return
    one, two, three = map(int, found.groups())
    for year, month, day in ((one, two, three), (three, one, two), (three, two, one)):
        if year >= 1900:
            try:
                yield date(year, month, day).isoformat()
            except ValueError:
                continue
