"""What a store says about itself: whether its sums are those of its documents, and what waits in its outbox."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection, func, select

from store import tables
from store.selection import exact_sum, joined
from store.views import BITS, Sums, TotalKey

_KEY: Final = TotalKey.__struct_fields__
_AMOUNTS: Final = tuple(name for name in Sums.__struct_fields__ if name not in ("documents", "with_difference"))
_NOTHING: Final = Sums()


class Unequal(NamedTuple):
    """Sums kept by day that are not those of the documents: tiles and grids would disagree."""

    where: TotalKey
    kept: Sums
    summed: Sums

    def __str__(self) -> str:
        place = " ".join(str(value) for value in (*msgspec.structs.astuple(self.where)[:3], self.where.currency))
        members = [
            f"{name} {getattr(self.kept, name)} unlike {getattr(self.summed, name)}"
            for name in Sums.__struct_fields__
            if getattr(self.kept, name) != getattr(self.summed, name)
        ]
        return f"{place}: {', '.join(members)}"


def unequal_totals(connection: Connection) -> Iterator[Unequal]:
    """Where the sums that tiles are made of differ from those over all documents, which grids show. Exact, and in one
    statement over every document: some seconds for millions.
    """
    kept = dict(_kept(connection))
    for where, summed in _summed(connection):
        if (before := kept.pop(where, _NOTHING)) != summed:
            yield Unequal(where, before, summed)
    for where, before in kept.items():
        yield Unequal(where, before, _NOTHING)


def _kept(connection: Connection) -> Iterator[tuple[TotalKey, Sums]]:
    for row in connection.execute(select(tables.totals)):
        yield TotalKey(*(getattr(row, name) for name in _KEY)), Sums.from_text(row.sums)


def _summed(connection: Connection) -> Iterator[tuple[TotalKey, Sums]]:
    table = tables.documents
    by = [func.coalesce(table.c[name], "") if table.c[name].nullable else table.c[name] for name in _KEY]
    different = func.count().filter(table.c.difference != 0)
    halves = [half for name in _AMOUNTS for half in exact_sum(table.c[name])]
    for row in connection.execute(select(*by, func.count(), different, *halves).group_by(*by)):
        key, (documents, with_difference, *sums) = row[: len(_KEY)], row[len(_KEY) :]
        amounts = [joined(high, low) for high, low in zip(sums[::2], sums[1::2], strict=True)]
        yield TotalKey(*key), Sums(documents, with_difference, *amounts)


def in_outbox(connection: Connection) -> tuple[int, int | None]:
    """How many records wait to be published, and since when the oldest does (microseconds since 1970)."""
    table = tables.outbox
    waiting, oldest = connection.execute(select(func.count(), func.min(table.c.at))).one()
    return waiting, oldest


def documents_by_view(connection: Connection) -> dict[tuple[str, str, str], int]:
    """How many documents there are, by company, kind and view."""
    found: dict[tuple[str, str, str], int] = {}
    for where, sums in _kept(connection):
        for view, bit in BITS.items():
            if where.views & bit or not bit:
                key = (where.company, where.kind, view)
                found[key] = found.get(key, 0) + sums.documents
    return found
