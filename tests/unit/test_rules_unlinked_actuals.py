"""A cost actual without a document may be the cost of a document that waits for one (finding `possible-match`)."""

import pytest

from engine.reconciliation.unlinked_actuals import (
    matches_of,
    possible_match,
    tokens_of_actual,
    tokens_of_document,
)
from tests.support.story import Story, decide, id_of, name_of

WAITS = """
    project   D1   P-1
    project   D2   P-2
    category  Y1   Hotel
    category  Y2   Flight
    expense   E1   100.00 category=Hotel
    record    R1   approved
"""
ALONE = "actual A1 100.00 of= currency=USD project=D1 category=Y1 accounting-date=2025-01-08"


def matches(story: Story) -> set[str]:
    """Return the actuals that documents may belong to, by the rule that the store applies to its tables."""
    found: set[str] = set()
    for document in story.world.documents:
        tokens = set(tokens_of_document(document))
        costs = [cost for chain in story.world.chains for cost in chain.unlinked]
        common = [cost for cost in costs if tokens.intersection(tokens_of_actual(cost))]
        found.update(name_of(key) for key in matches_of(document, common))
    return found


MATCHES = {
    "the same company, project, category, currency, amount and day": ("", True),
    "in any case": ("project D1 p-1\n category Y1 hotel", True),
    "a day before": ("actual A1 accounting-date=2025-01-07", True),
    "a day after": ("actual A1 accounting-date=2025-01-09", True),
    "two days before": ("actual A1 accounting-date=2025-01-06", False),
    "by its document date": ("actual A1 accounting-date=2024-12-01 document-date=2025-01-08", True),
    "without a date": ("actual A1 accounting-date=", True),
    "where the document has no date": ("expense E1 date=", True),
    "of an unknown amount": ("actual A1 amount=", True),
    "where the amount of the document is unknown": ("expense E1 amount=ten", True),
    "of the gross amount": ("expense E1 120.00 net=100.00\n actual A1 120.00", True),
    "of neither net nor gross amount": ("expense E1 120.00 net=100.00\n actual A1 110.00", False),
    "of an unknown company": ("actual A1 company= @", True),
    "of an unknown type": ("actual A1 type=", True),
    "of an unknown type, with rows in Finance alone": (
        "actual A1 type= amount= currency= accounting-date= project=\n"
        "staging S1 amount=100.00 currency=USD project=P-1 accounting-date=2025-01-08",
        True,
    ),
    "hours": ("actual A1 class=time", False),
    "posted": ("staging S1\n line L1 posted\n staging S1 line=L1 voucher=PJ-1", True),
    "posted, as its voucher says": ("actual A1 voucher=PJ-1", True),
    "of another company": ("actual A1 company=GBPM", False),
    "of another project": ("actual A1 project=D2", False),
    "of a project that is known by its staging row": ("actual A1 project=\n staging S1 project=P-1", True),
    "of no known project": ("actual A1 project=", False),
    "of another category": ("actual A1 category=Y2", False),
    "of an unknown category": ("actual A1 category=", True),
    "where the document has no category": ("expense E1 category=", True),
    "in another currency": ("actual A1 currency=EUR", False),
    "in a currency that is not known here": ("actual A1 currency=", True),
    "of another amount": ("actual A1 100.01", False),
    "with the sign changed": ("actual A1 -100.00", False),
    "of sales": ("actual A1 type=unbilled-sales", False),
    "marked Skip Sync": ("actual A1 skip-sync=true", True),
    "linked to another document": ("expense E2 7.00\n record R2 approved\n actual A1 of=R2", False),
    "linked to a draft, which is no document": ("expense E2 draft\n record R2 draft\n actual A1 of=R2", True),
    "linked to a record without a line in Finance": ("record R2 approved\n actual A1 of=R2", True),
    "reversed in Finance too": (
        "staging S1\n actual A2 -100.00 of= currency=USD project=D1\n staging S2\n reversal C1 A2 of=A1",
        False,
    ),
    "reversed, but the reversal has not reached Finance": (
        "staging S1\n actual A2 -100.00 of= currency=USD project=D1\n reversal C1 A2 of=A1",
        True,
    ),
    "deleted": ("actual A1 delete", False),
    "while the document has an actual of its own": ("actual A3 100.00 of=R1\n staging S3", False),
    "while the document is cancelled in Finance": ("expense E1 cancelled", False),
    "while the document has no project": ("expense E1 project=", False),
    "linked meanwhile": ("actual A1 of=R1", False),
}


@pytest.mark.parametrize(("table", "matched"), MATCHES.values(), ids=MATCHES.keys())
def test_an_actual_without_a_document_may_be_the_cost_of_one_that_waits(table: str, matched: bool) -> None:
    assert matches(decide(f"{WAITS}{ALONE}\n{table}")) == ({"A1"} if matched else set())


SIXTY = "actual A1 60.00\n actual A2 40.00 of= currency=USD project=D1 accounting-date=2025-01-08\n"
STAGED = "staging S1 amount=100.00 currency=USD project=P-1 category=Hotel accounting-date=2025-01-08"
LINE = "line L1 posted 100.00 currency=USD project=P-1 category=Hotel accounting-date=2025-01-08"
OTHERS = {
    "two that add up to it": (f"{ALONE}\n{SIXTY}", {"A1", "A2"}),
    "two that do not": (f"{ALONE}\n{SIXTY}actual A2 41.00", set()),
    "two of which one is of another project": (f"{ALONE}\n{SIXTY}actual A2 project=D2", set()),
    "two of unlike signs": (f"{ALONE}\n{SIXTY}actual A1 140.00\n actual A2 -40.00", set()),
    "a staging row whose actual no event shows": (STAGED, {"S1"}),
    "a staging row that is not imported yet": (f"{STAGED} line=", {"S1"}),
    "a staging row of another amount": (f"{STAGED}\n staging S1 amount=99.00", set()),
    "a staging row of another project": (f"{STAGED}\n staging S1 project=P-2", set()),
    "a staging row of another category": (f"{STAGED}\n staging S1 category=Flight", set()),
    "a staging row of an unknown category": (f"{STAGED}\n staging S1 category=", {"S1"}),
    "a staging row of another company": (f"{STAGED} @GBPM", set()),
    "a staging row in another currency": (f"{STAGED}\n staging S1 currency=EUR", set()),
    "a staging row that Finance posts in another period": (f"{STAGED}\n staging S1 accounting-date=2025-03-01", {"S1"}),
    "a staging row whose actual was deleted": (f"{ALONE}\n{STAGED}\n actual A1 delete", {"S1"}),
    "a staging row of its own actual, which was deleted": (
        f"actual A1 100.00 of=R1\n origin W1\n{STAGED}\n actual A1 delete",
        {"S1"},
    ),
    "a staging row whose actual arrives later": (f"{STAGED}\n{ALONE}", {"A1"}),
    "a staging row whose actual is sales": (f"{STAGED}\n{ALONE}\n actual A1 type=unbilled-sales", set()),
    "a staging row that names no actual": (f"{STAGED} of=", {"S1"}),
    "two staging rows of one actual": (f"{STAGED}\n{STAGED.replace('S1', 'S2')} of=A1", {"S1"}),
    "a journal line that no staging row names": (LINE, {"L1"}),
    "a journal line that is not posted": (LINE.replace("posted", "draft"), {"L1"}),
    "a journal line that a staging row names": (f"{LINE}\n{STAGED} line=L1", {"S1"}),
    "a journal line that says what its staging row does not": (f"{LINE}\n staging S1 line=L1", {"S1"}),
    "a sales line": ("line L1 posted currency= amount=0.00 project=P-1 accounting-date=2025-01-08", set()),
    "a staging row of a sales line": (f"{STAGED} line=L1\n line L1 draft currency= amount=0.00", set()),
    "an actual and a staging row that add up to it": (
        f"{ALONE}\n actual A1 60.00\n{STAGED.replace('S1', 'S2')}\n staging S2 amount=40.00",
        {"A1", "S2"},
    ),
    "where the document has no date": (f"{STAGED}\n expense E1 date=", {"S1"}),
    "the actual of a cancelled document": (
        "expense E2 100.00 cancelled voucher=USPM-1\n record R2 approved\n"
        "actual A2 100.00 currency=USD project=D1 accounting-date=2025-01-08 voucher=PJ-2",
        {"A2"},
    ),
    "nine that add up to it": (
        "\n".join(
            f"actual A{n} {a} of= currency=USD project=D1 accounting-date=2025-01-08"
            for n, a in enumerate(["11.00"] * 8 + ["12.00"], 1)
        ),
        set(),
    ),
}


@pytest.mark.parametrize(("table", "names"), OTHERS.values(), ids=OTHERS.keys())
def test_what_else_may_be_the_cost_of_a_document_that_waits(table: str, names: set[str]) -> None:
    assert matches(decide(f"{WAITS}{table}")) == names


def test_a_vendor_invoice_line_is_compared_by_its_project_category_alone() -> None:
    line = """
        project       D1   P-1
        category      Y2   Materials
        invoice-line  I1   100.00 category=Procured
        pending-line  P1
        pending-project X1 category=Materials
        invoice       V1
    """
    actual = "actual A1 100.00 of= currency=USD project=D1 category=Y2 accounting-date=2025-01-08"
    assert matches(decide(f"{line}{actual}")) == {"A1"}
    assert matches(decide(f"{line}{actual}\n pending-project X1 category=Travel")) == set()
    assert matches(decide(f"{line}{actual}\n pending-project X1 category=")) == {"A1"}


def test_the_finding_names_the_actuals_and_how_many_more_there_are() -> None:
    story = decide(WAITS)
    keys = [f"3:msdyn_actual:{id_of(f'A{number}')}" for number in range(1, 6)]
    named = possible_match(story.document, keys[:2]).parameters["actual"]
    assert named == f"{id_of('A1')}, {id_of('A2')}"
    assert possible_match(story.document, keys).parameters["actual"].endswith(f"{id_of('A3')} and 2 more")


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_date_at_the_end_of_the_calendar_is_compared_too(day: str) -> None:
    assert len(tokens_of_document(decide(WAITS + f"expense E1 date={day}").document)) in (4, 6)
