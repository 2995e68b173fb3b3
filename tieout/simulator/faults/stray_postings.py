"""Posted lines that no document counts: each is in a part of its own."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from tieout.simulator.amounts import rounded
from tieout.simulator.document_story import DocumentStory, ExpenseStory, InvoiceStory
from tieout.simulator.faults.repertoire import fault
from tieout.simulator.integration_account import POSTED_IN_OTHER_COMPANY, POSTED_TWICE, POSTING_WITHOUT_DOCUMENT
from tieout.simulator.integration_journal import UNADJUSTABLE


@fault("case 07 an actual without a source", 10)
def actual_without_source(story: DocumentStory) -> None:
    """The actual names no source in Dataverse: the document stays open, and its posting has no document."""
    story.approve()
    story.import_and_post(story.stage(story.create_actual(None)))
    story.leave_posting(POSTING_WITHOUT_DOCUMENT, account_known=False)
    story.misses_actual("no-actual-made", "possible-match")


@fault("case 09 a reversal without a connection", 10)
def reversal_without_connection(story: DocumentStory) -> None:
    """An entry journal corrects the cost; nothing says what its actual reverses."""
    story.import_and_post(story.create_staged_cost())
    at = story.advance(minutes=5)
    reversal = story.flow.actual(story.line, None, at, amount=-story.line.amount, adjustment=UNADJUSTABLE)
    story.import_and_post(story.stage(reversal))
    story.leave_posting(POSTING_WITHOUT_DOCUMENT, account_known=False)
    story.reconciled()


@fault("R13 a Skip Sync actual that is posted nevertheless", 6)
def skip_sync_posted(story: DocumentStory) -> None:
    """The document is excluded, for its only actual is to be skipped; the line of that is posted."""
    story.import_and_post(story.stage(story.create_actual(story.approve(), overrides={"assumed_skipsync": True})))
    story.excluded("skip-sync")


@fault("R13 a cost of another company, posted in its own", 6, exclusive=True)
def intercompany_posted(story: DocumentStory) -> None:
    """Another company bears the cost; a line is posted in the company of the document all the same."""
    other = _other_company(story)
    if isinstance(story, ExpenseStory):
        story.line = replace(story.line, charged_to=other)
    elif isinstance(story, InvoiceStory):
        story.line = replace(story.line, project_company=other)
    story.import_and_post(story.stage(story.create_actual(story.approve())))
    story.excluded("intercompany-cost")


@fault("case 31 a line without a staging row", 10)
def line_without_staging_row(story: DocumentStory) -> None:
    """The integration journal posts a further line that no staging row names."""
    story.import_and_post(story.create_staged_cost())
    company, night = story.line.company, story.hour_after(3)
    amount = rounded(story.line.amount * Decimal("0.3"), story.line.currency)
    line = story.flow.post_alone(story.line, amount, story.flow.journal(company, night), night + timedelta(minutes=1))
    story.outcomes.row_findings.append(("orphan-journal-line", "ProjAdvancedJournalLine", str(line)))
    story.leave_posting(POSTING_WITHOUT_DOCUMENT, account_known=False)
    story.reconciled()


@fault("case 23 posted twice: the staging row names the second line", 10)
def posted_twice(story: DocumentStory) -> None:
    """Two runs of Import from staging overlap: one staging row, two lines, both posted."""
    cost = story.stage(story.create_actual(story.approve()))
    story.import_and_post(cost)
    story.leave_posting(POSTED_TWICE)
    again = replace(cost)
    story.flow.import_line(again, story.flow.journal(story.line.company, story.hour_after(13)), story.hour_after(14))
    story.flow.post(again, story.hour_after(16), write_back=False)
    story.reconciled("duplicate-journal-line", "link-changed-after-posting", "posted-twice")


@fault("case 27 posted in another company", 10)
def posted_elsewhere(story: DocumentStory) -> None:
    """Dual-write puts the actual into the staging table of another company, where its line is posted."""
    actual = story.create_actual(story.approve())
    other = _other_company(story)
    currency = story.outcomes.totals[other].currency
    rate = Decimal(100) if currency == story.line.currency else Decimal("123.4567")
    actual.line = replace(story.line, company=other, accounting_currency=currency, rate=rate)
    actual.accounting = actual.line.accounting(actual.amount)
    story.import_and_post(story.stage(actual, overrides={"ProjectDataAreaId": story.line.company.lower()}))
    story.leave_posting(POSTED_IN_OTHER_COMPANY)
    story.misses_journal_line("posted-in-other-company")


def _other_company(story: DocumentStory) -> str:
    """Draw another company of the environment."""
    return story.chance.choice([code for code in story.outcomes.companies if code != story.line.company])
