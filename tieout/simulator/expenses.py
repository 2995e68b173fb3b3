"""Expense lines: entered and posted in Finance, copied to Dataverse, approved there."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from tieout.simulator.event_recorder import text_time
from tieout.simulator.integration_journal import EXPENSE, ActualFlow, DocumentLine, SourceRecord
from tieout.simulator.reference import dataverse_rate_text, rate_text
from tieout.simulator.scenario import Columns

CREATED, SUBMITTED, APPROVED, READY, LEDGER, CANCELLED = 1, 2, 3, 5, 6, 8
"""Statuses of an expense line in Finance."""

DV_SUBMITTED, DV_APPROVED, DV_REJECTED, DV_RECALL = 192350001, 192350002, 192350003, 192350006
"""Statuses of an expense in Dataverse."""

_REASONS = {DV_SUBMITTED: 867380002, DV_APPROVED: 867380003, DV_REJECTED: 867380001, DV_RECALL: 867380002}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpenseLine(DocumentLine):
    """A line of an expense report in Finance."""

    classification: ClassVar[int] = EXPENSE

    record: int
    number: int
    voucher: str
    charged_to: str = ""


@dataclass(slots=True)
class Expenses:
    """Records the events of expense lines."""

    flow: ActualFlow

    def enter(self, line: ExpenseLine, at: datetime, overrides: Columns | None = None) -> None:
        """Enter and submit the line in Finance; `overrides` replace columns."""
        columns: Columns = {
            "ExpTransNumber": f"{line.company}-ET{line.number:06d}",
            "ExpNumber": f"{line.company}-ER{line.number // 3:06d}",
            "LineNumber": f"{line.number % 3 + 1}.0000000000",
            "CostType": line.category,
            "AmountCurr": str(line.amount),
            "ExchangeCode": line.currency,
            "ExchangeRate": rate_text(line.rate),
            "AmountMST": str(line.accounting(line.amount)),
            "ProjId": line.project,
            "ProjTransId": line.transaction,
            "ApprovalStatus": CREATED,
            "TransDate": line.date.isoformat(),
            "Voucher": "",
            "InterCompanyLE": line.charged_to,
        }
        if line.number % 4 == 0:
            columns["NetTransactionAmount"] = str(line.amount)
        self._change(line, at, columns | (overrides or {}))

    def approve(self, line: ExpenseLine, at: datetime, *, status: int = APPROVED) -> None:
        """Approve the line in Finance's workflow."""
        self._change(line, at, {"ApprovalStatus": status, "ApprovedDate": at.date().isoformat()})

    def post(self, line: ExpenseLine, at: datetime, *, status: int | None = LEDGER) -> None:
        """Post the line: its cost is on the integration account from now on."""
        columns: Columns = {"Voucher": line.voucher} if line.voucher else {}
        self._change(line, at, columns | ({} if status is None else {"ApprovalStatus": status}))

    def process(self, line: ExpenseLine, at: datetime, overrides: Columns | None = None) -> None:
        """Enter, approve and post a line; the posting happens at `at`."""
        self.enter(line, at - timedelta(hours=26), overrides)
        self.approve(line, at - timedelta(hours=3))
        self.post(line, at)

    def cancel(self, line: ExpenseLine, at: datetime) -> None:
        """Cancel the line in Finance."""
        self._change(line, at, {"ApprovalStatus": CANCELLED})

    def delete(self, line: ExpenseLine, at: datetime) -> None:
        """Delete the line in Finance."""
        self.flow.recorder.finance_deleted("TrvExpTrans", line.record, at, line.company)

    def correct_transaction(self, line: ExpenseLine, at: datetime) -> None:
        """Correct the transaction id of the line in Finance."""
        self._change(line, at, {"ProjTransId": line.transaction})

    def export(
        self,
        line: ExpenseLine,
        at: datetime,
        *,
        external_id: str | None = None,
        names_company: bool = True,
        lookup: bool = True,
        origin: bool = False,
        overrides: Columns | None = None,
    ) -> SourceRecord:
        """Create the expense in Dataverse, as dual-write does.

        `lookup` and `origin` determine how its actuals will link to it.
        """
        row, reference_ids = self.flow.recorder.guid(at), self.flow.reference_ids
        columns: Columns = {
            "msdyn_name": line.category,
            "msdyn_amount": str(line.amount),
            "msdyn_amount_base": str(line.accounting(line.amount)),
            "msdyn_salestaxamount": "0.00",
            "msdyn_totalamount": str(line.amount),
            "msdyn_price": str(line.amount),
            "msdyn_quantity": "1.0000000000",
            "exchangerate": dataverse_rate_text(line.rate),
            "transactioncurrencyid": reference_ids.lookup("transactioncurrency", line.currency),
            "msdyn_transactiondate": f"{line.date.isoformat()}T00:00:00Z",
            "msdyn_expensestatus": DV_SUBMITTED,
            "msdyn_project": reference_ids.lookup("msdyn_project", line.project),
            "msdyn_expensecategory": reference_ids.expense_category(line.category),
            "statecode": 0,
            "statuscode": _REASONS[DV_SUBMITTED],
            "modifiedon": text_time(at),
            "assumed_externalexpenseid": external_id or line.transaction,
        }
        company = line.company if names_company else None
        self.flow.recorder.dataverse_created("msdyn_expense", row, at, columns | (overrides or {}), company)
        return SourceRecord("msdyn_expense", row, EXPENSE, lookup, origin)

    def decide(self, source: SourceRecord, at: datetime, status: int = DV_APPROVED) -> None:
        """Approve, reject or recall the expense in Dataverse."""
        columns: Columns = {"msdyn_expensestatus": status, "statuscode": _REASONS[status]}
        self.flow.recorder.dataverse_updated(source.entity, source.row, at, columns)

    def correct_external_id(self, source: SourceRecord, external_id: str, at: datetime) -> None:
        """Correct the external id in Dataverse."""
        self.flow.recorder.dataverse_updated(source.entity, source.row, at, {"assumed_externalexpenseid": external_id})

    def deactivate(self, source: SourceRecord, at: datetime) -> None:
        """Deactivate the expense in Dataverse."""
        self.flow.recorder.dataverse_updated(source.entity, source.row, at, {"statecode": 1, "statuscode": 2})

    def touch(self, source: SourceRecord, at: datetime) -> None:
        """Record an update that changes nothing, as registered steps send them."""
        self.flow.recorder.dataverse_updated(source.entity, source.row, at, {"statecode": 0})

    def _change(self, line: ExpenseLine, at: datetime, columns: Columns) -> None:
        self.flow.recorder.finance_changed("TrvExpTrans", line.record, at, columns, line.company)
