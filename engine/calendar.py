"""The ledger calendar of a company: its operating periods with their status, and the window of documents (R30)."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from engine.errors import NoOpenPeriod
from engine.events.facts import microseconds

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

PeriodStatus = Literal["on-hold", "open", "closed"]


class Period(msgspec.Struct, frozen=True, order=True, gc=False):
    """An operating period and its fiscal year; dates are `YYYY-MM-DD`, both ends inclusive. Sorts by time."""

    start: str
    end: str
    year_start: str
    year_end: str
    status: PeriodStatus


class Company(msgspec.Struct, frozen=True, gc=False):
    """The company data that the rules need: ledger currency, time zone, operating periods in order of time."""

    code: str
    name: str | None
    currency: str | None
    time_zone: str | None
    periods: tuple[Period, ...]


class Window(msgspec.Struct, frozen=True, gc=False):
    """A range of document dates, both ends inclusive."""

    start: str
    end: str


def default_window(company: Company, today: date) -> Window:
    """Return the window from the first day of the earliest open period of the current and previous fiscal year to
    `today` (R30).

    Raises `NoOpenPeriod` if no fiscal year contains `today` or none of those periods is open.
    """
    day = today.isoformat()
    years = sorted({period.year_start for period in company.periods})
    # Compare with the year, not its operating periods: today may be between two of them, or in a closing period.
    current = [period.year_start for period in company.periods if period.year_start <= day <= period.year_end]
    if not current:
        raise NoOpenPeriod(
            "%(company)s: no fiscal year with operating periods contains %(day)s. Send the ledger calendar of the "
            "company (FiscalCalendarYear, FiscalCalendarPeriod, LedgerFiscalCalendarPeriod)",
            company=company.code,
            day=day,
        )
    index = years.index(current[0])
    considered = years[max(0, index - 1) : index + 1]
    starts = [period.start for period in company.periods if period.status == "open" and period.year_start in considered]
    if not starts:
        raise NoOpenPeriod(
            "%(company)s: no period of the current and the previous fiscal year is open. Open a period in Finance",
            company=company.code,
        )
    return Window(min(starts), day)


def accounting_date(company: Company, day: str, *, automatic: bool) -> str | None:
    """Return the date on which the ledger posts a transaction dated `day` (R57); None if posting fails.

    That is `day` itself if its period is open. Otherwise, if the parameter "Automatically set accounting date to open
    ledger period" is on (`automatic`), it is the first day of the next open period.
    """
    if any(period.start <= day <= period.end and period.status == "open" for period in company.periods):
        return day
    later = [period.start for period in company.periods if period.start > day and period.status == "open"]
    return min(later) if automatic and later else None


def present_time(today: date | None, now: datetime) -> datetime:
    """Return the time up to which ages are counted: now, or the end of the simulated business date."""
    return now if today is None else datetime(today.year, today.month, today.day, tzinfo=UTC) + timedelta(days=1)


def midnight(day: date, zone: tzinfo = UTC) -> int:
    """Return the start of a day in a time zone, in microseconds since 1970 UTC."""
    return microseconds(datetime(day.year, day.month, day.day, tzinfo=zone))


def zone_of(company: Company | None) -> tzinfo | None:
    """Return the time zone of a company; None if it is unknown."""
    try:
        return ZoneInfo(company.time_zone) if company is not None and company.time_zone else None
    except (ZoneInfoNotFoundError, ValueError):
        return None


def local_day(company: Company | None, at: int) -> str | None:
    """Return the day of a time (microseconds since 1970 UTC) in the time zone of a company; None if it is unknown."""
    zone = zone_of(company)
    try:
        return None if zone is None else (EPOCH + timedelta(microseconds=at)).astimezone(zone).date().isoformat()
    except OverflowError:
        return None


def same_period(company: Company | None, first: str, second: str) -> bool:
    """Return True if two dates are in one operating period, or in one calendar month if no period contains both."""
    periods = {_period_of(company, day) for day in (first, second)}
    return first[:7] == second[:7] if None in periods else len(periods) == 1


def _period_of(company: Company | None, day: str) -> str | None:
    periods = company.periods if company is not None else ()
    return next((period.start for period in periods if period.start <= day <= period.end), None)


def next_run(local: datetime, at: time, done: date | None) -> datetime | None:
    """Return the local time of the next run of a recurring job; None if a run is due now.

    A run is due if the last completed day, `done`, is before the last due day. `done` is None for a new installation,
    whose first day counts as completed.
    """
    due = last_due_day(local, at)
    if done is not None and done < due:
        return None
    return datetime.combine(due + timedelta(days=1), at, local.tzinfo)


def last_due_day(local: datetime, at: time) -> date:
    """Return the last day for which a recurring job is due at a local time: today from `at` on, otherwise yesterday."""
    return local.date() if local.time() >= at else local.date() - timedelta(days=1)
