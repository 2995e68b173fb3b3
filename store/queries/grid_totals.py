"""Exact totals and groups of the rows of a grid (R33–R35)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, func, literal, literal_column, select
from sqlalchemy.exc import OperationalError

from engine.errors import QueryError
from store.projection.tile_totals import AMOUNTS, BITS, COUNTS, PROCESSED, Totals
from store.queries import access_paths
from store.queries.common import NUMBERS, TotalsByView, exact_sum, joined, materialised_totals, within
from store.queries.filters import STATUS, TOTALS_COLUMNS, Condition, matching
from store.queries.grid_query import GridQuery
from store.schema import tables
from store.schema.dialects import dialect_of

CATEGORIES_MAX: Final = 100
"""Maximum number of categories that are queried one by one."""

TotalsByCurrency = dict[tuple[str, str], Totals]
"""Totals by transaction and accounting currency ('' for none)."""


def totals(connection: Connection, query: GridQuery) -> TotalsByCurrency:
    """Return exact totals of all filtered rows by (currency, accounting currency). Approved documents that are not
    posted are excluded (R13).
    """
    return _by_currency((key, one) for _, key, one in _parts(connection, query, None))


def totals_of_view(totals_by_view: TotalsByView, query: GridQuery) -> TotalsByCurrency:
    """Return the totals of a query without filters from the materialised totals of its window."""
    return _by_currency(
        ((currency, accounting), one)
        for (kind, views, currency, accounting), one in totals_by_view.items()
        if kind == query.kind and views & (BITS[query.view] or PROCESSED)
    )


def _by_currency(parts: Iterable[tuple[tuple[str, str], Totals]]) -> TotalsByCurrency:
    result: TotalsByCurrency = {}
    for key, one in parts:
        result[key] = result[key] + one if key in result else one
    return result


Part = tuple[str, tuple[str, str], Totals]
"""Totals of a group: its value ('' for none, or without grouping), the currencies, the totals."""


def _parts(connection: Connection, query: GridQuery, by: "GroupBy | None") -> Iterable[Part]:
    """Return the totals of the filtered rows in parts. A group may occur in several parts."""
    if (
        by in _TOTALS_GROUPS
        and not query.search
        and all(condition.column in TOTALS_COLUMNS for condition in query.conditions)
    ):
        return _materialised_parts(connection, query, by)
    if by in _BY_CATEGORY:
        return (part for one in _by_category(connection, query) for part in _summed_rows(connection, one, by))
    return _summed_rows(connection, query, by)


_TOTALS_GROUPS: Final[dict["GroupBy | None", list[ColumnElement[str]]]] = {
    None: [],
    "month": [func.substr(tables.totals.c.date, 1, 7)],
    "currency": [tables.totals.c.currency],
    "position": [tables.totals.c.position],
}
"""Groupings that the materialised totals support."""

_BY_CATEGORY: Final = (None, "category", "currency")
"""Groupings for which the covering index, ordered by category and currency, needs no sorting."""


def _materialised_parts(connection: Connection, query: GridQuery, by: "GroupBy | None") -> Iterator[Part]:
    table = tables.totals.c
    totals_by_key = materialised_totals(
        connection,
        [*_TOTALS_GROUPS[by], table.currency, table.accounting_currency],
        table.company == query.company,
        table.kind == query.kind,
        within(table.date, query.window),
        table.views.op("&")(BITS[query.view] or PROCESSED) != 0,
        matching(query.conditions, "", TOTALS_COLUMNS),
    )
    for (*value, currency, accounting), totals in totals_by_key.items():
        yield "".join(value), (currency, accounting), totals


def _by_category(connection: Connection, query: GridQuery) -> list[GridQuery]:
    """Return one query for each category that matches a partial filter, because the covering index needs whole values.

    The categories are few; a recursive query skips from one to the next without reading the rows between.
    """
    partial = [one for one in query.conditions if one.column == "category" and one.operator in ("starts", "contains")]
    if not partial or not access_paths.is_covered(query):
        return [query]
    table = tables.documents.c
    first = select(func.min(table.category)).where(table.company == query.company, table.kind == query.kind)
    walk = select(first.scalar_subquery().label("category")).cte("categories", recursive=True)
    following = first.where(table.category > walk.c.category).scalar_subquery()
    walk = walk.union_all(select(following).where(walk.c.category.is_not(None)))
    matches = select(walk.c.category).where(matching(partial, "", {"category": walk.c.category}))
    categories = connection.execute(matches.limit(CATEGORIES_MAX + 1)).scalars().all()
    if len(categories) > CATEGORIES_MAX:
        return [query]
    others = [one for one in query.conditions if one not in partial]
    return [
        msgspec.structs.replace(query, conditions=(*others, Condition("category", "is", category)))
        for category in categories
    ]


_AMOUNTS: Final = [tables.documents.c[name] for name in AMOUNTS]
_WHOLE: Final = [func.coalesce(func.sum(amount), 0) for amount in _AMOUNTS]
_HALVES: Final = [half for amount in _AMOUNTS for half in exact_sum(amount)]


def _summed_rows(connection: Connection, query: GridQuery, by: "GroupBy | None") -> list[Part]:
    try:
        rows = _select_sums(connection, query, by, _WHOLE)
        return [(value, key, _totals(counts, map(int, sums))) for value, key, counts, sums in rows]
    except OperationalError as error:
        if not dialect_of(connection).is_sum_overflow(error):
            raise
    # Sums of halves always fit and take a third longer.
    rows = _select_sums(connection, query, by, _HALVES)
    return [(value, key, _totals(counts, map(joined, sums[::2], sums[1::2]))) for value, key, counts, sums in rows]


def _totals(counts: Iterable[int], sums: Iterable[int]) -> Totals:
    return Totals(**dict(zip(COUNTS, counts, strict=True)), **dict(zip(AMOUNTS, sums, strict=True)))


def _select_sums(
    connection: Connection, query: GridQuery, by: "GroupBy | None", sums: Sequence[ColumnElement[int]]
) -> Iterator[tuple[str, tuple[str, str], list[int], list[int]]]:
    """Yield by group and currencies the numbers of documents and the `sums`."""
    table = tables.documents
    group = literal("") if by is None else func.coalesce(GROUPS[by], "")
    keys: list[ColumnElement[Any]] = [table.c.currency, table.c.accounting_currency]
    names = access_paths.name_filter(connection, query, ordered=False)
    unindexed: list[str] = []
    if by in _BY_CATEGORY and names is None and access_paths.is_covered(query):
        # Rows in the order of their groups need no sorting: the covering index is ordered by category.
        order: list[ColumnElement[Any]] = [table.c.category, *keys]
        unindexed.append("amount")
    else:
        order = keys if by is None else [literal_column("value"), *keys]
        if access_paths.is_selective(query):
            unindexed.append("category")
        if names is None and access_paths.prefers_full_scan(connection, query):
            unindexed.append("company")
    statement = (
        select(group.label("value"), *keys, *NUMBERS, *sums)
        .where(
            access_paths.conditions_of(connection, query, names, *unindexed),
            access_paths.window_condition(query),
            table.c.views.op("&")(PROCESSED) != 0,
        )
        .group_by(*order)
    )
    for value, currency, accounting, *numbers in connection.execute(statement):
        yield value, (currency or "", accounting or ""), numbers[: len(COUNTS)], numbers[len(COUNTS) :]


GroupBy = Literal[
    "standing", "month", "position", "project", "category", "currency", "vendor", "invoice", "journal", "voucher"
]


GROUPS: Final[dict[GroupBy, ColumnElement[str]]] = {
    "standing": STATUS,
    "month": func.substr(tables.documents.c.date, 1, 7),
    **{
        name: tables.documents.c[name]
        for name in ("position", "project", "category", "currency", "vendor", "invoice", "journal", "voucher")
    },
}
"""Columns and expressions for grouping."""


class Group(msgspec.Struct, frozen=True):
    """A group of rows: its value ('' for none) and its totals."""

    value: str
    totals: TotalsByCurrency


def groups(connection: Connection, query: GridQuery, by: GroupBy) -> list[Group]:
    """Return the groups of the filtered rows with their totals, in the order of their values."""
    if by not in GROUPS:
        raise QueryError("a grid cannot be grouped by %(name)r; it can by %(names)s.", name=by, names=", ".join(GROUPS))
    parts_by_value: dict[str, list[tuple[tuple[str, str], Totals]]] = {}
    for value, key, one in _parts(connection, query, by):
        parts_by_value.setdefault(value, []).append((key, one))
    return [Group(value, _by_currency(parts)) for value, parts in sorted(parts_by_value.items())]
