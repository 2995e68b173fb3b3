"""Documents that are excluded, or not posted yet (R13)."""

from dataclasses import replace
from datetime import timedelta

from tieout.simulator import expenses
from tieout.simulator.document_story import DocumentStory, ExpenseStory, InvoiceStory
from tieout.simulator.faults.repertoire import fault


@fault("C39 excluded by filter: no project", 15, same_day=True, exclusive=True)
def no_project(story: DocumentStory) -> None:
    """A cost without a project never leaves Finance."""
    story.line = replace(story.line, project="", transaction="")
    story.post()
    story.excluded("no-project")


@fault("C39 excluded by filter: Skip Sync", 10, same_day=True)
def skip_sync(story: DocumentStory) -> None:
    """The only cost actual is excluded from dual-write by Skip Sync."""
    story.create_actual(story.approve(), overrides={"assumed_skipsync": True})
    story.excluded("skip-sync")


@fault("R13 charged to another company", 12, same_day=True, exclusive=True)
def intercompany(story: DocumentStory) -> None:
    """Another company bears the cost; its actual has Skip Sync."""
    other = story.chance.choice(
        [code for code in story.flow.reference_ids.codes("cdm_company") if code != story.line.company]
    )
    if isinstance(story, ExpenseStory):
        story.line = replace(story.line, charged_to=other)
    elif isinstance(story, InvoiceStory):
        story.line = replace(story.line, project_company=other)
    story.create_actual(story.approve(), overrides={"assumed_skipsync": True})
    story.excluded("intercompany-cost")


@fault("R13 cancelled in Finance", 6, document="expense", same_day=True)
def cancelled_in_finance(story: ExpenseStory) -> None:
    """Posted, then cancelled."""
    story.post()
    story.expenses.cancel(story.line, story.at + timedelta(minutes=30))
    story.excluded("cancelled")


@fault("B27 a dual-write error blocks the posting", 12, document="expense", same_day=True)
def posting_blocked(story: ExpenseStory) -> None:
    """Approved, but Finance cannot post it: in no total yet."""
    story.line = replace(story.line, voucher="")
    story.expenses.enter(story.line, story.at - timedelta(hours=26))
    story.expenses.approve(story.line, story.at, status=story.chance.choice((expenses.APPROVED, expenses.READY)))
    story.record_outcome("not-posted")
