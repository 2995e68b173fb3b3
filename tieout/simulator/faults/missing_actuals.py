"""Documents whose cost has no actual in Finance yet (R15)."""

from datetime import timedelta

from tieout.simulator import expenses, invoices
from tieout.simulator import integration_journal as state
from tieout.simulator.document_story import DocumentStory, ExpenseStory, InvoiceStory
from tieout.simulator.faults.repertoire import fault
from tieout.simulator.faults.steps import halves, reversal_pair


@fault("C38 a map that was not run", 25, same_day=True, exclusive=True)
def map_not_running(story: DocumentStory) -> None:
    """Dual-write never copied the line to Dataverse."""
    story.post()
    story.misses_actual("not-synced-to-dataverse")


@fault("R15 not approved", 15, document="expense", same_day=True)
def waiting_for_approval(story: ExpenseStory) -> None:
    """Dataverse has the expense; its approval job has not run."""
    story.export()
    story.misses_actual("not-approved")


@fault("R15 rejected in Dataverse", 6, document="expense", same_day=True)
def rejected_in_dataverse(story: ExpenseStory) -> None:
    """The expense is rejected in Dataverse after Finance posted it."""
    story.expenses.decide(story.export(), story.at + timedelta(minutes=3), expenses.DV_REJECTED)
    story.misses_actual("rejected-in-dataverse")


@fault("R15 recalled in Dataverse", 6, document="expense", same_day=True)
def recalled_in_dataverse(story: ExpenseStory) -> None:
    """The expense is recalled in Dataverse after Finance posted it."""
    story.expenses.decide(story.export(), story.at + timedelta(minutes=3), expenses.DV_RECALL)
    story.misses_actual("recalled-in-dataverse")


@fault("R15 not confirmed", 20, document="invoice", same_day=True, exclusive=True)
def not_confirmed(story: InvoiceStory) -> None:
    """The confirmation job has not run, or did not finish."""
    story.invoice.stop(story.at, story.chance.choice((invoices.DRAFT, invoices.IN_PROCESS)))
    story.misses_actual("not-confirmed")


@fault("R15 awaiting manual verification", 20, document="invoice", same_day=True, exclusive=True)
def left_to_a_person(story: InvoiceStory) -> None:
    """The header requires that the project manager verifies and confirms."""
    story.invoice.automatic = False
    story.invoice.stop(story.at, invoices.DRAFT)
    story.misses_actual("awaiting-manual-verification")


@fault("A11 vendor invoice confirmed without lines", 8, document="invoice", same_day=True, exclusive=True)
def header_without_lines(story: InvoiceStory) -> None:
    """The header is confirmed in Dataverse; its lines never arrived."""
    story.post()
    dual_write, at = story.invoice.invoices, story.at
    header = dual_write.export_header(story.invoice.rows, at + timedelta(seconds=4))
    dual_write.set_state(header, invoices.CONFIRMED, at + timedelta(seconds=40))
    story.outcomes.row_findings.append(("header-before-lines", "msdyn_projectvendorinvoice", header))
    story.misses_actual("not-synced-to-dataverse")


@fault("A4 actuals not generated on confirmation", 20, same_day=True)
def no_actual_generated(story: DocumentStory) -> None:
    """Approved or confirmed, but no actual was created."""
    story.approve()
    story.misses_actual("no-actual-made")


@fault("A16 only one actual appears: the sales side", 8, same_day=True)
def only_the_sales_side(story: DocumentStory) -> None:
    """A sales actual clears no cost."""
    source = story.approve()
    at = story.advance(seconds=6)
    story.stage(story.flow.actual(story.line, source, at, kind=state.UNBILLED_SALES))
    story.misses_actual("no-actual-made")


@fault("B22 failed records that nobody resends", 20, same_day=True)
def actual_not_synced(story: DocumentStory) -> None:
    """The actual is in Dataverse and never reached Finance."""
    story.leave_unsynced(story.create_actual(story.approve()))
    story.misses_actual("actual-not-synced-back")


@fault("R14 an actual in part on its way", 8)
def half_synced(story: DocumentStory) -> None:
    """Of two actuals one is posted and one never reached Finance."""
    source, (one, other) = story.approve(), halves(story)
    posted = story.stage(story.create_actual(source, one))
    story.leave_unsynced(story.create_actual(source, other))
    story.import_and_post(posted)
    story.record_outcome("missing-actual", cause="actual-not-synced-back", missing_actual=other, reconciled=one)


@fault("B37 negative transactions dropped at import", 8)
def reversal_lost(story: DocumentStory) -> None:
    """The original is posted; its reversal never reached Finance, so it cancels nothing yet."""
    source = story.approve()
    original = story.stage(story.create_actual(source))
    reversal = story.flow.reverse(original, source, story.advance(minutes=5))
    story.leave_unsynced(reversal)
    story.import_and_post(original)
    amount = story.line.amount
    story.record_outcome("missing-actual", cause="actual-not-synced-back", missing_actual=-amount, reconciled=amount)


@fault("A13 deleting a task reverses the actuals", 12, same_day=True)
def reversed_by_mistake(story: DocumentStory) -> None:
    """The actual and its reversal cancel each other; neither is imported."""
    reversal_pair(story)
    story.misses_actual("actual-reversed")


@fault("A13 deleting a task reverses all vendor invoice actuals", 8)
def reversed_and_posted(story: DocumentStory) -> None:
    """The actual and its reversal cancel each other; both are posted."""
    story.import_and_post(*reversal_pair(story))
    story.misses_actual("actual-reversed")


@fault("R15 cancelled in Dataverse", 12, same_day=True, exclusive=True)
def cancelled_there(story: DocumentStory) -> None:
    """The record is cancelled in Dataverse; the cost is still in the account."""
    story.cancel_in_dataverse()
    story.misses_actual("cancelled-in-dataverse")


@fault("A15 a rolled-back actual leaves an invalid journal line", 12)
def actual_rolled_back(story: DocumentStory) -> None:
    """Dataverse rolls the actual back after Finance has staged and imported it."""
    actual = story.stage(story.create_actual(story.approve()))
    story.flow.recorder.dataverse_deleted("msdyn_actual", actual.row, story.advance(minutes=2))
    story.leave_at_status(actual, state.INVALID)
    story.outcomes.row_findings.append(("orphan-in-finance", "ProjCDSActualsImport", str(actual.staging)))
    story.misses_actual("no-actual-made", "possible-match")


@fault("C38 nothing arrives in Dataverse any more", 0, exclusive=True)
def feed_silent(story: DocumentStory) -> None:
    """Posted after Dataverse's feed fell silent: its further course is unknown (R21)."""
    story.post()
    story.misses_actual("feed-silent")
