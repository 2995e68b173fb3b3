"""What happens to rows after everything was posted: posting cannot be undone, so a cleared document keeps it."""

from dataclasses import replace
from datetime import timedelta

from tieout.simulator import invoices
from tieout.simulator.document_story import DocumentStory, ExpenseStory, InvoiceStory
from tieout.simulator.faults.repertoire import fault
from tieout.simulator.faults.steps import reversal_pair
from tieout.simulator.integration_account import POSTING_WITHOUT_DOCUMENT
from tieout.simulator.integration_journal import Actual, SourceRecord

_NO_ACTUAL = "00000000-0000-0000-0000-000000000000"


@fault("case 06 the record in Dataverse is deleted after posting", 10)
def record_deleted_after_posting(story: DocumentStory) -> None:
    """A bulk delete removes the expense or the invoice line in Dataverse."""
    source, _ = _settled(story)
    story.flow.recorder.dataverse_deleted(source.entity, source.row, story.hour_after(14))
    if isinstance(story, InvoiceStory) and story.invoice.loses_line():
        story.outcomes.row_findings.append(("header-before-lines", "msdyn_projectvendorinvoice", story.invoice.header))
    story.reconciled("record-deleted-after-posting")


@fault("case 06 the actual is deleted after posting", 8)
def actual_deleted_after_posting(story: DocumentStory) -> None:
    """Dataverse deletes the posted actual; its staging row and its journal line remain."""
    _, cost = _settled(story)
    story.flow.recorder.dataverse_deleted("msdyn_actual", cost.row, story.hour_after(14))
    story.reconciled("record-deleted-after-posting")


@fault("case 06 the staging row is deleted after posting", 8)
def staging_row_deleted_after_posting(story: DocumentStory) -> None:
    """Finance cleans up its staging table."""
    _, cost = _settled(story)
    story.flow.recorder.finance_deleted("ProjCDSActualsImport", cost.staging, story.hour_after(14), story.line.company)
    story.reconciled("record-deleted-after-posting")


@fault("A1 a posted integration journal is deleted", 8)
def journal_line_deleted_after_posting(story: DocumentStory) -> None:
    """Finance deletes the posted journal line; the voucher stays in the ledger."""
    _, cost = _settled(story)
    story.flow.delete_line(cost, story.hour_after(14))
    story.reconciled("record-deleted-after-posting")


@fault("case 25 the line in Finance is deleted after posting", 8, document="expense")
def expense_deleted_after_posting(story: ExpenseStory) -> None:
    """No document is left; what its actual cleared remains."""
    source, _ = _settled(story)
    story.expenses.delete(story.line, story.hour_after(14))
    story.leave_posting(POSTING_WITHOUT_DOCUMENT)
    story.outcomes.row_findings.append(("orphan-in-dataverse", source.entity, source.row))


@fault("case 30 the reference to the source is cleared after posting", 10)
def source_cleared_after_posting(story: DocumentStory) -> None:
    """The actual loses its source document, and its origin row is deleted."""
    _, cost = _settled(story)
    recorder, at = story.flow.recorder, story.hour_after(14)
    recorder.dataverse_updated("msdyn_actual", cost.row, at, {"assumed_sourcedocument": None})
    if cost.origin:
        recorder.dataverse_deleted("msdyn_transactionorigin", cost.origin, at)
    story.reconciled("link-changed-after-posting")


@fault("case 30 the staging row loses its actual after posting", 8)
def staging_reference_cleared_after_posting(story: DocumentStory) -> None:
    """The staging row names no actual any more."""
    _, cost = _settled(story)
    _change_staging_row(story, cost, "ActualId", _NO_ACTUAL)
    story.reconciled("link-changed-after-posting")


@fault("case 30 the staging row loses its journal line after posting", 8)
def line_reference_cleared_after_posting(story: DocumentStory) -> None:
    """The staging row names no journal line any more."""
    _, cost = _settled(story)
    _change_staging_row(story, cost, "ProjAdvancedJournalLine", 0)
    story.reconciled("link-changed-after-posting")


@fault("case 19 the key in Dataverse changes after posting", 8, document="expense")
def external_id_changed_after_posting(story: ExpenseStory) -> None:
    """The expense in Dataverse is given an id that Finance does not know."""
    source, _ = _settled(story)
    story.expenses.correct_external_id(source, f"{story.line.company}-PX{story.line.number}", story.hour_after(14))
    story.outcomes.row_findings.append(("orphan-in-dataverse", source.entity, source.row))
    story.reconciled("link-changed-after-posting")


@fault("case 19 the key in Finance changes after posting", 8, document="expense")
def transaction_id_changed_after_posting(story: ExpenseStory) -> None:
    """The line in Finance is given another transaction id; the document has the new name."""
    source, _ = _settled(story)
    story.line = replace(story.line, transaction=f"{story.line.company}-PX{story.line.number}")
    story.expenses.correct_transaction(story.line, story.hour_after(14))
    story.outcomes.row_findings.append(("orphan-in-dataverse", source.entity, source.row))
    story.reconciled("link-changed-after-posting")


@fault("case 19 the company gets another code after posting", 0, exclusive=True)
def company_renamed_after_posting(story: DocumentStory) -> None:
    """Dataverse gives the company row another code: the records of the company lead to no document any more."""
    if isinstance(story, ExpenseStory):
        story.post()
        # The record names its company by the lookup alone.
        at = story.at + timedelta(seconds=4)
        source = story.expenses.export(story.line, at, names_company=False, overrides=story.owner)
        story.expenses.decide(source, story.at + timedelta(seconds=40))
    else:
        source = story.approve()
    story.import_and_post(story.stage(story.create_actual(source)))
    story.outcomes.row_findings.append(("orphan-in-dataverse", source.entity, source.row))
    story.reconciled("link-changed-after-posting")


@fault("R10 a corrected key moves a posted record", 8, document="expense")
def moved_to_another_document(story: ExpenseStory) -> None:
    """The record belonged to another line of the same amount: with it moves what was posted."""
    source, _ = _settled(story)
    recorder, first = story.flow.recorder, story.line
    other = replace(
        first,
        record=recorder.record_id("TrvExpTrans"),
        transaction=f"{first.company}-PY{first.number}",
        voucher=f"{first.voucher}-B",
    )
    story.expenses.process(other, story.at + timedelta(minutes=2))
    story.expenses.correct_external_id(source, other.transaction, story.hour_after(14))
    story.line = other
    story.reconciled()
    story.line = first
    story.misses_actual("not-synced-to-dataverse")


@fault("case 05 cancelled in Finance after posting", 8, document="expense")
def cancelled_after_posting(story: ExpenseStory) -> None:
    """Finance takes its posting back, the integration journal does not."""
    _settled(story)
    story.expenses.cancel(story.line, story.hour_after(14))
    story.excluded("cancelled")


@fault("case 08 cancelled in Dataverse after posting", 8, document="invoice", exclusive=True)
def invoice_cancelled_after_posting(story: InvoiceStory) -> None:
    """The invoice is cancelled in Dataverse; the actual and its reversal are both posted."""
    story.import_and_post(*reversal_pair(story))
    story.invoice.invoices.set_state(story.invoice.header, invoices.CANCELED, story.hour_after(14))
    story.misses_actual("cancelled-in-dataverse")


@fault("case 08 cancelled in Dataverse after posting: an expense", 6, document="expense")
def expense_cancelled_after_posting(story: ExpenseStory) -> None:
    """The expense is deactivated in Dataverse; the actual and its reversal are both posted."""
    source = story.approve()
    original = story.stage(story.create_actual(source))
    story.import_and_post(original, story.stage(story.flow.reverse(original, source, story.advance(minutes=5))))
    story.expenses.deactivate(source, story.hour_after(14))
    story.misses_actual("cancelled-in-dataverse")


def _settled(story: DocumentStory) -> tuple[SourceRecord, Actual]:
    """Take every step up to the write-back; return the record in Dataverse and its actual."""
    source = story.approve()
    cost = story.stage(story.create_actual(source))
    story.import_and_post(cost)
    return source, cost


def _change_staging_row(story: DocumentStory, cost: Actual, column: str, value: str | int) -> None:
    story.flow.recorder.finance_changed(
        "ProjCDSActualsImport", cost.staging, story.hour_after(14), {column: value}, story.line.company
    )
