"""Documents with a correct outcome despite an unusual course: what looks like a fault and is none."""

from dataclasses import replace
from datetime import timedelta

from tieout.simulator import integration_journal as state
from tieout.simulator import invoices
from tieout.simulator.document_story import DocumentStory, ExpenseStory, InvoiceStory
from tieout.simulator.faults.repertoire import fault
from tieout.simulator.faults.steps import replacement_trio
from tieout.simulator.scenario import Columns


@fault("R13", 1000)
def all_went_well(story: DocumentStory) -> None:
    """Approved, imported, posted, written back."""
    story.import_and_post(story.create_staged_cost())
    story.reconciled()


@fault("R14", 20, exclusive=True)
def credit_note(story: DocumentStory) -> None:
    """A negative amount is treated like any other."""
    story.line = replace(story.line, amount=-story.line.amount)
    story.import_and_post(story.create_staged_cost())
    story.reconciled()


@fault("R14", 6, exclusive=True)
def costs_nothing(story: DocumentStory) -> None:
    """An amount of 0 has a position too."""
    story.line = replace(story.line, amount=0 * story.line.amount)
    story.import_and_post(story.create_staged_cost())
    story.reconciled()


@fault("A16 only one actual appears, not a pair", 12)
def no_sales_side(story: DocumentStory) -> None:
    """A cost actual without a sales actual is complete."""
    story.import_and_post(story.stage(story.create_actual(story.approve())))
    story.reconciled()


@fault("A12 confirmation updates the status twice", 12, document="invoice", exclusive=True)
def confirmed_twice(story: InvoiceStory) -> None:
    """The second update repeats the first."""
    cost = story.create_staged_cost()
    story.invoice.invoices.set_state(story.invoice.header, invoices.CONFIRMED, story.at + timedelta(hours=1))
    story.import_and_post(cost)
    story.reconciled()


@fault("A6 unbilled sales priced zero", 8)
def sales_priced_zero(story: DocumentStory) -> None:
    """The sales actual is no part of the integration account."""
    source = story.approve()
    cost = story.create_actual(source)
    nothing = 0 * story.line.amount
    sales = story.flow.actual(story.line, source, story.advance(seconds=2), amount=nothing, kind=state.UNBILLED_SALES)
    story.stage(sales)
    story.import_and_post(story.stage(cost), sales)
    story.reconciled()


@fault("A10 accounting date not set at automatic confirmation", 12)
def accounting_date_missing(story: DocumentStory) -> None:
    """The document's own date replaces it."""
    actual = story.create_actual(story.approve(), overrides={"msdyn_accountingdate": None})
    story.import_and_post(story.stage(actual, overrides={"AccountingDate": "1900-01-01"}))
    story.reconciled()


@fault("A17 other code changes dual-write fields of actuals", 8)
def voucher_overwritten(story: DocumentStory) -> None:
    """Other code overwrites the voucher of a posted actual; it remains posted."""
    cost = story.create_staged_cost()
    story.import_and_post(cost)
    change: Columns = {"assumed_vouchernumber": f"X-{cost.voucher}"}
    story.flow.recorder.dataverse_updated("msdyn_actual", cost.row, story.hour_after(12), change)
    story.reconciled()


@fault("R10 a corrected key moves the record", 8, document="expense")
def external_id_corrected(story: ExpenseStory) -> None:
    """Dataverse had an unknown id until it was corrected."""
    source = story.approve(external_id=f"{story.line.company}-PX{story.line.number}")
    right = story.line.transaction or str(story.line.record)
    story.expenses.correct_external_id(source, right, story.at + timedelta(minutes=9))
    story.import_and_post(story.stage(story.create_actual(source)))
    story.reconciled()


@fault("R10 a line without a transaction id", 8, document="expense")
def no_transaction_id(story: ExpenseStory) -> None:
    """Dataverse refers to the line by its RecId."""
    story.line = replace(story.line, transaction="")
    story.import_and_post(story.create_staged_cost())
    story.reconciled()


@fault("R14 accounting amount by the rate", 8, document="expense", currency="foreign")
def accounting_amount_missing(story: ExpenseStory) -> None:
    """Finance sends no AmountMST; the rate determines it."""
    story.post({"AmountMST": None})
    source = story.export(posted=False)
    story.expenses.decide(source, story.at + timedelta(seconds=40))
    story.import_and_post(story.stage(story.create_actual(source)))
    story.reconciled()


@fault("A13 reversal pairs: net of original, reversal and replacement", 15)
def corrected(story: DocumentStory) -> None:
    """The first actual was reversed and replaced; all three are posted."""
    original, reversal, replacement = replacement_trio(story)
    story.import_and_post(original, reversal, replacement)
    story.reconciled()
