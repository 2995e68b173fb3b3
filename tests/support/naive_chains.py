"""Records joined into chains by the naive model."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from tests.support.naive_records import PENDING_LINE, PENDING_PROJECT, Record, RecordKey, Records
from tests.support.naive_values import ARITHMETIC, code, day, money, number, rounded, row_id

Token = tuple[str, ...]
EXPENSE, INVOICE_LINE = "expense", "vendor-invoice-line"
EXPENSE_LINE = "TrvExpTrans"
POSTED_LINE = "VendInvoiceTrans"
STAGING = "ProjCDSActualsImport"
JOURNAL = "ProjAdvancedJournal"
JOURNAL_LINE = "ProjAdvancedJournalLine"
EXPENSE_RECORD = "msdyn_expense"
INVOICE_LINE_RECORD = "msdyn_projectvendorinvoiceline"
POSTED_HEADER = "VendInvoiceJour"
INVOICE_RECORD = "msdyn_projectvendorinvoice"
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
        self._chains = self._pair(self._join())
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

    def _pair(self, chains: list[list[Record]]) -> list[list[Record]]:
        """Join a posted invoice line without a project row to the Dataverse line that looks the same, where only one
        does, and only that one line looks like it.
        """
        ours, theirs = [], []
        for chain in chains:
            has = {record.entity for record in chain}
            if POSTED_LINE in has and not has & {PENDING_PROJECT, INVOICE_LINE_RECORD}:
                ours.append(chain)
            elif INVOICE_LINE_RECORD in has and not has & {POSTED_LINE, PENDING_LINE, PENDING_PROJECT, EXPENSE_LINE}:
                theirs.append(chain)
        alike = [
            (ours.index(one), theirs.index(other))
            for one in ours
            for other in theirs
            if any(self._looks_of_line(line) & self._looks_of_record(r) for line in one for r in other)
        ]
        pairs = [
            (one, other)
            for one, other in alike
            if [a for a, _ in alike].count(one) == 1 and [b for _, b in alike].count(other) == 1
        ]
        joined = [sorted(ours[one] + theirs[other], key=lambda r: r.key) for one, other in pairs]
        gone = [id(chain) for one, other in pairs for chain in (ours[one], theirs[other])]
        return [chain for chain in chains if id(chain) not in gone] + joined

    def _looks_of_line(self, line: Record) -> set[tuple[Any, ...]]:
        """Company, vendor, invoice, line number and amount of a posted line, for each vendor that it may be of."""
        amount, position = money(line.get("LineAmount")), number(line.get("LineNum"))
        if line.entity != POSTED_LINE or amount is None or position is None:
            return set()
        amount = rounded(amount, code(line.get("CurrencyCode")))
        return {
            (line.company, vendor.upper(), code(line.get("InvoiceId")), position, amount)
            for header in self._posted_invoices(line)
            if (vendor := header.text("InvoiceAccount"))
        }

    def _looks_of_record(self, record: Record) -> set[tuple[Any, ...]]:
        """The same of a line in Dataverse, whose amount is price times quantity."""
        header = self._find(INVOICE_RECORD, record.get("msdyn_vendorinvoice"))
        price, quantity = number(record.get("msdyn_price")), number(record.get("msdyn_quantity"))
        position, vendor = number(record.get("assumed_linenumber")), self._vendor_of_record(record)
        invoice = code(header.get("msdyn_vendorinvoicenumber")) if header else None
        if record.entity != INVOICE_LINE_RECORD or None in (price, quantity, position, vendor, invoice, record.company):
            return set()
        amount = rounded(ARITHMETIC.multiply(price or Decimal(0), quantity or Decimal(0)), self._currency_of(record))
        return {(record.company, vendor, invoice, position, amount)}

    def _vendor_of_record(self, record: Record) -> str | None:
        """The vendor account of a line in Dataverse, which stands on its invoice."""
        header = self._find(INVOICE_RECORD, record.get("msdyn_vendorinvoice"))
        vendor = self._find("account", header.get("msdyn_vendor")) if header else None
        return code(vendor.get("accountnumber")) if vendor else None

    def _posted_invoices(self, line: Record) -> list[Record]:
        """The posted invoices that a posted line may belong to: same company, number and date."""

        def names(record: Record) -> tuple[str | None, str | None, date | None]:
            return record.company, code(record.get("InvoiceId")), day(record.get("InvoiceDate"))

        if None in names(line):
            return []
        return [journal for journal in self._all(POSTED_HEADER) if names(journal) == names(line)]

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
