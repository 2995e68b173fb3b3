"""The story of one document line, step by step: what the stories of `faults` have in common.

Each story moves its document as far as it got and ends with its true outcome. The story states the outcome itself:
nothing here derives a position from rows.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from tieout.simulator import integration_journal as state
from tieout.simulator import invoices
from tieout.simulator.amounts import divided, rounded
from tieout.simulator.company_story import moment
from tieout.simulator.expenses import ExpenseLine, Expenses
from tieout.simulator.integration_account import POSTING_WITHOUT_DOCUMENT, IntegrationAccount
from tieout.simulator.integration_journal import Actual, ActualFlow, IntegrationJournal, Posting, SourceRecord
from tieout.simulator.invoices import Invoice, InvoiceLine, Invoices
from tieout.simulator.scenario import AmountParts, Columns, DocumentKind, Label
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
class OutcomeRecorder:
    """Records the true outcomes: each label at once, totals by company, and findings that belong to no document."""

    totals: dict[str, Totals]
    on_label: Callable[[Label], None]
    companies: tuple[str, ...]
    """Companies of the environment's settings; documents of others are excluded (R13)."""
    fault: str = ""
    taken_from: str = ""
    labels: int = 0
    row_findings: list[tuple[str, str, str]] = field(default_factory=list)
    """Code, entity and row id of each finding about a row that belongs to no document."""
    accounts: dict[str, IntegrationAccount] = field(init=False)
    """The integration accounts by company."""

    def __post_init__(self) -> None:
        """Open an account for each company."""
        self.accounts = {code: IntegrationAccount(code, totals.currency) for code, totals in self.totals.items()}

    def record(self, label: Label) -> None:
        """Record the label of one document."""
        self.labels += 1
        self.totals[label.company].add(label)
        self.accounts[label.company].add(label)
        self.on_label(label)

    def posted(self, postings: Iterable[Posting], part: str | None, kind: DocumentKind | None) -> None:
        """Record posted lines: of a document, or without a document in a part of their own."""
        for posting in postings:
            account = self.accounts[posting.company]
            account.ledger -= posting.amount
            if part is not None:
                account.add_posting(kind, part, posting.amount)

    def unsynced(self, company: str, amount: Decimal) -> None:
        """Record the amount, in accounting currency, of an actual that never reaches Finance."""
        self.totals[company].unsynced.add(amount)


class DocumentStory:
    """The story of one document line. A story may change `line` before the first step."""

    kind: DocumentKind

    def __init__(
        self, line: ExpenseLine | InvoiceLine, at: datetime, flow: ActualFlow, outcomes: OutcomeRecorder, chance: Random
    ) -> None:
        """`at` is the time of the posting in Finance."""
        self.line = line
        self.at = at
        self.flow = flow
        self.outcomes = outcomes
        self.chance = chance
        self.now = at + timedelta(seconds=46)
        self.booked: Decimal | None = None
        """What posting put on the account, if that is not the line's amount at its rate."""
        self.no_next_day = False
        """True for stories of the last days: no import run of a next morning."""

    # --- the way there: Finance, Dataverse ----------------------------------------------------------------------------

    def post(self, overrides: Columns | None = None) -> None:
        """Post the line in Finance; its cost is on the integration account."""
        raise NotImplementedError

    def export(self, *, overrides: Columns | None = None) -> SourceRecord:
        """Post the line and copy it to Dataverse."""
        raise NotImplementedError

    def approve(self, *, overrides: Columns | None = None) -> SourceRecord:
        """Post, copy, and approve or confirm the line."""
        raise NotImplementedError

    def cancel_in_dataverse(self) -> None:
        """Deactivate or cancel the record in Dataverse."""
        raise NotImplementedError

    # --- actuals and the way back -------------------------------------------------------------------------------------

    def advance(self, **time: int) -> datetime:
        """Advance the story's clock and return it."""
        self.now += timedelta(**time)
        return self.now

    def create_actual(
        self, source: SourceRecord | None, amount: Decimal | None = None, *, overrides: Columns | None = None
    ) -> Actual:
        """Create a cost actual in Dataverse only, by default of the whole line."""
        return self.flow.actual(self.line, source, self.advance(seconds=6), amount=amount, overrides=overrides or {})

    def stage(self, actual: Actual, *, overrides: Columns | None = None) -> Actual:
        """Copy an actual into Finance's staging table."""
        self.flow.stage(actual, self.advance(seconds=8), overrides=overrides or {})
        return actual

    def create_staged_cost(self, amount: Decimal | None = None) -> Actual:
        """Take every step up to the staging row; half of the documents have a sales actual as well."""
        source = self.approve()
        actual = self.create_actual(source, amount)
        if self.chance.random() < 0.5:
            sales = self.flow.unbilled_sales(actual, source, self.advance(seconds=2))
            self.advance(seconds=3)
            self.stage(sales)
            if not self.no_next_day and self.chance.random() < 0.5:
                self.import_and_post(sales)
        return self.stage(actual)

    def leave_unsynced(self, actual: Actual) -> None:
        """Record that an actual never reaches Finance."""
        self.outcomes.unsynced(self.line.company, actual.accounting)

    def hour_after(self, hour: int, days: int = 1) -> datetime:
        """Return an hour of the day that is `days` after the posting."""
        return moment(self.at.date() + timedelta(days=days), hour)

    def import_and_post(self, *actuals: Actual, days: int = 1, overrides: Columns | None = None) -> None:
        """Import and post actuals in the runs of the next morning."""
        night = self.hour_after(2, days)
        for actual in actuals:
            self.flow.import_and_post(actual, night, night + timedelta(hours=7), overrides=overrides or {})

    def import_line(
        self, actual: Actual, *, event_sent: bool = True, overrides: Columns | None = None
    ) -> IntegrationJournal:
        """Import an actual the next night, into a journal of its own; its line is a draft."""
        night = self.hour_after(3)
        journal = self.flow.journal(self.line.company, night)
        self.flow.import_line(actual, journal, night + 5 * _SECOND, event_sent=event_sent, overrides=overrides or {})
        return journal

    def leave_at_status(self, actual: Actual, status: int) -> str:
        """Import an actual; its line does not get beyond `status`. Returns the cause."""
        journal = self.import_line(actual)
        if status != state.DRAFT:
            morning = self.hour_after(9)
            self.flow.set_status(actual, status, morning)
            columns: Columns = {"Status": JOURNAL_STATES.get(status, state.ERROR)}
            self.flow.recorder.finance_changed(
                "ProjAdvancedJournal", journal.record, morning + _SECOND, columns, self.line.company
            )
        return STATE_NAMES[status]

    # --- the outcome --------------------------------------------------------------------------------------------------

    def reconciled(self, *findings: str, posted: Decimal | None = None) -> None:
        """End with all actuals posted: the whole amount unless `posted` is given."""
        amount = self.line.amount if posted is None else posted
        self.record_outcome("reconciled", reconciled=amount, findings=findings)

    def misses_actual(self, cause: str, *findings: str) -> None:
        """End with the whole amount missing its actual."""
        self.record_outcome("missing-actual", cause=cause, missing_actual=self.line.amount, findings=findings)

    def misses_journal_line(self, cause: str, *findings: str) -> None:
        """End with the whole amount missing its posted journal line."""
        self.record_outcome(
            "missing-journal-line", cause=cause, missing_journal_line=self.line.amount, findings=findings
        )

    def excluded(self, reason: str) -> None:
        """End with the document excluded, with the reason. What is known precedes that the project is not (R13)."""
        if reason == "project-unknown" and self.line.company not in self.outcomes.companies:
            reason = "other-company"
        self.record_outcome("excluded", excluded=reason)

    def leave_posting(self, part: str, *, account_known: bool = True) -> None:
        """State that the line posted last is counted by no document, and the part that it is in.

        `account_known` is False if nothing says whether it is that of expenses or of vendor invoices.
        """
        self.outcomes.posted([self.flow.postings.pop()], part, self.kind if account_known else None)

    def record_outcome(
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
        """Record the true outcome; the difference is the amount less the three parts.

        The document counts the lines posted since the last outcome; one that is outside the account counts none.
        """
        line, none = self.line, rounded(Decimal(0), self.line.currency)
        if position not in ("excluded", "not-posted") and line.company not in self.outcomes.companies:
            position, cause, excluded = "excluded", None, "other-company"
            missing_actual = missing_journal_line = reconciled = None
        shares = [none if part is None else part for part in (missing_actual, missing_journal_line, reconciled)]
        if position in ("excluded", "not-posted") or not computable:
            shares.append(none)
        else:
            shares.append(line.amount - sum(shares, none))
        counted, in_account = self._posted(), position not in ("excluded", "not-posted")
        self.outcomes.posted(counted, None if in_account else POSTING_WITHOUT_DOCUMENT, self.kind)
        accounting, nothing = self._in_accounting(shares), rounded(Decimal(0), line.accounting_currency)
        self.outcomes.record(
            Label(
                document=f"{line.company}/{line.transaction or line.record}",
                company=line.company,
                kind=self.kind,
                position=position,
                date=line.date,
                currency=line.currency,
                parts=AmountParts(line.amount, *shares),
                accounting_currency=line.accounting_currency,
                accounting_parts=accounting,
                excluded=excluded,
                cause=cause,
                findings=tuple(sorted(findings)),
                fault=self.outcomes.fault,
                taken_from=self.outcomes.taken_from,
                computable=computable,
                booked=accounting.amount if in_account else nothing,
                cleared=sum((posting.amount for posting in counted), nothing) if in_account else nothing,
            )
        )

    def _posted(self) -> list[Posting]:
        """Take the lines that were posted and are in no part yet; all are of the document's company."""
        taken, self.flow.postings = self.flow.postings, []
        if any(posting.company != self.line.company for posting in taken):
            raise ValueError(f"{self.outcomes.fault} does not say in which part a line posted elsewhere is")
        return taken

    def _in_accounting(self, shares: Sequence[Decimal]) -> AmountParts:
        """Return the parts in accounting currency. An amount of 0 has no proportions: its parts use the rate (R14)."""
        line = self.line
        total = line.accounting(line.amount) if self.booked is None else self.booked
        if not any(shares):
            none = rounded(Decimal(0), line.accounting_currency)
            return AmountParts(total, none, none, none, none)
        if line.amount:
            return AmountParts(total, *divided(total, shares, line.amount, line.accounting_currency))
        missing_actual, missing_line, reconciled = (line.accounting(share) for share in shares[:3])
        rest = total - missing_actual - missing_line - reconciled
        return AmountParts(total, missing_actual, missing_line, reconciled, rest)


class ExpenseStory(DocumentStory):
    """The story of an expense line."""

    kind = "expense"
    line: ExpenseLine

    def __init__(
        self, line: ExpenseLine, at: datetime, flow: ActualFlow, outcomes: OutcomeRecorder, chance: Random
    ) -> None:
        super().__init__(line, at, flow, outcomes, chance)
        self.expenses = Expenses(flow)

    def post(self, overrides: Columns | None = None) -> None:
        """Post the expense in Finance. `overrides` replace columns of its row."""
        self.expenses.process(self.line, self.at, overrides)

    def export(
        self, *, overrides: Columns | None = None, posted: bool = True, external_id: str | None = None
    ) -> SourceRecord:
        """Copy the expense to Dataverse, after posting it if `posted`. Returns its record there."""
        if posted:
            self.post()
        variant = self.chance.randrange(6)
        scoped = not self.line.transaction.startswith(self.line.company)
        return self.expenses.export(
            self.line,
            self.at + _EXPORTED,
            external_id=external_id or self.line.transaction or str(self.line.record),
            # A record without a company is matched by its id, which then belongs to one company only.
            names_company=variant < 2,
            lookup=variant % 3 != 2,
            origin=variant % 3 != 0,
            overrides=(self.owner if scoped or variant < 4 else {}) | (overrides or {}),
        )

    @property
    def owner(self) -> Columns:
        """Column with the company of the record in Dataverse."""
        return {"assumed_owningcompany": self.flow.reference_ids.lookup("cdm_company", self.line.company, named=True)}

    def approve(self, *, overrides: Columns | None = None, external_id: str | None = None) -> SourceRecord:
        """Export the expense, and approve its record in Dataverse."""
        source = self.export(overrides=overrides, external_id=external_id)
        self.expenses.decide(source, self.at + _DECIDED)
        return source

    def cancel_in_dataverse(self) -> None:
        """Export the expense, and deactivate its record in Dataverse."""
        self.expenses.deactivate(self.export(), self.at + timedelta(minutes=6))


class InvoiceStory(DocumentStory):
    """The story of a posted vendor invoice line; its steps are those of the whole invoice, taken once."""

    kind = "vendor-invoice-line"
    line: InvoiceLine

    def __init__(
        self,
        line: InvoiceLine,
        at: datetime,
        flow: ActualFlow,
        outcomes: OutcomeRecorder,
        chance: Random,
        invoice: "InvoiceProgress",
    ) -> None:
        """Add the line to its invoice."""
        super().__init__(line, at, flow, outcomes, chance)
        self.invoice = invoice
        invoice.stories.append(self)
        self.now += timedelta(seconds=10 + 60 * line.line_number)

    def post(self, overrides: Columns | None = None) -> None:
        """Post the invoice in Finance."""
        self.invoice.post(self.at, overrides)

    def export(self, *, overrides: Columns | None = None) -> SourceRecord:
        """Copy the invoice to Dataverse. Returns the record of this line."""
        return self.invoice.export(self.at)[self.line.line_number - 1]

    def approve(self, *, overrides: Columns | None = None) -> SourceRecord:
        """Confirm the invoice in Dataverse. Returns the record of this line."""
        return self.invoice.confirm(self.at)[self.line.line_number - 1]

    def cancel_in_dataverse(self) -> None:
        """Cancel the invoice in Dataverse."""
        self.invoice.stop(self.at, invoices.CANCELED)


class InvoiceProgress:
    """An invoice while its lines are processed: the first line that takes a step takes it for all lines."""

    def __init__(self, number: str, vendor: str, voucher: str, flow: ActualFlow, *, automatic: bool = True) -> None:
        """Start an invoice that has not been entered yet."""
        self.number, self.vendor, self.voucher = number, vendor, voucher
        self.automatic = automatic
        self.flow = flow
        self.invoices = Invoices(flow)
        self.stories: list[InvoiceStory] = []
        self.header = ""
        self._posted = False
        self._sources: list[SourceRecord] = []
        self._state: int | None = None
        self._lost = 0

    @property
    def rows(self) -> Invoice:
        """Number and lines as they are entered."""
        return Invoice(self.number, self.vendor, self.voucher, tuple(story.line for story in self.stories))

    def post(self, at: datetime, overrides: Columns | None = None) -> None:
        """Enter and post the invoice in Finance; one in five keeps its pending rows."""
        if not self._posted:
            self._posted = True
            self.invoices.process(
                self.rows, at, keep_pending=self.stories[0].chance.random() < 0.2, overrides=overrides
            )

    def post_without_pending(self, at: datetime) -> None:
        """Post the invoice in Finance; its pending rows send no events."""
        self._posted = True
        self.invoices.post(self.rows, at)

    def export(self, at: datetime) -> list[SourceRecord]:
        """Copy the invoice to Dataverse; return its lines there."""
        self.post(at)
        if not self._sources:
            variant = self.stories[0].chance.randrange(3)
            self.header, self._sources = self.invoices.export(
                self.rows, at + _EXPORTED, automatic=self.automatic, lookup=variant != 2, origin=variant != 0
            )
        return self._sources

    def loses_line(self) -> bool:
        """Record that a line was deleted in Dataverse; return True if it was the last one."""
        self._lost += 1
        return self._lost == len(self.stories)

    def confirm(self, at: datetime) -> list[SourceRecord]:
        """Confirm the invoice in Dataverse."""
        sources = self.export(at)
        self.stop(at, invoices.CONFIRMED)
        return sources

    def stop(self, at: datetime, status: int) -> None:
        """Move the invoice to a status in Dataverse and no further."""
        self.export(at)
        if self._state is None:
            self._state = status
            if status != invoices.DRAFT:
                self.invoices.set_state(self.header, invoices.IN_PROCESS, at + timedelta(seconds=25))
            if status not in (invoices.DRAFT, invoices.IN_PROCESS):
                self.invoices.set_state(self.header, status, at + _DECIDED)
