"""The facts of an expense: a Finance line (`TrvExpTrans`) that has its project, voucher and rate itself.

Rules: `docs/domain/documents.md` §1.
"""

from typing import Final

from engine.chains.records import Row
from engine.events.facts import Evidence
from engine.reconciliation.chain_facts import DocumentFacts, Stop
from engine.reconciliation.documents import Awaited, Cause
from engine.reconciliation.kinds import EXPENSE

_APPROVED: Final = frozenset(["approved", "posted", "paid"])


class ExpenseFacts(DocumentFacts):
    """An expense line and the facts of its chain."""

    kind = EXPENSE
    record_has_amount = True

    @property
    def holder(self) -> Row:
        """The line itself."""
        return self.line

    @property
    def transaction_id(self) -> str | None:
        """The transaction id on the line."""
        return self.line["transaction_id"]  # type: ignore[no-any-return]

    @property
    def without_project_row(self) -> bool:
        """Always False: the line itself has the project."""
        return False

    @property
    def rate_row(self) -> Row:
        """The line itself."""
        return self.line

    @property
    def voucher(self) -> str | None:
        """The voucher on the line."""
        return self.line["voucher"]  # type: ignore[no-any-return]

    @property
    def project_company(self) -> str | None:
        """The intercompany company on the line."""
        return self.line["intercompany"]  # type: ignore[no-any-return]

    @property
    def entered_amount(self) -> int | None:
        """The amount as entered on the line."""
        return self.line["entered_amount"]  # type: ignore[no-any-return]

    @property
    def gross_amount(self) -> int | None:
        """The amount as entered, with tax."""
        return self.entered_amount

    @property
    def posting(self) -> Evidence:
        """The event that set the voucher, otherwise the status."""
        return self.line.evidence("voucher", "status")

    @property
    def posted(self) -> bool:
        """Return True if it has a voucher or is processed."""
        return bool(self.line["voucher"]) or self.line["status"] == "processed"

    @property
    def to_be_posted(self) -> bool:
        """Return True if it is approved or ready for posting."""
        return self.line["status"] in ("approved", "ready")

    def withdrawal(self, record: Row) -> tuple[Cause, Evidence] | None:
        """Return how the record was cancelled, rejected or recalled; None if it is active.

        An expense whose actuals cancel out and that is a draft again was recalled.
        """
        status = record["status"]
        if record["state"] == "inactive":
            return super().withdrawal(record)
        if status == "rejected":
            return "rejected-in-dataverse", record.evidence("status")
        if status == "recall-requested" or (status == "draft" and self.actuals):
            return "recalled-in-dataverse", record.evidence("status")
        return None

    def unapproved(self, record: Row) -> Stop | None:
        """Return `not-approved` unless the record is approved, posted or paid."""
        if record["status"] in _APPROVED:
            return None
        return "not-approved", record.evidence("status"), Awaited("dataverse", (self.kind.approved_entity,))

    def approval(self, record: Row) -> Evidence:
        """The event that set the status of the record."""
        return record.evidence("status")
