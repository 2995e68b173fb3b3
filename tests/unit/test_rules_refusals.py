"""Sync never offers a cost twice: what it leaves alone, and why (R42)."""

from typing import get_args

import pytest

from engine.reconciliation.explanations import CAUSES, explain
from engine.reconciliation.finding_texts import FINDINGS, POSTED
from engine.sync.actions import SKIPPED, Skipped, Step, step_for
from engine.sync.refusals import REFUSALS, REPEATED, Reason, applies, refusal
from tests.support.story import ALL_KNOWN, Story, decide
from tests.unit.test_rules_causes import EXPENSE, IN_A_JOURNAL, IN_STAGING, INVOICE

TWICE = "line L1 posted\n line L2 posted 100.00 in=J1\n staging S2 of=A1 line=L2\n"
ONE_POSTED = EXPENSE + "record R1 approved\n actual A1\n staging S1 voucher=PJ-1\n actual A2 of=R1"


def step(story: Story, reason: Reason | None) -> Step | Skipped | None:
    rows = [row for key in story.chain.members if (row := story.world.row(key)) is not None]
    return step_for(story.document, story.document.cause, rows, refused=reason, posting_permitted=True)


REASONS: dict[str, tuple[str, dict[str, bool], Reason | None]] = {
    "nothing is against it": (EXPENSE, {}, None),
    "an actual without a document may be its cost": (EXPENSE, {"matched": True}, "possible-match"),
    "a row that it rests on was not read yet": (EXPENSE, {"unread": True}, "changed-not-read"),
    "one of its actuals is posted": (ONE_POSTED, {}, "something-posted"),
    "its actual and the reversal are posted": (
        EXPENSE + "record R1 approved\n actual A1\n staging S1 voucher=PJ-1\n"
        "actual A2 -100.00 of=\n staging S2 voucher=PJ-2\n reversal C1 A2 of=A1",
        {},
        "something-posted",
    ),
    "its actual is posted, and no event says that it is a cost": (
        EXPENSE + "record R1 approved\n actual A1 type=? amount=? voucher=PJ-1",
        {},
        "something-posted",
    ),
    "so says its staging row": (
        EXPENSE + "record R1 approved\n actual A1 type=? amount=?\n staging S1 voucher=PJ-1",
        {},
        "something-posted",
    ),
    "its actual of unknown type waits in staging": (
        EXPENSE + "record R1 approved\n actual A1 type=? amount=?\n staging S1",
        {},
        "type-unknown",
    ),
    "no event says whether its actual is a cost": (
        EXPENSE + "record R1 approved\n actual A1 type=? amount=?",
        {},
        "type-unknown",
    ),
    "a type that the map does not define": (EXPENSE + "record R1 approved\n actual A1 type=7", {}, "type-unknown"),
    "its actual is of sales": (EXPENSE + "record R1 approved\n actual A1 type=unbilled-sales voucher=PJ-1", {}, None),
    "the line of its actual of unknown type is a sales line": (
        EXPENSE + "record R1 approved\n actual A1 type=?\n staging S1 line=L1\n line L1 posted currency= amount=0.00",
        {},
        None,
    ),
    "an actual is posted twice and another one is missing": (
        IN_A_JOURNAL + TWICE + "actual A3 of=R1",
        {"matched": True},
        "posted-twice",
    ),
    "the invoice of the line is ambiguous": (
        INVOICE + "invoice V2 invoice=Inv-1 vendor=USPM-000099",
        {},
        "ambiguous-invoice",
    ),
}


@pytest.mark.requirement("R42")
@pytest.mark.parametrize(("table", "known", "reason"), REASONS.values(), ids=REASONS.keys())
def test_a_document_is_left_alone_for_the_first_reason_that_applies(
    table: str, known: dict[str, bool], reason: Reason | None
) -> None:
    assert refusal(decide(table).document, **known) == reason


WAITING = {
    "an export": (EXPENSE, "export"),
    "an approval": (EXPENSE + "record R1 submitted", "approval"),
    "an approval that made no actual": (EXPENSE + "record R1 approved", "approval"),
    "a confirmation": (INVOICE + "header H1 in-process automatic=true", "confirmation"),
    "sending an actual": (EXPENSE + "record R1 approved\n actual A1", "resend"),
    "an import": (IN_STAGING, "import"),
    "posting a draft": (IN_A_JOURNAL + "line L1 draft", "posting"),
}
MAKES_ACTUALS = {"export", "approval", "confirmation"}


@pytest.mark.requirement("R42")
@pytest.mark.parametrize("reason", get_args(Reason))
@pytest.mark.parametrize(("table", "action"), WAITING.values(), ids=WAITING.keys())
def test_what_makes_actuals_is_never_repeated_and_what_makes_none_stays_allowed(
    table: str, action: str, reason: Reason
) -> None:
    story = decide(table)
    allowed = step(story, None)
    assert isinstance(allowed, Step)
    assert allowed.action == action
    found = step(story, reason)
    if action in MAKES_ACTUALS or reason in ("ambiguous-link", "posted-twice"):
        assert found == Skipped(REFUSALS[reason], reason)
    else:
        assert found == allowed


@pytest.mark.parametrize("reason", get_args(Reason))
def test_a_document_that_is_left_to_the_project_manager_is_not_offered_for_confirmation_either(reason: Reason) -> None:
    story = decide(INVOICE + "header H1 draft automatic=false")
    assert step(story, reason) == Skipped(REFUSALS[reason], reason)


@pytest.mark.parametrize("reason", get_args(Reason))
def test_its_explanation_says_what_to_do_first_in_place_of_the_usual_remedy(reason: Reason) -> None:
    document = decide(EXPENSE).document
    assert applies(reason, document.cause)
    words = explain(document, ALL_KNOWN, remedy=REFUSALS[reason])
    assert (words.do, words.seen) == (REFUSALS[reason], explain(document, ALL_KNOWN).seen)


def test_every_reason_has_a_remedy_that_repeats_nothing() -> None:
    assert REFUSALS.keys() == set(get_args(Reason)) <= SKIPPED.keys()
    assert CAUSES.keys() > REPEATED
    for text in REFUSALS.values():
        assert not any(word in text for word in ("again", "Delete", "delete", "export"))


IN_TWO_JOURNALS = IN_A_JOURNAL + TWICE
ON_POSTED = {
    "a second staging row that is posted": (IN_TWO_JOURNALS, "duplicate-staging-row"),
    "a second journal line that is posted": (IN_TWO_JOURNALS, "duplicate-journal-line"),
    "a posted staging row without an actual": ("staging S1 voucher=PJ-1", "orphan-in-finance"),
    "a posted journal line that no staging row names": ("journal J1\n line L1 posted", "orphan-journal-line"),
    "a posted actual of unknown type": (EXPENSE + "record R1 approved\n actual A1 type=? voucher=PJ-1", "type-unknown"),
    "a posted actual in another currency": (
        EXPENSE + "record R1 approved\n actual A1 currency=EUR booked=100.00 voucher=PJ-1",
        "currency-differs",
    ),
}


@pytest.mark.parametrize(("table", "code"), ON_POSTED.values(), ids=ON_POSTED.keys())
def test_nobody_is_told_to_delete_or_repeat_what_is_posted(table: str, code: str) -> None:
    found = [finding for finding in decide(table).world.findings if finding.code == code]
    assert found
    for finding in found:
        assert finding.parameters["posted"]
    text = POSTED[code].do.lower()
    assert "delete" not in text
    assert "imported" not in text
    assert "sync" not in text
    assert POSTED[code].do != FINDINGS[code].do


def test_nothing_is_not_said_of_a_reconciled_document_whose_findings_question_its_amount() -> None:
    document = decide(IN_TWO_JOURNALS).document
    assert (document.position, "posted-twice" in document.findings) == ("reconciled", True)
    words = explain(document, ALL_KNOWN)
    assert "Nothing" not in f"{words.seen} {words.missing} {words.do}"
    settled = explain(decide(IN_A_JOURNAL + "line L1 posted 100.00 currency=USD").document, ALL_KNOWN)
    assert settled.missing == "Nothing."


def test_what_is_not_posted_may_still_be_deleted() -> None:
    for table, code in (
        ("staging S1", "orphan-in-finance"),
        ("journal J1\n line L1 draft", "orphan-journal-line"),
        (IN_A_JOURNAL + "line L1 draft\n staging S2 of=A1", "duplicate-staging-row"),
    ):
        assert "posted" not in decide(table).finding(code).parameters
