"""A rebuilt store in the place of the one in use: what differs, and one transaction that makes it so (R70).

Both stores are read side by side in key order, so nothing is held in memory; only rows that differ are written.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Column, Connection, Table, Text, select

from engine import money
from engine.reconciliation.documents import Document
from store.errorlog import error_states
from store.projection.batch_plan import position_json
from store.projection.outgoing import Outgoing
from store.projection.tile_totals import SUMMED
from store.projection.writer import last_outbox_id, write_outbox
from store.queries.common import document_of
from store.schema import tables
from store.schema.bulk_sql import delete, insert, upsert

REBUILT: Final = (
    tables.records,
    tables.links,
    tables.chains,
    tables.documents,
    tables.totals,
    tables.reconciliations,
    tables.findings,
    tables.unsynced,
    tables.sources,
    tables.notices,
    tables.recomputations,
    tables.process_messages,
    tables.deletions,
)
"""What follows from the events alone; everything else (people's actions, the lease, the outbox) stays."""

ROWS_AT_ONCE: Final = 5_000
PART_NAMES: Final = ("missing_actual", "missing_journal_line", "reconciled", "difference")

Row = tuple[Any, ...]


class RowChange(NamedTuple):
    """A row that differs: as it is in use, and as it was rebuilt; None where there is none."""

    used: Row | None
    rebuilt: Row | None


def changed_rows(used: Connection, rebuilt: Connection, table: Table) -> Iterator[RowChange]:
    """The rows of a table that differ, in key order."""
    width = len(table.primary_key.columns)
    places = [list(table.columns).index(column) for column in table.primary_key.columns]
    assert places == list(range(width))  # keys stand first, so rows sort as their keys do
    left, right = _rows(used, table), _rows(rebuilt, table)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[:width] < other[:width]):
            yield RowChange(one, None)
            one = next(left, None)
        elif one is None or other[:width] < one[:width]:
            yield RowChange(None, other)
            other = next(right, None)
        else:
            if one != other:
                yield RowChange(one, other)
            one, other = next(left, None), next(right, None)


def _rows(connection: Connection, table: Table) -> Iterator[Row]:
    keys = [_by_bytes(connection, column) for column in table.primary_key.columns]
    found = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(select(table).order_by(*keys))
    return (tuple(row) for row in found)


def _by_bytes(connection: Connection, column: Column[Any]) -> Any:
    """A key in an order that Python, SQLite and every PostgreSQL agree on."""
    text = isinstance(column.type, Text) and connection.dialect.name == "postgresql"
    return column.collate("C") if text else column


def swap_in(using: Connection, used: Connection, rebuilt: Connection, on_row: Callable[[], None]) -> None:
    """Make the tables in use those that were rebuilt, through `using`, a transaction that locked out the writer; `used`
    reads beside it. Documents that change are put into the outbox, those that are gone as tombstones; errors that
    stand elsewhere are published by the next worker.
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
    name = _place("document")
    kept = {change.rebuilt[name] for change in changes if change.rebuilt}
    for change in changes:
        if change.rebuilt is not None:
            document = _document(rebuilt, change.rebuilt)
            yield Outgoing("positions", document.document.encode(), position_json(document))
        elif change.used is not None and change.used[name] not in kept:
            yield Outgoing("positions", change.used[name].encode(), None)


def _document(connection: Connection, row: Row) -> Document:
    chains = tables.chains
    body = connection.execute(select(chains.c.body).where(chains.c.id == row[_place("chain")])).scalar_one()
    return document_of(body, row[0])


def _place(column: str) -> int:
    return [found.name for found in tables.documents.columns].index(column)


# --- what people are shown before ------------------------------------------------------------------------------------


class PartTotals(msgspec.Struct):
    """Documents and the accounting amounts of their parts (units of 1/10000), before and after."""

    documents: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    missing_actual: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    missing_journal_line: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    reconciled: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    difference: list[int] = msgspec.field(default_factory=lambda: [0, 0])


class ChangedDocument(msgspec.Struct, frozen=True):
    """A document that changes: its name, where it stood and where it will stand; None where it is not there."""

    document: str
    company: str
    kind: str
    date: str
    before: str | None
    after: str | None


class Difference(msgspec.Struct):
    """What a replay would change: in the period, by company, kind and accounting currency; and how many documents
    outside it.
    """

    changed: int = 0
    new: int = 0
    gone: int = 0
    outside: int = 0
    money: dict[tuple[str, str, str], PartTotals] = {}
    shifts: list[ChangedDocument] = []
    """The first of them."""

    @property
    def documents(self) -> int:
        """How many documents of the period change in any way."""
        return self.changed + self.new + self.gone


def compare(
    used: Connection, rebuilt: Connection, within: Callable[[str, str], bool], most_shifts: int = 100
) -> Difference:
    """What differs between the documents of two stores; `within` tells whether a company and a date are looked at."""
    found = Difference()
    for change in changed_rows(used, rebuilt, tables.documents):
        rows = [_named(row) if row is not None else None for row in change]
        # The chain's id alone is no change that anybody sees.
        if rows[0] and rows[1] and {**rows[0], "chain": ""} == {**rows[1], "chain": ""}:
            continue
        if not any(row and within(row["company"], row["date"]) for row in rows):
            found.outside += 1
            continue
        _count(found, rows, most_shifts)
    return found


def _named(row: Row) -> dict[str, Any]:
    return dict(zip((column.name for column in tables.documents.columns), row, strict=True))


def _count(found: Difference, rows: Sequence[dict[str, Any] | None], most_shifts: int) -> None:
    before, after = rows
    if before is None:
        found.new += 1
    elif after is None:
        found.gone += 1
    else:
        found.changed += 1
    for side, row in enumerate(rows):
        if row is not None and row["views"] & SUMMED:
            parts = found.money.setdefault(
                (row["company"], row["kind"], row["accounting_currency"] or ""), PartTotals()
            )
            parts.documents[side] += 1
            for part in PART_NAMES:
                getattr(parts, part)[side] += row[f"accounting_{part}"]
    if len(found.shifts) < most_shifts:
        known = after or before
        assert known is not None
        found.shifts.append(
            ChangedDocument(
                known["document"],
                known["company"],
                known["kind"],
                known["date"],
                _standing(before),
                _standing(after),
            )
        )


def _standing(row: dict[str, Any] | None) -> str | None:
    if row is None:
        return None
    detail = row["excluded"] or row["cause"]
    amount = "–" if row["amount"] is None else money.text(row["amount"], row["currency"])
    return f"{amount} {row['currency'] or ''} {row['position']}{f' ({detail})' if detail else ''}"
