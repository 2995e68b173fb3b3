"""What Sync does follows the cause (R42)."""

import pytest

from engine.reconciliation.explanations import CAUSES, UNKNOWN
from engine.sync.actions import Skipped, Step, Task, step_for, step_for_error, tasks
from tests.support.story import Story, decide, id_of
from tests.unit.test_rules_causes import EXPENSE, IN_A_JOURNAL, IN_STAGING, INVOICE


def step(table: str, *, posts: bool = False, cause: str | None = None) -> Step | Skipped | None:
    story: Story = decide(table)
    rows = [row for key in story.chain.members if (row := story.world.row(key)) is not None]
    return step_for(story.document, cause or story.document.cause, rows, posting_permitted=posts)


FOLLOWS = {
    "not in Dataverse: exported again": (EXPENSE, "export", {"table": "TrvExpTrans", "recId": int(id_of("E1"))}),
    "a line not in Dataverse: its invoice is exported again": (
        INVOICE.replace("invoice-record   N1", "header H1 confirmed"),
        "export",
        {"table": "VendInvoiceTrans", "recId": int(id_of("I1"))},
    ),
    "not approved: approval runs again": (EXPENSE + "record R1 submitted", "approval", {"expense": id_of("R1")}),
    "approved without an actual: approval runs again, no actual is made by us": (
        EXPENSE + "record R1 approved",
        "approval",
        {"expense": id_of("R1")},
    ),
    "not confirmed: confirmation of the whole invoice runs again": (
        INVOICE + "header H1 in-process automatic=true",
        "confirmation",
        {"invoice": id_of("H1")},
    ),
    "an actual in Dataverse only is sent again": (
        EXPENSE + "record R1 approved\n actual A1",
        "resend",
        {"actual": id_of("A1")},
    ),
    "of two actuals the one that Finance does not have": (
        EXPENSE + "record R1 approved\n actual A1\n staging S1 voucher=PJ-1\n actual A2 of=R1",
        "resend",
        {"actual": id_of("A2")},
    ),
    "not imported: the company imports": (IN_STAGING, "import", {}),
    "a deleted line is made anew by the import": (IN_A_JOURNAL + "line L1 delete", "import", {}),
}


@pytest.mark.requirement("R42")
@pytest.mark.parametrize(("table", "action", "parameters"), FOLLOWS.values(), ids=FOLLOWS.keys())
def test_what_is_done_follows_the_cause(table: str, action: str, parameters: dict[str, str]) -> None:
    done = step(table)
    assert isinstance(done, Step), done
    assert done.action == action
    assert {name: done.parameters.get(name) for name in parameters} == parameters


LEFT_ALONE = {
    "rejected by its approver": (EXPENSE + "record R1 rejected", "Ask its owner to correct and resubmit it"),
    "recalled by its owner": (EXPENSE + "record R1 recall-requested", "Ask its owner to resubmit it"),
    "left to the project manager": (INVOICE + "header H1 draft automatic=false", "Ask the project manager to verify"),
    "cancelled": (EXPENSE + "record R1 approved state=inactive", "Reverse the document in Finance"),
    "reversed": (
        EXPENSE + "record R1 approved\n actual A1\n staging S1\n actual A2 of=\n staging S2\n reversal C1 A2 of=A1",
        "why it was reversed",
    ),
    "an error of posting": (IN_A_JOURNAL + "line L1 error", "Read the error of the line in the error log"),
    "being posted": (IN_A_JOURNAL + "line L1 processing", "After 24 hours"),
    "unrecoverable": (IN_A_JOURNAL + "line L1 unrecoverable", "Delete the line"),
    "an invalid actual": (IN_A_JOURNAL + "line L1 invalid-actual", "Check the actual"),
    "a draft, where posting is not permitted": (IN_A_JOURNAL + "line L1 draft", "TIEOUT_SYNC_POSTS"),
    "a line that names no header": (INVOICE + "invoice-record N1 header=", "no known header"),
}


@pytest.mark.requirement("R42")
@pytest.mark.parametrize(("table", "why"), LEFT_ALONE.values(), ids=LEFT_ALONE.keys())
def test_what_is_left_to_a_person_says_what_that_person_does(table: str, why: str) -> None:
    left = step(table)
    assert isinstance(left, Skipped), left
    assert why in left.reason


@pytest.mark.requirement("R42")
def test_a_draft_is_posted_where_that_is_permitted() -> None:
    done = step(IN_A_JOURNAL + "line L1 draft", posts=True)
    assert isinstance(done, Step)
    assert (done.action, done.parameters["journals"]) == ("posting", ["USPM-041"])


@pytest.mark.parametrize("cause", ["not-observed", "feed-silent"])
def test_where_nothing_was_ever_heard_the_feed_comes_first(cause: str) -> None:
    left = step(EXPENSE, cause=cause)
    assert isinstance(left, Skipped)
    assert "feed" in left.reason


@pytest.mark.requirement("R5", "R42")
def test_what_may_rest_on_a_row_that_was_not_read_yet_is_left_alone() -> None:
    left = step(EXPENSE, cause="not-read-yet")
    assert isinstance(left, Skipped)
    assert "are read" in left.reason


def test_what_is_reconciled_needs_nothing() -> None:
    assert step(IN_A_JOURNAL + "line L1 posted") is None


def test_every_cause_has_something_that_is_done_or_somebody_who_does_it() -> None:
    for cause in CAUSES.keys() | UNKNOWN.keys():
        found = step(EXPENSE, cause=cause)
        assert isinstance(found, Step) or (isinstance(found, Skipped) and found.reason), cause


ERRORS = {
    "an import runs for its company": ("import-from-staging", "PI-0001", ("import", "USPM")),
    "a proposal gets its lines from the import": ("invoice-proposal", "PI-0001", ("import", "USPM")),
    "a journal is posted": ("integration-journal-posting", "USPM-041", ("posting", "USPM/USPM-041")),
}


@pytest.mark.requirement("R50")
@pytest.mark.parametrize(("process", "subject", "done"), ERRORS.values(), ids=ERRORS.keys())
def test_what_ended_in_an_error_runs_again(process: str, subject: str, done: tuple[str, str]) -> None:
    found = step_for_error(process, "USPM", subject, posting_permitted=True)
    assert isinstance(found, Step)
    assert (found.action, found.subject) == done


def test_a_journal_of_an_error_is_posted_only_where_that_is_permitted_and_when_it_is_known() -> None:
    for subject, permitted, why in (("USPM-041", False, "TIEOUT_SYNC_POSTS"), (None, True, "names no journal")):
        found = step_for_error("integration-journal-posting", "USPM", subject, posting_permitted=permitted)
        assert isinstance(found, Skipped)
        assert why in found.reason


def test_documents_of_one_subject_share_a_call() -> None:
    imported = Step("import", "USPM", {"company": "USPM"})
    steps = [("USPM/2", imported), ("USPM/1", imported), ("USPM/1", Step("export", "x", {}))]
    assert tasks((name, "USPM", step) for name, step in steps) == [
        Task("import", "USPM", "USPM", {"company": "USPM"}, ("USPM/1", "USPM/2")),
        Task("export", "x", "USPM", {}, ("USPM/1",)),
    ]
