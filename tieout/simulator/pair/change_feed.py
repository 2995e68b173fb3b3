"""Rows and events of the pair: every change is recorded, applied to the tables, and sent.

The state of the pair follows from its events alone, so a consumer of all events knows the same state.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal

from tieout.simulator.company_story import CompanyScenario
from tieout.simulator.expenses import ExpenseLine, Expenses
from tieout.simulator.integration_journal import COST, Actual, DocumentLine
from tieout.simulator.invoice_proposals import InvoiceProposals
from tieout.simulator.invoices import Invoices
from tieout.simulator.pair.current_rows import SimulatedRow, SimulatedTables
from tieout.simulator.payloads import NativePayloads, staging_event
from tieout.simulator.scenario import Columns, SimulatedEvent

STAGING = "ProjCDSActualsImport"
_REFERENCE = {
    "transactioncurrency": "isocurrencycode",
    "cdm_company": "cdm_companycode",
    "msdyn_project": "assumed_projectnumber",
    "msdyn_transactioncategory": "msdyn_transactioncategorynumber",
}
"""Column of each reference table by which other tables refer to its rows."""


class ChangeFeed:
    """Rows and events of one pair. `now` is its clock; `sink` receives every event in the format of its system."""

    def __init__(
        self, scenario: CompanyScenario, now: Callable[[], datetime], sink: Callable[[SimulatedEvent], None]
    ) -> None:
        self.recorder, self.reference_ids, self.flow = scenario.recorder, scenario.reference_ids, scenario.flow
        self.expenses, self.invoices, self.proposals = (
            Expenses(scenario.flow),
            Invoices(scenario.flow),
            InvoiceProposals(scenario.flow),
        )
        self.tables = SimulatedTables()
        self._now = now
        self._sink = sink
        self._native = NativePayloads()
        self._latest = self.start_time()
        self.tables.apply_all(self.recorder.events())
        self.recorder.drain(forget=False)

    def start_time(self, rows: Iterable[SimulatedRow] = ()) -> datetime:
        """Return the start of a process that changes these rows: now, or after their last change."""
        at = self._now().replace(microsecond=0)
        for row in rows:
            touched = self.recorder.last_change(row.entity, row.id)
            if touched is not None:
                at = max(at, touched + timedelta(seconds=2))
        return at

    def flush(self) -> None:
        """Apply the recorded events in order and send them."""
        for at, _, event in sorted(self.recorder.drain(forget=False), key=lambda entry: entry[:2]):
            self._latest = max(self._latest, at)
            before, now = self.tables.apply(event)
            self._sink(self._sent(event, before, now))

    def _sent(self, event: SimulatedEvent, before: Columns | None, now: Columns) -> SimulatedEvent:
        if not event.value["type"].startswith("tieout.row"):
            return event
        if event.entity == STAGING:
            return staging_event(event, before, now)
        # Reference rows come as pages of an API in the large company; here every change is an event of its own.
        return event if event.entity in _REFERENCE else self._native.sent(event)

    def send_heartbeats(self) -> None:
        """Send the heartbeats of both systems, up to the latest event.

        The effects of a call have times some seconds after it and are sent at once; the heartbeats include them.
        """
        for event in self.recorder.heartbeats(max(self.start_time(), self._latest)):
            self._sink(event)

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, entity: str, row_id: str | None, columns: Columns) -> SimulatedRow:
        """Create a row of Dataverse, or change the row with this id."""
        row = self.tables.row(entity, row_id) if row_id else None
        at = self.start_time([row] if row else [])
        if row is None:
            row_id = row_id or self.recorder.guid(at)
            self.recorder.dataverse_created(entity, row_id, at, {"statecode": 0, "statuscode": 1, **columns})
            if entity in _REFERENCE:
                self.reference_ids.add(entity, str(columns[_REFERENCE[entity]]), row_id)
        else:
            row_id = row.id
            self.recorder.dataverse_updated(entity, row_id, at, columns)
        self.flush()
        written = self.tables.row(entity, row_id)
        assert written is not None
        return written

    def delete(self, entity: str, row_id: str) -> None:
        """Delete a row of Dataverse."""
        row = self.tables.row(entity, row_id)
        self.recorder.dataverse_deleted(entity, row_id, self.start_time([row] if row else []))
        self.flush()

    def change(self, row: SimulatedRow, columns: Columns) -> None:
        """Change a row of Finance, such as a period or a parameter."""
        self.recorder.finance_changed(row.entity, int(row.id), self.start_time([row]), columns, row.company)
        self.flush()

    # --- what rows mean -----------------------------------------------------------------------------------------------

    def reference(self, entity: str, code: str) -> SimulatedRow | None:
        """Return the reference row of Dataverse with a code; None while it is missing."""
        return self.tables.first(entity, _REFERENCE[entity], code)

    def accounting_currency(self, company: str) -> str:
        """Return the currency of a company's ledger."""
        entity = self.tables.first("CompanyInfo", "DataArea", company)
        ledger = self.ledger(company)
        return ledger.text("AccountingCurrency") if entity and ledger else "USD"

    def ledger(self, company: str) -> SimulatedRow | None:
        """Return the ledger of a company."""
        entity = self.tables.first("CompanyInfo", "DataArea", company)
        return self.tables.first("Ledger", "PrimaryForLegalEntity", entity.id) if entity else None

    def expense_line(self, row: SimulatedRow) -> ExpenseLine:
        """Return the expense line of a Finance row."""
        company = row.company or ""
        return ExpenseLine(
            record=int(row.id),
            number=0,
            transaction=row.text("ProjTransId"),
            voucher=row.text("Voucher"),
            date=date.fromisoformat(row.text("TransDate")),
            amount=Decimal(row.text("NetTransactionAmount") or row.text("AmountCurr")),
            category=row.text("CostType"),
            project=row.text("ProjId"),
            company=company,
            currency=row.text("ExchangeCode"),
            rate=Decimal(row.text("ExchangeRate") or "100"),
            accounting_currency=self.accounting_currency(company),
            charged_to=row.text("InterCompanyLE"),
        )

    def staged(self, actual: str) -> SimulatedRow | None:
        """Return the staging row of an actual."""
        return self.tables.first(STAGING, "ActualId", actual)

    def actual_of(self, staging: SimulatedRow) -> Actual:
        """Return the actual of a staging row, with the rows it has so far."""
        row = self.tables.row("msdyn_actual", staging.text("ActualId").strip("{}").lower())
        company = staging.company or ""
        line = DocumentLine(
            transaction="",
            date=date.fromisoformat(staging.text("AccountingDate")),
            amount=Decimal(staging.text("Amount")),
            category=staging.text("TransactionCategoryId"),
            project=staging.text("ProjectId"),
            company=company,
            currency=staging.text("TransactionCurrencyId"),
            rate=Decimal(staging.text("ExchangeRate") or "100"),
            accounting_currency=self.accounting_currency(company),
        )
        journal_line = self.tables.row("ProjAdvancedJournalLine", staging.text("ProjAdvancedJournalLine"))
        return Actual(
            row=row.id if row else staging.text("ActualId"),
            line=line,
            amount=line.amount,
            accounting=line.accounting(line.amount),
            kind=int(row.text("msdyn_transactiontypecode") or COST) if row else COST,
            staging=int(staging.id),
            journal_line=int(staging.text("ProjAdvancedJournalLine") or 0),
            voucher=journal_line.text("Voucher") if journal_line else "",
        )

    def cost_of(self, source: str) -> list[SimulatedRow]:
        """Return the cost actuals of a Dataverse record, including reversing and replacing ones."""
        actuals = {row.id: row for row in self.tables.where("msdyn_actual", "assumed_sourcedocument", source)}
        for origin in self.tables.where("msdyn_transactionorigin", "msdyn_origin", source):
            if created := self.tables.row("msdyn_actual", origin.text("msdyn_transaction")):
                actuals[created.id] = created
        for original in list(actuals):
            for connection in self.tables.where("msdyn_transactionconnection", "msdyn_transaction2", original):
                if connection.text("msdyn_transaction1role") in ("Reversing", "Replacing"):
                    later = self.tables.row("msdyn_actual", connection.text("msdyn_transaction1"))
                    if later:
                        actuals[later.id] = later
        return [row for row in actuals.values() if row.text("msdyn_transactiontypecode") == str(COST)]

    def report(self, stage: str, run: str, data: Columns, at: datetime) -> None:
        """Record a process message of Finance."""
        self.recorder.process_event(stage, at, {"run": run, **data})


def shown_date(day: date) -> str:
    """Format a date as in the documented messages of Finance."""
    return f"{day.month}/{day.day}/{day.year}"
