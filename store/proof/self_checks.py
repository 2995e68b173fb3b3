"""Self-checks of a store: whether materialised totals match the documents, and the backlog of the outbox."""

from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select, text

from store.projection.tile_totals import (
    AMOUNTS,
    BITS,
    COUNTS,
    SUMMED,
    PostingKey,
    PostingTotal,
    ReconciliationKey,
    TotalKey,
    Totals,
    reconciliation_key,
)
from store.queries.common import NUMBERS, exact_sum, joined
from store.schema import tables

_KEY: Final = TotalKey.__struct_fields__
_WIDTH: Final = len(_KEY)
_MICROSECONDS_A_DAY: Final = 86_400 * 1_000_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def totals_mismatches(connection: Connection) -> Iterator[str]:
    """Yield where the materialised totals, the source of tiles and trend, differ from totals over all documents: the
    key and both values.

    Exact, in two statements over every document: seconds for millions.
    """
    for key, stored, computed in _differing(_stored(connection), _computed(connection), Totals()):
        location = " ".join(str(value) for value in (*msgspec.structs.astuple(key)[:3], key.currency))
        members = [
            f"{name} {getattr(stored, name)} unlike {getattr(computed, name)}"
            for name in Totals.__struct_fields__
            if getattr(stored, name) != getattr(computed, name)
        ]
        yield f"{location}: {', '.join(members)}"
    reconciled = _differing(_stored_reconciliations(connection), _computed_reconciliations(connection).items(), 0)
    for day, before, amount in reconciled:
        yield f"{day.company} {day.date}, reconciled on {day.day}: {before} unlike {amount}"
    posted = _differing(_stored_postings(connection), _computed_postings(connection), PostingTotal())
    for posting, total, sums in posted:
        yield f"postings of {' '.join(posting)}: {tuple(total)} unlike {tuple(sums)}"


def _differing(stored: Iterable[tuple[K, V]], computed: Iterable[tuple[K, V]], nothing: V) -> Iterator[tuple[K, V, V]]:
    remaining = dict(stored)
    for key, amount in computed:
        if (before := remaining.pop(key, nothing)) != amount:
            yield key, before, amount
    for key, before in remaining.items():
        yield key, before, nothing


def _stored(connection: Connection) -> Iterator[tuple[TotalKey, Totals]]:
    for row in connection.execute(select(tables.totals)):
        yield TotalKey(*(getattr(row, name) for name in _KEY)), Totals.from_text(row.sums)


def _computed(connection: Connection) -> Iterator[tuple[TotalKey, Totals]]:
    table = tables.documents
    by: list[ColumnElement[Any]] = [
        func.coalesce(table.c[name], "") if table.c[name].nullable else table.c[name] for name in _KEY[:-1]
    ]
    by.append(func.coalesce(table.c.cause, table.c.excluded, "").label("cause"))
    halves = [half for name in AMOUNTS for half in exact_sum(table.c[name])]
    for row in connection.execute(select(*by, *NUMBERS, *halves).group_by(*by)):
        key, numbers, sums = row[:_WIDTH], row[_WIDTH : _WIDTH + len(COUNTS)], row[_WIDTH + len(COUNTS) :]
        amounts = [joined(high, low) for high, low in zip(sums[::2], sums[1::2], strict=True)]
        fields: dict[str, int] = {
            **dict(zip(COUNTS, numbers, strict=True)),
            **dict(zip(AMOUNTS, amounts, strict=True)),
        }
        yield TotalKey(*key), Totals(**fields)


def _stored_reconciliations(connection: Connection) -> Iterator[tuple[ReconciliationKey, int]]:
    for *key, amount in connection.execute(select(tables.reconciliations)):
        yield ReconciliationKey(*key), int(amount)


def _computed_reconciliations(connection: Connection) -> dict[ReconciliationKey, int]:
    table = tables.documents.c
    day = (table.since // _MICROSECONDS_A_DAY).label("day")
    rows = connection.execute(
        select(table.company, table.date, day, *exact_sum(table.accounting_reconciled))
        .where(table.views.op("&")(SUMMED) != 0)
        .group_by(table.company, table.date, text("day"))
    )
    amounts: dict[ReconciliationKey, int] = {}
    for company, date, number, high, low in rows:
        key = reconciliation_key(company, date, number * _MICROSECONDS_A_DAY)
        amounts[key] = amounts.get(key, 0) + joined(high, low)
    return {key: amount for key, amount in amounts.items() if amount}


def _stored_postings(connection: Connection) -> Iterator[tuple[PostingKey, PostingTotal]]:
    for *key, postings, unknown, amount in connection.execute(select(tables.posting_totals)):
        yield PostingKey(*key), PostingTotal(postings, unknown, int(amount))


def _computed_postings(connection: Connection) -> Iterator[tuple[PostingKey, PostingTotal]]:
    table = tables.postings.c
    by = (table.company, table.kind, table.part, table.currency, table.date)
    unknown = func.count().filter(table.amount.is_(None))
    query = select(*by, func.count(), unknown, *exact_sum(table.amount)).group_by(*by)
    for *key, postings, without_amount, high, low in connection.execute(query):
        yield PostingKey(*key), PostingTotal(postings, without_amount, joined(high, low))


def outbox_backlog(connection: Connection) -> tuple[int, int | None]:
    """Return the number of records in the outbox and the time of the oldest (microseconds since 1970 UTC)."""
    table = tables.outbox
    waiting, oldest = connection.execute(select(func.count(), func.min(table.c.at))).one()
    return waiting, oldest


def attempts_by_outcome(connection: Connection) -> dict[tuple[str, str], int]:
    """Count the completed attempts by action and outcome; one for each document of a call."""
    table = tables.attempts.c
    query = select(table.action, table.outcome, func.count().label("number")).where(table.ended.is_not(None))
    return {
        (row.action, row.outcome): row.number for row in connection.execute(query.group_by(table.action, table.outcome))
    }


def documents_by_view(connection: Connection) -> dict[tuple[str, str, str], int]:
    """Count the documents by company, kind and view."""
    counts: dict[tuple[str, str, str], int] = {}
    for total_key, totals in _stored(connection):
        for view, bit in BITS.items():
            if total_key.views & bit or not bit:
                key = (total_key.company, total_key.kind, view)
                counts[key] = counts.get(key, 0) + totals.documents
    return counts
