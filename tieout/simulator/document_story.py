"""A document line on its way, told step by step: what the stories of `faults` have in common.

Each story moves a paper as far as its document got and ends with its true outcome. The outcome is the story's own
word: nothing here works out a position from rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from tieout.simulator import integration_journal as state
from tieout.simulator import invoices
from tieout.simulator.amounts import divided, rounded
from tieout.simulator.company_story import moment
from tieout.simulator.expenses import ExpenseLine, Expenses
from tieout.simulator.integration_journal import Actual, Journal, Source, Tail
from tieout.simulator.invoices import Invoice, InvoiceLine, Invoices
from tieout.simulator.scenario import Columns, Kind, Label, Parts
from tieout.simulator.totals import Totals

_EXPORTED = timedelta(seconds=4)
_DECIDED = timedelta(seconds=40)
_SECOND = timedelta(seconds=1)

JOURNAL_STATES = {state.DRAFT: state.DRAFT, state.PROCESSING: state.PROCESSING}
STATE_NAMES = {
    state.DRAFT: "draft",
    state.ERROR: "error",
    state.PROCESSING: "processing",
    state.UNRECOVERABLE: "unrecoverable",
    state.INVALID: "invalid-actual",
}


@dataclass(slots=True)
class Truth:
    """Takes down the true outcomes: each label at once, totals by company, and findings that belong to no document."""

    totals: dict[str, Totals]
    on_label: Callable[[Label], None]
    companies: tuple[str, ...]
    """Those of the environment's settings; documents of others are excluded (R13)."""
    fault: str = ""
    taken_from: str = ""
    labels: int = 0
    strays: list[tuple[str, str, str]] = field(default_factory=list)
    """Code, entity and row id of each finding about a row that belongs to no document."""

    def told(self, label: Label) -> None:
        """One document more."""
        self.labels += 1
        self.totals[label.company].add(label)
        self.on_label(label)

    def unsynced(self, company: str, amount: Decimal) -> None:
        """An actual that never reaches Finance, with its amount in accounting currency."""
        self.totals[company].unsynced.add(amount)


class Paper:
    """A document line. Its story may change `line` before the first step."""

    kind: Kind

    def __init__(self, line: ExpenseLine | InvoiceLine, at: datetime, tail: Tail, truth: Truth, chance: Random) -> None:
        """`at` is when it is posted in Finance."""
        self.line = line
        self.at = at
        self.tail = tail
        self.truth = truth
        self.chance = chance
        self.now = at + timedelta(seconds=46)
        self.hurried = False
        """Told of the last days: there is no next morning."""

    # --- the way there: Finance, Dataverse ----------------------------------------------------------------------------

    def posted(self, wrong: Columns | None = None) -> None:
        """The line is posted in Finance; its cost is on the integration account."""
        raise NotImplementedError

    def exported(self, *, wrong: Columns | None = None) -> Source:
        """Posted, and copied to Dataverse."""
        raise NotImplementedError

    def approved(self, *, wrong: Columns | None = None) -> Source:
        """Posted, copied, and approved or confirmed."""
        raise NotImplementedError

    def cancelled_in_dataverse(self) -> None:
        """The record in Dataverse is no longer active."""
        raise NotImplementedError

    # --- actuals and the way back -------------------------------------------------------------------------------------

    def later(self, **time: int) -> datetime:
        """Let time pass."""
        self.now += timedelta(**time)
        return self.now

    def actual(self, source: Source | None, amount: Decimal | None = None, *, wrong: Columns | None = None) -> Actual:
        """A cost actual, by default of the whole line, still in Dataverse alone."""
        return self.tail.actual(self.line, source, self.later(seconds=6), amount=amount, wrong=wrong or {})

    def staged(self, actual: Actual, *, wrong: Columns | None = None) -> Actual:
        """Copy an actual into Finance's staging table."""
        self.tail.stage(actual, self.later(seconds=8), wrong=wrong or {})
        return actual

    def cost(self, amount: Decimal | None = None) -> Actual:
        """Everything up to the staging row; every second document has a sales side as well."""
        source = self.approved()
        actual = self.actual(source, amount)
        if self.chance.random() < 0.5:
            sales = self.tail.unbilled_sales(actual, source, self.later(seconds=2))
            self.later(seconds=3)
            self.staged(sales)
            if not self.hurried and self.chance.random() < 0.5:
                self.booked(sales)
        return self.staged(actual)

    def lost(self, actual: Actual) -> None:
        """An actual that never reaches Finance."""
        self.truth.unsynced(self.line.company, actual.accounting)

    def night(self, hour: int, days: int = 1) -> datetime:
        """An hour after the posting's day."""
        return moment(self.at.date() + timedelta(days=days), hour)

    def booked(self, *actuals: Actual, days: int = 1, wrong: Columns | None = None) -> None:
        """Import and post actuals in the runs of the next morning."""
        night = self.night(2, days)
        for actual in actuals:
            self.tail.book(actual, night, night + timedelta(hours=7), wrong=wrong or {})

    def imported(self, actual: Actual, *, seen: bool = True, wrong: Columns | None = None) -> Journal:
        """Import an actual the next night, into a journal of its own; its line is a draft."""
        night = self.night(3)
        journal = self.tail.journal(self.line.company, night)
        self.tail.import_line(actual, journal, night + 5 * _SECOND, seen=seen, wrong=wrong or {})
        return journal

    def stuck(self, actual: Actual, status: int) -> str:
        """Import an actual; its line gets no further than a state. Returns the cause."""
        journal = self.imported(actual)
        if status != state.DRAFT:
            morning = self.night(9)
            self.tail.set_status(actual, status, morning)
            columns: Columns = {"Status": JOURNAL_STATES.get(status, state.ERROR)}
            self.tail.world.finance(
                "ProjAdvancedJournal", journal.record, morning + _SECOND, columns, self.line.company
            )
        return STATE_NAMES[status]

    # --- the outcome --------------------------------------------------------------------------------------------------

    def reconciled(self, *findings: str, posted: Decimal | None = None) -> None:
        """All actuals are posted: together the whole amount, unless told otherwise."""
        amount = self.line.amount if posted is None else posted
        self.outcome("reconciled", reconciled=amount, findings=findings)

    def misses_actual(self, cause: str, *findings: str) -> None:
        """The whole amount misses its actual."""
        self.outcome("missing-actual", cause=cause, missing_actual=self.line.amount, findings=findings)

    def misses_journal_line(self, cause: str, *findings: str) -> None:
        """The whole amount misses its posted journal line."""
        self.outcome("missing-journal-line", cause=cause, missing_journal_line=self.line.amount, findings=findings)

    def excluded(self, reason: str) -> None:
        """The document takes no part, for a reason."""
        self.outcome("excluded", excluded=reason)

    def outcome(
        self,
        position: str,
        *,
        cause: str | None = None,
        excluded: str | None = None,
        missing_actual: Decimal | None = None,
        missing_journal_line: Decimal | None = None,
        reconciled: Decimal | None = None,
        findings: Sequence[str] = (),
        computable: bool = True,
    ) -> None:
        """Write down how the document really stands; what the three parts leave of the amount is the difference."""
        line, none = self.line, rounded(Decimal(0), self.line.currency)
        if position not in ("excluded", "not-posted") and line.company not in self.truth.companies:
            position, cause, excluded = "excluded", None, "other-company"
            missing_actual = missing_journal_line = reconciled = None
        shares = [none if part is None else part for part in (missing_actual, missing_journal_line, reconciled)]
        if position in ("excluded", "not-posted") or not computable:
            shares.append(none)
        else:
            shares.append(line.amount - sum(shares, none))
        self.truth.told(
            Label(
                document=f"{line.company}/{line.transaction or line.record}",
                company=line.company,
                kind=self.kind,
                position=position,
                date=line.date,
                currency=line.currency,
                parts=Parts(line.amount, *shares),
                accounting_currency=line.accounting_currency,
                accounting_parts=self._in_accounting(shares),
                excluded=excluded,
                cause=cause,
                findings=tuple(sorted(findings)),
                fault=self.truth.fault,
                taken_from=self.truth.taken_from,
                computable=computable,
            )
        )

    def _in_accounting(self, shares: Sequence[Decimal]) -> Parts:
        """The same in accounting currency. An amount of 0 has no proportions: its parts go by the rate (R14)."""
        line = self.line
        total = line.accounting(line.amount)
        if not any(shares):
            none = rounded(Decimal(0), line.accounting_currency)
            return Parts(total, none, none, none, none)
        if line.amount:
            return Parts(total, *divided(total, shares, line.amount, line.accounting_currency))
        missing_actual, missing_line, reconciled = (line.accounting(share) for share in shares[:3])
        rest = total - missing_actual - missing_line - reconciled
        return Parts(total, missing_actual, missing_line, reconciled, rest)


class ExpensePaper(Paper):
    """An expense line."""

    kind = "expense"
    line: ExpenseLine

    def __init__(self, line: ExpenseLine, at: datetime, tail: Tail, truth: Truth, chance: Random) -> None:
        """Take part in a play."""
        super().__init__(line, at, tail, truth, chance)
        self.expenses = Expenses(tail)

    def posted(self, wrong: Columns | None = None) -> None:
        self.expenses.process(self.line, self.at, wrong)

    def exported(self, *, wrong: Columns | None = None, posted: bool = True, external_id: str | None = None) -> Source:
        if posted:
            self.posted()
        how = self.chance.randrange(6)
        scoped = not self.line.transaction.startswith(self.line.company)
        return self.expenses.export(
            self.line,
            self.at + _EXPORTED,
            external_id=external_id or self.line.transaction or str(self.line.record),
            # One that knows no company is found by its id, which then is of one company alone.
            says_company=how < 2,
            lookup=how % 3 != 2,
            origin=how % 3 != 0,
            wrong=(self.owner if scoped or how < 4 else {}) | (wrong or {}),
        )

    @property
    def owner(self) -> Columns:
        """The company, as a record in Dataverse says it."""
        return {"assumed_owningcompany": self.tail.directory.lookup("cdm_company", self.line.company, named=True)}

    def approved(self, *, wrong: Columns | None = None, external_id: str | None = None) -> Source:
        source = self.exported(wrong=wrong, external_id=external_id)
        self.expenses.decide(source, self.at + _DECIDED)
        return source

    def cancelled_in_dataverse(self) -> None:
        self.expenses.deactivate(self.exported(), self.at + timedelta(minutes=6))


class InvoicePaper(Paper):
    """A line of a posted vendor invoice; its steps are those of the whole invoice, taken once."""

    kind = "vendor-invoice-line"
    line: InvoiceLine

    def __init__(
        self, line: InvoiceLine, at: datetime, tail: Tail, truth: Truth, chance: Random, invoice: "InvoiceOnItsWay"
    ) -> None:
        """Take part in a play."""
        super().__init__(line, at, tail, truth, chance)
        self.invoice = invoice
        invoice.papers.append(self)
        self.now += timedelta(seconds=10 + 60 * line.line_number)

    def posted(self, wrong: Columns | None = None) -> None:
        self.invoice.post(self.at, wrong)

    def exported(self, *, wrong: Columns | None = None) -> Source:
        return self.invoice.export(self.at)[self.line.line_number - 1]

    def approved(self, *, wrong: Columns | None = None) -> Source:
        return self.invoice.confirm(self.at)[self.line.line_number - 1]

    def cancelled_in_dataverse(self) -> None:
        self.invoice.stop(self.at, invoices.CANCELED)


class InvoiceOnItsWay:
    """An invoice while its lines are told: whichever line takes a step first takes it for all."""

    def __init__(self, number: str, vendor: str, voucher: str, tail: Tail, *, automatic: bool = True) -> None:
        """An invoice that nobody has entered yet."""
        self.number, self.vendor, self.voucher = number, vendor, voucher
        self.automatic = automatic
        self.tail = tail
        self.book = Invoices(tail)
        self.papers: list[InvoicePaper] = []
        self.header = ""
        self._posted = False
        self._sources: list[Source] = []
        self._state: int | None = None

    @property
    def rows(self) -> Invoice:
        """Number and lines as they are entered."""
        return Invoice(self.number, self.vendor, self.voucher, tuple(paper.line for paper in self.papers))

    def post(self, at: datetime, wrong: Columns | None = None) -> None:
        """Enter and post it in Finance; the pending rows of some are kept."""
        if not self._posted:
            self._posted = True
            self.book.process(self.rows, at, keep_pending=self.papers[0].chance.random() < 0.2, wrong=wrong)

    def export(self, at: datetime) -> list[Source]:
        """Copy it to Dataverse."""
        self.post(at)
        if not self._sources:
            how = self.papers[0].chance.randrange(3)
            self.header, self._sources = self.book.export(
                self.rows, at + _EXPORTED, automatic=self.automatic, lookup=how != 2, origin=how != 0
            )
        return self._sources

    def confirm(self, at: datetime) -> list[Source]:
        """Confirm it there."""
        sources = self.export(at)
        self.stop(at, invoices.CONFIRMED)
        return sources

    def stop(self, at: datetime, status: int) -> None:
        """Let it come to a state in Dataverse and no further."""
        self.export(at)
        if self._state is None:
            self._state = status
            if status != invoices.DRAFT:
                self.book.set_state(self.header, invoices.IN_PROCESS, at + timedelta(seconds=25))
            if status not in (invoices.DRAFT, invoices.IN_PROCESS):
                self.book.set_state(self.header, status, at + _DECIDED)
