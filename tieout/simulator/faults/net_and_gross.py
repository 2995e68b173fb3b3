"""Documents with tax: Finance states gross and net, and the account holds the net amount."""

from datetime import timedelta
from decimal import Decimal

from tieout.simulator.amounts import proportion, rounded
from tieout.simulator.document_story import ExpenseStory
from tieout.simulator.faults.repertoire import fault
from tieout.simulator.integration_journal import SourceRecord

_TAX = Decimal("1.19")
_HALF_LOST = Decimal("1.19") / Decimal("1.095")
"""Gross to net if half of the tax is not reclaimed: that half is cost, so it is part of the net amount."""


@fault("case 03 recoverable tax", 12, document="expense", exclusive=True)
def recoverable_tax(story: ExpenseStory) -> None:
    """The tax is reclaimed: the account holds the net amount, and so does the actual."""
    source = _approve(story, _TAX)
    story.import_and_post(story.stage(story.create_actual(source)))
    story.reconciled()


@fault("case 03 recoverable tax of a cost on its way", 8, document="expense", same_day=True, exclusive=True)
def recoverable_tax_waits(story: ExpenseStory) -> None:
    """The net amount misses its actual; the tax went elsewhere."""
    _approve(story, _TAX)
    story.misses_actual("no-actual-made")


@fault("case 03 tax that is partly lost", 10, document="expense", exclusive=True)
def half_of_the_tax_lost(story: ExpenseStory) -> None:
    """Half of the tax is not reclaimed: it is part of the net amount and of the actual."""
    source = _approve(story, _HALF_LOST)
    story.import_and_post(story.stage(story.create_actual(source)))
    story.reconciled()


@fault("case 04 an actual with tax", 8, document="expense", exclusive=True)
def actual_with_tax(story: ExpenseStory) -> None:
    """The actual has the gross amount: it clears the tax too, which was never on the account."""
    source = _approve(story, _TAX)
    gross = rounded(story.line.amount * _TAX, story.line.currency)
    story.import_and_post(story.stage(story.create_actual(source, gross)))
    story.reconciled("amount-differs", posted=gross)


def _approve(story: ExpenseStory, factor: Decimal) -> SourceRecord:
    """Post, export and approve the expense, whose gross amount is `factor` times the net amount of the line."""
    line = story.line
    gross = rounded(line.amount * factor, line.currency)
    posted = line.accounting(gross)
    if line.currency != line.accounting_currency:
        story.booked = proportion(posted, line.amount, gross, line.accounting_currency)
    story.post({"AmountCurr": str(gross), "NetTransactionAmount": str(line.amount), "AmountMST": str(posted)})
    tax = {"msdyn_salestaxamount": str(gross - line.amount), "msdyn_totalamount": str(gross)}
    source = story.export(posted=False, overrides=tax)
    story.expenses.decide(source, story.at + timedelta(seconds=40))
    return source
