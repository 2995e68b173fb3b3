"""Access paths: which indexes of `documents` suit a grid query.

Whether and how the planner is led to them is up to the dialect: `Dialect.unindexed` and the methods after it.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, func, literal, select, text

from engine.reconciliation.kinds import ACCOUNTING_PARTS
from store.projection.tile_totals import BITS, PROCESSED
from store.queries.common import materialised_totals, within
from store.queries.filters import NAME_COLUMNS, first_letters, matching
from store.queries.grid_query import GridQuery
from store.schema import tables
from store.schema.dialects import NameFilter, dialect_of

SMALL_VIEWS: Final = ("missing-actuals", "missing-journal-lines")
"""Views of few rows, which have their own indexes."""
SELECTIVE_COLUMNS: Final = (*NAME_COLUMNS, "document", "amount")
"""Columns with an index that is selective for one value."""
SELECTIVE_RANGES: Final = ("date", "since")
"""Columns with an index that is selective for a range, which is mostly narrow."""
COVERED_COLUMNS: Final = (
    *("category", "currency"),
    *("amount", "missing_actual", "missing_journal_line", "reconciled", "difference"),
    *ACCOUNTING_PARTS,
)
"""Columns that `ix_documents_category` contains beside all amounts: it covers totals that are filtered on these alone.

The index has no useful order of rows, so it must not be used for a page, nor for totals where another one is
selective.
"""
NAMES_SORTED_MAX: Final = 20_000
"""Maximum number of documents with similar names that are looked up and sorted, instead of walking all documents in
order.
"""


def is_selective(query: GridQuery) -> bool:
    """Return True if an index is selective for the view or a filter, whatever the values are."""
    return (
        query.view in SMALL_VIEWS
        or any(condition.column in SELECTIVE_RANGES for condition in query.conditions)
        or requests_value(query, SELECTIVE_COLUMNS)
    )


def requests_value(query: GridQuery, columns: Collection[str]) -> bool:
    """Return True if a filter selects one value of one of the columns."""
    return any(
        condition.column in columns and condition.operator == "is" and condition.value != ""
        for condition in query.conditions
    )


def is_covered(query: GridQuery) -> bool:
    """Return True if the covering index contains everything requested, and no index is more selective."""
    return (
        not query.search
        and not is_selective(query)
        and all(condition.column in COVERED_COLUMNS for condition in query.conditions)
    )


def name_filter(connection: Connection, query: GridQuery, *, ordered: bool) -> ColumnElement[bool] | None:
    """Return the condition to add (`Dialect.name_filter`) if a filter on names selects few documents, and fewer than
    the window. `ordered` is True for a page.
    """
    if query.view in SMALL_VIEWS:
        return None
    table = tables.documents.c
    of_grid = and_(table.company == query.company, table.kind == query.kind)
    of_window = and_(of_grid, within(table.date, query.window))
    filters = (
        NameFilter(
            table[condition.column],
            first_letters(str(condition.value)),
            and_(of_grid, matching([condition], "", {})),
        )
        for condition in query.conditions
        if condition.operator in ("starts", "is") and condition.column in NAME_COLUMNS and condition.value
    )

    def selects_few(condition: ColumnElement[bool]) -> bool:
        number = _count(connection, condition, NAMES_SORTED_MAX + 1)
        return number <= NAMES_SORTED_MAX and number < _count(connection, of_window, number + 1)

    return dialect_of(connection).name_filter(filters, selects_few, selective=is_selective(query), ordered=ordered)


def _count(connection: Connection, condition: ColumnElement[bool], maximum: int) -> int:
    rows = select(literal(1)).select_from(tables.documents).where(condition).limit(maximum)
    return int(connection.execute(select(func.count()).select_from(rows.subquery())).scalar_one())


def prefers_full_scan(connection: Connection, query: GridQuery) -> bool:
    """Return True if no index is selective, and the planner must be led to a full scan of the documents."""
    if is_selective(query) or requests_value(query, ("category",)):
        return False

    def requested() -> int:
        table = tables.totals.c
        totals = materialised_totals(
            connection,
            [],
            table.company == query.company,
            table.kind == query.kind,
            within(table.date, query.window),
            table.views.op("&")(BITS[query.view] or PROCESSED) != 0,
        )
        return sum(one.documents for one in totals.values())

    return dialect_of(connection).prefers_full_scan(connection, tables.documents, requested)


def window_condition(query: GridQuery) -> ColumnElement[bool]:
    """Return the condition of the window, for any order."""
    date = tables.documents.c.date
    inside = within(date, query.window)
    # A plain bound, by which the planner recognises that the index of the view applies.
    return and_(date <= query.window.end, inside) if query.view in SMALL_VIEWS else inside


def conditions_of(
    connection: Connection, query: GridQuery, names: ColumnElement[bool] | None, *unindexed: str
) -> ColumnElement[bool]:
    """Return the filters. An index of the columns `unindexed` is not to be used: another one is more selective."""
    if query.view in SMALL_VIEWS:
        unindexed += ("amount", "since")
    if names is not None:
        unindexed += ("company",)
    table = tables.documents
    dialect = dialect_of(connection)
    stored = {name: dialect.unindexed(table.c[name]) for name in unindexed}
    company = stored.get("company", table.c.company)
    conditions: list[ColumnElement[bool]] = [company == query.company, table.c.kind == query.kind]
    if names is not None:
        conditions.append(names)
    if bit := BITS[query.view]:
        # Literal, as in the partial indexes, so that the planner recognises them.
        conditions.append(text(f"views & {bit} <> 0") if bit in (1, 2) else table.c.views.op("&")(bit) != 0)  # type: ignore[arg-type]
    return and_(*conditions, matching(query.conditions, query.search, stored))
