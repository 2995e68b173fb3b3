"""The facts of a vendor invoice line: its project is on the project row of its pending line, its voucher and rate are
on its header. Finance deletes pending rows; where none was ever seen, the Dataverse line has the project.

Rules: `docs/domain/documents.md` §2.
"""

from engine.chains.records import Row
from engine.events.facts import Evidence
from engine.reconciliation.chain_facts import DocumentFacts, Stop
from engine.reconciliation.documents import Awaited, Cause
from engine.reconciliation.kinds import VENDOR_INVOICE_LINE


class InvoiceLineFacts(DocumentFacts):
    """A posted vendor invoice line and the facts of its chain."""

    kind = VENDOR_INVOICE_LINE

    @property
    def holder(self) -> Row | None:
        """The project row of the pending line."""
        return self.pending

    @property
    def transaction_id(self) -> str | None:
        """The transaction id on the project row; without that row, the one under which Dataverse has the line."""
        if self.pending is not None:
            return self.pending["transaction_id"]  # type: ignore[no-any-return]
        return self.record["external_id"] if self.record is not None else None

    @property
    def without_project_row(self) -> bool:
        """Return True if its pending line was seen without a project row, which Finance writes with it.

        Not for a line of a purchase order, whose project is on the purchase line.
        """
        lines = self.pending_lines
        return bool(lines) and self.pending is None and all(row["purchase_line"] is None for row in lines)

    @property
    def rate_row(self) -> Row | None:
        """The invoice header in Finance."""
        return self.header

    @property
    def voucher(self) -> str | None:
        """The voucher on the invoice header."""
        return self.header["voucher"] if self.header is not None else None

    @property
    def project_company(self) -> str | None:
        """The project company on the project row; without that row, the company of the project in Dataverse."""
        if self.pending is not None:
            return self.pending["project_company"]  # type: ignore[no-any-return]
        project = self.project_row
        return project.company if project is not None else None

    @property
    def entered_amount(self) -> int | None:
        """The amount of the line."""
        return self.line["amount"]  # type: ignore[no-any-return]

    @property
    def gross_amount(self) -> int | None:
        """The amount of the line, without the tax column that may be mapped."""
        return self.entered_amount

    @property
    def posting(self) -> Evidence:
        """The event that created the line: only posted lines exist."""
        return self.line.existence

    @property
    def posted(self) -> bool:
        """Always True: only posted lines exist."""
        return True

    @property
    def to_be_posted(self) -> bool:
        """Always False: only posted lines exist."""
        return False

    def withdrawal(self, record: Row) -> tuple[Cause, Evidence] | None:
        """Return the event that cancelled the record or its invoice; None if both are active."""
        header = self.dataverse_header
        if record["state"] != "inactive" and header is not None:
            cancelled = header["status"] == "cancelled" or header["state"] == "inactive"
            return ("cancelled-in-dataverse", header.evidence("status", "state")) if cancelled else None
        return super().withdrawal(record)

    def unapproved(self, record: Row) -> Stop | None:
        """Return the reason by the status of the Dataverse header; None if it is confirmed."""
        header = self.dataverse_header
        if header is not None and header["status"] == "confirmed":
            return None
        if header is not None and header["automatic_confirmation"] is False:
            return "awaiting-manual-verification", header.evidence("status"), None
        return "not-confirmed", self.approval(record), Awaited("dataverse", (self.kind.approved_entity,))

    def approval(self, record: Row) -> Evidence:
        """The event that set the status of the header, otherwise that of the record."""
        header = self.dataverse_header
        return header.evidence("status") if header is not None else record.existence
