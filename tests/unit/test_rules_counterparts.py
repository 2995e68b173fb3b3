"""Vendor invoice lines whose pending rows were never seen find their Dataverse line by what stands on both."""

from itertools import permutations

import pytest

from engine.chains.counterparts import is_key
from engine.events.facts import row_id_of
from engine.reconciliation.explanations import explain_finding
from tests.support.memory_world import MemoryWorld
from tests.support.story import REFERENCE, changes, decide, id_of, parts, shipped_maps, status

pytestmark = pytest.mark.requirement("R9", "R10")

FINANCE = """
    invoice         V1   invoice=B-1000
    invoice-line    I1   1000.00 of=11 invoice=B-1000
"""
DATAVERSE = """
    account         Z1   USPM-000011
    project         D1   P-7
    header          H1   confirmed number=B-1000 vendor=Z1
    invoice-record  N1   of=VI-1000 number=1 price=1000.00 quantity=1 currency=USD project=D1
    actual          A1   1000.00 of=N1
    staging         S1   line=L1
    journal         J1
    line            L1   draft
"""
BOTH = FINANCE + DATAVERSE
SECOND_LINE = "invoice-line I2 1000.00 of=12 invoice=B-1000\n"
SECOND_RECORD = "invoice-record N2 of=VI-1001 header=H1 number=1 price=1000.00 quantity=1 currency=USD\n"


def test_it_takes_its_name_its_project_and_its_actuals_from_the_line_in_dataverse() -> None:
    story = decide(BOTH)
    document = story.document
    assert (document.document, document.project, story.status) == ("USPM/VI-1000", "P-7", "missing-journal-line: draft")
    assert (story.parts, document.voucher) == ("0.00 1000.00 0.00 0.00", "USPM-1101")
    assert "I1 N1 A1 S1 L1" in story.chains
    assert not {code for code in story.finding_codes if code.startswith(("ambiguous", "orphan"))}


@pytest.mark.parametrize(
    ("change", "linked"),
    [
        ("", True),
        ("invoice-line I1 number=1.0000000000", True),
        ("invoice-record N1 price=250.00 quantity=4", True),
        ("invoice-record N1 price=333.3333 quantity=3.0000", True),
        ("header H1 number=b-1000\n account Z1 uspm-000011", True),
        ("invoice-record N1 number=2", False),
        ("invoice-record N1 price=1000.01", False),
        ("header H1 number=B-1001", False),
        ("account Z1 USPM-000012", False),
        ("invoice V1 vendor=USPM-000012", False),
        ("invoice-record N1 @GBPM", False),
        ("invoice-record N1 number=", False),
        ("invoice-record N1 price=", False),
        ("header H1 vendor=", False),
        ("invoice V1 vendor=", False),
        ("invoice-line I1 number=", False),
        ("account Z1 delete", False),
        ("invoice V1 delete", False),
        ("header H1 delete", False),
    ],
    ids=[
        "all five are equal",
        "a number in another spelling",
        "the amount is price times quantity",
        "rounded to the currency, as Finance rounds",
        "text compares without case",
        "another line number",
        "another amount",
        "another invoice number",
        "another vendor in Dataverse",
        "another vendor in Finance",
        "another company",
        "no line number",
        "no price",
        "no vendor in Dataverse",
        "no vendor in Finance",
        "no line number in Finance",
        "the vendor is gone",
        "the invoice in Finance is gone",
        "the invoice in Dataverse is gone",
    ],
)
def test_company_vendor_invoice_line_number_and_amount_must_be_equal(change: str, linked: bool) -> None:
    document = decide(BOTH + change).document
    assert (document.document == "USPM/VI-1000") is linked
    assert (document.excluded == "project-unknown") is not linked


def test_whatever_arrives_last_completes_the_link() -> None:
    sent = changes(BOTH)
    whole = [*changes(REFERENCE), *sent]
    decided = MemoryWorld(whole, shipped_maps()).chains
    for order in permutations(sent[:6]):
        assert MemoryWorld([*whole[: -len(sent)], *order, *sent[6:]], shipped_maps()).chains == decided


PENDING = "pending-line P1 of=11\n pending-project X1 id=T9 project=P-3\n"


@pytest.mark.parametrize(
    ("table", "chains"),
    [
        (BOTH + PENDING, {"I1 P1 X1", "N1 A1 S1 L1"}),
        (BOTH + "pending-line P1 of=11", {"I1 P1 N1 A1 S1 L1"}),
        (BOTH + PENDING + "invoice-record N1 of=T9", {"I1 P1 X1 N1 A1 S1 L1"}),
        (
            BOTH + SECOND_LINE + "pending-line P2 of=12\n pending-project X2 id=VI-1000",
            {"I1", "I2 P2 X2 N1 A1 S1 L1"},
        ),
        (BOTH + "pending-line P2 of=12\n pending-project X2 id=VI-1000", {"I1", "P2 X2 N1 A1 S1 L1"}),
        (
            BOTH + SECOND_LINE + "pending-line P2 of=12\n pending-project X2 id=T9",
            {"I1 N1 A1 S1 L1", "I2 P2 X2"},
        ),
        (BOTH + "invoice-line I1 delete", {"N1 A1 S1 L1"}),
        (BOTH + "invoice-record N1 delete", {"I1", "A1 S1 L1"}),
    ],
    ids=[
        "a line with a project row is linked by its transaction id alone",
        "a pending line without a project row names no transaction id",
        "the transaction id that arrives later agrees",
        "a Dataverse line that has its Finance line by transaction id is no candidate",
        "nor one whose Finance line is only pending",
        "a second Finance line with a project row is no candidate",
        "a deleted Finance line has no counterpart",
        "a deleted Dataverse line is none",
    ],
)
def test_a_transaction_id_precedes_what_looks_alike(table: str, chains: set[str]) -> None:
    of_lines = {chain for chain in decide(table).chains if not chain.startswith(("V", "H"))}
    assert of_lines == chains


@pytest.mark.parametrize(
    ("more", "ambiguous"),
    [
        (SECOND_RECORD, {"I1", "N1", "N2"}),
        (SECOND_LINE, {"I1", "I2", "N1"}),
        (SECOND_LINE + SECOND_RECORD, {"I1", "I2", "N1", "N2"}),
    ],
    ids=["two lines in Dataverse", "two lines in Finance", "two in both"],
)
def test_of_several_candidates_none_is_taken_and_each_says_so(more: str, ambiguous: set[str]) -> None:
    story = decide(BOTH + more)
    assert {status(document) for document in story.documents.values()} == {"excluded: project-unknown"}
    assert {code.split()[1] for code in story.finding_codes if code.startswith("ambiguous-link")} == ambiguous
    assert not {code for code in story.finding_codes if code.startswith("orphan-in-dataverse")}
    for document in story.documents.values():
        assert "ambiguous-link" in document.findings
    told = [explain_finding(finding) for finding in story.world.findings if finding.code == "ambiguous-link"]
    assert all("invoice B-1000" in words.seen and "none is linked" in words.missing for words in told)
    assert any(row_id_of(id_of("N1")) in words.seen for words in told)


def test_once_one_candidate_is_left_it_is_taken() -> None:
    story = decide(BOTH + SECOND_RECORD + "invoice-record N2 delete")
    assert story.status == "missing-journal-line: draft"


def test_a_transaction_id_leaves_one_candidate_to_another_line() -> None:
    story = decide(BOTH + SECOND_LINE + SECOND_RECORD + "pending-line P2 of=12\n pending-project X2 id=VI-1001")
    assert {name: parts(document) for name, document in story.documents.items()} == {
        "USPM/VI-1000": "0.00 1000.00 0.00 0.00",
        "USPM/VI-1001": "1000.00 0.00 0.00 0.00",
    }


TWO_VENDORS = """
    invoice         V2   invoice=B-1000 vendor=USPM-000012 voucher=USPM-1102
    invoice-line    I2   700.00 of=12 invoice=B-1000
    account         Z2   USPM-000012
    header          H2   confirmed number=B-1000 vendor=Z2
    invoice-record  N2   of=VI-2000 number=1 price=700.00 quantity=1 currency=USD
"""


def test_of_two_vendors_with_one_invoice_number_the_line_in_dataverse_names_the_vendor() -> None:
    story = decide(BOTH + TWO_VENDORS)
    assert {name: (document.voucher, document.vendor) for name, document in story.documents.items()} == {
        "USPM/VI-1000": ("USPM-1101", "USPM-000011"),
        "USPM/VI-2000": ("USPM-1102", "USPM-000012"),
    }


@pytest.mark.parametrize(
    ("owner", "standing"),
    [
        ("USPM", "missing-journal-line: draft"),
        ("GBPM", "excluded: intercompany-cost"),
        ("", "missing-journal-line: draft"),
    ],
)
def test_the_company_of_the_project_tells_whether_another_company_bears_the_cost(owner: str, standing: str) -> None:
    assert decide(BOTH + f"project D1 company={owner}").status == standing


def test_a_project_that_was_never_received_is_a_project_all_the_same() -> None:
    story = decide(BOTH + "project D1 delete")
    assert (story.document.project, story.status) == (None, "missing-journal-line: draft")


def test_lines_without_headers_have_no_key() -> None:
    world = decide("invoice-line I1\n invoice-record N1 number=1 price=100.00 quantity=1").world
    assert not [token for record in world.records.values() for token in record.joins if is_key(token)]
