"""When a reconciled document is settled, and what one that is not settled says (R14, R20)."""

import pytest

from engine.reconciliation.explanations import LABELS, LEFT, explain, status_label
from engine.reconciliation.finding_texts import FINDINGS
from engine.reconciliation.settlement import MONEY_FINDINGS, is_settled
from engine.texts import english
from tests.support.story import ALL_KNOWN, decide

pytestmark = pytest.mark.requirement("R14", "R20")

CLEARED = """
    expense   E1   100.00
    record    R1   approved
    actual    A1   100.00 voucher=PJ-1
    staging   S1   voucher=PJ-1 currency=USD booked=100.00 line=L1
    line      L1   posted voucher=PJ-1 amount=100.00 currency=USD rate=100
"""


def label(table: str) -> str:
    document = decide(table).document
    status = "settled" if is_settled(document) else document.position
    return status_label(status, document, lambda left: f"{left / 10_000:.2f}", english)


@pytest.mark.parametrize(
    ("more", "shown", "missing"),
    [
        ("", "Settled", "Nothing."),
        # The actual comes to less, or to more, than the document.
        (
            "actual A1 80.00 voucher=PJ-1\nstaging S1 voucher=PJ-1 currency=USD booked=80.00 line=L1",
            "Reconciled, 20.00 USD left",
            "20.00 USD of the document is left on the account: the actuals add up to another amount.",
        ),
        # The line cleared more than the actual comes to.
        (
            "staging S1 voucher=PJ-1 currency=USD booked=101.50 line=L1",
            "Reconciled, -1.50 USD left",
            "-1.50 USD is left on the account: the posting cleared another amount than the actuals come to.",
        ),
        # The actual comes to less than the document, and its line cleared more: the two differences meet.
        (
            "actual A1 80.00 voucher=PJ-1\nstaging S1 voucher=PJ-1 currency=USD booked=99.00 line=L1",
            "Reconciled, 1.00 USD left",
            "1.00 USD is left on the account: the actuals leave 20.00 USD of the document, and the posting -19.00 USD "
            "of the actuals.",
        ),
        # Nothing is left, but a second line of the actual is posted.
        (
            "line L2 posted voucher=PJ-2 amount=100.00 currency=USD rate=100\nstaging S2 line=L2 voucher=PJ-2 of=A1",
            "Reconciled, see its findings",
            "It is not settled. These findings about its money are open: Duplicate journal line, Posted twice.",
        ),
        # The amount in Dataverse is another one, though the actual is right.
        (
            "record R1 approved amount=90.00",
            "Reconciled, see its findings",
            "It is not settled. These findings about its money are open: Amount differs.",
        ),
    ],
    ids=["all agrees", "actual too small", "cleared too much", "both", "posted twice", "record differs"],
)
def test_a_reconciled_document_is_settled_when_nothing_about_its_money_is_open(
    more: str, shown: str, missing: str
) -> None:
    table = CLEARED + more
    document = decide(table).document
    assert document.position == "reconciled"
    assert label(table) == shown
    words = explain(document, ALL_KNOWN)
    assert words.missing == missing
    assert ("Nothing" in f"{words.seen} {words.missing} {words.do}") == (shown == "Settled")


def test_what_was_cleared_in_another_currency_leaves_an_exchange_difference() -> None:
    table = """
        expense   E1   100.00 currency=EUR rate=108.35 booked=108.35
        record    R1   approved
        actual    A1   100.00 currency=EUR voucher=PJ-1
        staging   S1   voucher=PJ-1 currency=EUR booked=110.10 line=L1
        line      L1   posted voucher=PJ-1 amount=100.00 currency=EUR rate=110.10
    """
    document = decide(table).document
    assert label(table) == "Reconciled, -1.75 USD left"
    assert explain(document, ALL_KNOWN).missing.startswith("-1.75 USD is left on the account: the posting cleared")


def test_a_document_that_is_not_reconciled_is_not_settled() -> None:
    assert not is_settled(decide("expense E1 100.00").document)
    assert label("expense E1 100.00") == "Missing actual"


@pytest.mark.parametrize("code", MONEY_FINDINGS)
def test_each_finding_about_money_has_words_and_a_label(code: str) -> None:
    assert code in FINDINGS
    assert code in LABELS


@pytest.mark.parametrize("words", LEFT.values())
def test_what_is_left_is_never_nothing(words: object) -> None:
    assert "Nothing" not in str(words)
