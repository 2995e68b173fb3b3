"""Documents whose cost has no actual in Finance yet (R15)."""

from datetime import timedelta

from tieout.simulator import expenses, invoices
from tieout.simulator import integration_journal as state
from tieout.simulator.document_story import ExpensePaper, InvoicePaper, Paper
from tieout.simulator.faults.repertoire import fault
from tieout.simulator.faults.steps import halves, reversal_pair


@fault("C38 a map that was not run", 25, brief=True, alone=True)
def map_not_running(paper: Paper) -> None:
    """Dual-write never brought the line to Dataverse."""
    paper.posted()
    paper.misses_actual("not-synced-to-dataverse")


@fault("R15 not approved", 15, of="expense", brief=True)
def waiting_for_approval(paper: ExpensePaper) -> None:
    """Dataverse has the expense; its approval job has not run."""
    paper.exported()
    paper.misses_actual("not-approved")


@fault("R15 not approved: rejected", 6, of="expense", brief=True)
def rejected_in_dataverse(paper: ExpensePaper) -> None:
    """Somebody rejects the expense in Dataverse, though Finance has posted it."""
    paper.expenses.decide(paper.exported(), paper.at + timedelta(minutes=3), expenses.DV_REJECTED)
    paper.misses_actual("not-approved")


@fault("R15 not approved: recalled", 6, of="expense", brief=True)
def recalled_in_dataverse(paper: ExpensePaper) -> None:
    """Somebody recalls the expense in Dataverse, though Finance has posted it."""
    paper.expenses.decide(paper.exported(), paper.at + timedelta(minutes=3), expenses.DV_RECALL)
    paper.misses_actual("not-approved")


@fault("R15 not confirmed", 20, of="invoice", brief=True, alone=True)
def not_confirmed(paper: InvoicePaper) -> None:
    """The job that confirms has not run, or not to its end."""
    paper.invoice.stop(paper.at, paper.chance.choice((invoices.DRAFT, invoices.IN_PROCESS)))
    paper.misses_actual("not-confirmed")


@fault("R15 awaiting manual verification", 20, of="invoice", brief=True, alone=True)
def left_to_a_person(paper: InvoicePaper) -> None:
    """The header says that the project manager verifies and confirms."""
    paper.invoice.automatic = False
    paper.invoice.stop(paper.at, invoices.DRAFT)
    paper.misses_actual("awaiting-manual-verification")


@fault("A11 vendor invoice confirmed without lines", 8, of="invoice", brief=True, alone=True)
def header_without_lines(paper: InvoicePaper) -> None:
    """The header is confirmed in Dataverse, and its lines never came."""
    paper.posted()
    book, at = paper.invoice.book, paper.at
    header = book.export_header(paper.invoice.rows, at + timedelta(seconds=4))
    book.set_state(header, invoices.CONFIRMED, at + timedelta(seconds=40))
    paper.truth.strays.append(("header-before-lines", "msdyn_projectvendorinvoice", header))
    paper.misses_actual("not-synced-to-dataverse")


@fault("A4 actuals not generated on confirmation", 20, brief=True)
def no_actual_generated(paper: Paper) -> None:
    """Approved or confirmed, and no actual came of it."""
    paper.approved()
    paper.misses_actual("no-actual-made")


@fault("A16 only one actual appears: the sales side", 8, brief=True)
def only_the_sales_side(paper: Paper) -> None:
    """A sales actual clears nothing."""
    source = paper.approved()
    at = paper.later(seconds=6)
    paper.staged(paper.tail.actual(paper.line, source, at, kind=state.UNBILLED_SALES))
    paper.misses_actual("no-actual-made")


@fault("B22 failed records that nobody resends", 20, brief=True)
def actual_not_synced(paper: Paper) -> None:
    """The actual is in Dataverse and never reached Finance."""
    paper.lost(paper.actual(paper.approved()))
    paper.misses_actual("actual-not-synced-back")


@fault("R14 an actual in part on its way", 8)
def half_synced(paper: Paper) -> None:
    """Of two actuals one is posted and one never reached Finance."""
    source, (one, other) = paper.approved(), halves(paper)
    posted = paper.staged(paper.actual(source, one))
    paper.lost(paper.actual(source, other))
    paper.booked(posted)
    paper.outcome("missing-actual", cause="actual-not-synced-back", missing_actual=other, reconciled=one)


@fault("B37 negative transactions dropped at import", 8)
def reversal_lost(paper: Paper) -> None:
    """The original is posted; its reversal never reached Finance, so it cancels nothing yet."""
    source = paper.approved()
    original = paper.staged(paper.actual(source))
    reversal = paper.tail.reverse(original, source, paper.later(minutes=5))
    paper.lost(reversal)
    paper.booked(original)
    amount = paper.line.amount
    paper.outcome("missing-actual", cause="actual-not-synced-back", missing_actual=-amount, reconciled=amount)


@fault("A13 deleting a task reverses the actuals", 12, brief=True)
def reversed_by_mistake(paper: Paper) -> None:
    """The actual and its reversal cancel; neither is imported."""
    reversal_pair(paper)
    paper.misses_actual("actual-reversed")


@fault("A13 deleting a task reverses all vendor invoice actuals", 8)
def reversed_and_posted(paper: Paper) -> None:
    """The actual and its reversal cancel; both are posted."""
    paper.booked(*reversal_pair(paper))
    paper.misses_actual("actual-reversed")


@fault("R15 cancelled in Dataverse", 12, brief=True, alone=True)
def cancelled_there(paper: Paper) -> None:
    """Somebody cancels the record in Dataverse; the cost is still in the account."""
    paper.cancelled_in_dataverse()
    paper.misses_actual("cancelled-in-dataverse")


@fault("A15 a rolled-back actual leaves an invalid journal line", 12)
def actual_rolled_back(paper: Paper) -> None:
    """Dataverse takes the actual back after Finance has staged and imported it."""
    actual = paper.staged(paper.actual(paper.approved()))
    paper.tail.world.dataverse_deleted("msdyn_actual", actual.row, paper.later(minutes=2))
    paper.stuck(actual, state.INVALID)
    paper.truth.strays.append(("orphan-in-finance", "ProjCDSActualsImport", str(actual.staging)))
    paper.misses_actual("no-actual-made")


@fault("C38 nothing arrives in Dataverse any more", 0, alone=True)
def feed_silent(paper: Paper) -> None:
    """Posted after Dataverse's feed fell silent: what became of it cannot be said (R21)."""
    paper.posted()
    paper.misses_actual("feed-silent")
