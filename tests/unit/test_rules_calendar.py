"""The default window of a company, from its ledger calendar (R30)."""

from datetime import date

import pytest

from engine.calendar import Company, Period, PeriodStatus, Window, default_window
from engine.errors import QueryError
from tests.support.story import decide

pytestmark = pytest.mark.requirement("R30")

TODAY = date(2025, 1, 8)


def months(year: int, **status: PeriodStatus) -> list[Period]:
    """The twelve periods of a year; all are closed but those named, as in `mar="open"`."""
    names = "jan feb mar apr may jun jul aug sep oct nov dec".split()
    return [
        Period(
            f"{year}-{n:02d}-01",
            f"{year}-{n:02d}-{last}",
            f"{year}-01-01",
            f"{year}-12-31",
            status.get(name, "closed"),
        )
        for n, (name, last) in enumerate(zip(names, [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], strict=True), 1)
    ]


def company(*periods: Period) -> Company:
    return Company("USPM", None, "USD", None, tuple(sorted(periods)))


WINDOWS = {
    "the earliest open period of the previous year": (
        [*months(2024, mar="open", nov="open"), *months(2025, jan="open")],
        "2024-03-01",
    ),
    "the earliest, not the latest of a run": ([*months(2024), *months(2025, jan="open", feb="open")], "2025-01-01"),
    "a year before the previous one is not looked at": (
        [*months(2023, dec="open"), *months(2024, jun="open"), *months(2025)],
        "2024-06-01",
    ),
    "a year after the current one is not looked at": (
        [*months(2025, jan="open"), *months(2026, jan="open")],
        "2025-01-01",
    ),
    "a period on hold is not open": ([*months(2024, mar="on-hold", may="open"), *months(2025)], "2024-05-01"),
    "the company's first year has no previous one": (months(2025, jan="open"), "2025-01-01"),
    "a closed period between open ones changes nothing": (
        [*months(2024, feb="open", apr="open"), *months(2025, jan="open")],
        "2024-02-01",
    ),
}


@pytest.mark.parametrize(("periods", "start"), WINDOWS.values(), ids=WINDOWS.keys())
def test_the_window_runs_from_the_first_day_of_the_earliest_open_period_to_today(
    periods: list[Period], start: str
) -> None:
    assert default_window(company(*periods), TODAY) == Window(start, "2025-01-08")


@pytest.mark.parametrize("today", [date(2025, 1, 1), date(2025, 12, 31)], ids=["its first day", "its last day"])
def test_both_ends_of_the_year_belong_to_it(today: date) -> None:
    periods = [*months(2023, jan="open"), *months(2024, jun="open"), *months(2025)]
    assert default_window(company(*periods), today) == Window("2024-06-01", today.isoformat())


def test_a_fiscal_year_need_not_be_a_calendar_year() -> None:
    periods = [
        Period("2023-07-01", "2024-06-30", "2023-07-01", "2024-06-30", "open"),
        Period("2024-07-01", "2025-06-30", "2024-07-01", "2025-06-30", "open"),
        Period("2022-07-01", "2023-06-30", "2022-07-01", "2023-06-30", "open"),
    ]
    assert default_window(company(*periods), TODAY).start == "2023-07-01"


@pytest.mark.parametrize(
    "periods",
    [
        [*months(2024), *months(2025)],
        months(2025, jan="on-hold"),
        [*months(2023, jan="open"), *months(2024), *months(2025)],
    ],
    ids=["all closed", "on hold", "open only before the previous year"],
)
def test_no_open_period_gives_a_message_that_says_what_to_do(periods: list[Period]) -> None:
    with pytest.raises(QueryError, match=r"USPM: no period .* is open\. Open a period in Finance, or name the dates"):
        default_window(company(*periods), TODAY)


@pytest.mark.parametrize("periods", [[], months(2023, jan="open")], ids=["no calendar", "none that holds today"])
def test_without_a_calendar_for_today_the_message_says_which_rows_are_missing(periods: list[Period]) -> None:
    with pytest.raises(
        QueryError, match=r"USPM: no fiscal year with operating periods contains 2025-01-08\..*FiscalCalendarPeriod"
    ):
        default_window(company(*periods), TODAY)


@pytest.mark.parametrize(
    "held",
    [("2025-01-01", "2025-01-07"), ("2025-01-09", "2025-01-31"), ("2025-11-01", "2025-11-30")],
    ids=["ended yesterday", "begins tomorrow", "the only one of the year"],
)
def test_today_between_two_operating_periods_is_in_the_year_around_it(held: tuple[str, str]) -> None:
    year = [Period(*held, "2025-01-01", "2025-12-31", "open")]
    assert default_window(company(*months(2024, oct="open"), *year), TODAY) == Window("2024-10-01", "2025-01-08")
    assert default_window(company(*months(2023, oct="open"), *months(2024), *year), TODAY).start == held[0]


# --- the calendar as Finance sends it ---------------------------------------------------------------------------------

CALENDAR = """
    year           F1   2024-01-01 until=2024-12-31
    year           F2   2025-01-01 until=2025-12-31
    year           F3   2024-01-01 until=2024-12-31 calendar=2
    period         M1   2024-01-01 until=2024-01-01 year=F1 type=opening
    period         M2   2024-03-01 until=2024-03-31 year=F1
    period         M3   2024-12-31 until=2024-12-31 year=F1 type=closing
    period         M4   2025-01-01 until=2025-01-31 year=F2
    period         M5   2024-02-01 until=2024-02-29 year=F3
    period         M6   2024-01-01 until=2024-01-31 year=F1
    period-status  Q1   open
    period-status  Q2   open
    period-status  Q3   open
    period-status  Q4   open
    period-status  Q5   open
"""


def window(events: str = "") -> Window:
    known = decide(CALENDAR + events).world.directory.company("USPM")
    assert known is not None
    return default_window(known, TODAY)


def test_only_operating_periods_of_the_ledgers_own_calendar_count() -> None:
    assert window() == Window("2024-03-01", "2025-01-08")


@pytest.mark.parametrize(
    ("events", "start"),
    [
        ("period-status Q2 closed", "2025-01-01"),
        ("period-status Q6 open", "2024-01-01"),
        ("period-status Q6 open ledger=G2", "2024-03-01"),
        ("period-status Q2 delete", "2025-01-01"),
        (
            "ledger G1 calendar=2\n period M7 2025-01-01 until=2025-01-31 year=F9\n year F9 2025-01-01 calendar=2",
            "2024-02-01",
        ),
    ],
    ids=[
        "closed meanwhile",
        "opened again",
        "opened for another company's ledger",
        "a period without a status is not open",
        "another calendar",
    ],
)
def test_the_window_follows_what_finance_tells_of_its_periods(events: str, start: str) -> None:
    assert window(events).start == start


@pytest.mark.parametrize(
    "events",
    ["", "year F2 until=", "year F2 2025-01-01 until= \n period M7 2025-12-31 until=2025-12-31 year=F2 type=closing"],
    ids=["the year's own end", "the end of its last period", "also of a closing period"],
)
def test_a_day_of_a_closing_period_is_in_its_year(events: str) -> None:
    table = CALENDAR + "period M8 2025-12-01 until=2025-12-31 year=F2 type=closing\n" + events
    known = decide(table).world.directory.company("USPM")
    assert known is not None
    assert default_window(known, date(2025, 12, 31)) == Window("2024-03-01", "2025-12-31")


def test_a_year_that_does_not_say_when_it_starts_spans_its_periods() -> None:
    events = """
        year    F2   calendar=1 until=2025-12-31 status=
        period  M9   2025-02-01 until=2025-02-28 year=F2
    """
    known = decide(CALENDAR + events).world.directory.company("USPM")
    assert known is not None
    assert {(period.year_start, period.year_end) for period in known.periods[-2:]} == {("2025-01-01", "2025-12-31")}
    assert window(events) == Window("2024-03-01", "2025-01-08")


def test_a_company_is_known_by_its_ledger() -> None:
    known = decide("company K1 name=Contoso").world.directory.company("USPM")
    assert known is not None
    assert (known.name, known.currency) == ("Contoso", "USD")
