"""What a grid can be filtered on (R35): every column, by value, by the start of a text, by a range."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, and_, func, literal, literal_column, or_, select

from engine.errors import QueryError
from store.schema import tables
from store.schema.case_folding import folded

Operator = Literal["is", "not", "starts", "contains", "from", "above", "to", "below"]
Of = Literal["text", "amount", "date", "time", "flag", "number"]


class Condition(msgspec.Struct, frozen=True):
    """One condition on a column. An empty text means that there is no value; amounts are units of 1/10000, times
    microseconds since 1970, flags `yes` or `no`, numbers whole.
    """

    column: str
    operator: Operator
    value: str | int


class Column(msgspec.Struct, frozen=True):
    """A column that can be filtered on: what it holds, and where."""

    of: Of
    stored: ColumnElement[Any]


_TABLE: Final = tables.documents.c

STATUS: Final = func.coalesce(_TABLE.cause, _TABLE.excluded, _TABLE.position)
"""Why a document is where it is, as one word: its cause, its exclusion, else its position."""

_OF: Final[Mapping[Of, Iterable[str]]] = {
    "text": (
        *("document", "position", "excluded", "cause", "currency", "voucher", "project", "category", "vendor"),
        *("invoice", "journal", "exchange_rate", "project_name", "vendor_name", "line_number"),
        *("journal_line_currency", "journal_voucher", "findings"),
    ),
    "date": ("date", "posted_date"),
    "time": ("since",),
    "amount": ("amount", "missing_actual", "missing_journal_line", "reconciled", "difference"),
}

COLUMNS: Final[Mapping[str, Column]] = {
    **{name: Column(of, _TABLE[name]) for of, names in _OF.items() for name in names},
    "standing": Column("text", STATUS),
    "actual": Column("flag", _TABLE.has_actual),
    # Shown as 0.00 where there is no line, as in Finance.
    "journal_line_amount": Column("amount", func.coalesce(_TABLE.journal_line_amount, 0)),
    # Of the attempt log, which knows few documents.
    "last_retried": Column("time", func.max(tables.syncs.c.last_at)),
    "attempts": Column("number", func.max(tables.syncs.c.made)),
}

NAME_COLUMNS: Final = ("project", "voucher", "vendor", "invoice", "journal")
"""The columns whose index holds names without regard to case (`folded`), and leads to those that begin alike."""

SEARCH_COLUMNS: Final = ("document", "voucher", "project", "category", "vendor", "invoice", "journal")
"""The columns that a quick search looks into."""


Stored = Mapping[str, ColumnElement[Any]]
"""Where columns are, by name, that are not to be taken as they stand in `documents`."""

NOT_INDEXED: Final[Stored] = {
    name: literal_column(f"+documents.{name}", _TABLE[name].type) for name in ("company", "category", "amount", "since")
}
"""With a unary plus, SQLite takes no index of the column."""

TOTALS_COLUMNS: Final[Stored] = {
    **{name: tables.totals.c[name] for name in ("date", "position")},
    # Where a document has none, a key has ''.
    **{name: func.nullif(tables.totals.c[name], "") for name in ("currency", "cause")},
}
"""What the sums kept by day can be asked by."""


def matching(conditions: Iterable[Condition], search: str, stored: Stored) -> ColumnElement[bool]:
    """The rows that meet the conditions, and have the text that is searched for in some name."""
    asked = [
        _attempted(condition) if condition.column in _OF_ATTEMPTS else _clause(_column(condition, stored), condition)
        for condition in conditions
    ]
    if search:
        asked.append(or_(*(_TABLE[name].icontains(search, autoescape=True) for name in SEARCH_COLUMNS)))
    return and_(True, *asked)


def first_letters(letters: str) -> str:
    """The pattern of texts that begin with these letters; `/` escapes."""
    return letters.replace("/", "//").replace("%", "/%").replace("_", "/_") + "%"


_OF_ATTEMPTS: Final = {"last_retried": tables.syncs.c.last_at, "attempts": tables.syncs.c.made}
"""The columns of the attempt log; a document that it does not know has none."""


def _attempted(condition: Condition) -> ColumnElement[bool]:
    table = tables.syncs.c
    last_attempts = select(table.document).where(_OF_ATTEMPTS[condition.column].is_not(None)).group_by(table.document)
    if condition.value == "":
        return (
            _TABLE.document.not_in(last_attempts) if condition.operator == "is" else _TABLE.document.in_(last_attempts)
        )
    if condition.operator == "not":
        return _TABLE.document.not_in(last_attempts.having(COLUMNS[condition.column].stored == condition.value))
    return _TABLE.document.in_(last_attempts.having(_clause(COLUMNS[condition.column], condition)))


def _column(condition: Condition, stored: Stored) -> Column:
    found = COLUMNS.get(condition.column)
    if found is None:
        raise QueryError(f"a grid cannot be filtered on {condition.column!r}; it can on {', '.join(COLUMNS)}.")
    return Column(found.of, stored.get(condition.column, found.stored))


def _clause(asked: Column, condition: Condition) -> ColumnElement[bool]:
    column, value = asked.stored, condition.value
    if asked.of == "flag":
        return column == int(value == "yes")
    match condition.operator:
        case "is" | "not" if value == "":
            empty = or_(column.is_(None), column == "") if asked.of in ("text", "date") else column.is_(None)
            return empty if condition.operator == "is" else ~empty
        case "is":
            same = column == value
            return and_(folded(column) == folded(literal(value)), same) if condition.column in NAME_COLUMNS else same
        case "not":
            return or_(column.is_(None), column != value)
        case "starts":
            if condition.column in NAME_COLUMNS:
                # As PostgreSQL's index of names has them; for ILIKE, it would take none.
                return func.lower(column).like(func.lower(first_letters(str(value))), escape="/")
            return column.istartswith(str(value), autoescape=True)
        case "contains":
            return column.icontains(str(value), autoescape=True)
        case "from":
            return column >= value
        case "above":
            return column > value
        case "to":
            return column <= value
        case "below":
            return column < value
