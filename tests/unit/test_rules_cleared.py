"""What a posting took out of an account, on which day, and which document counts it (R37)."""

import pytest

from engine import money
from engine.reconciliation.documents import Posting
from tests.support.story import Story, decide, name_of

pytestmark = pytest.mark.requirement("R37")

EXPENSE = """
    expense  E1   100.00 voucher=USPM-463
    record   R1   approved
    actual   A1   100.00 currency=USD
"""
INVOICE = """
    pending-line     P1
    pending-project  X1
    invoice          V1
    invoice-line     I1   100.00
    invoice-record   N1
    actual           A1   100.00 of=N1 class=time currency=USD
"""
HOURS = "actual A1 100.00 of= class=time currency=USD\n"
JOURNAL = "journal J1 number=USPM-041 posted posted=2025-01-31T23:30:00Z\n"
SILENT = "line L1 posted voucher=PJ-1\n staging S1 line=L1 voucher=PJ-1"

# Each case: the events, and what its postings cleared, with the document or the part.
CLEARED = {
    "the amount of the line": (EXPENSE + "line L1 posted 100.00 currency=USD\n staging S1 line=L1", "100.00 E1"),
    "not the rate of a staging row in another currency": (
        EXPENSE + "line L1 posted 100.00 currency=USD\n staging S1 line=L1 amount=90.00 currency=EUR rate=110",
        "100.00 E1",
    ),
    "the rate of a staging row in the currency of the line": (
        EXPENSE + "line L1 posted 100.00 currency=EUR\n staging S1 line=L1 currency=EUR rate=110",
        "110.00 E1",
    ),
    "the rate of a staging row without a currency": (
        EXPENSE + "line L1 posted 100.00 currency=EUR\n staging S1 line=L1 rate=110",
        "110.00 E1",
    ),
    "the currency and rate of the staging row, if the line has none": (
        EXPENSE + "line L1 posted 100.00\n staging S1 line=L1 currency=EUR rate=110",
        "110.00 E1",
    ),
    "not a 0 that Finance has not written": (
        EXPENSE + "staging S1 amount=100.00 currency=USD booked=0.00\n actual A1 voucher=PJ-1",
        "100.00 E1",
    ),
    "a 0 that Finance wrote": (EXPENSE + "staging S1 amount=100.00 booked=0.00 voucher=PJ-1", "0.00 E1"),
    "nothing, for a sales line": (SILENT + " amount=100.00\n line L1 currency= amount=0.00", ""),
    "the staging row, where the line says nothing of its cost": (
        SILENT + " amount=100.00 currency=USD",
        "100.00 posting-without-document",
    ),
    "nothing, where neither says anything": (SILENT, ""),
    "nothing, where the actual is of sales": (SILENT + " amount=100.00\n actual A1 of= type=unbilled-sales", ""),
    "nothing, for the hours of a timesheet": (HOURS + SILENT + " amount=100.00 currency=USD", ""),
    "the hours of a vendor invoice line": (INVOICE + SILENT + " amount=100.00 currency=USD", "100.00 I1"),
    "the hours of a vendor invoice line that is deleted": (
        INVOICE + SILENT + " amount=100.00 currency=USD\n invoice-line I1 delete",
        "100.00 posting-without-document",
    ),
}


def told(posting: Posting) -> str:
    amount = "unknown" if posting.amount is None else money.text(posting.amount, posting.currency)
    return f"{amount} {posting.part or name_of(posting.document or '')}"


def postings(story: Story) -> list[Posting]:
    return [posting for chain in story.world.chains for posting in chain.postings]


@pytest.mark.parametrize(("table", "expected"), CLEARED.values(), ids=CLEARED.keys())
def test_a_posting_clears_what_the_best_source_says(table: str, expected: str) -> None:
    assert " ".join(told(posting) for posting in postings(decide(table))) == expected


def test_hours_of_a_vendor_invoice_line_clear_its_account_and_reconcile_it() -> None:
    story = decide(INVOICE + SILENT + " amount=100.00 currency=USD")
    assert (story.document.position, story.document.cleared) == ("reconciled", 100_0000)
    assert story.chain.postings[0].kind == "vendor-invoice-line"


DAYS = {
    "the accounting date of the line": ("line L1 accounting-date=2025-01-30", "2025-01-30"),
    "the day of posting in the time zone of the company": ("", "2025-02-01"),
    "the day in UTC, where no time zone is known": ("company K1 zone=", "2025-01-31"),
}


@pytest.mark.parametrize(("events", "day"), DAYS.values(), ids=DAYS.keys())
def test_a_posting_is_of_a_day_of_its_company(events: str, day: str) -> None:
    line = "line L1 posted 100.00 currency=USD\n staging S1 line=L1\n"
    story = decide(f"company K1 zone=Europe/Berlin\n{EXPENSE}{JOURNAL}{line}{events}")
    assert [posting.date for posting in story.chain.postings] == [day]
    if "accounting" not in events:
        assert story.document.posted_date == day
