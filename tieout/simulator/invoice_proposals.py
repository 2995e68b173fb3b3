"""Invoice proposals: a project manager confirms a proforma invoice; Finance bills its sales once they are posted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import blake2b

from tieout.simulator.integration_journal import BILLED_SALES, UNADJUSTABLE, UNBILLED_SALES, Actual, ActualFlow
from tieout.simulator.scenario import Columns

INVOICE_CONFIRMED = 192350002
"""Status of a proforma invoice that makes it a proposal in Finance."""

_SECOND = timedelta(seconds=1)


@dataclass(slots=True)
class InvoiceProposals:
    """Records the events of invoice proposals (`docs/domain/documents.md` §4)."""

    flow: ActualFlow

    def confirm(self, number: str, sales: Sequence[Actual], at: datetime, *, lost: int = 0) -> list[Actual]:
        """Confirm the proforma invoice of these unbilled sales: each is reversed and billed.

        Dual-write copies the header, without an amount, and the billed sales to Finance, except the last `lost` of
        them. Returns the billed sales.
        """
        recorder, company, day = self.flow.recorder, sales[0].line.company, at.date().isoformat()
        invoice = recorder.guid(at)
        columns: Columns = {"name": number, "msdyn_projectinvoicestatus": INVOICE_CONFIRMED}
        recorder.dataverse_created("invoice", invoice, at, columns, company)
        billed = [self._bill(actual, invoice, at + 6 * index * _SECOND) for index, actual in enumerate(sales)]
        at += 6 * len(sales) * _SECOND
        columns = {
            "ProposalId": number,
            "ProjInvoiceProjId": f"C-{sales[0].line.project}",
            "ProjInvoiceId": "",
            "InvoiceDate": day,
            "InvoiceAmount": "0.00",
            "CurrencyId": sales[0].line.currency,
            "HashedListOfBillableSalesActualIds": checksum([actual.row for actual in billed]),
            "DataAreaId": company.lower(),
        }
        recorder.finance_changed("ProjProposalJour", recorder.record_id("ProjProposalJour"), at, columns, company)
        for index, actual in enumerate(billed[: len(billed) - lost], start=1):
            self.flow.stage(actual, at + index * _SECOND, proposal=number)
        return billed

    def _bill(self, unbilled: Actual, invoice: str, at: datetime) -> Actual:
        flow, line = self.flow, unbilled.line
        reversal = flow.actual(
            line, None, at, amount=-unbilled.amount, kind=UNBILLED_SALES, skip_sync=True, adjustment=UNADJUSTABLE
        )
        flow.connect((reversal, "Reversing"), (unbilled, "Original"), at + _SECOND)
        billed = flow.actual(line, None, at + 2 * _SECOND, amount=unbilled.amount, kind=BILLED_SALES, invoice=invoice)
        flow.connect((billed, "Billed Sales"), (unbilled, "Unbilled Sales"), at + 3 * _SECOND)
        return billed

    def make_lines(self, record: int, company: str, amount: Decimal, at: datetime) -> None:
        """Create the lines of a complete and posted proposal: it has its amount from now on."""
        self.flow.recorder.finance_changed("ProjProposalJour", record, at, {"InvoiceAmount": str(amount)}, company)


def checksum(actuals: Sequence[str]) -> str:
    """Return the checksum of the actuals that a header expects; Finance's own algorithm is not public."""
    return blake2b(" ".join(sorted(actuals)).encode(), digest_size=16).hexdigest()
