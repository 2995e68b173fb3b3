"""Which document lines have a row, and which of those stay outside every sum, for which reason (R13)."""

import pytest

from engine.reconciliation.explanations import explain
from tests.support.story import ALL_KNOWN, decide

pytestmark = pytest.mark.requirement("R13")

INVOICE = """
    pending-line     P1
    pending-project  X1
    invoice-line     I1   5000.00
"""


@pytest.mark.parametrize(
    "line",
    ["expense E1 processed", "expense E1 processed voucher=USPM-463", "expense E1 draft voucher=USPM-463"],
    ids=["status 6", "status 6 and a voucher", "a voucher, whatever the status"],
)
def test_a_processed_expense_has_a_position(line: str) -> None:
    assert decide(line).document.position == "missing-actual"


@pytest.mark.parametrize("status", ["draft", "submitted", "rejected", "cancelled", "none", "in-review"])
def test_an_expense_that_was_neither_approved_nor_posted_has_no_row(status: str) -> None:
    assert decide(f"expense E1 {status}").documents == {}


@pytest.mark.parametrize("status", ["approved", "ready"])
def test_an_approved_expense_shows_as_not_posted_and_outside_every_sum(status: str) -> None:
    story = decide(f"expense E1 100.00 {status}")
    assert (story.status, story.parts) == ("not-posted", "0.00 0.00 0.00 0.00")
    assert story.accounting_parts == "0.00 0.00 0.00 0.00"


def test_an_approved_expense_is_not_posted_however_far_its_actual_got() -> None:
    story = decide("expense E1 approved\n record R1 approved\n actual A1\n staging S1 voucher=PJ-1")
    assert (story.status, story.parts) == ("not-posted", "0.00 0.00 0.00 0.00")


def test_a_posted_vendor_invoice_line_has_a_position() -> None:
    assert decide(INVOICE).status == "missing-actual: not-synced-to-dataverse"


def test_a_pending_vendor_invoice_line_has_no_row() -> None:
    assert decide("pending-line P1\n pending-project X1").documents == {}


@pytest.mark.parametrize("line", ["expense E1", INVOICE], ids=["expense", "vendor invoice line"])
def test_a_deleted_line_has_no_row(line: str) -> None:
    name = "expense E1" if "E1" in line else "invoice-line I1"
    assert decide(f"{line}\n{name} delete").documents == {}


# All reasons together; each row below removes the one above, so the next in order must show.
EVERY_REASON = """
    expense  E1   100.00 cancelled voucher=USPM-463 project= charged-to=GBPM
    record   R1   approved
    actual   A1   skip-sync=true
"""


@pytest.mark.parametrize(
    ("without", "reason"),
    [
        ("", "no-project"),
        ("expense E1 project=P-1", "cancelled"),
        ("expense E1 project=P-1 processed", "intercompany-cost"),
        ("expense E1 project=P-1 processed charged-to=", "skip-sync"),
        ("expense E1 project=P-1 processed charged-to=\nactual A1 skip-sync=false", "other-company"),
    ],
    ids=["no project", "cancelled", "charged to another company", "skip sync", "company outside the settings"],
)
def test_the_first_reason_that_applies_is_the_one_that_shows(without: str, reason: str) -> None:
    story = decide(EVERY_REASON + without, companies=["GBPM"])
    assert (story.status, story.parts) == (f"excluded: {reason}", "0.00 0.00 0.00 0.00")
    assert story.accounting_parts == "0.00 0.00 0.00 0.00"


def test_when_no_reason_applies_the_document_has_a_position() -> None:
    healed = "expense E1 project=P-1 processed charged-to=\nactual A1 skip-sync=false"
    assert decide(EVERY_REASON + healed, companies=["USPM"]).status == "missing-actual: actual-not-synced-back"


def test_an_excluded_document_still_shows_its_amount() -> None:
    document = decide("expense E1 100.00 project=").document
    assert document.amounts is not None
    assert document.amounts.amount == 100_0000


@pytest.mark.parametrize(
    ("table", "standing"),
    [
        ("expense E1 charged-to=GBPM", "excluded: intercompany-cost"),
        ("expense E1 charged-to=gbpm", "excluded: intercompany-cost"),
        ("expense E1 charged-to=uspm", "missing-actual: not-synced-to-dataverse"),
        ("expense E1 charged-to=", "missing-actual: not-synced-to-dataverse"),
        (INVOICE + "pending-project X1 company=gbpm", "excluded: intercompany-cost"),
        (INVOICE + "pending-project X1 company=uspm", "missing-actual: not-synced-to-dataverse"),
        (INVOICE + "pending-project X1 company=", "missing-actual: not-synced-to-dataverse"),
    ],
    ids=[
        "expense of another company",
        "company codes compare without case",
        "expense of its own company",
        "expense of no other company",
        "invoice line for a project of another company",
        "invoice line for a project of its own company",
        "project company not told",
    ],
)
def test_charged_to_another_company_means_a_company_unlike_its_own(table: str, standing: str) -> None:
    assert decide(table).status == standing


@pytest.mark.parametrize(
    ("table", "standing"),
    [
        ("actual A1 skip-sync=true", "excluded: skip-sync"),
        ("actual A1 skip-sync=true\n staging S1 voucher=PJ-1", "excluded: skip-sync"),
        ("actual A1 skip-sync=true\n actual A2 of=R1 skip-sync=true", "excluded: skip-sync"),
        ("actual A1 skip-sync=true\n actual A2 of=R1", "missing-actual: actual-not-synced-back"),
        ("actual A1 skip-sync=true type=unbilled-sales", "missing-actual: no-actual-made"),
        ("actual A1 skip-sync=true\n actual A2 of=R1 type=unbilled-sales", "excluded: skip-sync"),
        ("actual A1 skip-sync=", "missing-actual: actual-not-synced-back"),
    ],
    ids=[
        "its only cost actual",
        "even one that reached Finance",
        "all of several",
        "not when another is meant for Finance",
        "a sales actual is no cost actual",
        "a sales actual beside it changes nothing",
        "not told means no",
    ],
)
def test_skip_sync_excludes_when_it_is_all_the_cost_actuals(table: str, standing: str) -> None:
    assert decide(f"expense E1\n record R1 approved\n {table}").status == standing


@pytest.mark.parametrize(
    ("table", "standing"),
    [
        ("expense E1 project=P-1", "missing-actual: not-synced-to-dataverse"),
        ("expense E1 project=", "excluded: no-project"),
        ("expense E1 project=P-1\n expense E1 project=", "excluded: no-project"),
        ("expense E1 project=?", "excluded: project-unknown"),
        ("expense E1 project=?\n expense E1 project=", "excluded: no-project"),
        ("expense E1 delete\n expense E1 status=processed", "excluded: project-unknown"),
        ("expense E1 project=?\n record R1 approved", "missing-actual: no-actual-made"),
        ("expense E1 project=\n record R1 approved", "excluded: no-project"),
        ("expense E1 project=? cancelled voucher=USPM-463", "excluded: cancelled"),
        ("expense E1 project=? approved", "not-posted"),
        ("invoice-line I1", "excluded: project-unknown"),
        ("invoice-line I1\n pending-project X1", "excluded: project-unknown"),
        ("invoice-line I1\n pending-line P1", "excluded: no-project"),
        ("invoice-line I1\n pending-line P1 ordered=0", "excluded: no-project"),
        ("invoice-line I1\n pending-line P1 ordered=5637144999", "excluded: project-unknown"),
        (INVOICE + "pending-project X1 project=", "excluded: no-project"),
        ("invoice-line I1\n pending-line P1\n pending-project X1 project=?", "excluded: project-unknown"),
        (
            "invoice-line I1\n pending-line P1\n pending-project X1 project=?\n invoice-record N1",
            "missing-actual: not-confirmed",
        ),
        (INVOICE + "pending-line P1 delete\n pending-project X1 delete", "missing-actual: not-synced-to-dataverse"),
    ],
    ids=[
        "an expense that names its project",
        "one that was sent empty is a statement",
        "the newest statement counts",
        "an expense whose project was never sent",
        "sent empty later",
        "what was sent before the line was deleted does not count",
        "Dataverse has a record of it: it gets lines with a project only",
        "what Finance says precedes that record",
        "cancelled in Finance, whatever its project",
        "not posted, whatever its project",
        "an invoice line of which nothing else was seen",
        "a project row that no pending line leads to",
        "a pending line without a project row, which Finance writes with it",
        "a purchase line of 0 is none",
        "a pending line of a purchase order: its project is on the purchase line",
        "a project row that was sent empty",
        "a project row whose project was never sent",
        "the same, with a record in Dataverse",
        "pending rows that were deleted have said it",
    ],
)
def test_absence_is_no_statement_about_a_project(table: str, standing: str) -> None:
    story = decide(table)
    assert story.status == standing
    if standing.startswith("excluded"):
        assert story.parts == "0.00 0.00 0.00 0.00"


@pytest.mark.parametrize("line", ["expense E1 250.00 project=?", "invoice-line I1 250.00"])
def test_a_document_without_a_statement_says_what_is_unknown_and_what_to_do(line: str) -> None:
    document = decide(line).document
    assert document.amounts is not None
    assert document.amounts.amount == 250_0000
    explained = explain(document, ALL_KNOWN)
    assert "No event says whether it has a project" in explained.seen
    assert "Nothing" not in explained.missing
    assert explained.do.startswith("Look up the project of the line in Finance")


def test_without_a_list_of_companies_every_company_is_inside() -> None:
    assert decide("expense E1", companies=None).document.excluded is None
    assert decide("expense E1", companies=[]).document.excluded == "other-company"


@pytest.mark.parametrize("record", ["record R1 approved state=inactive", "record R1 draft state=inactive"])
def test_cancelled_in_dataverse_is_no_exclusion_for_the_cost_is_still_in_the_account(record: str) -> None:
    story = decide(f"expense E1 100.00\n {record}")
    assert (story.status, story.parts) == ("missing-actual: cancelled-in-dataverse", "100.00 0.00 0.00 0.00")


DRAFT_LINE = """
    expense  E1   voucher=USPM-463
    record   R1   approved
    actual   A1
    line     L1   draft
    staging  S1   line=L1
"""
LINES_OF_EXCLUDED = {
    "in draft": ("expense E1 cancelled", True),
    "failed": ("expense E1 cancelled\n line L1 error", True),
    "of a document charged to another company": ("expense E1 charged-to=GBPM", True),
    "of a document without a project": ("expense E1 project=", True),
    "posted": ("expense E1 cancelled\n line L1 posted", False),
    "posted, as its voucher says": ("expense E1 cancelled\n staging S1 voucher=PJ-1", False),
    "of a document that is not excluded": ("", False),
}


@pytest.mark.requirement("R13", "R18", "R20")
@pytest.mark.parametrize(("events", "waits"), LINES_OF_EXCLUDED.values(), ids=LINES_OF_EXCLUDED.keys())
def test_a_line_of_an_excluded_document_must_not_be_posted(events: str, waits: bool) -> None:
    story = decide(f"{DRAFT_LINE}{events}")
    assert ("excluded-line-waits L1" in story.finding_codes) == waits
    words = explain(story.document, ALL_KNOWN)
    assert ("Remove the line" in words.do) == waits
    if waits:
        assert "Nothing" not in words.missing
