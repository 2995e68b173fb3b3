"""Documents whose rows are all there, and one of them is wrong (R18)."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from tieout.simulator import integration_journal as state
from tieout.simulator.amounts import rounded, smallest
from tieout.simulator.document_story import ExpensePaper, Paper
from tieout.simulator.faults.repertoire import fault
from tieout.simulator.faults.steps import halves
from tieout.simulator.integration_journal import Actual
from tieout.simulator.scenario import Columns


@fault("A5 actuals with amount zero", 12)
def actual_of_nothing(paper: Paper) -> None:
    """An invoice without unit price makes an actual of 0; it is posted all the same."""
    nothing = 0 * paper.line.amount
    paper.booked(paper.staged(paper.actual(paper.approved(), nothing)))
    paper.reconciled("amount-differs", posted=nothing)


@fault("R18 amount differs", 12)
def actual_too_small(paper: Paper) -> None:
    """A part of the amount is lost on the way."""
    part, _ = halves(paper)
    paper.booked(paper.staged(paper.actual(paper.approved(), part)))
    paper.reconciled("amount-differs", posted=part)


@fault("R18 amount differs by the smallest unit", 8)
def actual_a_cent_off(paper: Paper) -> None:
    """A cent (or yen, or fils) too much."""
    amount = paper.line.amount + smallest(paper.line.currency)
    paper.booked(paper.staged(paper.actual(paper.approved(), amount)))
    paper.reconciled("amount-differs", posted=amount)


@fault("R14 an actual for a line that costs nothing", 5, alone=True)
def cost_from_nothing(paper: Paper) -> None:
    """The document has no amount, the actual has one: it goes by the rate into the accounting currency."""
    amount = paper.line.amount
    paper.line = replace(paper.line, amount=0 * amount)
    paper.booked(paper.staged(paper.actual(paper.approved(), amount)))
    paper.reconciled("amount-differs", posted=amount)


@fault("A8 project category lost on the way", 12)
def category_lost(paper: Paper) -> None:
    """The journal line falls back to the default of the parameters."""
    actual = paper.staged(paper.actual(paper.approved()), wrong={"TransactionCategoryId": ""})
    paper.booked(actual, wrong={"ProjCategoryId": "DEFAULT-Expense"})
    paper.reconciled("category-differs")


@fault("R18 currency differs", 8, money="own", alone=True)
def other_currency(paper: Paper) -> None:
    """The actual is in another currency; its accounting amount says what it is worth."""
    actual = _foreign_actual(paper, worth=paper.line.amount)
    paper.booked(actual, wrong={"CostCurrency": _other_currency(paper)})
    paper.reconciled("currency-differs")


@fault("R18 currency differs, and nothing says what it is worth", 6, money="own", alone=True)
def not_computable(paper: Paper) -> None:
    """The actual is in another currency and has no accounting amount: the parts cannot be known."""
    actual = _foreign_actual(paper, worth=None)
    paper.imported(actual, wrong={"CostCurrency": _other_currency(paper)})
    findings = ("currency-differs", "not-computable")
    paper.outcome("missing-journal-line", cause="draft", findings=findings, computable=False)


@fault("R18 project differs", 8)
def other_project(paper: Paper) -> None:
    """Somebody moves the actual to another project of the company."""
    company = paper.line.project[:4]
    projects = [number for number in paper.tail.directory.codes("msdyn_project") if number.startswith(company)]
    other = paper.chance.choice([number for number in projects if number != paper.line.project])
    lookup = paper.tail.directory.lookup("msdyn_project", other)
    actual = paper.staged(paper.actual(paper.approved(), wrong={"msdyn_project": lookup}), wrong={"ProjectId": other})
    paper.booked(actual, wrong={"ProjId": other})
    paper.reconciled("project-differs")


@fault("A9 transaction date shifts by the user's time zone", 10)
def date_shifted(paper: Paper) -> None:
    """A day before the first of the month: the cost is in one period, its clearing in another."""
    shifted = (paper.line.date.replace(day=1) - timedelta(days=1)).isoformat()
    actual = paper.actual(paper.approved(), wrong={"msdyn_accountingdate": shifted})
    paper.booked(paper.staged(actual, wrong={"AccountingDate": shifted}), wrong={"AccountingDate": shifted})
    paper.reconciled("date-differs")


@fault("A9 a date that shifts within its period", 8)
def date_shifted_harmlessly(paper: Paper) -> None:
    """A day off within the month says nothing."""
    day = paper.line.date
    shifted = (day - timedelta(days=1) if day.day > 1 else day + timedelta(days=1)).isoformat()
    actual = paper.actual(paper.approved(), wrong={"msdyn_accountingdate": shifted})
    paper.booked(paper.staged(actual, wrong={"AccountingDate": shifted}), wrong={"AccountingDate": shifted})
    paper.reconciled()


@fault("R18 rate differs", 8, money="foreign", alone=True)
def other_rate(paper: Paper) -> None:
    """Finance posts the journal line at a rate of another day."""
    rate = paper.line.rate * Decimal("1.04")
    paper.booked(paper.staged(paper.actual(paper.approved())), wrong={"CostExchangeRate": f"{rate:.12f}"})
    paper.reconciled("rate-differs")


@fault("B32 retried POST creates duplicates: actuals", 10)
def actual_twice(paper: Paper) -> None:
    """Two actuals of the whole amount, both posted."""
    source = paper.approved()
    actuals = [paper.staged(paper.actual(source)) for _ in range(2)]
    paper.booked(*actuals)
    paper.reconciled("amount-differs", "duplicate-actual", posted=2 * paper.line.amount)


@fault("B32 retried POST creates duplicates: the second waits", 8)
def actual_twice_one_waits(paper: Paper) -> None:
    """Two actuals of the whole amount; the line of the second is a draft."""
    source, amount = paper.approved(), paper.line.amount
    first, second = (paper.staged(paper.actual(source)) for _ in range(2))
    paper.booked(first)
    cause = paper.stuck(second, state.DRAFT)
    paper.outcome(
        "missing-journal-line",
        cause=cause,
        missing_journal_line=amount,
        reconciled=amount,
        findings=("amount-differs", "duplicate-actual"),
    )


@fault("A2 staged twice", 10)
def staged_twice(paper: Paper) -> None:
    """Dual-write sends the actual twice; Finance marks the second row as a duplicate."""
    cost = paper.cost()
    paper.tail.stage_twice(cost, paper.later(minutes=3))
    paper.booked(cost)
    paper.reconciled("duplicate-staging-row")


@fault("A2 lines duplicated by overlapping import runs", 10)
def imported_twice(paper: Paper) -> None:
    """Two runs of Import from staging make two lines of one actual; both are posted."""
    cost = paper.staged(paper.actual(paper.approved()))
    again = replace(cost, staging=paper.tail.stage_twice(cost, paper.later(minutes=3)))
    paper.booked(cost)
    paper.imported(again)
    paper.tail.post(again, paper.night(15), write_back=False)
    paper.reconciled("duplicate-journal-line", "duplicate-staging-row")


@fault("B32 retried POST creates duplicates: expenses", 8, of="expense")
def expense_twice(paper: ExpensePaper) -> None:
    """Dataverse has the expense twice; the first one is approved and made the actual."""
    cost = paper.cost()
    paper.expenses.export(paper.line, paper.at + timedelta(minutes=6), wrong=paper.owner)
    paper.booked(cost)
    paper.reconciled("duplicate-record")


@fault("R10 a transaction id given twice", 6, of="expense", brief=True)
def same_transaction_twice(paper: ExpensePaper) -> None:
    """Two lines with one id: the first keeps the record in Dataverse, the second stands without (decision 1)."""
    paper.cost()
    paper.misses_journal_line("not-imported")
    record = paper.tail.world.record_id("TrvExpTrans")
    twin = replace(paper.line, record=record, voucher=f"{paper.line.voucher}-B")
    paper.expenses.process(twin, paper.at + timedelta(minutes=1))
    first, paper.line = paper.line, replace(twin, transaction="")
    paper.misses_actual("not-synced-to-dataverse", "ambiguous-link")
    paper.line = first


@fault("A15 a row that Finance does not know", 6, of="expense", brief=True)
def orphan_in_dataverse(paper: ExpensePaper) -> None:
    """Finance rolled its posting back and dropped the line; Dataverse kept its expense. The paper itself goes well."""
    stray = replace(paper.line, transaction=f"{paper.line.company}-PO{paper.line.number:06d}")
    row = paper.expenses.export(stray, paper.at + timedelta(minutes=7), wrong=paper.owner).row
    paper.truth.strays.append(("orphan-in-dataverse", "msdyn_expense", row))
    paper.cost()
    paper.misses_journal_line("not-imported")


def _other_currency(paper: Paper) -> str:
    return "GBP" if paper.line.currency == "EUR" else "EUR"


def _foreign_actual(paper: Paper, worth: Decimal | None) -> Actual:
    """An actual in a currency unlike its document's, staged; `worth` is its accounting amount."""
    source, currency = paper.approved(), _other_currency(paper)
    amount = rounded(paper.line.amount * Decimal("0.9") + 1, currency)
    wrong: Columns = {"transactioncurrencyid": paper.tail.directory.lookup("transactioncurrency", currency)}
    actual = paper.actual(
        source, amount, wrong=wrong | ({} if worth is None else {"assumed_accountingamount": str(worth)})
    )
    actual.accounting = worth or actual.accounting
    return paper.staged(actual, wrong={"TransactionCurrencyId": currency})
