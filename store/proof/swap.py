"""Swap of a rebuilt store for the used_row in use: the differences, and used_row transaction that applies them (R70).

Both stores are read in parallel in key order, so memory use is bounded; only rows that differ are written.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Table, select

from engine import money
from engine.reconciliation.documents import PART_NAMES, Document
from store.errorlog import error_states
from store.projection.batch_plan import position_json
from store.projection.outgoing import Outgoing
from store.projection.tile_totals import SUMMED
from store.projection.writer import last_outbox_id, write_outbox
from store.queries.common import document_of
from store.schema import tables
from store.schema.bulk_sql import delete, insert, upsert
from store.schema.dialects import dialect_of

REBUILT: Final = (
    tables.records,
    tables.links,
    tables.chains,
    tables.documents,
    tables.totals,
    tables.reconciliations,
    tables.ledger_entries,
    tables.findings,
    tables.unsynced,
    tables.postings,
    tables.posting_totals,
    tables.unlinked_actuals,
    tables.sources,
    tables.notices,
    tables.recomputations,
    tables.process_messages,
    tables.deletions,
)
"""Tables that follow from events alone. All others (actions of people, the lease, the outbox) are kept."""

ROWS_AT_ONCE: Final = 5_000

Row = tuple[Any, ...]


class RowChange(NamedTuple):
    """A row that differs: in use and rebuilt; None if missing."""

    used: Row | None
    rebuilt: Row | None


def changed_rows(used: Connection, rebuilt: Connection, table: Table) -> Iterator[RowChange]:
    """Yield the rows of a table that differ, in key order."""
    width = len(table.primary_key.columns)
    indexes = [list(table.columns).index(column) for column in table.primary_key.columns]
    assert indexes == list(range(width))  # key columns come first, so rows sort like their keys
    left, right = _rows(used, table), _rows(rebuilt, table)
    used_row, rebuilt_row = next(left, None), next(right, None)
    while used_row is not None or rebuilt_row is not None:
        if rebuilt_row is None or (used_row is not None and used_row[:width] < rebuilt_row[:width]):
            yield RowChange(used_row, None)
            used_row = next(left, None)
        elif used_row is None or rebuilt_row[:width] < used_row[:width]:
            yield RowChange(None, rebuilt_row)
            rebuilt_row = next(right, None)
        else:
            if used_row != rebuilt_row:
                yield RowChange(used_row, rebuilt_row)
            used_row, rebuilt_row = next(left, None), next(right, None)


def _rows(connection: Connection, table: Table) -> Iterator[Row]:
    # The order that Python shares with every database.
    keys = [dialect_of(connection).by_bytes(column) for column in table.primary_key.columns]
    found = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(select(table).order_by(*keys))
    return (tuple(row) for row in found)


def swap_in(using: Connection, used: Connection, rebuilt: Connection, on_row: Callable[[], None]) -> None:
    """Apply the rebuilt tables to those in use through `using`, a transaction that locks out the writer; `used` reads
    in parallel.

    Changed documents are put into the outbox, deleted ones as tombstones. The next worker publishes errors whose status
    changed.
    """
    for table in REBUILT:
        changes: list[RowChange] = []
        for change in changed_rows(used, rebuilt, table):
            changes.append(change)
            on_row()
            if len(changes) == ROWS_AT_ONCE:
                _write(using, rebuilt, table, changes)
                changes.clear()
        _write(using, rebuilt, table, changes)


def _write(using: Connection, rebuilt: Connection, table: Table, changes: Sequence[RowChange]) -> None:
    keys = [column.name for column in table.primary_key.columns]
    delete(using, table, keys, [used[: len(keys)] for used, new in changes if used and not new])
    insert(using, table, [new for used, new in changes if new and not used])
    upsert(using, table, [new for used, new in changes if new and used])
    if table is tables.documents:
        write_outbox(using, _published(rebuilt, changes), last_outbox_id(using))
    if changes and table in (tables.process_messages, tables.deletions):
        error_states.mark_all_for_review(using)


def _published(rebuilt: Connection, changes: Sequence[RowChange]) -> Iterator[Outgoing]:
    name = _column_index("document")
    kept = {change.rebuilt[name] for change in changes if change.rebuilt}
    for change in changes:
        if change.rebuilt is not None:
            document = _document(rebuilt, change.rebuilt)
            yield Outgoing("positions", document.document.encode(), position_json(document))
        elif change.used is not None and change.used[name] not in kept:
            yield Outgoing("positions", change.used[name].encode(), None)


def _document(connection: Connection, row: Row) -> Document:
    chains = tables.chains
    body = connection.execute(select(chains.c.body).where(chains.c.id == row[_column_index("chain")])).scalar_one()
    return document_of(body, row[0])


def _column_index(column: str) -> int:
    return [column_.name for column_ in tables.documents.columns].index(column)


# --- preview for people ------------------------------------------------------------------------------------


class PartTotals(msgspec.Struct):
    """Documents and accounting amounts of their parts (units of 1/10000), before and after."""

    documents: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    missing_actual: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    missing_journal_line: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    reconciled: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    difference: list[int] = msgspec.field(default_factory=lambda: [0, 0])


class ChangedDocument(msgspec.Struct, frozen=True):
    """A document that changes: its name, and its status before and after (None if missing)."""

    document: str
    company: str
    kind: str
    date: str
    before: str | None
    after: str | None


class Difference(msgspec.Struct):
    """Effect of a replay: in the period by company, kind and accounting currency, and the number of changed documents
    outside it.
    """

    changed: int = 0
    new: int = 0
    gone: int = 0
    outside: int = 0
    money: dict[tuple[str, str, str], PartTotals] = {}
    shifts: list[ChangedDocument] = []
    """The first changed documents."""

    @property
    def documents(self) -> int:
        """Number of documents of the period that change in any way."""
        return self.changed + self.new + self.gone


def compare(
    used: Connection, rebuilt: Connection, within: Callable[[str, str], bool], most_shifts: int = 100
) -> Difference:
    """Compare the documents of two stores. `within` selects the companies and dates of the period."""
    difference = Difference()
    for change in changed_rows(used, rebuilt, tables.documents):
        rows = [_named(row) if row is not None else None for row in change]
        # A change of the chain id alone is invisible to people.
        if rows[0] and rows[1] and {**rows[0], "chain": ""} == {**rows[1], "chain": ""}:
            continue
        if not any(row and within(row["company"], row["date"]) for row in rows):
            difference.outside += 1
            continue
        _count(difference, rows, most_shifts)
    return difference


def _named(row: Row) -> dict[str, Any]:
    return dict(zip((column.name for column in tables.documents.columns), row, strict=True))


def _count(difference: Difference, rows: Sequence[dict[str, Any] | None], most_shifts: int) -> None:
    before, after = rows
    if before is None:
        difference.new += 1
    elif after is None:
        difference.gone += 1
    else:
        difference.changed += 1
    for side, row in enumerate(rows):
        if row is not None and row["views"] & SUMMED:
            parts = difference.money.setdefault(
                (row["company"], row["kind"], row["accounting_currency"] or ""), PartTotals()
            )
            parts.documents[side] += 1
            for part in PART_NAMES:
                getattr(parts, part)[side] += row[f"accounting_{part}"]
    if len(difference.shifts) < most_shifts:
        shown = after or before
        assert shown is not None
        difference.shifts.append(
            ChangedDocument(
                shown["document"],
                shown["company"],
                shown["kind"],
                shown["date"],
                _status(before),
                _status(after),
            )
        )


def _status(row: dict[str, Any] | None) -> str | None:
    if row is None:
        return None
    detail = row["excluded"] or row["cause"]
    amount = "–" if row["amount"] is None else money.text(row["amount"], row["currency"])
    return f"{amount} {row['currency'] or ''} {row['position']}{f' ({detail})' if detail else ''}"
