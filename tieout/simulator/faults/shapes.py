"""Documents of unusual shape: itemised expenses, purchase orders, corrections in a later period."""

from dataclasses import replace
from datetime import date, timedelta

from tieout.simulator.amounts import rounded
from tieout.simulator.document_story import DocumentStory, ExpenseStory, InvoiceStory
from tieout.simulator.faults.repertoire import fault
from tieout.simulator.scenario import Columns


@fault("case 01 an itemised expense", 8, document="expense", exclusive=True)
def itemised(story: ExpenseStory) -> None:
    """The header of the lines is not a document; of three lines two are posted, one waits."""
    header = story.line
    story.expenses.process(header, story.at)
    third = rounded(header.amount / 3, header.currency)
    amounts = (third, third, header.amount - 2 * third)
    for number, amount in enumerate(amounts, 1):
        line = replace(
            header,
            record=story.flow.recorder.record_id("TrvExpTrans"),
            transaction=f"{header.company}-PI{header.number}-{number}",
            amount=amount,
        )
        item = ExpenseStory(line, story.at + timedelta(minutes=number), story.flow, story.outcomes, story.chance)
        item.post({"ParentRecId": header.record})
        source = item.export(posted=False)
        item.expenses.decide(source, item.at + timedelta(seconds=40))
        if number == 3:
            item.misses_actual("no-actual-made")
        else:
            item.import_and_post(item.stage(item.create_actual(source)))
            item.reconciled()


@fault("case 11 a purchase order", 10, document="invoice", same_day=True, exclusive=True)
def purchase_order(story: InvoiceStory) -> None:
    """The invoice has no pending rows, and Dataverse has no line: nothing says whether it has a project."""
    story.invoice.post_without_pending(story.at)
    story.line = replace(story.line, transaction="")
    story.excluded("project-unknown")


@fault("case 10 the pending rows are gone", 10, document="invoice", exclusive=True)
def pending_rows_gone(story: InvoiceStory) -> None:
    """Finance deleted the pending rows before it was observed; the line of Dataverse says the transaction id."""
    story.invoice.post_without_pending(story.at)
    story.import_and_post(story.create_staged_cost())
    story.reconciled()


@fault("A13 a correction in a later period", 10)
def corrected_in_a_later_period(story: DocumentStory) -> None:
    """The reversal belongs to the period of its original, the replacement to the next one."""
    source = story.approve()
    original = story.stage(story.create_actual(source))
    reversal = story.stage(story.flow.reverse(original, source, story.advance(minutes=5)))
    replacement = story.flow.replace(original, source, story.advance(seconds=10))
    later: Columns = {"AccountingDate": _next_month(story.line.date).isoformat()}
    story.stage(replacement, overrides=later)
    story.import_and_post(original, reversal)
    story.import_and_post(replacement, overrides=later)
    story.reconciled("date-differs")


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
