"""The accounting date or the posting error, and the advice from the ledger calendar (R57)."""

import pytest

from engine.calendar import Company, Period, PeriodStatus, accounting_date
from engine.errorlog.posting_periods import advice, posting_error

pytestmark = pytest.mark.requirement("R57")


def company(*statuses: PeriodStatus) -> Company:
    """Months of 2024 from January on."""
    ends = ("31", "29", "31", "30", "31", "30")
    periods = tuple(
        Period(f"2024-{month:02}-01", f"2024-{month:02}-{end}", "2024-01-01", "2024-12-31", status)
        for month, (status, end) in enumerate(zip(statuses, ends, strict=False), 1)
    )
    return Company("USPM", None, "USD", None, periods)


CLOSED_THEN_OPEN = company("closed", "on-hold", "open", "open")
ALL_CLOSED = company("open", "closed", "on-hold")

CASES: list[tuple[Company, str, bool, str | None, str | None]] = [
    (CLOSED_THEN_OPEN, "2024-03-15", False, "2024-03-15", None),
    (CLOSED_THEN_OPEN, "2024-03-15", True, "2024-03-15", None),
    (CLOSED_THEN_OPEN, "2024-01-31", True, "2024-03-01", None),
    (CLOSED_THEN_OPEN, "2024-02-01", True, "2024-03-01", None),
    (CLOSED_THEN_OPEN, "2024-01-31", False, None, "NO_OPEN_PERIOD"),
    (CLOSED_THEN_OPEN, "2024-02-29", False, None, "NO_OPEN_PERIOD"),
    (CLOSED_THEN_OPEN, "2023-12-31", True, "2024-03-01", None),
    (ALL_CLOSED, "2024-02-10", True, None, "NO_OPEN_PERIOD_AFTER"),
    (ALL_CLOSED, "2024-02-10", False, None, "NO_OPEN_PERIOD"),
    (ALL_CLOSED, "2024-07-01", True, None, "NO_OPEN_PERIOD_AFTER"),
]


@pytest.mark.parametrize(("ledger", "day", "automatic", "accounted", "error"), CASES)
def test_the_next_open_period_is_used_where_finance_may_and_else_the_matching_error_is_logged(
    ledger: Company, day: str, automatic: bool, accounted: str | None, error: str | None
) -> None:
    assert accounting_date(ledger, day, automatic=automatic) == accounted
    assert posting_error(ledger, day, automatic=automatic) == error


NEXT = "With that parameter on, it is posted on 2024-03-01, the first day of the next open period."
ADVICE: list[tuple[str, str, Company | None, str | None]] = [
    (
        "NO_OPEN_PERIOD",
        "2/12/2024",
        CLOSED_THEN_OPEN,
        f"The period of 2024-02-12, 2024-02-01 to 2024-02-29, is on hold. {NEXT}",
    ),
    (
        "NO_OPEN_PERIOD",
        "15.01.2024 00:00:00",
        CLOSED_THEN_OPEN,
        f"The period of 2024-01-15, 2024-01-01 to 2024-01-31, is closed. {NEXT}",
    ),
    # April is open, so the error can only mean the first reading.
    (
        "NO_OPEN_PERIOD",
        "1/4/2024",
        CLOSED_THEN_OPEN,
        f"The period of 2024-01-04, 2024-01-01 to 2024-01-31, is closed. {NEXT}",
    ),
    ("NO_OPEN_PERIOD", "1/2/2024", CLOSED_THEN_OPEN, None),
    ("NO_OPEN_PERIOD", "2024-03-15", CLOSED_THEN_OPEN, "Post again: it is now posted on 2024-03-15."),
    (
        "NO_OPEN_PERIOD_AFTER",
        "2024-02-10",
        ALL_CLOSED,
        "The period of 2024-02-10, 2024-02-01 to 2024-02-29, is closed, and no later one is open.",
    ),
    ("NO_OPEN_PERIOD_AFTER", "2024-02-10", CLOSED_THEN_OPEN, "Post again: it is now posted on 2024-03-01."),
    ("NO_OPEN_PERIOD", "2019-02-10", CLOSED_THEN_OPEN, None),
    ("NO_OPEN_PERIOD", "8 janv. 2024", CLOSED_THEN_OPEN, None),
    ("NO_OPEN_PERIOD", "31/31/2024", CLOSED_THEN_OPEN, None),
    ("NO_OPEN_PERIOD", "2024-02-10", company(), None),
    ("NO_OPEN_PERIOD", "2024-02-10", None, None),
    ("LINE_FAILED", "2024-02-10", CLOSED_THEN_OPEN, None),
]


@pytest.mark.parametrize(("code", "written", "ledger", "text"), ADVICE)
def test_the_calendar_says_which_period_was_meant_and_what_would_help(
    code: str, written: str, ledger: Company | None, text: str | None
) -> None:
    assert advice(code, written, ledger) == text
