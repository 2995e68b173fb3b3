"""A journal number is not a stable key: lines are deleted, re-created and moved (R17)."""

import pytest

from tests.support.story import decide

pytestmark = pytest.mark.requirement("R17")

IN_A_JOURNAL = """
    expense  E1   100.00
    record   R1   approved
    actual   A1   100.00
    journal  J1   number=USPM-041
    line     L1   draft voucher=PJ-1
    staging  S1   line=L1
"""


def test_a_deleted_unposted_line_turns_the_document_back_to_missing_journal_line() -> None:
    story = decide(IN_A_JOURNAL + "line L1 delete")
    assert (story.status, story.parts) == ("missing-journal-line: line-not-seen", "0.00 100.00 0.00 0.00")
    assert (story.document.journal, story.document.journal_voucher) == (None, None)


def test_once_the_staging_row_forgets_the_deleted_line_the_import_must_make_it_anew() -> None:
    story = decide(IN_A_JOURNAL + "line L1 delete\n staging S1 line=0")
    assert story.status == "missing-journal-line: not-imported"


def test_the_line_that_the_next_import_makes_takes_its_place() -> None:
    story = decide(IN_A_JOURNAL + "line L1 delete\n line L2 posted voucher=PJ-2\n staging S1 line=L2")
    assert (story.status, story.document.journal_voucher) == ("reconciled", "PJ-2")
    assert story.chains == ["E1 R1 A1 S1 L2"]


def test_a_deleted_line_of_a_posted_actual_changes_nothing() -> None:
    story = decide(IN_A_JOURNAL + "line L1 posted\n staging S1 voucher=PJ-1\n line L1 delete")
    assert story.document.position == "reconciled"


@pytest.mark.parametrize(
    ("moved", "standing", "journal"),
    [
        ("line L1 in=J2 error", "missing-journal-line: error", "USPM-042"),
        ("line L1 in=J2 posted", "reconciled", "USPM-042"),
        ("line L1 in=J2 status=\n journal J2 posted", "reconciled", "USPM-042"),
        ("line L1 in=J2 status=\n journal J1 posted", "missing-journal-line: draft", "USPM-042"),
        ("line L1 in=J3", "missing-journal-line: draft", None),
    ],
    ids=[
        "to the journal of errors",
        "and posted there",
        "and posted with that journal",
        "while only its old journal is posted",
        "to a journal that was not seen yet",
    ],
)
def test_a_line_that_moved_to_a_new_journal_is_the_same_line(moved: str, standing: str, journal: str | None) -> None:
    story = decide(IN_A_JOURNAL + "journal J2 number=USPM-042\n" + moved)
    assert (story.status, story.document.journal) == (standing, journal)
    assert story.chains == ["E1 R1 A1 S1 L1"]
    assert not any(found.startswith("duplicate") for found in story.finding_codes)


def test_a_renumbered_journal_shows_its_new_number() -> None:
    assert decide(IN_A_JOURNAL + "journal J1 number=USPM-099").document.journal == "USPM-099"
