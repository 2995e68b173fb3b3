"""Documents that come out right, however odd their way: what looks like a fault and is none."""

from dataclasses import replace
from datetime import timedelta

from tieout.simulator import integration_journal as state
from tieout.simulator import invoices
from tieout.simulator.document_story import ExpensePaper, InvoicePaper, Paper
from tieout.simulator.faults.repertoire import fault
from tieout.simulator.faults.steps import replacement_trio
from tieout.simulator.scenario import Columns


@fault("R13", 1000)
def all_went_well(paper: Paper) -> None:
    """Approved, imported, posted, written back."""
    paper.booked(paper.cost())
    paper.reconciled()


@fault("R14", 20, alone=True)
def credit_note(paper: Paper) -> None:
    """A negative amount is an amount like any other."""
    paper.line = replace(paper.line, amount=-paper.line.amount)
    paper.booked(paper.cost())
    paper.reconciled()


@fault("R14", 6, alone=True)
def costs_nothing(paper: Paper) -> None:
    """An amount of 0 has a position too."""
    paper.line = replace(paper.line, amount=0 * paper.line.amount)
    paper.booked(paper.cost())
    paper.reconciled()


@fault("A16 only one actual appears, not a pair", 12)
def no_sales_side(paper: Paper) -> None:
    """A cost actual alone is complete."""
    paper.booked(paper.staged(paper.actual(paper.approved())))
    paper.reconciled()


@fault("A12 confirmation updates the status twice", 12, of="invoice", alone=True)
def confirmed_twice(paper: InvoicePaper) -> None:
    """The second update says what the first one said."""
    cost = paper.cost()
    paper.invoice.book.set_state(paper.invoice.header, invoices.CONFIRMED, paper.at + timedelta(hours=1))
    paper.booked(cost)
    paper.reconciled()


@fault("A6 unbilled sales priced zero", 8)
def sales_priced_zero(paper: Paper) -> None:
    """The sales side is no part of the integration account."""
    source = paper.approved()
    cost = paper.actual(source)
    nothing = 0 * paper.line.amount
    sales = paper.tail.actual(paper.line, source, paper.later(seconds=2), amount=nothing, kind=state.UNBILLED_SALES)
    paper.staged(sales)
    paper.booked(paper.staged(cost), sales)
    paper.reconciled()


@fault("A10 accounting date not set at automatic confirmation", 12)
def accounting_date_missing(paper: Paper) -> None:
    """The document's own date stands for it."""
    actual = paper.actual(paper.approved(), wrong={"msdyn_accountingdate": None})
    paper.booked(paper.staged(actual, wrong={"AccountingDate": "1900-01-01"}))
    paper.reconciled()


@fault("A17 other code changes dual-write fields of actuals", 8)
def voucher_overwritten(paper: Paper) -> None:
    """Somebody writes another text over the voucher of a posted actual; posted it stays."""
    cost = paper.cost()
    paper.booked(cost)
    change: Columns = {"assumed_vouchernumber": f"X-{cost.voucher}"}
    paper.tail.world.updated("msdyn_actual", cost.row, paper.night(12), change)
    paper.reconciled()


@fault("R10 a corrected key moves the record", 8, of="expense")
def external_id_corrected(paper: ExpensePaper) -> None:
    """Dataverse had an id that nobody knows until it was put right."""
    source = paper.approved(external_id=f"{paper.line.company}-PX{paper.line.number}")
    right = paper.line.transaction or str(paper.line.record)
    paper.expenses.correct_external_id(source, right, paper.at + timedelta(minutes=9))
    paper.booked(paper.staged(paper.actual(source)))
    paper.reconciled()


@fault("R10 a line without a transaction id", 8, of="expense")
def no_transaction_id(paper: ExpensePaper) -> None:
    """Dataverse knows the line by its RecId."""
    paper.line = replace(paper.line, transaction="")
    paper.booked(paper.cost())
    paper.reconciled()


@fault("R14 accounting amount by the rate", 8, of="expense", money="foreign")
def accounting_amount_missing(paper: ExpensePaper) -> None:
    """Finance sends no AmountMST; the rate makes it."""
    paper.posted({"AmountMST": None})
    source = paper.exported(posted=False)
    paper.expenses.decide(source, paper.at + timedelta(seconds=40))
    paper.booked(paper.staged(paper.actual(source)))
    paper.reconciled()


@fault("A13 reversal pairs: net of original, reversal and replacement", 15)
def corrected(paper: Paper) -> None:
    """The first actual was reversed and replaced; all three are posted."""
    original, reversal, replacement = replacement_trio(paper)
    paper.booked(original, reversal, replacement)
    paper.reconciled()
