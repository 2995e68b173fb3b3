"""What proves that Finance posted an actual, and when that was not written back (R22)."""

import pytest

from tests.support.story import decide, name_of

pytestmark = pytest.mark.requirement("R22")

MADE = """
    expense  E1
    record   R1   approved
    actual   A1
"""
WRITTEN_BACK = "reconciled"
NOT_WRITTEN_BACK = "reconciled, not written back"
NOT_POSTED = "missing-journal-line"

PROOFS = {
    "line posted, both vouchers": (
        "line L1 posted voucher=PJ-1\n staging S1 line=L1 voucher=PJ-1\n actual A1 voucher=PJ-1",
        WRITTEN_BACK,
    ),
    "line posted": ("line L1 posted\n staging S1 line=L1", NOT_WRITTEN_BACK),
    "line without a state in a posted journal": ("line L1\n journal J1 posted\n staging S1 line=L1", NOT_WRITTEN_BACK),
    "line posted in a journal in draft": ("line L1 posted\n journal J1 draft\n staging S1 line=L1", NOT_WRITTEN_BACK),
    "voucher on the staging row": ("staging S1 voucher=PJ-1", NOT_WRITTEN_BACK),
    "voucher on the staging row, line in draft": ("line L1 draft\n staging S1 line=L1 voucher=PJ-1", NOT_WRITTEN_BACK),
    "voucher on the staging row, line deleted": (
        "line L1 posted\n staging S1 line=L1 voucher=PJ-1\n line L1 delete",
        NOT_WRITTEN_BACK,
    ),
    "voucher on a second staging row": ("staging S1\n staging S2 of=A1 voucher=PJ-1", NOT_WRITTEN_BACK),
    "voucher on the actual, and nothing else": ("actual A1 voucher=PJ-1", WRITTEN_BACK),
    "voucher on the actual under its other name": ("actual A1 reference=PJ-1", WRITTEN_BACK),
    "voucher on the actual, line in draft": (
        "line L1 draft\n staging S1 line=L1\n actual A1 voucher=PJ-1",
        WRITTEN_BACK,
    ),
    "no voucher, line in draft": ("line L1 draft voucher=PJ-1\n staging S1 line=L1", NOT_POSTED),
    "empty vouchers": ("staging S1 voucher=\n actual A1 voucher= reference=", NOT_POSTED),
    "a voucher that was taken back": ("staging S1 voucher=PJ-1\n staging S1 voucher=", NOT_POSTED),
}


@pytest.mark.parametrize(("events", "outcome"), PROOFS.values(), ids=PROOFS.keys())
def test_posted_means_line_posted_or_a_voucher_on_either_side(events: str, outcome: str) -> None:
    story = decide(MADE + events)
    position, _, written_back = outcome.partition(", ")
    assert story.document.position == position
    assert ("not-written-back A1" in story.finding_codes) == bool(written_back)
    if position == "reconciled":
        assert story.parts == "0.00 0.00 100.00 0.00"


def test_the_voucher_that_was_not_written_back_is_named() -> None:
    story = decide(MADE + "line L1 posted voucher=PJ-1\n staging S1 line=L1")
    assert story.finding("not-written-back").parameters["voucher"] == "PJ-1"


def test_a_reconciled_document_shows_its_journal_voucher_and_day_of_posting() -> None:
    posted = "line L1 posted voucher=PJ-1\n staging S1 line=L1\n journal J1 number=USPM-041 posted=2025-01-09T16:20:00Z"
    document = decide(MADE + posted).document
    assert (document.journal, document.journal_voucher, document.posted_date) == ("USPM-041", "PJ-1", "2025-01-09")


def test_a_document_that_is_not_posted_shows_no_day_of_posting() -> None:
    story = decide(MADE + "line L1 draft\n staging S1 line=L1\n journal J1 posted=2025-01-09T16:20:00Z")
    assert story.document.posted_date is None


POSTED_TWICE = {
    "a voucher, then a line": "staging S1 voucher=PJ-1\n staging S2 of=A1 line=L2",
    "a line, then a voucher": "staging S1 line=L2\n staging S2 of=A1 voucher=PJ-1",
    "a voucher beside a line in draft": (
        "staging S1 line=L1 voucher=PJ-1\n staging S2 of=A1 line=L2\n line L1 voucher=PJ-1"
    ),
    "two posted lines": "staging S1 line=L3\n staging S2 of=A1 line=L2\n line L3 posted voucher=PJ-3",
}


@pytest.mark.parametrize("events", POSTED_TWICE.values(), ids=POSTED_TWICE.keys())
def test_of_two_staging_rows_that_are_posted_the_first_posted_line_is_shown(events: str) -> None:
    story = decide(f"{MADE}{events}\n line L2 posted voucher=PJ-2\n journal J2 number=USPM-042")
    assert story.document.position == "reconciled"
    assert (story.document.journal, story.document.journal_voucher) == ("USPM-042", "PJ-2")


def test_the_staging_row_whose_line_is_not_shown_is_the_one_too_many() -> None:
    story = decide(MADE + "staging S1 voucher=PJ-1\n staging S2 of=A1 line=L2\n line L2 posted voucher=PJ-2")
    assert "duplicate-staging-row S1" in story.finding_codes


def test_of_two_posted_lines_of_a_staging_row_the_one_that_it_names_now_is_counted() -> None:
    story = decide(MADE + "line L1 posted\n staging S1 line=L1\n line L2 posted\n staging S1 line=L2")
    parts = {name_of(posting.key): posting.part for posting in story.chain.postings}
    assert parts == {"L1": "posted-twice", "L2": None}


def test_a_line_that_a_former_staging_row_brings_to_its_document_is_not_counted_again_by_the_voucher_of_another() -> (
    None
):
    story = decide(
        MADE + "staging S1 line=L1\n staging S1 delete\n line L1 posted voucher=PJ-1\n"
        "actual A9 of=R9\n staging S9 of=A9 line=L1 voucher=PJ-1 booked=100.00"
    )
    assert story.document.position == "reconciled"
    assert [(name_of(posting.key), posting.part) for posting in story.chain.postings] == [("L1", None)]


def test_a_line_counts_for_the_actual_that_a_staging_row_names_whatever_row_without_one_names_the_line_first() -> None:
    story = decide(MADE + "line L1 posted voucher=PJ-1\n staging S1 of= line=L1\n staging S2 of=A1 line=L1")
    assert story.document.position == "reconciled"
    assert [(name_of(posting.key), posting.part) for posting in story.chain.postings] == [("L1", None)]
