"""Invoice proposals: a project manager confirms a proforma invoice, and Finance bills its sales once posted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import blake2b

from tieout.simulator.integration_journal import BILLED_SALES, UNADJUSTABLE, UNBILLED_SALES, Actual, Tail
from tieout.simulator.scenario import Columns

INVOICE_CONFIRMED = 192350002
"""The state of a proforma invoice that makes it a proposal in Finance."""

_SECOND = timedelta(seconds=1)


@dataclass(slots=True)
class Proposals:
    """Writes down what happens to invoice proposals (`docs/domain/documents.md` §4)."""

    tail: Tail

    def confirm(self, number: str, sales: Sequence[Actual], at: datetime, *, lost: int = 0) -> list[Actual]:
        """A project manager confirms the proforma invoice of these unbilled sales: each is reversed and billed.

        Dual-write brings the header, without an amount, and the billed sales to Finance, but for the last `lost` of
        them. Returns the billed sales.
        """
        world, company, day = self.tail.world, sales[0].line.company, at.date().isoformat()
        invoice = world.guid(at)
        columns: Columns = {"name": number, "msdyn_projectinvoicestatus": INVOICE_CONFIRMED}
        world.created("invoice", invoice, at, columns, company)
        billed = [self._bill(one, invoice, at + 6 * place * _SECOND) for place, one in enumerate(sales)]
        at += 6 * len(sales) * _SECOND
        columns = {
            "ProposalId": number,
            "ProjInvoiceProjId": f"C-{sales[0].line.project}",
            "ProjInvoiceId": "",
            "InvoiceDate": day,
            "InvoiceAmount": "0.00",
            "CurrencyId": sales[0].line.currency,
            "HashedListOfBillableSalesActualIds": checksum([one.row for one in billed]),
            "DataAreaId": company.lower(),
        }
        world.finance("ProjProposalJour", world.record_id("ProjProposalJour"), at, columns, company)
        for place, one in enumerate(billed[: len(billed) - lost], start=1):
            self.tail.stage(one, at + place * _SECOND, proposal=number)
        return billed

    def _bill(self, unbilled: Actual, invoice: str, at: datetime) -> Actual:
        tail, line = self.tail, unbilled.line
        reversal = tail.actual(
            line, None, at, amount=-unbilled.amount, kind=UNBILLED_SALES, skip_sync=True, adjustment=UNADJUSTABLE
        )
        tail.connect((reversal, "Reversing"), (unbilled, "Original"), at + _SECOND)
        billed = tail.actual(line, None, at + 2 * _SECOND, amount=unbilled.amount, kind=BILLED_SALES, invoice=invoice)
        tail.connect((billed, "Billed Sales"), (unbilled, "Unbilled Sales"), at + 3 * _SECOND)
        return billed

    def make_lines(self, record: int, company: str, amount: Decimal, at: datetime) -> None:
        """Import from staging makes the lines of a proposal that is complete and posted: it has its amount now."""
        self.tail.world.finance("ProjProposalJour", record, at, {"InvoiceAmount": str(amount)}, company)


def checksum(actuals: Sequence[str]) -> str:
    """What a header says of the actuals that must be there; Finance's own way is not public."""
    return blake2b(" ".join(sorted(actuals)).encode(), digest_size=16).hexdigest()
