"""The rows, sums and groups of a grid (R33–R35): by keyset, filtered, exact."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, literal, literal_column, select, text, true, tuple_
from sqlalchemy.exc import OperationalError

from engine.calendar import Window
from engine.errors import QueryError
from engine.reconciliation.documents import Document, Kind
from store.projection.tile_totals import BITS, PROCESSED, Totals, View
from store.queries.common import TotalsByView, document_of, exact_sum, joined, materialised_totals, within
from store.queries.filters import NAME_COLUMNS, NOT_INDEXED, STATUS, TOTALS_COLUMNS, Condition, first_letters, matching
from store.schema import tables

Sort = Literal["date", "amount", "since"]
SORTS: Final[tuple[Sort, ...]] = ("date", "amount", "since")

SMALL_VIEWS: Final = ("missing-actuals", "missing-journal-lines")
"""The views of few rows, which have an index of their own."""
SELECTIVE_COLUMNS: Final = (*NAME_COLUMNS, "document", "amount")
"""The columns whose index leads to the rows with a value."""
SELECTIVE_RANGES: Final = ("date", "since")
"""The columns whose index leads to the rows within a range, which is mostly narrow."""
COVERED_COLUMNS: Final = (
    *("category", "currency"),
    *("amount", "missing_actual", "missing_journal_line", "reconciled", "difference"),
)
"""Columns that `ix_documents_category` holds beside all that is added up: sums that are filtered on these alone are
told from it. It knows no order of rows, and they are many: for a page SQLite would take it and sort them all, and for
sums before an index that leads to few.
"""
CATEGORIES_MAX: Final = 100
"""So many categories at most are asked for one by one."""
NAMES_SORTED_MAX: Final = 20_000
"""So many documents whose names begin alike are found and sorted before a walk through all has found a page."""

PageKey = tuple[str | int | None, str]
"""Where a row stands: its value in the column that sorts, and its key."""

AFTER_ALL_KEYS: Final = "\U0010ffff"


class GridQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A state of a grid.

    The page begins after the row at `after`; with `backwards` it ends before it. Without `after` it is the first page,
    with `backwards` the last.
    """

    company: str
    kind: Kind
    window: Window
    view: View = "all"
    conditions: tuple[Condition, ...] = ()
    search: str = ""
    sort: Sort = "date"
    descending: bool = True
    after: PageKey | None = None
    backwards: bool = False
    limit: int = 100

    @property
    def filtered(self) -> bool:
        """Whether not every row of the view is asked for."""
        return bool(self.conditions or self.search)

    def at(self, value: str | int) -> "GridQuery":
        """The page that begins with the first row at or beyond a value of the column that sorts."""
        key = AFTER_ALL_KEYS if self.descending else ""
        return msgspec.structs.replace(self, after=(value, key), backwards=False)


class DocumentPage(msgspec.Struct, frozen=True):
    """A page's documents in order; whether rows stand before them, and after."""

    documents: list[Document]
    before: bool
    after: bool


def page_key(document: Document, sort: Sort) -> PageKey:
    """Where a document stands in an order."""
    match sort:
        case "date":
            return document.date or "", document.key
        case "amount":
            return None if document.amounts is None else document.amounts.amount, document.key
        case "since":
            return document.since, document.key


def page(connection: Connection, query: GridQuery) -> DocumentPage:
    """The documents of a page by keyset, as quick at the end as at the start."""
    rows = []
    names = _names(connection, query)
    for document in _documents(connection, query, query.limit + 1, names):
        rows.append(document)
        if len(rows) > query.limit:
            break
    beyond = len(rows) > query.limit
    rows = rows[: query.limit]
    behind = query.after is not None and _any_behind(connection, query, rows, names)
    if query.backwards:
        return DocumentPage(rows[::-1], before=beyond, after=behind)
    return DocumentPage(rows, before=behind, after=beyond)


def _any_behind(
    connection: Connection, query: GridQuery, rows: list[Document], names: ColumnElement[bool] | None
) -> bool:
    """Whether rows stand where the page came from: a jump may lead to the very first one."""
    start = page_key(rows[0], query.sort) if rows else query.after
    other_way = msgspec.structs.replace(query, after=start, backwards=not query.backwards)
    return next(_documents(connection, other_way, 1, names), None) is not None


def _documents(
    connection: Connection, query: GridQuery, limit: int, names: ColumnElement[bool] | None
) -> Iterator[Document]:
    """The documents from a place on, in order, as many as are asked for: `limit` of them are read at first."""
    for statement in _ranges(query):
        after: PageKey | None = query.after
        while True:
            rows = _read(connection, query, statement, after, limit, names)
            for row in rows:
                yield document_of(row.body, row.key)
            if len(rows) < limit:
                break
            after = (rows[-1].place, rows[-1].key)


class _Range(msgspec.Struct, frozen=True):
    """Rows that an index walks in order: those with a value in the column that sorts, or those without."""

    window: Window | None
    none: bool = False


def _ranges(query: GridQuery) -> list[_Range]:
    """Rows without a date or an amount are in every window, before all others. As a range of their own they leave the
    index its range.
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
    column = _sorting(query, names)
    downwards = _downwards(query)
    conditions = [_conditions(connection, query, names, "category")]
    if part.window is not None:
        window = _from_there(part.window, after, downwards=downwards)
        conditions.append(table.c.date.between(window.start, window.end))
    else:
        conditions.append(_within(query))
    if query.sort == "amount":
        # With a value: as it is sorted, so that no index of it is taken where another one leads to few.
        conditions.append(table.c.amount.is_(None) if part.none else column.is_not(None))
    if after is not None:
        beyond = _beyond(column, part, after, downwards=downwards)
        if beyond is None:
            return []
        conditions.append(beyond)
    order = [table.c.key] if part.none else [column, table.c.key]
    # The page is found first, where that is possible from an index alone, and then its bodies are read: sorting must
    # not carry those of a whole view along.
    found = (
        select(column.label("place"), table.c.key)
        .where(*conditions)
        .order_by(*(one.desc() for one in order) if downwards else order)
        .limit(limit)
        .subquery()
    )
    placed = (found.c.place, found.c.key)
    of_page = table.alias("of_page")
    statement = (
        select(found.c.place, found.c.key, tables.chains.c.body)
        .join(of_page, of_page.c.key == found.c.key)
        .join(tables.chains, tables.chains.c.id == of_page.c.chain)
        .order_by(*(one.desc() for one in placed) if downwards else placed)
    )
    return list(connection.execute(statement))


def _from_there(window: Window, after: PageKey | None, *, downwards: bool) -> Window:
    """The part of a window beyond a place. One bound on each side: of two, SQLite takes the wider for its index, and
    walks all that lies before the page.
    """
    if after is None or not isinstance(after[0], str):
        return window
    if downwards:
        return Window(window.start, min(window.end, after[0]))
    return Window(max(window.start, after[0]), window.end)


def _sorting(query: GridQuery, names: ColumnElement[bool] | None) -> ColumnElement[Any]:
    """What to sort by. Few rows, of a view or of some names, are sorted; of many an index walks in order."""
    column = tables.documents.c[query.sort]
    if names is None and (query.view not in SMALL_VIEWS or query.sort == "date"):
        return column
    # An expression: else the planner may walk the index of all rows to find the few.
    return column + literal("" if query.sort == "date" else 0)


def _beyond(column: ColumnElement[Any], part: _Range, after: PageKey, *, downwards: bool) -> ColumnElement[bool] | None:
    """The rows of a range beyond a place; None when none can be."""
    key = tables.documents.c.key
    value, after_key = after
    if part.none:
        if value is not None:
            return true() if downwards else None
        return key < after_key if downwards else key > after_key
    if value is None:
        return None if downwards else true()
    here, there = tuple_(column, key), tuple_(literal(value), literal(after_key))
    further = here < there if downwards else here > there
    if part.window is not None:
        return further
    # SQLite walks an index between plain bounds; the pair then says where to go on among equal values.
    return and_(column <= value if downwards else column >= value, further)


# --- sums ------------------------------------------------------------------------------------------------------------

TotalsByCurrency = dict[tuple[str, str], Totals]
"""Sums by transaction and accounting currency; '' where there is none."""


def sums(connection: Connection, query: GridQuery) -> TotalsByCurrency:
    """Numbers and exact sums over all filtered rows, by (currency, accounting currency). Approved documents not yet
    posted are outside (R13).
    """
    return _by_currency((key, one) for _, key, one in _parts(connection, query, None))


def sums_of(kept: TotalsByView, query: GridQuery) -> TotalsByCurrency:
    """The same without filters, from the sums kept of the window."""
    return _by_currency(
        ((currency, accounting), one)
        for (kind, views, currency, accounting), one in kept.items()
        if kind == query.kind and views & (BITS[query.view] or PROCESSED)
    )


def _by_currency(parts: Iterable[tuple[tuple[str, str], Totals]]) -> TotalsByCurrency:
    result: TotalsByCurrency = {}
    for key, one in parts:
        result[key] = result[key] + one if key in result else one
    return result


Part = tuple[str, tuple[str, str], Totals]
"""The value of a group ('' without one, and for none), the currencies, and sums."""


def _parts(connection: Connection, query: GridQuery, by: "GroupBy | None") -> Iterable[Part]:
    """The sums of the filtered rows, in parts. A group may come in several."""
    if by in _TOTALS_GROUPS and not query.search and all(one.column in TOTALS_COLUMNS for one in query.conditions):
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
"""What the sums kept by day can be grouped by."""

_BY_CATEGORY: Final = (None, "category", "currency")
"""What the index that holds the sums, by category and currency, can be grouped by."""


def _materialised_parts(connection: Connection, query: GridQuery, by: "GroupBy | None") -> Iterator[Part]:
    table = tables.totals.c
    found = materialised_totals(
        connection,
        [*_TOTALS_GROUPS[by], table.currency, table.accounting_currency],
        table.company == query.company,
        table.kind == query.kind,
        within(table.date, query.window),
        table.views.op("&")(BITS[query.view] or PROCESSED) != 0,
        matching(query.conditions, "", TOTALS_COLUMNS),
    )
    for (*value, currency, accounting), sums in found.items():
        yield "".join(value), (currency, accounting), sums


def _by_category(connection: Connection, query: GridQuery) -> list[GridQuery]:
    """The same question of each category that is meant by some of its letters, for the index with the sums leads to
    whole ones. They are few; found from one to the next, without a look at what lies between.
    """
    meant = [one for one in query.conditions if one.column == "category" and one.operator in ("starts", "contains")]
    if not meant or not _is_covered(query):
        return [query]
    table = tables.documents.c
    first = select(func.min(table.category)).where(table.company == query.company, table.kind == query.kind)
    found = select(first.scalar_subquery().label("category")).cte("found", recursive=True)
    following = first.where(table.category > found.c.category).scalar_subquery()
    found = found.union_all(select(following).where(found.c.category.is_not(None)))
    fitting = select(found.c.category).where(matching(meant, "", {"category": found.c.category}))
    categories = connection.execute(fitting.limit(CATEGORIES_MAX + 1)).scalars().all()
    if len(categories) > CATEGORIES_MAX:
        return [query]
    others = [one for one in query.conditions if one not in meant]
    return [
        msgspec.structs.replace(query, conditions=(*others, Condition("category", "is", category)))
        for category in categories
    ]


_AMOUNTS: Final = [tables.documents.c[name] for name in Totals.__struct_fields__[2:]]
_WHOLE: Final = [func.coalesce(func.sum(amount), 0) for amount in _AMOUNTS]
_HALVES: Final = [half for amount in _AMOUNTS for half in exact_sum(amount)]


def _summed_rows(connection: Connection, query: GridQuery, by: "GroupBy | None") -> list[Part]:
    try:
        rows = _sum_up(connection, query, by, _WHOLE)
        return [(value, key, Totals(*counts, *map(int, sums))) for value, key, counts, sums in rows]
    except OperationalError as error:
        if "overflow" not in str(error.orig):
            raise
    # SQLite adds up in 64 bits, and says when they are not enough. Halves always are, and take a third longer.
    rows = _sum_up(connection, query, by, _HALVES)
    return [(value, key, Totals(*counts, *map(joined, sums[::2], sums[1::2]))) for value, key, counts, sums in rows]


def _sum_up(
    connection: Connection, query: GridQuery, by: "GroupBy | None", sums: Sequence[ColumnElement[int]]
) -> Iterator[tuple[str, tuple[str, str], list[int], list[int]]]:
    """By group and currencies: the numbers of documents, in all and with a difference, and the `sums`."""
    table = tables.documents
    different = func.sum((table.c.difference != 0).cast(table.c.views.type))
    group = literal("") if by is None else func.coalesce(GROUPS[by], "")
    keys: list[ColumnElement[Any]] = [table.c.currency, table.c.accounting_currency]
    names = _names(connection, query) if connection.dialect.name == "sqlite" else None
    elsewhere: list[str] = []
    if by in _BY_CATEGORY and names is None and _is_covered(query):
        # Rows that come in the order of their groups need no sorting: those of the index come by category first.
        order: list[ColumnElement[Any]] = [table.c.category, *keys]
        elsewhere.append("amount")
    else:
        order = keys if by is None else [literal_column("value"), *keys]
        if _is_selective(query):
            elsewhere.append("category")
        if names is None and _end_to_end(connection, query):
            elsewhere.append("company")
    statement = (
        select(group.label("value"), *keys, func.count(), different, *sums)
        .where(
            _conditions(connection, query, names, *elsewhere),
            _within(query),
            table.c.views.op("&")(PROCESSED) != 0,
        )
        .group_by(*order)
    )
    for value, currency, accounting, documents, with_difference, *found in connection.execute(statement):
        yield value, (currency or "", accounting or ""), [documents, with_difference], found


# --- groups ----------------------------------------------------------------------------------------------------------

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
"""What a grid can be grouped by."""


class Group(msgspec.Struct, frozen=True):
    """A group of rows: its value ('' for none) and its subtotals."""

    value: str
    sums: TotalsByCurrency


def groups(connection: Connection, query: GridQuery, by: GroupBy) -> list[Group]:
    """The groups of the filtered rows with their subtotals, in the order of their values."""
    if by not in GROUPS:
        raise QueryError(f"a grid cannot be grouped by {by!r}; it can by {', '.join(GROUPS)}.")
    found: dict[str, list[tuple[tuple[str, str], Totals]]] = {}
    for value, key, one in _parts(connection, query, by):
        found.setdefault(value, []).append((key, one))
    return [Group(value, _by_currency(parts)) for value, parts in sorted(found.items())]


# --- the way to the documents ----------------------------------------------------------------------------------------
# PostgreSQL chooses it by what it knows of the values. SQLite knows nothing of them, and takes the company's index.


def _is_selective(query: GridQuery) -> bool:
    """Whether an index leads to what the view or a filter asks for, and SQLite takes it by itself."""
    return (
        query.view in SMALL_VIEWS
        or any(one.column in SELECTIVE_RANGES for one in query.conditions)
        or _asks_for(query, SELECTIVE_COLUMNS)
    )


def _asks_for(query: GridQuery, columns: Collection[str]) -> bool:
    """Whether the rows with a value in one of the columns are asked for."""
    return any(one.column in columns and one.operator == "is" and one.value != "" for one in query.conditions)


def _is_covered(query: GridQuery) -> bool:
    """Whether the index that holds what is added up holds all that is asked for, and none leads to fewer rows."""
    return (
        not query.search and not _is_selective(query) and all(one.column in COVERED_COLUMNS for one in query.conditions)
    )


def _names(connection: Connection, query: GridQuery) -> ColumnElement[bool] | None:
    """A filter on names as SQLite's index takes it, where that leads to few documents, and to fewer than the window
    holds. PostgreSQL finds its index by itself, but may expect many, and walk through all in their order: there this
    only says that they are few.
    """
    on_sqlite = connection.dialect.name == "sqlite"
    if query.view in SMALL_VIEWS or (on_sqlite and _is_selective(query)):
        return None
    table = tables.documents.c
    of_grid = and_(table.company == query.company, table.kind == query.kind)
    of_window = and_(of_grid, within(table.date, query.window))
    for one in query.conditions:
        if one.operator in ("starts", "is") and one.column in NAME_COLUMNS and one.value:
            # The column as it is: under a function or a collation, SQLite takes no index for letters that look like a
            # number.
            alike = table[one.column].like(first_letters(str(one.value)), escape="/")
            number = _count(
                connection, alike if on_sqlite else and_(of_grid, matching([one], "", {})), NAMES_SORTED_MAX + 1
            )
            if number <= NAMES_SORTED_MAX and number < _count(connection, of_window, number + 1):
                return alike if on_sqlite else true()
    return None


def _count(connection: Connection, condition: ColumnElement[bool], most: int) -> int:
    found = select(literal(1)).select_from(tables.documents).where(condition).limit(most)
    return int(connection.execute(select(func.count()).select_from(found.subquery())).scalar_one())


def _end_to_end(connection: Connection, query: GridQuery) -> bool:
    """Whether no index leads to what is asked for, and most documents must be looked at: reading them all from end to
    end takes half the time for each that reading those of a company by its index does.
    """
    if connection.dialect.name != "sqlite" or _is_selective(query) or _asks_for(query, ("category",)):
        return False
    # Never less than the documents there are, and quickly found.
    highest = connection.exec_driver_sql("SELECT max(rowid) FROM documents").scalar() or 0
    all_rows = msgspec.structs.replace(query, conditions=(), search="")
    wanted = sum(one.documents for _, _, one in _materialised_parts(connection, all_rows, None))
    return 2 * wanted > int(highest)


def _within(query: GridQuery) -> ColumnElement[bool]:
    """The rows of the window, in any order."""
    date = tables.documents.c.date
    inside = within(date, query.window)
    # A bound of which SQLite sees that an index of the view takes it.
    return and_(date <= query.window.end, inside) if query.view in SMALL_VIEWS else inside


def _conditions(
    connection: Connection, query: GridQuery, names: ColumnElement[bool] | None, *elsewhere: str
) -> ColumnElement[bool]:
    """The filters. By the columns of `elsewhere` no index leads SQLite to the rows, because another one does."""
    if query.view in SMALL_VIEWS:
        elsewhere += ("amount", "since")
    if names is not None:
        elsewhere += ("company",)
    stored = {name: NOT_INDEXED[name] for name in elsewhere} if connection.dialect.name == "sqlite" else {}
    table = tables.documents
    company = stored.get("company", table.c.company)
    conditions: list[ColumnElement[bool]] = [company == query.company, table.c.kind == query.kind]
    if names is not None:
        conditions.append(names)
    if bit := BITS[query.view]:
        # Written out as in the partial indexes, so that the planner sees that they fit.
        conditions.append(text(f"views & {bit} <> 0") if bit in (1, 2) else table.c.views.op("&")(bit) != 0)  # type: ignore[arg-type]
    return and_(*conditions, matching(query.conditions, query.search, stored))
