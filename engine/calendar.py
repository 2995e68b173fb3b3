"""The ledger calendar of a company: its operating periods, which of them are open, the window of documents (R30)."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import msgspec

from engine.errors import QueryError

PeriodStatus = Literal["on-hold", "open", "closed"]


class Period(msgspec.Struct, frozen=True, order=True, gc=False):
    """An operating period and its fiscal year, both ends included, dates as `YYYY-MM-DD`, in time order."""

    start: str
    end: str
    year_start: str
    year_end: str
    status: PeriodStatus


class Company(msgspec.Struct, frozen=True, gc=False):
    """What the rules need of a company: its ledger's currency, its time zone, its operating periods in order."""

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

    Raises `QueryError`, saying what to do, when no fiscal year holds `today` or none of those periods is open.
    """
    day = today.isoformat()
    years = sorted({period.year_start for period in company.periods})
    # The year itself, not its operating periods: today may fall between two of them, or into a closing period.
    current = [period.year_start for period in company.periods if period.year_start <= day <= period.year_end]
    if not current:
        raise QueryError(
            f"{company.code}: no fiscal year with operating periods contains {day}. Send the ledger calendar of the "
            "company (FiscalCalendarYear, FiscalCalendarPeriod, LedgerFiscalCalendarPeriod), "
            "or name the dates with --from and --to."
        )
    position = years.index(current[0])
    looked_at = years[max(0, position - 1) : position + 1]
    starts = [period.start for period in company.periods if period.status == "open" and period.year_start in looked_at]
    if not starts:
        raise QueryError(
            f"{company.code}: no period of the current and the previous fiscal year is open. Open a period in Finance, "
            "or name the dates with --from and --to."
        )
    return Window(min(starts), day)


def accounting_date(company: Company, day: str, *, automatic: bool) -> str | None:
    """The day on which the ledger takes what is dated `day` (R57): that day when its period is open; else, where
    "Automatically set accounting date to open ledger period" is on, the first day of the next open period. None when
    posting fails.
    """
    if any(period.start <= day <= period.end and period.status == "open" for period in company.periods):
        return day
    later = [period.start for period in company.periods if period.start > day and period.status == "open"]
    return min(later) if automatic and later else None


def present_time(today: date | None, now: datetime) -> datetime:
    """The time that ages are counted to: now, or the end of the day that was set by hand."""
    return now if today is None else datetime(today.year, today.month, today.day, tzinfo=UTC) + timedelta(days=1)


def same_period(company: Company | None, one: str, other: str) -> bool:
    """Whether two days fall into one operating period; without a calendar that holds them, into one calendar month."""
    found = {_period_of(company, day) for day in (one, other)}
    return one[:7] == other[:7] if None in found else len(found) == 1


def _period_of(company: Company | None, day: str) -> str | None:
    periods = company.periods if company is not None else ()
    return next((period.start for period in periods if period.start <= day <= period.end), None)


def next_run(local: datetime, at: time, done: date | None) -> datetime | None:
    """The local time of the next run of a recurring job; None when it is due now: the last day that is `done` lies
    before the last one that is due. No `done` day is an installation whose first day counts as done.
    """
    due = last_due_day(local, at)
    if done is not None and done < due:
        return None
    return datetime.combine(due + timedelta(days=1), at, local.tzinfo)


def last_due_day(local: datetime, at: time) -> date:
    """The last day whose recurring job is due at a local time: today once it is `at`, else yesterday."""
    return local.date() if local.time() >= at else local.date() - timedelta(days=1)
