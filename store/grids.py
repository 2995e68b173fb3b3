"""The rows and sums of a grid (R33, R34): by keyset, filtered, exact."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, literal, select, text, tuple_

from engine.calendar import Window
from engine.documents import Document, Kind
from engine.errors import QuestionError
from store import tables
from store.selection import document_of, exact_sum, joined, within
from store.views import BITS, PROCESSED, Sums, View

# What a grid can be filtered on by value here; each is a column of the table `documents`.
FILTERS: Final = (
    "document",
    "position",
    "excluded",
    "cause",
    "currency",
    "voucher",
    "project",
    "category",
    "vendor",
    "invoice",
    "journal",
)


class GridQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A state of a grid. `after` is the `next` of the page before; `filters` hold one value for each of some
    `FILTERS`.
    """

    company: str
    kind: Kind
    window: Window
    view: View = "all"
    filters: Mapping[str, str] = {}
    descending: bool = True
    after: tuple[str, str] | None = None
    limit: int = 100


def page(connection: Connection, query: GridQuery) -> tuple[list[Document], tuple[str, str] | None]:
    """The documents of a page by keyset, as quick at the end as at the start, and where the next page goes on."""
    rows: list[Any] = []
    # Rows without a date sort before all others and are in every window. As a range of their own they leave the
    # index its range.
    ranges = [query.window, Window("", "")]
    for window in ranges if query.descending else reversed(ranges):
        if len(rows) <= query.limit:
            rows += _range(connection, query, window, query.limit + 1 - len(rows))
    shown = rows[: query.limit]
    following = (shown[-1].date, shown[-1].key) if len(rows) > query.limit else None
    return [document_of(row.body, row.key) for row in shown], following


def _range(connection: Connection, query: GridQuery, window: Window, limit: int) -> list[Any]:
    table = tables.documents
    conditions = [_conditions(query)]
    if query.after is not None:
        after_date, after_key = query.after
        # SQLite walks an index between two plain bounds; the pair then says where to go on within the day.
        if query.descending:
            window = Window(window.start, min(window.end, after_date))
        else:
            window = Window(max(window.start, after_date), window.end)
        place, after = tuple_(table.c.date, table.c.key), tuple_(literal(after_date), literal(after_key))
        conditions.append(place < after if query.descending else place > after)
    statement = (
        select(table.c.date, table.c.key, tables.chains.c.body)
        .join(tables.chains, tables.chains.c.id == table.c.chain)
        .where(*conditions, table.c.date.between(window.start, window.end))
    )
    order = [table.c.date.desc(), table.c.key.desc()] if query.descending else [table.c.date, table.c.key]
    return list(connection.execute(statement.order_by(*order).limit(limit)))


def sums(connection: Connection, query: GridQuery) -> dict[tuple[str, str], Sums]:
    """Numbers and exact sums over all filtered rows, by (currency, accounting currency).

    Without filters they come from the sums kept by day. Approved documents not yet posted are outside (R13).
    """
    found = _summed_rows(connection, query) if query.filters else _kept_sums(connection, query)
    result: dict[tuple[str, str], Sums] = {}
    for key, sums in found:
        result[key] = result[key] + sums if key in result else sums
    return result


def _kept_sums(connection: Connection, query: GridQuery) -> Iterator[tuple[tuple[str, str], Sums]]:
    table = tables.totals
    bit = BITS[query.view] or PROCESSED
    rows = connection.execute(
        select(table).where(
            table.c.company == query.company,
            table.c.kind == query.kind,
            within(table.c.date, query.window),
            table.c.views.op("&")(bit) != 0,
        )
    )
    for row in rows:
        yield (row.currency, row.accounting_currency), Sums.from_text(row.sums)


def _summed_rows(connection: Connection, query: GridQuery) -> Iterator[tuple[tuple[str, str], Sums]]:
    table = tables.documents
    amounts = [name for name in Sums.__struct_fields__ if name not in ("documents", "with_difference")]
    halves = [half for name in amounts for half in exact_sum(table.c[name])]
    different = func.sum((table.c.difference != 0).cast(tables.documents.c.views.type))
    rows = connection.execute(
        select(table.c.currency, table.c.accounting_currency, func.count(), different, *halves)
        .where(_conditions(query), within(table.c.date, query.window), table.c.views.op("&")(PROCESSED) != 0)
        .group_by(table.c.currency, table.c.accounting_currency)
    )
    for currency, accounting, documents, with_difference, *sums in rows:
        numbers = [joined(high, low) for high, low in zip(sums[::2], sums[1::2], strict=True)]
        yield (currency or "", accounting or ""), Sums(documents, with_difference, *numbers)


def _conditions(query: GridQuery) -> ColumnElement[bool]:
    table = tables.documents
    conditions: list[ColumnElement[bool]] = [table.c.company == query.company, table.c.kind == query.kind]
    if bit := BITS[query.view]:
        # Written out as in the partial indexes, so that the planner sees that they fit.
        conditions.append(text(f"views & {bit} <> 0") if bit in (1, 2) else table.c.views.op("&")(bit) != 0)  # type: ignore[arg-type]
    for name, value in query.filters.items():
        if name not in FILTERS:
            raise QuestionError(f"a grid cannot be filtered on {name!r}; it can on {', '.join(FILTERS)}.")
        conditions.append(table.c[name] == value)
    return and_(*conditions)
