"""Two documents with one transaction id: both exist, and the actuals are shared out among them."""

import pytest
from msgspec.structs import replace

from engine.chains.records import Row
from engine.events.facts import row_id_of
from engine.reconciliation.chain_facts import ChainFacts
from engine.reconciliation.document_facts import documents_of
from engine.reconciliation.explanations import explain_finding
from engine.sync.actions import Skipped, step_for
from engine.sync.refusals import refusal
from tests.support.memory_world import MemoryWorld
from tests.support.story import REFERENCE, Story, changes, decide, id_of, name_of, parts, shipped_maps, status

pytestmark = pytest.mark.requirement("R10", "R18")

TWO = """
    expense  E1   100.00
    expense  E2   200.00 id=T1
    record   R1   approved amount=100.00
"""


def actuals_of(story: Story) -> dict[str, list[str]]:
    """The actuals of each document, as names."""
    (keys,) = [keys for keys in story.world.components if len(keys) > 1]
    rows = [row for key in keys if isinstance(row := story.world.row(key), Row)]
    documents = documents_of(ChainFacts(keys[0], rows, story.world))
    return {name_of(one.line.key): [name_of(actual.row.key) for actual in one.actuals] for one in documents}


def test_both_documents_exist_and_each_says_that_its_link_is_ambiguous() -> None:
    story = decide(TWO + "actual A1 100.00\n staging S1 voucher=PJ-1")
    other = f"USPM/{row_id_of(id_of('E2'))}"
    assert {name: status(document) for name, document in story.documents.items()} == {
        "USPM/T1": "reconciled",
        other: "missing-actual: not-synced-to-dataverse",
    }
    assert {"ambiguous-link E1", "ambiguous-link E2"} <= story.finding_codes
    told = {
        finding.document: explain_finding(finding).seen for finding in story.chain.findings if "link" in finding.code
    }
    assert told == {
        "USPM/T1": f"Another Finance line, {other}, has the same key, usually the transaction id.",
        other: "Another Finance line, USPM/T1, has the same key, usually the transaction id.",
    }


@pytest.mark.parametrize(
    ("table", "actuals"),
    [
        ("actual A1 100.00", {"E1": ["A1"], "E2": []}),
        ("actual A1 200.00", {"E1": [], "E2": ["A1"]}),
        ("actual A1 200.00\n actual A2 100.00 of=R1", {"E1": ["A2"], "E2": ["A1"]}),
        ("actual A1 200.00 currency=EUR", {"E1": [], "E2": ["A1"]}),
        ("actual A1 70.00 currency=EUR\n expense E2 currency=EUR", {"E1": [], "E2": ["A1"]}),
        (
            "actual A1 70.00 currency=USD document-date=2025-01-05\n expense E2 date=2025-01-05",
            {"E1": [], "E2": ["A1"]},
        ),
        ("actual A1 70.00", {"E1": ["A1"], "E2": []}),
        ("actual A1 80.00\n actual A2 120.00 of=R1", {"E1": [], "E2": ["A1", "A2"]}),
        ("actual A1 100.00\n actual A2 100.00 of=R1", {"E1": ["A1", "A2"], "E2": []}),
        ("actual A1 100.00\n actual A2 -100.00 of=\n reversal C1 A2 of=A1", {"E1": ["A1", "A2"], "E2": []}),
        (
            "actual A1 100.00\n actual A2 -100.00 of=\n reversal C1 A2 of=A1\n"
            "actual A3 200.00 of=\n replacement C2 A3 of=A1",
            {"E1": [], "E2": ["A1", "A2", "A3"]},
        ),
        ("expense E2 100.00\n actual A1 100.00\n actual A2 100.00 of=R1", {"E1": ["A1"], "E2": ["A2"]}),
        (
            "expense E2 100.00 currency=EUR\n actual A1 100.00 currency=EUR\n actual A2 100.00 of=R1",
            {"E1": ["A2"], "E2": ["A1"]},
        ),
        ("expense E1 draft\n actual A1 100.00", {"E1": [], "E2": ["A1"]}),
        ("expense E1 approved\n actual A1 100.00", {"E1": [], "E2": ["A1"]}),
    ],
    ids=[
        "the amount decides",
        "whichever line it is",
        "for each of several actuals",
        "the amount before the currency",
        "without an equal amount the currency",
        "with equal currencies the date",
        "otherwise the smallest RecId",
        "several actuals that add up to one document",
        "a second actual of the same amount is one too many of the same document",
        "an actual with its reversal goes as a whole",
        "with its replacement by what is in force",
        "of equal documents each has one",
        "of equal amounts the currency decides",
        "a draft has none",
        "what is not posted has none",
    ],
)
def test_an_actual_goes_to_the_document_that_it_fits(table: str, actuals: dict[str, list[str]]) -> None:
    assert actuals_of(decide(TWO + table)) == actuals


def test_the_line_with_the_smallest_number_keeps_the_name_though_its_key_sorts_later() -> None:
    first, second = changes("expense E1\n expense E2 id=t1")
    events = [*changes(REFERENCE), replace(first, id="5637144999"), replace(second, id="999")]
    names = {
        document.key.rpartition(":")[2]: document.document for document in MemoryWorld(events, shipped_maps()).documents
    }
    assert names == {"999": "USPM/t1", "5637144999": "USPM/5637144999"}


def test_documents_of_two_kinds_share_no_name() -> None:
    story = decide(
        "invoice-line I1\n pending-line P1\n pending-project X1\n invoice-record N1\n"
        "expense E1\n record R1\n origin W1 of=N1 actual=R1"
    )
    assert set(story.documents) == {"USPM/T1", f"USPM/{id_of('I1')}"}


def test_lines_joined_by_a_wrong_row_keep_their_own_names() -> None:
    story = decide(
        "expense E1\n expense E2\n record R1 approved\n record R2 approved\n actual A1\n origin W1 of=R2 actual=A1"
    )
    assert sorted(story.documents) == ["USPM/T1", "USPM/T2"]
    assert {"ambiguous-link E1", "ambiguous-link E2"} <= story.finding_codes


def test_a_draft_with_the_same_id_makes_no_link_ambiguous() -> None:
    story = decide("expense E1 draft\n expense E2 id=T1\n record R1 approved")
    assert story.document.document == "USPM/T1"
    assert not story.finding_codes


def test_the_amounts_of_both_documents_add_up_to_what_was_booked() -> None:
    story = decide(TWO + "actual A1 100.00\n staging S1 voucher=PJ-1")
    assert sorted(parts(document) for document in story.world.documents) == [
        "0.00 0.00 100.00 0.00",
        "200.00 0.00 0.00 0.00",
    ]


@pytest.mark.requirement("R42")
@pytest.mark.parametrize(
    ("table", "cause"),
    [
        ("", "not-synced-to-dataverse"),
        ("record R1 submitted", "not-approved"),
        ("record R1", "no-actual-made"),
        ("actual A1 100.00", "actual-not-synced-back"),
        ("actual A1 100.00\n staging S1", "not-imported"),
        ("actual A1 100.00\n staging S1 line=L1\n journal J1\n line L1 draft", "draft"),
    ],
)
def test_sync_leaves_every_document_of_an_ambiguous_id_alone_and_says_why(table: str, cause: str) -> None:
    story = decide(TWO + table)
    assert cause in {document.cause for document in story.world.documents}
    rows = [row for key in story.chain.members if isinstance(row := story.world.row(key), Row)]
    for document in story.world.documents:
        step = step_for(document, document.cause, rows, refused=refusal(document), posting_permitted=True)
        assert step is None or (isinstance(step, Skipped) and step.code == "ambiguous-link")
        assert (step is None) == (document.position == "reconciled")
        if isinstance(step, Skipped):
            assert "ambiguous key" in step.reason
