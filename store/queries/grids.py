"""Pages of a grid by keyset pagination (R33–R35)."""

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, literal, select, true, tuple_

from engine.calendar import Window
from engine.reconciliation.documents import Document
from store.queries import access_paths
from store.queries.access_paths import SMALL_VIEWS
from store.queries.common import document_of
from store.queries.grid_query import GridQuery, PageKey, Sort
from store.schema import tables
from store.schema.document_columns import stored_value


class DocumentPage(msgspec.Struct, frozen=True):
    """Documents of a page in order, and whether rows precede and follow them."""

    documents: list[Document]
    before: bool
    after: bool


def page_key(document: Document, sort: Sort) -> PageKey:
    """Return the keyset pagination key of a document."""
    return stored_value(sort, document), document.key


def page(connection: Connection, query: GridQuery) -> DocumentPage:
    """Return a page of documents. Keyset pagination makes the last page as fast as the first."""
    rows = []
    names = access_paths.name_filter(connection, query, ordered=True)
    for document in _documents(connection, query, query.limit + 1, names):
        rows.append(document)
        if len(rows) > query.limit:
            break
    beyond = len(rows) > query.limit
    rows = rows[: query.limit]
    behind = query.after is not None and _has_rows_behind(connection, query, rows, names)
    if query.backwards:
        return DocumentPage(rows[::-1], before=beyond, after=behind)
    return DocumentPage(rows, before=behind, after=beyond)


def _has_rows_behind(
    connection: Connection, query: GridQuery, rows: list[Document], names: ColumnElement[bool] | None
) -> bool:
    """Return True if rows precede the page in the direction of reading: a jump may lead to the very first row."""
    start = page_key(rows[0], query.sort) if rows else query.after
    other_way = msgspec.structs.replace(query, after=start, backwards=not query.backwards)
    return next(_documents(connection, other_way, 1, names), None) is not None


def _documents(
    connection: Connection, query: GridQuery, limit: int, names: ColumnElement[bool] | None
) -> Iterator[Document]:
    """Yield the documents beyond the key in order, reading `limit` of them at a time."""
    for statement in _ranges(query):
        after: PageKey | None = query.after
        while True:
            rows = _read(connection, query, statement, after, limit, names)
            for row in rows:
                yield document_of(row.body, row.key)
            if len(rows) < limit:
                break
            after = (rows[-1].value, rows[-1].key)


class _Range(msgspec.Struct, frozen=True):
    """Rows that an index returns in order: those with a value in the sort column, or those without."""

    window: Window | None
    none: bool = False


def _ranges(query: GridQuery) -> list[_Range]:
    """Return the ranges of a query in order.

    Rows without a date or an amount are in every window, before all others. A separate range for them leaves a plain
    range for the index.
    """
    if query.sort == "date":
        ranges = [_Range(Window("", "")), _Range(query.window)]
    elif query.sort == "amount":
        ranges = [_Range(None, none=True), _Range(None)]
    else:
        return [_Range(None)]
    return ranges[::-1] if _downwards(query) else ranges


def _downwards(query: GridQuery) -> bool:
    return query.descending != query.backwards


def _read(
    connection: Connection,
    query: GridQuery,
    part: _Range,
    after: PageKey | None,
    limit: int,
    names: ColumnElement[bool] | None,
) -> list[Any]:
    table = tables.documents
    column = _sort_expression(query, names)
    downwards = _downwards(query)
    conditions = [access_paths.conditions_of(connection, query, names, "category")]
    if part.window is not None:
        window = _remaining_window(part.window, after, downwards=downwards)
        conditions.append(table.c.date.between(window.start, window.end))
    else:
        conditions.append(access_paths.window_condition(query))
    if query.sort == "amount":
        # The sort expression, so that no index of the amount is used where another one is more selective.
        conditions.append(table.c.amount.is_(None) if part.none else column.is_not(None))
    if after is not None:
        beyond = _beyond_key(column, part, after, downwards=downwards)
        if beyond is None:
            return []
        conditions.append(beyond)
    order = [table.c.key] if part.none else [column, table.c.key]
    # The keys of the page are found first, from an index alone where possible; then its bodies are read. Sorting must
    # not carry the bodies of a whole view.
    keys = (
        select(column.label("value"), table.c.key)
        .where(*conditions)
        .order_by(*(column.desc() for column in order) if downwards else order)
        .limit(limit)
        .subquery()
    )
    order_of_page = (keys.c.value, keys.c.key)
    of_page = table.alias("of_page")
    statement = (
        select(keys.c.value, keys.c.key, tables.chains.c.body)
        .join(of_page, of_page.c.key == keys.c.key)
        .join(tables.chains, tables.chains.c.id == of_page.c.chain)
        .order_by(*(column.desc() for column in order_of_page) if downwards else order_of_page)
    )
    return list(connection.execute(statement))


def _remaining_window(window: Window, after: PageKey | None, *, downwards: bool) -> Window:
    """Return the part of a window beyond a key.

    One bound per side: given two, SQLite uses the wider for its index and scans everything before the page.
    """
    if after is None or not isinstance(after[0], str):
        return window
    if downwards:
        return Window(window.start, min(window.end, after[0]))
    return Window(max(window.start, after[0]), window.end)


def _sort_expression(query: GridQuery, names: ColumnElement[bool] | None) -> ColumnElement[Any]:
    """Return the sort expression. The few rows of a small view or of some names are sorted; many rows are read in the
    order of an index.
    """
    column = tables.documents.c[query.sort]
    if names is None and (query.view not in SMALL_VIEWS or query.sort == "date"):
        return column
    # An expression, else the planner may walk the index of all rows to find the few.
    return column + literal("" if query.sort == "date" else 0)


def _beyond_key(
    column: ColumnElement[Any], part: _Range, after: PageKey, *, downwards: bool
) -> ColumnElement[bool] | None:
    """Return the condition for rows of a range beyond a key; None if there are none."""
    key = tables.documents.c.key
    value, after_key = after
    if part.none:
        if value is not None:
            return true() if downwards else None
        return key < after_key if downwards else key > after_key
    if value is None:
        return None if downwards else true()
    row, start = tuple_(column, key), tuple_(literal(value), literal(after_key))
    further = row < start if downwards else row > start
    if part.window is not None:
        return further
    # SQLite walks an index between plain bounds; the row value then gives the start among equal values.
    return and_(column <= value if downwards else column >= value, further)
