"""Import from staging and the posting of integration journals, with the messages that Finance logs.

Each run reports its start, its messages and its end, as `tieout.process.*`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from tieout.simulator.event_recorder import random_guid, text_time
from tieout.simulator.integration_journal import DRAFT, ERROR, POSTED, IntegrationJournal
from tieout.simulator.invoice_proposals import checksum
from tieout.simulator.pair.change_feed import STAGING, ChangeFeed, shown_date
from tieout.simulator.pair.current_rows import SimulatedRow
from tieout.simulator.pair.ledger import LedgerBooks

IMPORT, POSTING = "import-from-staging", "integration-journal-posting"
_SECOND = timedelta(seconds=1)
_OPERATING, _OPEN = "1", "1"

NOT_POSTED = (
    "Project transaction hasn't been posted yet. Verify that you have posted all of the related integration journals "
    "and try again."
)
BILLED_MISMATCH = (
    "Invoice proposal wasn't processed because of mismatched billed sales actuals with Dataverse. Please try again "
    "later. Contact your administrator if issue still exists."
)


@dataclass(slots=True)
class SimulatedRun:
    """A run of a process: reports its start on creation, then its messages, then its end."""

    feed: ChangeFeed
    process: str
    company: str
    scope: tuple[str, ...]
    at: datetime
    id: str = ""
    failed: bool = False

    def __post_init__(self) -> None:
        self.id = random_guid(self.feed.recorder.chance)
        self._report("started", self.at)

    def message(self, text: str, subject: str) -> None:
        """Report an error of one subject; the run fails."""
        self.failed = True
        self.at += _SECOND
        self._report("message", self.at, {"subject": subject, "text": text})

    def end(self, at: datetime) -> None:
        """Report the end of the run; a run with a message has failed."""
        self._report("failed" if self.failed else "finished", max(at, self.at) + _SECOND)
        self.feed.flush()

    def _report(self, stage: str, at: datetime, more: Mapping[str, Any] | None = None) -> None:
        data = {"process": self.process, "company": self.company, "scope": list(self.scope), **(more or {})}
        self.feed.report(stage, self.id, data, at)


class JournalProcesses:
    """The two journal processes of Finance. The obstacles set here stay until they are cleared."""

    def __init__(self, feed: ChangeFeed, ledger: LedgerBooks) -> None:
        self.feed = feed
        self.ledger = ledger
        self.trading: set[tuple[str, str]] = set()
        """Pairs of companies, lending and borrowing, with an intercompany relationship."""
        self.refusals: dict[str, str] = {}
        """Reason by number of each project that refuses postings."""
        self.batch_server_stops = False
        """A run stops right after its start and reports nothing more."""

    def propose(self, number: str, unbilled: Sequence[SimulatedRow], *, lost: int = 0) -> list[str]:
        """Confirm the proforma invoice of these staging rows of unbilled sales.

        All billed sales except the last `lost` reach Finance. Returns the ids of the billed sales actuals.
        """
        sales = [self.feed.actual_of(row) for row in unbilled]
        rows = [row for actual in sales if (row := self.feed.tables.row("msdyn_actual", actual.row))]
        billed = self.feed.proposals.confirm(number, sales, self.feed.start_time(rows), lost=lost)
        self.feed.flush()
        return [actual.row for actual in billed]

    def import_from_staging(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Create a journal line for each staging row of a `company` that has none.

        Also creates the lines of its invoice proposals that are complete and posted.
        """
        company = str(parameters.get("company", "")).upper()
        rows = [row for row in self.feed.tables[STAGING].rows.values() if row.company == company and self._waits(row)]
        proposals = [row for row in self.feed.tables["ProjProposalJour"].rows.values() if _unmade(row, company)]
        at = self.feed.start_time([*rows, *proposals])
        run = SimulatedRun(self.feed, IMPORT, company, (), at)
        if self.batch_server_stops:
            self.feed.flush()
            return {}
        for proposal in proposals:
            self._make_lines(run, proposal, at)
        journal: IntegrationJournal | None = None
        for row in rows:
            if (owner := row.text("ProjectDataAreaId").upper()) != company and (company, owner) not in self.trading:
                run.message(_no_intercompany(row.text("ActualId"), company, owner), row.text("ActualId"))
                continue
            if journal is None or journal.lines >= self.feed.flow.lines_per_journal:
                journal = self.feed.flow.journal(company, at)
            at += 5 * _SECOND
            self.feed.flow.import_line(self.feed.actual_of(row), journal, at)
        run.end(at + _SECOND)
        return {}

    def _make_lines(self, run: SimulatedRun, proposal: SimulatedRow, at: datetime) -> None:
        """Create all lines of an invoice proposal, or none (`docs/domain/documents.md` §4, step 5)."""
        number = proposal.text("ProposalId")
        billed = self.feed.tables.where(STAGING, "InvoiceProposalId", number)
        actuals = [row.text("ActualId").strip("{}").lower() for row in billed]
        if checksum(actuals) != proposal.text("HashedListOfBillableSalesActualIds"):
            run.message(BILLED_MISMATCH, number)
        elif not all(self._is_posted(actual) for actual in actuals):
            run.message(NOT_POSTED, number)
        else:
            amount = sum((Decimal(row.text("Amount")) for row in billed), Decimal(0))
            self.feed.proposals.make_lines(int(proposal.id), run.company, amount, at)

    def _is_posted(self, billed: str) -> bool:
        """Return True if the unbilled sales of a billed actual have a voucher in Finance."""
        for connection in self.feed.tables.where("msdyn_transactionconnection", "msdyn_transaction1", billed):
            if connection.text("msdyn_transaction2role") == "Unbilled Sales":
                staged = self.feed.staged(connection.text("msdyn_transaction2"))
                return staged is not None and bool(staged.text("VoucherNumber"))
        return False

    def _waits(self, row: SimulatedRow) -> bool:
        """Return True if a row has no line, or a deleted one: legal before posting, and imported again."""
        if row.text("VoucherNumber") or row.text("IsDuplicate") == "1" or row.text("InvoiceProposalId"):
            return False
        line = row.text("ProjAdvancedJournalLine")
        return line in ("", "0") or line in self.feed.tables["ProjAdvancedJournalLine"].deleted

    def post(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Post the draft lines of a company's `journals`; of all journals with drafts when none is named."""
        company = str(parameters.get("company", "")).upper()
        numbers = {str(number) for number in parameters.get("journals") or ()}
        headers = [
            row
            for row in self.feed.tables["ProjAdvancedJournal"].rows.values()
            if row.company == company and (row.text("ProjAdvancedJournalId") in numbers or not numbers)
        ]
        drafts = {header.id: lines for header in headers if (lines := self._drafts(header))}
        headers = [header for header in headers if header.id in drafts]
        at = self.feed.start_time([*headers, *self._touched(line for lines in drafts.values() for line in lines)])
        scope = tuple(header.text("ProjAdvancedJournalId") for header in headers)
        run = SimulatedRun(self.feed, POSTING, company, scope, at)
        if self.batch_server_stops:
            self.feed.flush()
            return {}
        for header in headers:
            at = self._post_journal(run, header, drafts[header.id], at)
        run.end(at)
        posted = [line.id for own in drafts.values() for line in own]
        table = self.feed.tables["ProjAdvancedJournalLine"].rows
        self.ledger.post_lines([table[line] for line in posted])
        return {}

    def _drafts(self, header: SimulatedRow) -> list[SimulatedRow]:
        lines = self.feed.tables.where("ProjAdvancedJournalLine", "ProjAdvancedJournal", header.id)
        return [line for line in lines if line.text("Status") == str(DRAFT)]

    def _touched(self, lines: Any) -> list[SimulatedRow]:
        """The rows that the posting of lines changes."""
        rows = []
        for line in lines:
            rows.append(line)
            for staging in self.feed.tables.where(STAGING, "ProjAdvancedJournalLine", line.id):
                rows.append(staging)
                actual = self.feed.tables.row("msdyn_actual", staging.text("ActualId").strip("{}").lower())
                rows += [actual] if actual else []
        return rows

    def _post_journal(
        self, run: SimulatedRun, header: SimulatedRow, lines: list[SimulatedRow], at: datetime
    ) -> datetime:
        number, company = header.text("ProjAdvancedJournalId"), run.company
        failed = False
        for line in lines:
            at += 5 * _SECOND
            reason = self._why_not(run, line, number, at)
            if reason:
                failed = True
                run.message(_line_failed(number, line, reason), line.id)
                self.feed.recorder.finance_changed(line.entity, int(line.id), at + _SECOND, {"Status": ERROR}, company)
                continue
            for staging in self.feed.tables.where(STAGING, "ProjAdvancedJournalLine", line.id):
                self.feed.flow.post(self.feed.actual_of(staging), at + _SECOND)
        columns: dict[str, Any] = {"Status": ERROR if failed else POSTED}
        if not failed:
            columns |= {"PostedDateTime": text_time(at), "PostedUserId": "batch"}
        self.feed.recorder.finance_changed(header.entity, int(header.id), at + 5 * _SECOND, columns, company)
        return at + 6 * _SECOND

    def _why_not(self, run: SimulatedRun, line: SimulatedRow, number: str, at: datetime) -> str:
        """Return why a line cannot be posted; empty when it can, on another date if the parameters allow it."""
        if reason := self.refusals.get(line.text("ProjId")):
            return reason
        day = date.fromisoformat(line.text("AccountingDate"))
        periods = self._open_periods(run.company)
        if any(start <= day <= end for start, end in periods):
            return ""
        if not self._may_move(run.company):
            text = f"No open fiscal period was found for the specified accounting date {shown_date(day)}."
        else:
            later = [start for start, _ in sorted(periods) if start > day]
            if later:
                moved = {"AccountingDate": later[0].isoformat()}
                self.feed.recorder.finance_changed(line.entity, int(line.id), at, moved, run.company)
                return ""
            text = f"No open fiscal period was found in or after the specified accounting date {shown_date(day)}."
        run.message(text, number)
        return text.rstrip(".")

    def _may_move(self, company: str) -> bool:
        """Return the parameter Automatically set accounting date to open ledger period."""
        parameters = self.feed.tables["ProjParameters"].rows.values()
        return any(row.company == company and row.text("assumed_autosetaccountingdate") == "1" for row in parameters)

    def _open_periods(self, company: str) -> list[tuple[date, date]]:
        ledger = self.feed.ledger(company)
        open_periods = []
        for link in self.feed.tables.where("LedgerFiscalCalendarPeriod", "Ledger", ledger.id if ledger else ""):
            period = self.feed.tables.row("FiscalCalendarPeriod", link.text("FiscalCalendarPeriod"))
            if period and period.text("Type") == _OPERATING and link.text("Status") == _OPEN:
                bounds = date.fromisoformat(period.text("StartDate")), date.fromisoformat(period.text("EndDate"))
                open_periods.append(bounds)
        return open_periods


def _unmade(proposal: SimulatedRow, company: str) -> bool:
    """Return True if an invoice proposal of a company has no lines yet."""
    return proposal.company == company and not Decimal(proposal.text("InvoiceAmount"))


def _no_intercompany(actual: str, lending: str, borrowing: str) -> str:
    """Return Finance's message, which writes the guid in upper case and braces."""
    return (
        f"Unable to import actual {{{actual.strip('{}').upper()}}}. Intercompany relationship has to be set up between "
        f"legal entity {lending} and {borrowing} in Project Management and Accounting Parameters."
    )


def _line_failed(journal: str, line: SimulatedRow, reason: str) -> str:
    return (
        f"Integration journal ({journal}): Line with RecId ({line.id}) and Voucher ({line.text('Voucher')}) failed to "
        f"post due to ({reason})."
    )
