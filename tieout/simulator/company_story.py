"""State shared by the stories of the small company: its event recorder, its numbers and the true outcomes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from tieout.simulator import integration_journal as state
from tieout.simulator.event_recorder import EventRecorder
from tieout.simulator.expenses import ExpenseLine, Expenses
from tieout.simulator.integration_journal import Actual, ActualFlow, DocumentLine, SourceRecord
from tieout.simulator.invoices import InvoiceLine, Invoices
from tieout.simulator.reference import ReferenceIds
from tieout.simulator.scenario import ZERO, AmountParts, Columns, Label, Summary
from tieout.simulator.totals import summarise

_JOURNAL_STATES = {state.DRAFT: state.DRAFT, state.PROCESSING: state.PROCESSING}
_STUCK_CAUSES = {
    state.DRAFT: "draft",
    state.ERROR: "error",
    state.PROCESSING: "processing",
    state.UNRECOVERABLE: "unrecoverable",
    state.INVALID: "invalid-actual",
}


def money(amount: int | str) -> Decimal:
    """Return an amount with two decimals."""
    return Decimal(amount).quantize(state.CENT)


def cents(amount: int) -> Decimal:
    """Return an amount given in cents."""
    return Decimal(amount).scaleb(-2)


def moment(day: date, hour: int = 9, minute: int = 0) -> datetime:
    """Return a time of a day, in UTC."""
    return datetime.combine(day, time(hour, minute), UTC)


@dataclass(frozen=True, slots=True)
class StuckLine:
    """A journal line that did not get beyond a status: its journal and the time, regardless of what followed."""

    actual: Actual
    status: int
    journal: str
    at: datetime


@dataclass(slots=True)
class CompanyScenario:
    """One company while its year is simulated: events, processes and labels."""

    recorder: EventRecorder
    reference_ids: ReferenceIds
    company: str
    currency: str
    window: tuple[date, date]
    labels: list[Label] = field(default_factory=list)
    unsynced: list[Decimal] = field(default_factory=list)
    stuck: list[StuckLine] = field(default_factory=list)
    sales: list[Actual] = field(default_factory=list)
    """Unbilled sales actuals created by approvals."""
    flow: ActualFlow = field(init=False)
    expenses: Expenses = field(init=False)
    invoices: Invoices = field(init=False)

    def __post_init__(self) -> None:
        """Create the processes that write events."""
        self.flow = ActualFlow(self.recorder, self.reference_ids)
        self.expenses = Expenses(self.flow)
        self.invoices = Invoices(self.flow)

    def summary(self) -> Summary:
        """Return the totals of the company's window, from its labels."""
        return summarise(self.labels, self.company, self.currency, self.window, self.unsynced)

    def label(
        self,
        line: DocumentLine,
        position: str,
        *,
        cause: str | None = None,
        excluded: str | None = None,
        missing_actual: Decimal = ZERO,
        missing_journal_line: Decimal = ZERO,
        reconciled: Decimal = ZERO,
        difference: Decimal = ZERO,
    ) -> None:
        """Record the true outcome of a document."""
        parts = AmountParts(line.amount, missing_actual, missing_journal_line, reconciled, difference)
        accounting = AmountParts(*(line.accounting(getattr(parts, name)) for name in AmountParts.__slots__))
        record = line.record if isinstance(line, ExpenseLine | InvoiceLine) else ""
        self.labels.append(
            Label(
                document=f"{line.company}/{line.transaction or record}",
                company=line.company,
                kind="expense" if isinstance(line, ExpenseLine) else "vendor-invoice-line",
                position=position,
                date=line.date,
                currency=line.currency,
                parts=parts,
                accounting_currency=line.accounting_currency,
                accounting_parts=accounting,
                excluded=excluded,
                cause=cause,
            )
        )

    def reconciled(self, line: DocumentLine) -> None:
        """Record that the whole amount is posted."""
        self.label(line, "reconciled", reconciled=line.amount)

    def misses_actual(self, line: DocumentLine, cause: str) -> None:
        """Record that the whole amount misses its actual."""
        self.label(line, "missing-actual", cause=cause, missing_actual=line.amount)

    def misses_journal_line(self, line: DocumentLine, cause: str) -> None:
        """Record that the whole amount misses its posted journal line."""
        self.label(line, "missing-journal-line", cause=cause, missing_journal_line=line.amount)

    def excluded(self, line: DocumentLine, reason: str) -> None:
        """Record that the document is excluded, with the reason."""
        self.label(line, "excluded", excluded=reason)

    def approved_cost(
        self, line: DocumentLine, source: SourceRecord, at: datetime, *, sales: bool = False, stage: bool = True
    ) -> list[Actual]:
        """Create the cost actual of an approval, with `sales` also the sales actual.

        Unless `stage` is false they are staged a few seconds later.
        """
        actuals = [self.flow.actual(line, source, at)]
        if sales:
            actuals.append(self.flow.unbilled_sales(actuals[0], source, at + timedelta(seconds=2)))
            self.sales.append(actuals[1])
        if stage:
            self.stage(actuals, at + timedelta(seconds=8))
        return actuals

    def stage(self, actuals: Iterable[Actual], at: datetime) -> None:
        """Copy actuals into the staging table, one a second."""
        for number, actual in enumerate(actuals):
            self.flow.stage(actual, at + timedelta(seconds=number))

    def import_and_post(self, actuals: Iterable[Actual], at: datetime) -> None:
        """Import and post actuals in the runs of the next morning."""
        night = moment(at.date() + timedelta(days=1), 2)
        for actual in actuals:
            self.flow.import_and_post(actual, night, night + timedelta(hours=7))

    def stick(self, actual: Actual, status: int, at: datetime) -> str:
        """Import an actual the next night; its line does not get beyond `status`. Returns the cause."""
        night = moment(at.date() + timedelta(days=1), 3)
        journal = self.flow.journal(actual.line.company, night)
        self.flow.import_line(actual, journal, night + timedelta(seconds=5))
        self.stuck.append(StuckLine(actual, status, journal.number, night + timedelta(hours=6)))
        if status != state.DRAFT:
            self.flow.set_status(actual, status, night + timedelta(hours=6))
            columns: Columns = {"Status": _JOURNAL_STATES.get(status, state.ERROR)}
            later = night + timedelta(hours=6, seconds=5)
            self.recorder.finance_changed("ProjAdvancedJournal", journal.record, later, columns, actual.line.company)
        return _STUCK_CAUSES[status]
