"""What a store says about itself: whether its sums are those of its documents, and what waits in its outbox."""

from collections.abc import Hashable, Iterable, Iterator
from typing import Final, TypeVar

import msgspec
from sqlalchemy import Connection, func, select, text

from store.projection.tile_totals import BITS, SUMMED, ReconciliationKey, TotalKey, Totals, reconciliation_key
from store.queries.common import exact_sum, joined
from store.schema import tables

_KEY: Final = TotalKey.__struct_fields__
_AMOUNTS: Final = tuple(name for name in Totals.__struct_fields__ if name not in ("documents", "with_difference"))
_MICROSECONDS_A_DAY: Final = 86_400 * 1_000_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def totals_mismatches(connection: Connection) -> Iterator[str]:
    """Where the sums kept by day, which tiles and the trend are made of, differ from those over all documents, which
    grids show: the place and both numbers. Exact, and in two statements over every document: some seconds for millions.
    """
    for where, kept, summed in _differing(_kept(connection), _summed(connection), Totals()):
        place = " ".join(str(value) for value in (*msgspec.structs.astuple(where)[:3], where.currency))
        members = [
            f"{name} {getattr(kept, name)} unlike {getattr(summed, name)}"
            for name in Totals.__struct_fields__
            if getattr(kept, name) != getattr(summed, name)
        ]
        yield f"{place}: {', '.join(members)}"
    reconciled = _differing(_kept_reconciliations(connection), _summed_reconciliations(connection).items(), 0)
    for day, before, amount in reconciled:
        yield f"{day.company} {day.date}, reconciled on {day.day}: {before} unlike {amount}"


def _differing(kept: Iterable[tuple[K, V]], summed: Iterable[tuple[K, V]], nothing: V) -> Iterator[tuple[K, V, V]]:
    left = dict(kept)
    for where, amount in summed:
        if (before := left.pop(where, nothing)) != amount:
            yield where, before, amount
    for where, before in left.items():
        yield where, before, nothing


def _kept(connection: Connection) -> Iterator[tuple[TotalKey, Totals]]:
    for row in connection.execute(select(tables.totals)):
        yield TotalKey(*(getattr(row, name) for name in _KEY)), Totals.from_text(row.sums)


def _summed(connection: Connection) -> Iterator[tuple[TotalKey, Totals]]:
    table = tables.documents
    by = [func.coalesce(table.c[name], "") if table.c[name].nullable else table.c[name] for name in _KEY]
    different = func.count().filter(table.c.difference != 0)
    halves = [half for name in _AMOUNTS for half in exact_sum(table.c[name])]
    for row in connection.execute(select(*by, func.count(), different, *halves).group_by(*by)):
        key, (documents, with_difference, *sums) = row[: len(_KEY)], row[len(_KEY) :]
        amounts = [joined(high, low) for high, low in zip(sums[::2], sums[1::2], strict=True)]
        yield TotalKey(*key), Totals(documents, with_difference, *amounts)


def _kept_reconciliations(connection: Connection) -> Iterator[tuple[ReconciliationKey, int]]:
    for *place, amount in connection.execute(select(tables.reconciliations)):
        yield ReconciliationKey(*place), int(amount)


def _summed_reconciliations(connection: Connection) -> dict[ReconciliationKey, int]:
    table = tables.documents.c
    day = (table.since // _MICROSECONDS_A_DAY).label("day")
    rows = connection.execute(
        select(table.company, table.date, day, *exact_sum(table.accounting_reconciled))
        .where(table.views.op("&")(SUMMED) != 0)
        .group_by(table.company, table.date, text("day"))
    )
    found: dict[ReconciliationKey, int] = {}
    for company, date, number, high, low in rows:
        place = reconciliation_key(company, date, number * _MICROSECONDS_A_DAY)
        found[place] = found.get(place, 0) + joined(high, low)
    return {place: amount for place, amount in found.items() if amount}


def outbox_backlog(connection: Connection) -> tuple[int, int | None]:
    """How many records wait to be published, and since when the oldest does (microseconds since 1970)."""
    table = tables.outbox
    waiting, oldest = connection.execute(select(func.count(), func.min(table.c.at))).one()
    return waiting, oldest


def attempts_by_outcome(connection: Connection) -> dict[tuple[str, str], int]:
    """How many attempts to sync have ended, by action and outcome; one for each document of a call."""
    table = tables.attempts.c
    query = select(table.action, table.outcome, func.count().label("number")).where(table.ended.is_not(None))
    return {
        (row.action, row.outcome): row.number for row in connection.execute(query.group_by(table.action, table.outcome))
    }


def documents_by_view(connection: Connection) -> dict[tuple[str, str, str], int]:
    """How many documents there are, by company, kind and view."""
    found: dict[tuple[str, str, str], int] = {}
    for where, sums in _kept(connection):
        for view, bit in BITS.items():
            if where.views & bit or not bit:
                key = (where.company, where.kind, view)
                found[key] = found.get(key, 0) + sums.documents
    return found
