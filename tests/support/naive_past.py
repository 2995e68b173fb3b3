"""What a posted line has shown, by the naive model: rows that were deleted, and links that were changed afterwards.

Every value that any event named is kept. A posted row without a document walks along the values of each row, the newest
first, to the document that it led to last. The rows on that way then count as if they still were what they were.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tests.support.naive_actuals import Actuals
from tests.support.naive_chains import (
    ACTUAL,
    CONNECTION,
    EXPENSE_LINE,
    EXPENSE_RECORD,
    INVOICE_LINE_RECORD,
    JOURNAL_LINE,
    ORIGIN,
    OTHER_SYSTEM,
    POSTED_LINE,
    STAGING,
    TRANSACTION_ID,
    corrects,
)
from tests.support.naive_records import (
    COMPANY_OF_EVENT,
    KEPT_ON_DELETE,
    PENDING_LINE,
    PENDING_PROJECT,
    Precedence,
    Record,
    RecordKey,
)
from tests.support.naive_values import code, row_id, text

LINES = (EXPENSE_LINE, POSTED_LINE)
ALWAYS: Precedence = (datetime.max.replace(tzinfo=UTC), 0, b"")  # of a row's own id, which nothing changes
Rank = tuple[bool, Any, int]
OWNER = ("msdyn_owningcompany", "assumed_owningcompany")


def newest(values: dict[str, Any]) -> list[str]:
    return sorted(values, key=lambda value: values[value], reverse=True)


class Past(Actuals):
    """The records, with posted rows beside the document that they led to last."""

    def __init__(self, events: Iterable[dict[str, Any]]) -> None:
        super().__init__(events)
        self.ghosts = {key: ghost for key in self.changes if (ghost := self._ghost(key)) is not None}
        self._known = {**self.ghosts, **self.records}
        self._groups = {key: {record.key for record in chain} for key, chain in self._chain_of.items()}
        posted = [record for record in self._known.values() if self._shows_posting(record)]
        strays = [record for record in posted if not self._is_in_place(record)]
        ways = [(record, self._ways(record)) for record in sorted(strays, key=lambda record: self._age(record))]
        for stray, way in ways:
            self._adopt(stray, way)

    @staticmethod
    def _age(record: Record) -> tuple[str, int, str]:
        stage = {ACTUAL: "4", CONNECTION: "5", STAGING: "6", JOURNAL_LINE: "7"}.get(record.entity, "3")
        return stage, len(record.id), record.id

    def _ghost(self, key: RecordKey) -> Record | None:
        """Return a deleted row as it last was."""
        if key in self.records or key[0] in KEPT_ON_DELETE:
            return None
        upserts = sorted((c for c in self.changes[key] if not c.delete), key=lambda change: change.precedence)
        columns: dict[str, Any] = {}
        for change in upserts:
            columns.update(change.columns)
        if not columns:
            return None
        last = upserts[-1]
        ghost = Record(*key, last.system, columns, {}, last.precedence[0], is_ghost=True)
        ghost.company = self._company_of(ghost)
        return ghost

    # --- what is posted, and whether its document is where it belongs ----------------------------------------------

    def _shows_posting(self, record: Record) -> bool:
        if record.entity == JOURNAL_LINE:
            return self._line_state(record) == "posted"
        if record.entity == STAGING:
            return record.text("VoucherNumber", "Voucher") is not None
        return record.entity == ACTUAL and record.text("assumed_vouchernumber", "msdyn_externalreferenceid") is not None

    def _is_in_place(self, record: Record) -> bool:
        chain = self._chain_of.get(record.key)
        if chain is None or record.is_ghost or not any(self._is_document(other) for other in chain):
            return False
        if record.entity == ACTUAL:
            return True
        naming = [record]
        if record.entity == JOURNAL_LINE:
            naming = [r for r in self._all(STAGING) if row_id(r.get("ProjAdvancedJournalLine")) == record.id]
        here = self._groups[record.key]
        return any((ACTUAL, row_id(r.get("ActualId")) or "") in here for r in naming if r.key in here)

    def _is_document(self, record: Record) -> bool:
        return record.entity in LINES and not record.is_ghost

    # --- the way to the document --------------------------------------------------------------------------------------

    def _ways(self, record: Record) -> list[Record]:
        """The way to the document, else to the actual, else to the staging row; empty if there is none."""
        goals: list[Callable[[Record], bool]] = [self._is_document]
        if record.entity != ACTUAL:
            goals.append(lambda other: other.entity == ACTUAL)
        if record.entity == JOURNAL_LINE:
            goals.append(lambda other: other.entity == STAGING)
        for goal in goals:
            if way := self._walk(record, goal, {record.key}):
                return way
        return []

    def _walk(self, record: Record, goal: Callable[[Record], bool], seen: set[RecordKey]) -> list[Record]:
        best: dict[RecordKey, Rank] = {}
        for rank, key in self._next(record):
            if key in self._known and key != record.key:
                best[key] = max(rank, best.get(key, rank))
        for key in sorted(sorted(best), key=lambda key: best[key], reverse=True):
            if key in seen:
                continue
            seen.add(key)
            other = self._known[key]
            if goal(other):
                return [other]
            if rest := self._walk(other, goal, seen):
                return [other, *rest]
        return []

    def _next(self, record: Record) -> Iterator[tuple[Rank, RecordKey]]:
        """Every row that this one leads or led to, with how recently."""
        match record.entity:
            case "ProjAdvancedJournalLine":
                yield from self._named_by(STAGING, "ProjAdvancedJournalLine", record)
            case "ProjCDSActualsImport":
                yield from self._names(record, ACTUAL, "ActualId")
            case "msdyn_actual":
                for entity in (EXPENSE_RECORD, INVOICE_LINE_RECORD):
                    yield from self._names(record, entity, "assumed_sourcedocument")
                yield from self._named_by(ORIGIN, "msdyn_transaction", record)
                for column in ("msdyn_transaction1", "msdyn_transaction2"):
                    yield from self._named_by(CONNECTION, column, record)
            case "msdyn_transactionorigin":
                for entity in (EXPENSE_RECORD, INVOICE_LINE_RECORD):
                    yield from self._names(record, entity, "msdyn_origin")
            case "msdyn_transactionconnection":
                for column in ("msdyn_transaction1", "msdyn_transaction2"):
                    yield from self._names(record, ACTUAL, column)
            case "msdyn_expense":
                yield from self._same_transaction(record, EXPENSE_LINE)
            case "msdyn_projectvendorinvoiceline":
                yield from self._same_transaction(record, PENDING_PROJECT)
            case "VendInvoiceInfoLine_Project":
                yield from self._names(record, PENDING_LINE, "VendInvoiceInfoLineRefRecId")
            case "VendInvoiceInfoLine":
                own = self._values(record.key, "SourceDocumentLine")
                for other in self._of(POSTED_LINE):
                    for value, rank in self._values(other.key, "SourceDocumentLine").items():
                        if value in own:
                            yield min(own[value], rank), other.key

    def _of(self, entity: str) -> list[Record]:
        return [record for record in self._known.values() if record.entity == entity]

    def _values(self, key: RecordKey, column: str) -> dict[str, Rank]:
        """Every id that any event named in a column, with how recently; the current one is the most recent."""
        now = self.records.get(key)
        values: dict[str, Rank] = {}
        for change in self.changes[key]:
            if not change.delete and (value := row_id(change.columns.get(column))):
                is_current = now is not None and row_id(now.get(column)) == value
                rank = (is_current, change.precedence, 0)
                values[value] = max(rank, values.get(value, rank))
        return values

    def _names(self, record: Record, entity: str, column: str) -> Iterator[tuple[Rank, RecordKey]]:
        if record.entity == CONNECTION and not self._ever_corrects(record):
            return
        for value, rank in self._values(record.key, column).items():
            yield self._rank(record, rank), (entity, value)

    def _named_by(self, entity: str, column: str, record: Record) -> Iterator[tuple[Rank, RecordKey]]:
        for other in self._of(entity):
            if other.entity == CONNECTION and not self._ever_corrects(other):
                continue
            if rank := self._values(other.key, column).get(record.id):
                yield self._rank(other, rank), other.key

    def _rank(self, record: Record, rank: Rank) -> Rank:
        """A connection that corrects nothing now links nothing now."""
        if record.entity == CONNECTION and rank[0]:
            return (self._corrects_now(record), *rank[1:])
        return rank

    def _corrects_now(self, record: Record) -> bool:
        return not record.is_ghost and corrects(record) is not None

    def _ever_corrects(self, record: Record) -> bool:
        def ever(column: str) -> set[str]:
            of_row = (change.columns.get(column) for change in self.changes[record.key] if not change.delete)
            return {value.casefold() for raw in of_row if (value := text(raw))}

        first, second = ever("msdyn_transaction1role"), ever("msdyn_transaction2role")
        return bool(first & {"reversing", "replacing"}) and "original" in second

    def _same_transaction(self, record: Record, entity: str) -> Iterator[tuple[Rank, RecordKey]]:
        """The rows of the other system with one of the transaction ids, in one of the companies, of this one."""
        own = self._transactions(record, entity)
        for other in self._of(entity):
            for token, rank in self._transactions(other, record.entity).items():
                if token in own:
                    yield min(own[token], rank), other.key

    def _transactions(self, record: Record, other: str) -> dict[tuple[str, str], Rank]:
        tokens = self._own_transactions(record)
        for identifier, company in list(tokens):
            if company:
                continue
            # Never in any company: in the only one in which the other system has or had the id.
            elsewhere = {
                known
                for row in self._of(other)
                for id_, known in self._own_transactions(row)
                if id_ == identifier and known
            }
            if len(elsewhere) == 1:
                tokens.setdefault((identifier, elsewhere.pop()), tokens[identifier, company])
        return tokens

    def _own_transactions(self, record: Record) -> dict[tuple[str, str], Rank]:
        _, system, column = TRANSACTION_ID[record.entity]
        assert OTHER_SYSTEM[system]
        named: dict[str, Any] = {}
        for change in self.changes[record.key]:
            if not change.delete and (value := text(change.columns.get(column))):
                named[value.casefold()] = max(change.precedence, named.get(value.casefold(), change.precedence))
        now = self.records.get(record.key)
        current = (now.text(column) or "").casefold() if now is not None else None
        if record.entity == EXPENSE_LINE:
            named[record.id] = ALWAYS
            current = current or record.id
        tokens = {}
        for value, precedence in named.items():
            for number, company in enumerate(self._companies(record)):
                is_current = now is not None and value == current and company == (now.company or "")
                tokens[value, company] = (is_current, precedence, -number)
        return tokens

    def _companies(self, record: Record) -> list[str]:
        """Every company that the row belonged to, the last one first."""
        owners: dict[str, Precedence] = {}
        named: dict[str, Precedence] = {}
        for change in self.changes[record.key]:
            if change.delete:
                continue
            if record.system == "dataverse":
                for column in OWNER:
                    if owner := row_id(change.columns.get(column)):
                        owners[owner] = max(change.precedence, owners.get(owner, change.precedence))
            if company := code(change.columns.get(COMPANY_OF_EVENT)):
                named[company] = max(change.precedence, named.get(company, change.precedence))
        codes = [company for owner in newest(owners) for company in self._codes(owner)]
        return list(dict.fromkeys([*codes, *newest(named)])) or [""]

    def _codes(self, owner: str) -> list[str]:
        """Every code that a company row had, its current one first."""
        row = self.records.get(("cdm_company", owner))
        if row is None:
            return []
        had: dict[str, Precedence] = {}
        for change in self.changes["cdm_company", owner]:
            if not change.delete and (value := code(change.columns.get("cdm_companycode"))):
                had[value] = max(change.precedence, had.get(value, change.precedence))
        now = code(row.get("cdm_companycode"))
        return ([now] if now else []) + [value for value in newest(had) if value != now]

    # --- adoption -----------------------------------------------------------------------------------------------------

    def _adopt(self, stray: Record, way: list[Record]) -> None:
        """Put the posted row and those on its way into the chain at its end, linked as they were."""
        rows = [stray, *way]
        end = rows[-1]
        chain = self._chain_of.setdefault(end.key, [])
        for number, row in enumerate(rows):
            if row.entity not in (JOURNAL_LINE, STAGING, ACTUAL, CONNECTION):
                continue
            before = rows[number - 1] if number else None
            after = rows[number + 1] if number + 1 < len(rows) else None
            self._put(self._linked(row, before, after), chain)

    def _linked(self, row: Record, before: Record | None, after: Record | None) -> Record:
        columns = dict(row.columns)
        if row.entity == STAGING:
            if before is not None and before.entity == JOURNAL_LINE:
                _point(columns, "ProjAdvancedJournalLine", before)
            if after is not None and after.entity == ACTUAL:
                _point(columns, "ActualId", after)
        if row.entity == CONNECTION and before is not None and after is not None:
            ends = {row_id(columns.get("msdyn_transaction1")), row_id(columns.get("msdyn_transaction2"))}
            if ends != {before.id, after.id}:
                columns |= {"msdyn_transaction1": before.id, "msdyn_transaction2": after.id}
            for column, role in (("msdyn_transaction1role", "Reversing"), ("msdyn_transaction2role", "Original")):
                columns[column] = columns.get(column) or role
        return row if columns == row.columns else replace(row, columns=columns, is_former=True)

    def _put(self, row: Record, chain: list[Record]) -> None:
        now = self.records.get(row.key)
        if now is not None and now is not row and now.columns != row.columns:
            named = self._known.get((JOURNAL_LINE, row_id(now.get("ProjAdvancedJournalLine")) or ""))
            same = row_id(now.get("ProjAdvancedJournalLine")) == row_id(row.get("ProjAdvancedJournalLine"))
            if not same and named is not None and self._line_state(named) == "posted":
                # Each line that it named counts.
                row = replace(row, id=f"{row.id}'{row_id(row.get('ProjAdvancedJournalLine'))}")
        moved = [row.key]
        if row.entity == ACTUAL:
            staging = [r for r in self._all(STAGING) if row_id(r.get("ActualId")) == row.id]
            lines = {row_id(r.get("ProjAdvancedJournalLine")) for r in staging}
            moved += [r.key for r in staging] + [r.key for r in self._all(JOURNAL_LINE) if r.id in lines]
        for key in moved:
            home = self._chain_of.get(key)
            if home is None or home is chain:
                continue
            present = next(r for r in home if r.key == key)
            home.remove(present)
            if all(r.key != key for r in chain):
                chain.append(present)
            self._chain_of[key] = chain
        chain[:] = [other for other in chain if other.key != row.key]
        chain.append(row)
        chain.sort(key=lambda record: record.key)
        self._chain_of[row.key] = chain
        self.records[row.key] = row


def _point(columns: dict[str, Any], column: str, row: Record) -> None:
    """Name a row in a column, unless the column names it, however that is written."""
    if row_id(columns.get(column)) != row.id:
        columns[column] = int(row.id) if row.id.isdigit() else row.id
