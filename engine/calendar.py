"""The ledger calendar of a company: its operating periods, which of them are open, and the window of documents (R30)."""

from datetime import date
from typing import Literal

import msgspec

from engine.errors import QuestionError

PeriodStatus = Literal["on-hold", "open", "closed"]


class Period(msgspec.Struct, frozen=True, order=True, gc=False):
    """An operating period of a fiscal year, both days included; dates as `YYYY-MM-DD`, which sort as they pass."""

    start: str
    end: str
    year_start: str
    status: PeriodStatus


class Company(msgspec.Struct, frozen=True, gc=False):
    """What the rules need to know of a company: the currency of its ledger, its time zone and its operating periods in order."""

    code: str
    name: str | None
    currency: str | None
    time_zone: str | None
    periods: tuple[Period, ...]


class Window(msgspec.Struct, frozen=True, gc=False):
    """The documents looked at: from `start` to `end`, both included."""

    start: str
    end: str


def default_window(company: Company, today: date) -> Window:
    """From the first day of the earliest open period of the current and the previous fiscal year to `today` (R30).

    Raises `QuestionError`, saying what to do, when no fiscal year holds `today` or none of those periods is open.
    """
    day = today.isoformat()
    years = sorted({period.year_start for period in company.periods})
    current = [period.year_start for period in company.periods if period.start <= day <= period.end]
    if not current:
        raise QuestionError(
            f"{company.code}: no fiscal period holds {day}. Send the ledger calendar of the company "
            "(FiscalCalendarYear, FiscalCalendarPeriod, LedgerFiscalCalendarPeriod), or name the dates with --from and --to."
        )
    position = years.index(current[0])
    looked_at = years[max(0, position - 1) : position + 1]
    starts = [period.start for period in company.periods if period.status == "open" and period.year_start in looked_at]
    if not starts:
        raise QuestionError(
            f"{company.code}: no period of the current and the previous fiscal year is open. Open a period in Finance, "
            "or name the dates with --from and --to."
        )
    return Window(min(starts), day)


def same_period(company: Company | None, one: str, other: str) -> bool:
    """Whether two days fall into one operating period; without a calendar that holds them, into one calendar month."""
    if one[:7] == other[:7] and company is None:
        return True
    found = {_period_of(company, day) for day in (one, other)} if company is not None else {None}
    if None in found:
        return one[:7] == other[:7]
    return len(found) == 1


def _period_of(company: Company, day: str) -> str | None:
    return next((period.start for period in company.periods if period.start <= day <= period.end), None)
