"""From a posted document to its actuals: re-export, approval, confirmation, and the transfer of actuals to Finance.

The actions and their refusals follow `docs/domain/documents.md` §1 and §2, simplified: system jobs run at once.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from tieout.simulator import expenses as status
from tieout.simulator import invoices as invoice_state
from tieout.simulator.integration_journal import EXPENSE, MATERIAL, Actual, DocumentLine, SourceRecord
from tieout.simulator.invoices import Invoice, InvoiceLine
from tieout.simulator.pair.change_feed import ChangeFeed
from tieout.simulator.pair.current_rows import SimulatedRow
from tieout.simulator.pair.odata import refused, refused_by_finance

_SECOND = timedelta(seconds=1)
_RULE = "0x80040265"
"""Error code of a refusal by a business rule."""


class DocumentProcesses:
    """Processes that advance documents. The obstacles set here stay until they are cleared."""

    def __init__(self, feed: ChangeFeed) -> None:
        self.feed = feed
        self.maps_stopped = False
        """Dual-write is not running: nothing is copied between the systems."""
        self.approval_stopped = False
        """The system jobs of Dataverse that approve and confirm are not running."""

    # --- Finance to Dataverse -----------------------------------------------------------------------------------------

    def export(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Write a posted document to Dataverse again, as its posting did: by `company`, `table` and `recId`.

        An existing record is submitted again instead of duplicated. Raises `Refused` while the obstacle remains.
        """
        table, record = str(parameters.get("table")), str(parameters.get("recId"))
        row = self.feed.tables.row(table, record) if table in ("TrvExpTrans", "VendInvoiceTrans") else None
        if row is None or (row.company or "").lower() != str(parameters.get("company", "")).lower():
            raise refused_by_finance(400, f"There is no row {record} in {table} of this company.")
        if self.maps_stopped:
            raise refused_by_finance(400, "The entity map is not running: start it, then export again.")
        return self._export_expense(row) if table == "TrvExpTrans" else self._export_invoice(row)

    def _export_expense(self, row: SimulatedRow) -> dict[str, Any]:
        feed, line = self.feed, self.feed.expense_line(row)
        if not line.voucher and row.text("ApprovalStatus") != str(status.LEDGER):
            raise refused_by_finance(400, f"Expense {line.transaction or line.record} is not posted.")
        self._check_references(line)
        external = line.transaction or str(line.record)
        existing = self._of_company(feed.tables.where("msdyn_expense", "assumed_externalexpenseid", external), line)
        if existing is None:
            at = feed.start_time()
            expense = feed.expenses.export(line, at).row
        else:
            at, expense = feed.start_time([existing]), existing.id
            columns = {"statecode": 0, "statuscode": 867380002, "msdyn_expensestatus": status.DV_SUBMITTED}
            if existing.text("msdyn_expensestatus") == str(status.DV_APPROVED) and existing.text("statecode") != "1":
                columns = {"statecode": 0}
            feed.recorder.dataverse_updated("msdyn_expense", expense, at, columns)
        feed.flush()
        self._approve(self._record("msdyn_expense", expense), at + 20 * _SECOND)
        return {"record": expense}

    def _of_company(self, rows: list[SimulatedRow], line: DocumentLine) -> SimulatedRow | None:
        """Return the row of a line's company; a record without a company matches any company."""
        company = self.feed.reference("cdm_company", line.company)
        for row in rows:
            owner = row.lookup("assumed_owningcompany")
            if not owner or (company and owner == company.id):
                return row
        return None

    def _check_references(self, line: DocumentLine) -> None:
        """Raise `Refused` unless a document's references exist in Dataverse.

        Source: `resource-dual-write-frequent-issues`.
        """
        if not line.project:
            raise refused_by_finance(400, "The line has no project; it is not exported.")
        if self.feed.reference("transactioncurrency", line.currency) is None:
            raise refused_by_finance(400, f"Currency {line.currency} does not exist in Dataverse.")
        if self.feed.reference("msdyn_project", line.project) is None:
            raise refused_by_finance(400, f"Could not resolve project {line.project} for export.")
        if self.feed.reference("msdyn_transactioncategory", line.category) is None:
            raise refused_by_finance(400, f"The transaction category {line.category} is invalid.")

    def _export_invoice(self, row: SimulatedRow) -> dict[str, Any]:
        feed, invoice = self.feed, self._invoice(row)
        lines = [line for line in invoice.lines if line.transaction]
        if not lines:
            raise refused_by_finance(400, f"Invoice {invoice.number} has no line with a project; it is not exported.")
        for line in lines:
            self._check_references(line)
        header = next(
            (
                found
                for found in feed.tables.where(
                    "msdyn_projectvendorinvoice", "msdyn_vendorinvoicenumber", invoice.number
                )
                if self._vendor(found) == invoice.vendor
            ),
            None,
        )
        if header is None:
            at = feed.start_time()
            header_id = feed.invoices.export_header(invoice, at)
        else:
            at, header_id = feed.start_time([header]), header.id
            again = header.text("statuscode") == str(invoice_state.CANCELED)
            columns = {"statuscode": invoice_state.DRAFT} if again else {"msdyn_hasexternalorigin": True}
            feed.recorder.dataverse_updated("msdyn_projectvendorinvoice", header_id, at, columns)
        for number, line in enumerate(lines, start=1):
            if not feed.tables.where("msdyn_projectvendorinvoiceline", "msdyn_externalinvoiceline", line.transaction):
                feed.invoices.export_line(invoice, line, header_id, at + number * _SECOND)
        feed.flush()
        at += (len(lines) + 20) * _SECOND
        written = self._record("msdyn_projectvendorinvoice", header_id)
        if written.columns.get("msdyn_enableautomaticconfirmation"):
            self._confirm(written, at)
        return {"record": header_id}

    def _vendor(self, header: SimulatedRow) -> str:
        vendor = header.columns.get("msdyn_vendor")
        return str(vendor["name"]) if isinstance(vendor, dict) else ""

    def _invoice(self, posted: SimulatedRow) -> Invoice:
        """Return the posted invoice of a line, with all its lines."""
        tables, company = self.feed.tables, posted.company or ""

        def same(row: SimulatedRow) -> bool:
            return row.company == company and row.text("InvoiceDate") == posted.text("InvoiceDate")

        number = posted.text("InvoiceId")
        (journal, *_) = [row for row in tables.where("VendInvoiceJour", "InvoiceId", number) if same(row)]
        rows = [row for row in tables.where("VendInvoiceTrans", "InvoiceId", number) if same(row)]
        rate = Decimal(journal.text("ExchRate") or "100")
        lines = tuple(self._invoice_line(row, rate) for row in sorted(rows, key=lambda row: int(row.id)))
        return Invoice(number, journal.text("InvoiceAccount"), journal.text("LedgerVoucher"), lines)

    def _invoice_line(self, row: SimulatedRow, rate: Decimal) -> InvoiceLine:
        extension = self.extension(row)
        company = row.company or ""
        return InvoiceLine(
            record=int(row.id),
            line_number=int(Decimal(row.text("LineNum") or "1")),
            source_line=int(row.text("SourceDocumentLine") or 0),
            transaction=extension.text("ProjTransId") if extension else "",
            date=date.fromisoformat(row.text("InvoiceDate")),
            amount=Decimal(row.text("LineAmount")),
            category=extension.text("ProjCategoryId") if extension else "",
            project=extension.text("ProjId") if extension else "",
            project_company=extension.text("ProjDataAreaId") if extension else company,
            company=company,
            currency=row.text("CurrencyCode"),
            rate=rate,
            accounting_currency=self.feed.accounting_currency(company),
        )

    def extension(self, row: SimulatedRow) -> SimulatedRow | None:
        """Return the project extension of the pending line behind a posted line; often deleted by then."""
        pending, extensions = self._ever("VendInvoiceInfoLine"), self._ever("VendInvoiceInfoLine_Project")
        source = row.text("SourceDocumentLine")
        for line in pending:
            if line.text("SourceDocumentLine") == source:
                for extension in extensions:
                    if extension.text("VendInvoiceInfoLineRefRecId") == line.id:
                        return extension
        return None

    def _ever(self, entity: str) -> list[SimulatedRow]:
        table = self.feed.tables[entity]
        return [*table.rows.values(), *table.deleted.values()]

    # --- approval and confirmation ------------------------------------------------------------------------------------

    def approve(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Run the automatic approval of an `expense` again. Raises `Refused` for a rejected or recalled one."""
        row = self._record("msdyn_expense", str(parameters.get("expense")))
        self._approve(row, self.feed.start_time([row]))
        return {}

    def _approve(self, row: SimulatedRow, at: datetime) -> None:
        if row.text("statecode") == "1":
            raise refused(400, _RULE, "The expense is inactive.")
        if row.text("msdyn_expensestatus") in (str(status.DV_REJECTED), str(status.DV_RECALL)):
            raise refused(400, _RULE, "The expense was rejected or recalled: it must be submitted again.")
        if self.approval_stopped:
            return
        source = SourceRecord("msdyn_expense", row.id, EXPENSE)
        if row.text("msdyn_expensestatus") != str(status.DV_APPROVED):
            self.feed.expenses.decide(source, at)
        posted = self._posted_expense(row)
        if posted is not None:
            self._make_cost(self.feed.expense_line(posted), source, at + 6 * _SECOND)
        self.feed.flush()

    def _posted_expense(self, row: SimulatedRow) -> SimulatedRow | None:
        external = row.text("assumed_externalexpenseid")
        rows = self.feed.tables.where("TrvExpTrans", "ProjTransId", external)
        return rows[0] if rows else self.feed.tables.row("TrvExpTrans", external)

    def confirm(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Run the automatic confirmation of an `invoice` again. Raises `Refused` when a person must verify it."""
        row = self._record("msdyn_projectvendorinvoice", str(parameters.get("invoice")))
        if not row.columns.get("msdyn_enableautomaticconfirmation"):
            raise refused(400, _RULE, "The project manager must verify the lines and confirm the invoice.")
        self._confirm(row, self.feed.start_time([row]))
        return {}

    def _confirm(self, row: SimulatedRow, at: datetime) -> None:
        if row.text("statuscode") == str(invoice_state.CANCELED):
            raise refused(400, _RULE, "The invoice is canceled.")
        if self.approval_stopped:
            return
        if row.text("statuscode") != str(invoice_state.CONFIRMED):
            self.feed.invoices.set_state(row.id, invoice_state.CONFIRMED, at)
        by_transaction = {line.transaction: line for line in self._lines_of(row)}
        for number, line in enumerate(
            self.feed.tables.where("msdyn_projectvendorinvoiceline", "msdyn_vendorinvoice", row.id)
        ):
            posted = by_transaction.get(line.text("msdyn_externalinvoiceline"))
            if posted is not None:
                source = SourceRecord("msdyn_projectvendorinvoiceline", line.id, MATERIAL)
                self._make_cost(posted, source, at + (6 + 15 * number) * _SECOND)
        self.feed.flush()

    def _lines_of(self, header: SimulatedRow) -> list[InvoiceLine]:
        vendor, number = self._vendor(header), header.text("msdyn_vendorinvoicenumber")
        for journal in self.feed.tables.where("VendInvoiceJour", "InvoiceId", number):
            if journal.text("InvoiceAccount") == vendor:
                rows = self.feed.tables.where("VendInvoiceTrans", "InvoiceId", number)
                return [line for row in rows if row.company == journal.company for line in self._invoice(row).lines]
        return []

    def _make_cost(self, line: DocumentLine, source: SourceRecord, at: datetime) -> None:
        """Create the cost actual of a line unless one that is not reversed exists; dual-write stages it."""
        existing = self.feed.cost_of(source.row)
        if existing and (not line.amount or sum(Decimal(row.text("msdyn_amount")) for row in existing)):
            return
        actual = self.feed.flow.actual(line, source, at)
        if not self.maps_stopped:
            self.feed.flow.stage(actual, at + 8 * _SECOND)

    # --- Dataverse to Finance -----------------------------------------------------------------------------------------

    def send(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Send an `actual` to Finance again; one that is already there is not sent twice."""
        row = self._record("msdyn_actual", str(parameters.get("actual")))
        if row.columns.get("assumed_skipsync"):
            raise refused(400, _RULE, "The actual is kept out of dual-write (Skip Sync).")
        if self.maps_stopped:
            raise refused(400, _RULE, "The entity map is not running: start it, then send again.")
        if self.feed.staged(row.id) is None:
            self._stage(row)
            self.feed.flush()
        return {}

    def _stage(self, row: SimulatedRow) -> None:
        feed = self.feed
        code = {
            entity: (found.text(column) if (found := feed.tables.row(entity, row.lookup(lookup))) else "")
            for entity, column, lookup in (
                ("msdyn_project", "assumed_projectnumber", "msdyn_project"),
                ("msdyn_transactioncategory", "msdyn_transactioncategorynumber", "msdyn_transactioncategory"),
                ("transactioncurrency", "isocurrencycode", "transactioncurrencyid"),
                ("cdm_company", "cdm_companycode", "assumed_owningcompany"),
            )
        }
        line = DocumentLine(
            transaction="",
            date=date.fromisoformat(row.text("msdyn_accountingdate")),
            amount=Decimal(row.text("msdyn_amount")),
            category=code["msdyn_transactioncategory"],
            project=code["msdyn_project"],
            company=code["cdm_company"],
            currency=code["transactioncurrency"],
            rate=(100 / Decimal(row.text("exchangerate") or "1")).quantize(Decimal("0.01")),
            accounting_currency=feed.accounting_currency(code["cdm_company"]),
        )
        actual = Actual(row.id, line, line.amount, line.accounting(line.amount))
        invoice = feed.tables.row("invoice", row.lookup("msdyn_invoice"))
        feed.flow.stage(actual, feed.start_time([row]), proposal=invoice.text("name") if invoice else "")

    def _record(self, entity: str, row_id: str) -> SimulatedRow:
        row = self.feed.tables.row(entity, row_id.strip("{}").lower())
        if row is None:
            raise refused(404, "0x80040217", f"{entity} With Id = {row_id} Does Not Exist")
        return row
