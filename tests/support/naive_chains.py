"""Records joined into chains by the naive model."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tests.support.naive_records import PENDING_LINE, PENDING_PROJECT, Record, RecordKey, Records
from tests.support.naive_values import row_id

Token = tuple[str, ...]
EXPENSE, INVOICE_LINE = "expense", "vendor-invoice-line"
EXPENSE_LINE = "TrvExpTrans"
POSTED_LINE = "VendInvoiceTrans"
STAGING = "ProjCDSActualsImport"
JOURNAL = "ProjAdvancedJournal"
JOURNAL_LINE = "ProjAdvancedJournalLine"
EXPENSE_RECORD = "msdyn_expense"
INVOICE_LINE_RECORD = "msdyn_projectvendorinvoiceline"
ACTUAL = "msdyn_actual"
ORIGIN = "msdyn_transactionorigin"
CONNECTION = "msdyn_transactionconnection"
CHAIN_ENTITIES = {
    EXPENSE_LINE, PENDING_LINE, PENDING_PROJECT, POSTED_LINE, STAGING, JOURNAL_LINE,
    EXPENSE_RECORD, INVOICE_LINE_RECORD, ACTUAL, ORIGIN, CONNECTION,
}  # fmt: skip
# Column → which documents its transaction id names; the id and the company together are the link.
TRANSACTION_ID = {
    EXPENSE_LINE: (EXPENSE, "finance", "ProjTransId"),
    EXPENSE_RECORD: (EXPENSE, "dataverse", "assumed_externalexpenseid"),
    PENDING_PROJECT: (INVOICE_LINE, "finance", "ProjTransId"),
    INVOICE_LINE_RECORD: (INVOICE_LINE, "dataverse", "msdyn_externalinvoiceline"),
}
OTHER_SYSTEM = {"finance": "dataverse", "dataverse": "finance"}


class Chains(Records):
    """The records joined into chains by what they have in common."""

    def __init__(self, events: Iterable[dict[str, Any]]) -> None:
        super().__init__(events)
        self._chains = self._join()
        self._chain_of = {record.key: chain for chain in self._chains for record in chain}

    def chains(self) -> set[frozenset[RecordKey]]:
        """The records that belong together; reference data and headers belong to no chain."""
        return {frozenset(record.key for record in chain) for chain in self._chains}

    def _join(self) -> list[list[Record]]:
        """Records that carry the same token belong together, and so on along."""
        members = [record for record in self.records.values() if record.entity in CHAIN_ENTITIES]
        companies = self._companies_of_transaction_ids(members)
        holders: dict[Token, list[Record]] = defaultdict(list)
        for record in members:
            for token in self._tokens(record, companies):
                holders[token].append(record)
        chains: list[list[Record]] = []
        placed: set[RecordKey] = set()
        for record in members:
            if record.key in placed:
                continue
            placed.add(record.key)
            chain = [record]
            for member in chain:  # grows while it is walked
                for token in self._tokens(member, companies):
                    for neighbour in holders[token]:
                        if neighbour.key not in placed:
                            placed.add(neighbour.key)
                            chain.append(neighbour)
            chains.append(sorted(chain, key=lambda r: r.key))
        return chains

    def _companies_of_transaction_ids(self, members: list[Record]) -> dict[tuple[str, str, str], set[str]]:
        """For a kind, a system and a transaction id: the companies that system has it in."""
        companies: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        for record in members:
            if record.company and (named := transaction_id(record)):
                companies[named].add(record.company)
        return companies

    def _tokens(self, record: Record, companies: dict[tuple[str, str, str], set[str]]) -> list[Token]:
        """Everything this record has in common with the other records of its chain."""
        tokens: list[tuple[str, str | None]] = []
        match record.entity:
            case "VendInvoiceInfoLine":
                tokens = [
                    ("pending line", record.id),
                    ("source document line", row_id(record.get("SourceDocumentLine"))),
                ]
            case "VendInvoiceInfoLine_Project":
                tokens = [("pending line", row_id(record.get("VendInvoiceInfoLineRefRecId")))]
            case "VendInvoiceTrans":
                tokens = [("source document line", row_id(record.get("SourceDocumentLine")))]
            case "msdyn_expense" | "msdyn_projectvendorinvoiceline":
                tokens = [("record", record.id)]
            case "msdyn_actual":
                tokens = [
                    ("actual", record.id),
                    ("record", row_id(record.get("assumed_sourcedocument"))),
                ]
            case "msdyn_transactionorigin":
                tokens = [
                    ("record", row_id(record.get("msdyn_origin"))),
                    ("actual", row_id(record.get("msdyn_transaction"))),
                ]
            case "msdyn_transactionconnection" if corrects(record):
                tokens = [
                    ("actual", row_id(record.get("msdyn_transaction1"))),
                    ("actual", row_id(record.get("msdyn_transaction2"))),
                ]
            case "ProjCDSActualsImport":
                tokens = [
                    ("actual", row_id(record.get("ActualId"))),
                    ("journal line", row_id(record.get("ProjAdvancedJournalLine"))),
                ]
            case "ProjAdvancedJournalLine":
                tokens = [("journal line", record.id)]
        linked: list[Token] = [(name, id_) for name, id_ in tokens if id_]
        if named := transaction_id(record):
            kind, system, id_ = named
            candidates = companies[kind, OTHER_SYSTEM[system], id_]
            company = record.company or (min(candidates) if len(candidates) == 1 else None)
            if company:
                linked.append(("transaction", kind, company, id_))
        return linked


def transaction_id(record: Record) -> tuple[str, str, str] | None:
    """Kind, system and transaction id of a record; an expense line without one is known by its RecId."""
    if record.entity not in TRANSACTION_ID:
        return None
    kind, system, column = TRANSACTION_ID[record.entity]
    identifier = record.text(column) or (record.id if record.entity == EXPENSE_LINE else None)
    return (kind, system, identifier.casefold()) if identifier else None


def corrects(connection: Record) -> str | None:
    """`reversing` or `replacing` when transaction 1 corrects the original, transaction 2."""
    first = (connection.text("msdyn_transaction1role") or "").casefold()
    second = (connection.text("msdyn_transaction2role") or "").casefold()
    return first if first in ("reversing", "replacing") and second == "original" else None
