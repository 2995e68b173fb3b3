"""Vendor invoices: pending and posted in Finance, copied to Dataverse, confirmed there."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import ClassVar

from tieout.simulator.integration_journal import MATERIAL, ActualFlow, DocumentLine, SourceRecord
from tieout.simulator.reference import rate_text
from tieout.simulator.scenario import Columns

DRAFT, IN_PROCESS, CONFIRMED, CANCELED = 900000000, 900000001, 900000002, 900000003
"""Statuses of a project vendor invoice in Dataverse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine(DocumentLine):
    """A posted vendor invoice line; one without a transaction id has no project."""

    classification: ClassVar[int] = MATERIAL

    record: int
    line_number: int
    source_line: int
    project_company: str = "USPM"


@dataclass(frozen=True, slots=True)
class Invoice:
    """A vendor invoice with its lines, all of one date and currency."""

    number: str
    vendor: str
    voucher: str
    lines: tuple[InvoiceLine, ...]

    @property
    def date(self) -> date:
        """The invoice date."""
        return self.lines[0].date


@dataclass(slots=True)
class PendingRows:
    """RecIds of a pending invoice, so that they can be deleted."""

    header: int
    lines: list[int]
    extensions: list[int]


@dataclass(slots=True)
class Invoices:
    """Records the events of vendor invoices."""

    flow: ActualFlow

    def enter(self, invoice: Invoice, at: datetime) -> PendingRows:
        """Enter the invoice in Finance; its project lines get their transaction ids."""
        recorder, first = self.flow.recorder, invoice.lines[0]
        pending = PendingRows(recorder.record_id("VendInvoiceInfoTable"), [], [])
        columns: Columns = {"Num": invoice.number, "InvoiceAccount": invoice.vendor, "OrderAccount": invoice.vendor}
        columns |= {"CurrencyCode": first.currency, "ExchRate": rate_text(first.rate)}
        columns |= {"DocumentDate": invoice.date.isoformat(), "TransDate": invoice.date.isoformat()}
        recorder.finance_changed("VendInvoiceInfoTable", pending.header, at, columns, first.company)
        for line in invoice.lines:
            self._pending_line(invoice, line, pending, at + timedelta(seconds=line.line_number))
        return pending

    def post(self, invoice: Invoice, at: datetime, overrides: Columns | None = None) -> None:
        """Post the invoice: its cost is on the integration account from now on; `overrides` replace columns."""
        recorder, first = self.flow.recorder, invoice.lines[0]
        day = invoice.date.isoformat()
        total = sum((line.amount for line in invoice.lines[1:]), first.amount)
        columns: Columns = {
            "InvoiceId": invoice.number,
            "InvoiceAccount": invoice.vendor,
            "InvoiceDate": day,
            "LedgerVoucher": invoice.voucher,
            "CurrencyCode": first.currency,
            "ExchRate": rate_text(first.rate),
            "InvoiceAmount": str(total),
            "InvoiceAmountMST": str(first.accounting(total)),
        }
        recorder.finance_changed("VendInvoiceJour", recorder.record_id("VendInvoiceJour"), at, columns, first.company)
        for line in invoice.lines:
            columns = self._posted_columns(invoice, line) | (overrides or {})
            recorder.finance_changed("VendInvoiceTrans", line.record, at, columns, line.company)

    def delete_pending(self, invoice: Invoice, pending: PendingRows, at: datetime) -> None:
        """Delete the pending rows of a posted invoice, as Finance does."""
        company = invoice.lines[0].company
        tables = (("VendInvoiceInfoLine_Project", pending.extensions), ("VendInvoiceInfoLine", pending.lines))
        for table, records in (*tables, ("VendInvoiceInfoTable", [pending.header])):
            for record in records:
                self.flow.recorder.finance_deleted(table, record, at, company)

    def process(
        self, invoice: Invoice, at: datetime, *, keep_pending: bool = False, overrides: Columns | None = None
    ) -> None:
        """Enter an invoice and post it at `at`."""
        pending = self.enter(invoice, at - timedelta(hours=20))
        self.post(invoice, at, overrides)
        if not keep_pending:
            self.delete_pending(invoice, pending, at + timedelta(seconds=90))

    def export(
        self, invoice: Invoice, at: datetime, *, automatic: bool = True, lookup: bool = True, origin: bool = False
    ) -> tuple[str, list[SourceRecord]]:
        """Create the header and the lines in Dataverse, as dual-write does; return the header's id and the lines."""
        header = self.export_header(invoice, at, automatic=automatic)
        sources = [
            self.export_line(invoice, line, header, at + timedelta(seconds=line.line_number)) for line in invoice.lines
        ]
        return header, [
            SourceRecord("msdyn_projectvendorinvoiceline", row, MATERIAL, lookup, origin) for row in sources
        ]

    def export_header(self, invoice: Invoice, at: datetime, *, automatic: bool = True) -> str:
        """Create the header in Dataverse, as dual-write does; return its id."""
        recorder, reference_ids, first = self.flow.recorder, self.flow.reference_ids, invoice.lines[0]
        header = recorder.guid(at)
        columns: Columns = {
            "msdyn_name": invoice.number,
            "msdyn_vendorinvoicenumber": invoice.number,
            "msdyn_vendor": reference_ids.lookup("account", invoice.vendor, named=True),
            "msdyn_invoicedate": invoice.date.isoformat(),
            "transactioncurrencyid": reference_ids.lookup("transactioncurrency", first.currency),
            "msdyn_hasexternalorigin": True,
            "msdyn_enableautomaticconfirmation": automatic,
            "msdyn_owningcompany": reference_ids.lookup("cdm_company", first.company, named=True),
            "statuscode": DRAFT,
        }
        recorder.dataverse_created("msdyn_projectvendorinvoice", header, at, columns)
        return header

    def set_state(self, header: str, state: int, at: datetime) -> None:
        """Change the status of the invoice in Dataverse."""
        self.flow.recorder.dataverse_updated("msdyn_projectvendorinvoice", header, at, {"statuscode": state})

    def _pending_line(self, invoice: Invoice, line: InvoiceLine, pending: PendingRows, at: datetime) -> None:
        recorder, record = self.flow.recorder, self.flow.recorder.record_id("VendInvoiceInfoLine")
        pending.lines.append(record)
        columns: Columns = {
            "InvoiceAccount": invoice.vendor,
            "LineNum": f"{line.line_number}.0000000000",
            "ReceiveNow": "1.00",
            "PurchPrice": str(line.amount),
            "PurchUnit": "ea",
            "LineAmount": str(line.amount),
            "currencyCode": line.currency,
            "SourceDocumentLine": line.source_line,
        }
        recorder.finance_changed("VendInvoiceInfoLine", record, at, columns, line.company)
        if line.transaction:
            self._project_extension(line, record, pending, at)

    def _project_extension(self, line: InvoiceLine, record: int, pending: PendingRows, at: datetime) -> None:
        recorder = self.flow.recorder
        extension = recorder.record_id("VendInvoiceInfoLine_Project")
        pending.extensions.append(extension)
        columns: Columns = {
            "VendInvoiceInfoLineRefRecId": record,
            "ProjId": line.project,
            "ProjDataAreaId": line.project_company,
            "ProjCategoryId": line.category,
            "ProjTransId": line.transaction,
            "TransDate": line.date.isoformat(),
        }
        recorder.finance_changed("VendInvoiceInfoLine_Project", extension, at, columns, line.company)

    @staticmethod
    def _posted_columns(invoice: Invoice, line: InvoiceLine) -> Columns:
        return {
            "InvoiceId": invoice.number,
            "InvoiceDate": line.date.isoformat(),
            "LineNum": f"{line.line_number}.0000000000",
            "Qty": "1.00",
            "PurchUnit": "ea",
            "PurchPrice": str(line.amount),
            "LineAmount": str(line.amount),
            "LineAmountMST": str(line.accounting(line.amount)),
            "CurrencyCode": line.currency,
            "SourceDocumentLine": line.source_line,
        }

    def export_line(self, invoice: Invoice, line: InvoiceLine, header: str, at: datetime) -> str:
        """Create one line in Dataverse, as dual-write does; return its id."""
        recorder, reference_ids = self.flow.recorder, self.flow.reference_ids
        row = recorder.guid(at)
        columns: Columns = {
            "msdyn_externalinvoiceline": line.transaction,
            "msdyn_vendorinvoice": {
                "entity": "msdyn_projectvendorinvoice",
                "id": header,
                "name": invoice.number,
            },
            "assumed_linenumber": f"{line.line_number}.0000000000",
            "msdyn_price": str(line.amount),
            "msdyn_quantity": "1.0000000000",
            "msdyn_project": reference_ids.lookup("msdyn_project", line.project),
            "msdyn_owningcompany": reference_ids.lookup("cdm_company", line.company, named=True),
            "msdyn_transactioncategory": reference_ids.lookup("msdyn_transactioncategory", line.category),
            "msdyn_transactionclassification": MATERIAL,
            "msdyn_billingtype": 192350001,
            "transactioncurrencyid": reference_ids.lookup("transactioncurrency", line.currency),
        }
        recorder.dataverse_created("msdyn_projectvendorinvoiceline", row, at, columns)
        return row
