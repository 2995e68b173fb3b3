"""The explanation of each position and finding: observed and missing step, since, remedy and source event (R20)."""

import inspect
import re
from string import Formatter
from typing import get_args

import pytest

from engine.errorlog.about_documents import VERSION_FINDINGS
from engine.reconciliation import account_findings, findings
from engine.reconciliation.actual_facts import STATES
from engine.reconciliation.documents import Cause, Excluded, PositionName
from engine.reconciliation.explanations import CAUSES, EXCLUDED, LABELS, POSITIONS, UNKNOWN, explain, explain_finding
from engine.reconciliation.finding_texts import FINDINGS
from engine.reconciliation.grace import Moment, ShownCause, shown_cause
from engine.texts import Words
from tests.support.story import ALL_KNOWN, MINUTE, Story, decide

pytestmark = pytest.mark.requirement("R20")

TIMED = {"clock-ahead", "processing-too-long"}
STORY = """
    08:00   expense   E1   100.00 voucher=USPM-463
    08:15   record    R1   approved amount=90.00
    08:30   actual    A1   90.00
    08:45   journal   J1   number=USPM-041
    09:00   line      L1   error voucher=PJ-1
    09:15   staging   S1   line=L1 currency=USD rate=110
"""


def sentences(words: Words) -> list[str]:
    return [words.seen, words.missing, words.do]


@pytest.mark.parametrize("cause", get_args(Cause))
def test_every_cause_has_words(cause: str) -> None:
    assert all(sentences(CAUSES[cause]))


@pytest.mark.parametrize("reason", get_args(Excluded))
def test_every_exclusion_has_words(reason: str) -> None:
    assert all(sentences(EXCLUDED[reason]))


@pytest.mark.parametrize("position", get_args(PositionName))
def test_every_position_has_words_of_its_own_or_those_of_its_reason(position: str) -> None:
    if position in ("missing-actual", "missing-journal-line"):
        assert position not in POSITIONS, "a missing part always has a cause"
    elif position == "excluded":
        assert position not in POSITIONS, "an exclusion always has a reason"
    else:
        assert all(sentences(POSITIONS[position]))


def test_words_and_codes_are_the_same_set() -> None:
    made = set(re.findall(r'findings\.add\(\s*"([a-z-]+)"', inspect.getsource(findings)))
    made |= set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', inspect.getsource(account_findings)))
    assert made | TIMED | {"possible-match", "ledger-differs"} | set(VERSION_FINDINGS.values()) == FINDINGS.keys()
    assert set(get_args(Cause)) == CAUSES.keys()
    assert set(get_args(Excluded)) == EXCLUDED.keys()


@pytest.mark.parametrize("code", sorted(FINDINGS))
def test_every_finding_has_words(code: str) -> None:
    assert all(sentences(FINDINGS[code]))


def test_every_code_has_a_label_and_every_label_a_code() -> None:
    shown = {code for choice in get_args(ShownCause) for code in get_args(choice)}
    codes = {*get_args(PositionName), *get_args(Excluded), *CAUSES, *UNKNOWN, *FINDINGS, *STATES}
    assert shown == CAUSES.keys() | UNKNOWN.keys()
    assert codes | {"settled", "not-synced-back", "not-seen"} == LABELS.keys()


def test_no_two_codes_share_a_label() -> None:
    assert len(set(LABELS.values())) == len(LABELS)


@pytest.mark.parametrize("label", LABELS.values())
def test_a_label_is_a_few_words_in_sentence_case(label: str) -> None:
    proper = {"Dataverse", "Finance", "Sync"}
    first, *others = label.split()
    assert first[0].isupper()
    assert len(others) < 5
    assert all(word.islower() or word in proper for word in others)


@pytest.mark.parametrize("words", [*CAUSES.values(), *EXCLUDED.values(), *POSITIONS.values()])
def test_the_words_of_a_position_need_no_parameters(words: Words) -> None:
    for sentence in sentences(words):
        assert [name for _, name, _, _ in Formatter().parse(sentence) if name] == []


def event_names(story: Story) -> set[str]:
    return {f"{change.evidence.source} {change.evidence.event}" for change in story.changes}


def test_a_position_says_since_when_and_which_event_says_so() -> None:
    story = decide(STORY)
    words = explain(story.document, ALL_KNOWN)
    assert (words.since, words.event) == ("2025-01-08T09:00:00Z", "/finance/story L1@09:00")
    assert words.event in event_names(story)


def test_a_missing_journal_line_is_told_with_its_journal() -> None:
    assert explain(decide(STORY).document, ALL_KNOWN).seen == "The integration journal line in USPM-041 failed to post."


def test_a_finding_is_told_with_its_values_and_its_event() -> None:
    story = decide(STORY)
    words = explain_finding(story.finding("rate-differs"))
    assert (words.seen, words.missing) == ("The document rate is 100.", "Here the rate is 110.")
    assert (words.since, words.event) == ("2025-01-08T09:15:00Z", "/finance/story S1@09:15")


@pytest.mark.parametrize(
    "table",
    [
        STORY,
        STORY + "line L1 posted",
        STORY + "expense E1 project=",
        STORY + "actual A1 delete",
        STORY + "line L1 delete",
        "expense E1 approved",
        "header H1 confirmed",
    ],
    ids=["error", "posted", "excluded", "actual gone", "line gone", "not posted", "a header alone"],
)
def test_the_event_that_is_named_is_one_that_was_told(table: str) -> None:
    story = decide(table)
    events = event_names(story)
    for document in story.world.documents:
        assert explain(document, ALL_KNOWN).event in events
    for finding in story.world.findings:
        assert explain_finding(finding).event in events


def test_a_value_may_hold_braces() -> None:
    finding = decide("record R1 status={0.__class__}{x}").finding("unknown-value")
    assert "{0.__class__}{x}" in explain_finding(finding).seen


def test_the_event_of_an_unknown_value_is_the_one_that_brought_it() -> None:
    story = decide("expense E1\n 09:00 record R1 status=999\n 09:30 record R1 amount=1.00")
    assert explain_finding(story.finding("unknown-value")).event.endswith("R1@09:00")


# --- what may be reported (R21) ---------------------------------------------------------------------------------------

UNAPPROVED = "08:00 expense E1\n 08:15 record R1 submitted"


@pytest.mark.requirement("R21")
def test_a_silent_feed_is_told_with_the_time_since_which_it_is_silent() -> None:
    document = decide(UNAPPROVED).document
    moment = Moment(None, {"dataverse": document.since - 5 * MINUTE}, lambda _entity: True)
    words = explain(document, moment)
    assert shown_cause(document, moment) == "feed-silent"
    assert "feed silent since 2025-01-08T08:10:00Z (Dataverse)" in words.missing
    assert words.seen == CAUSES["not-approved"].seen
    assert words.do == "Check the feed of Dataverse: its lag, its service and its last event."
    assert "approve it again" not in words.do


@pytest.mark.requirement("R21")
def test_what_an_environment_does_not_send_is_told_as_not_observed() -> None:
    document = decide("expense E1").document
    moment = Moment(None, {}, lambda _entity: False)
    words = explain(document, moment)
    assert shown_cause(document, moment) == "not-observed"
    assert "does not send msdyn_expense" in words.missing
    assert "msdyn_expense" in words.do
    assert words.since == explain(document, ALL_KNOWN).since


@pytest.mark.requirement("R5", "R21")
def test_of_rows_that_were_not_read_yet_the_table_and_the_time_are_told() -> None:
    document = decide(UNAPPROVED).document
    moment = Moment(None, {}, lambda _entity: True, {"msdyn_expense": document.since + MINUTE})
    words = explain(document, moment)
    assert shown_cause(document, moment) == "not-read-yet"
    assert "rows of msdyn_expense changed and have not been read since 2025-01-08T08:16:00Z" in words.missing
    assert "`tieout poll`" in words.do
    assert words.seen == CAUSES["not-approved"].seen


@pytest.mark.requirement("R21")
@pytest.mark.parametrize("until", [None, -MINUTE, 0, MINUTE])
@pytest.mark.parametrize("observed", [True, False])
@pytest.mark.parametrize(
    "table",
    ["expense E1", UNAPPROVED, STORY, STORY + "line L1 delete", STORY + "line L1 posted", "expense E1 project="],
    ids=["no record", "not approved", "error", "line gone", "posted", "excluded"],
)
def test_explanation_and_cause_agree(table: str, observed: bool, until: int | None) -> None:
    document = decide(table).document
    sources = ("dataverse", "finance")
    complete = {} if until is None else dict.fromkeys(sources, document.since + until)
    moment = Moment(None, complete, lambda _entity: observed)
    missing, cause = explain(document, moment).missing, shown_cause(document, moment)
    assert ("feed silent since" in missing) == (cause == "feed-silent")
    assert ("Not observed" in missing) == (cause == "not-observed")
    if cause in CAUSES:
        assert missing == CAUSES[cause].missing


@pytest.mark.parametrize(
    ("actual", "left"), [("80.00", "20.00 USD"), ("110.00", "-10.00 USD")], ids=["too little", "too much"]
)
def test_a_reconciled_document_that_leaves_an_amount_says_how_much(actual: str, left: str) -> None:
    story = decide(
        f"expense E1 100.00\n record R1 approved\n actual A1 {actual} voucher=PJ-1\n staging S1 voucher=PJ-1"
    )
    assert story.document.position == "reconciled"
    words = explain(story.document, ALL_KNOWN)
    assert words.missing.startswith(f"{left} of the document is left on the account")
    assert "Nothing" not in f"{words.seen} {words.missing} {words.do}"
