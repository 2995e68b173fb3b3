"""Documents whose rows are all present, one of them wrong (R18)."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from tieout.simulator import integration_journal as state
from tieout.simulator.amounts import rounded, smallest
from tieout.simulator.document_story import DocumentStory, ExpenseStory
from tieout.simulator.faults.repertoire import fault
from tieout.simulator.faults.steps import halves
from tieout.simulator.integration_journal import Actual
from tieout.simulator.scenario import Columns


@fault("A5 actuals with amount zero", 12)
def actual_of_nothing(story: DocumentStory) -> None:
    """An invoice without unit price creates an actual of 0; it is posted nevertheless."""
    nothing = 0 * story.line.amount
    story.import_and_post(story.stage(story.create_actual(story.approve(), nothing)))
    story.reconciled("amount-differs", posted=nothing)


@fault("R18 amount differs", 12)
def actual_too_small(story: DocumentStory) -> None:
    """The actual is smaller than the document."""
    part, _ = halves(story)
    story.import_and_post(story.stage(story.create_actual(story.approve(), part)))
    story.reconciled("amount-differs", posted=part)


@fault("R18 amount differs by the smallest unit", 8)
def actual_a_cent_off(story: DocumentStory) -> None:
    """The actual is a cent (or yen, or fils) too large."""
    amount = story.line.amount + smallest(story.line.currency)
    story.import_and_post(story.stage(story.create_actual(story.approve(), amount)))
    story.reconciled("amount-differs", posted=amount)


@fault("R14 an actual for a line that costs nothing", 5, exclusive=True)
def cost_from_nothing(story: DocumentStory) -> None:
    """The document has no amount, the actual has one: the rate converts it into the accounting currency."""
    amount = story.line.amount
    story.line = replace(story.line, amount=0 * amount)
    story.import_and_post(story.stage(story.create_actual(story.approve(), amount)))
    story.reconciled("amount-differs", posted=amount)


@fault("A8 project category lost on the way", 12)
def category_lost(story: DocumentStory) -> None:
    """The journal line has the default category of the parameters."""
    actual = story.stage(story.create_actual(story.approve()), overrides={"TransactionCategoryId": ""})
    story.import_and_post(actual, overrides={"ProjCategoryId": "DEFAULT-Expense"})
    story.reconciled("category-differs")


@fault("R18 currency differs", 8, currency="own", exclusive=True)
def other_currency(story: DocumentStory) -> None:
    """The actual is in another currency; its accounting amount gives its value."""
    actual = _foreign_actual(story, worth=story.line.amount)
    story.import_and_post(actual, overrides={"CostCurrency": _other_currency(story)})
    story.reconciled("currency-differs")


@fault("R18 currency differs, and nothing says what it is worth", 6, currency="own", exclusive=True)
def not_computable(story: DocumentStory) -> None:
    """The actual is in another currency and has no accounting amount: the parts cannot be known."""
    actual = _foreign_actual(story, worth=None)
    story.import_line(actual, overrides={"CostCurrency": _other_currency(story)})
    findings = ("currency-differs", "not-computable")
    story.record_outcome("missing-journal-line", cause="draft", findings=findings, computable=False)


@fault("R18 project differs", 8)
def other_project(story: DocumentStory) -> None:
    """The actual was moved to another project of the company."""
    company = story.line.project[:4]
    projects = [number for number in story.flow.reference_ids.codes("msdyn_project") if number.startswith(company)]
    other = story.chance.choice([number for number in projects if number != story.line.project])
    lookup = story.flow.reference_ids.lookup("msdyn_project", other)
    actual = story.stage(
        story.create_actual(story.approve(), overrides={"msdyn_project": lookup}), overrides={"ProjectId": other}
    )
    story.import_and_post(actual, overrides={"ProjId": other})
    story.reconciled("project-differs")


@fault("A9 transaction date shifts by the user's time zone", 10)
def date_shifted(story: DocumentStory) -> None:
    """A day before the first of the month: the cost is in one period, its clearing in another."""
    shifted = (story.line.date.replace(day=1) - timedelta(days=1)).isoformat()
    actual = story.create_actual(story.approve(), overrides={"msdyn_accountingdate": shifted})
    story.import_and_post(
        story.stage(actual, overrides={"AccountingDate": shifted}), overrides={"AccountingDate": shifted}
    )
    story.reconciled("date-differs")


@fault("A9 a date that shifts within its period", 8)
def date_shifted_harmlessly(story: DocumentStory) -> None:
    """A shift of one day within the month is no difference."""
    day = story.line.date
    shifted = (day - timedelta(days=1) if day.day > 1 else day + timedelta(days=1)).isoformat()
    actual = story.create_actual(story.approve(), overrides={"msdyn_accountingdate": shifted})
    story.import_and_post(
        story.stage(actual, overrides={"AccountingDate": shifted}), overrides={"AccountingDate": shifted}
    )
    story.reconciled()


@fault("R18 rate differs", 8, currency="foreign", exclusive=True)
def other_rate(story: DocumentStory) -> None:
    """Finance posts the journal line at a rate of another day."""
    rate = story.line.rate * Decimal("1.04")
    story.import_and_post(
        story.stage(story.create_actual(story.approve())), overrides={"CostExchangeRate": f"{rate:.12f}"}
    )
    story.reconciled("rate-differs")


@fault("B32 retried POST creates duplicates: actuals", 10)
def actual_twice(story: DocumentStory) -> None:
    """Two actuals of the whole amount, both posted."""
    source = story.approve()
    actuals = [story.stage(story.create_actual(source)) for _ in range(2)]
    story.import_and_post(*actuals)
    story.reconciled("amount-differs", "duplicate-actual", posted=2 * story.line.amount)


@fault("B32 retried POST creates duplicates: the second waits", 8)
def actual_twice_one_waits(story: DocumentStory) -> None:
    """Two actuals of the whole amount; the line of the second is a draft."""
    source, amount = story.approve(), story.line.amount
    first, second = (story.stage(story.create_actual(source)) for _ in range(2))
    story.import_and_post(first)
    cause = story.leave_at_status(second, state.DRAFT)
    story.record_outcome(
        "missing-journal-line",
        cause=cause,
        missing_journal_line=amount,
        reconciled=amount,
        findings=("amount-differs", "duplicate-actual"),
    )


@fault("A2 staged twice", 10)
def staged_twice(story: DocumentStory) -> None:
    """Dual-write sends the actual twice; Finance marks the second row as a duplicate."""
    cost = story.create_staged_cost()
    story.flow.stage_twice(cost, story.advance(minutes=3))
    story.import_and_post(cost)
    story.reconciled("duplicate-staging-row")


@fault("A2 lines duplicated by overlapping import runs", 10)
def imported_twice(story: DocumentStory) -> None:
    """Two runs of Import from staging create two lines of one actual; both are posted."""
    cost = story.stage(story.create_actual(story.approve()))
    again = replace(cost, staging=story.flow.stage_twice(cost, story.advance(minutes=3)))
    story.import_and_post(cost)
    story.import_line(again)
    story.flow.post(again, story.hour_after(15), write_back=False)
    story.reconciled("duplicate-journal-line", "duplicate-staging-row")


@fault("B32 retried POST creates duplicates: expenses", 8, document="expense")
def expense_twice(story: ExpenseStory) -> None:
    """Dataverse has the expense twice; the first one is approved and has the actual."""
    cost = story.create_staged_cost()
    story.expenses.export(story.line, story.at + timedelta(minutes=6), overrides=story.owner)
    story.import_and_post(cost)
    story.reconciled("duplicate-record")


@fault("R10 a transaction id given twice", 6, document="expense", same_day=True)
def same_transaction_twice(story: ExpenseStory) -> None:
    """Two lines with one id and amount: the older one has the record in Dataverse and its actual (decision 1)."""
    story.create_staged_cost()
    story.misses_journal_line("not-imported", "ambiguous-link")
    record = story.flow.recorder.record_id("TrvExpTrans")
    twin = replace(story.line, record=record, voucher=f"{story.line.voucher}-B")
    story.expenses.process(twin, story.at + timedelta(minutes=1))
    first, story.line = story.line, replace(twin, transaction="")
    story.misses_actual("not-synced-to-dataverse", "ambiguous-link")
    story.line = first


@fault("A15 a row that Finance does not know", 6, document="expense", same_day=True)
def orphan_in_dataverse(story: ExpenseStory) -> None:
    """Finance rolled its posting back and removed the line; Dataverse kept its expense. The document is correct."""
    stray = replace(story.line, transaction=f"{story.line.company}-PO{story.line.number:06d}")
    row = story.expenses.export(stray, story.at + timedelta(minutes=7), overrides=story.owner).row
    story.outcomes.row_findings.append(("orphan-in-dataverse", "msdyn_expense", row))
    story.create_staged_cost()
    story.misses_journal_line("not-imported")


def _other_currency(story: DocumentStory) -> str:
    return "GBP" if story.line.currency == "EUR" else "EUR"


def _foreign_actual(story: DocumentStory, worth: Decimal | None) -> Actual:
    """Create and stage an actual in a currency unlike its document's; `worth` is its accounting amount."""
    source, currency = story.approve(), _other_currency(story)
    amount = rounded(story.line.amount * Decimal("0.9") + 1, currency)
    overrides: Columns = {"transactioncurrencyid": story.flow.reference_ids.lookup("transactioncurrency", currency)}
    actual = story.create_actual(
        source, amount, overrides=overrides | ({} if worth is None else {"assumed_accountingamount": str(worth)})
    )
    actual.accounting = worth or actual.accounting
    return story.stage(actual, overrides={"TransactionCurrencyId": currency})
