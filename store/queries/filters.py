"""Filters of a grid (R35): every column, by value, prefix, substring or range."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select

from engine.errors import QueryError
from engine.reconciliation import settlement
from engine.reconciliation.fields import FIELDS, DocumentField, ValueType
from store.projection.tile_totals import SETTLED
from store.schema import tables
from store.schema.case_folding import folded

Operator = Literal["is", "not", "starts", "contains", "from", "above", "to", "below"]
Of = Literal["text", "amount", "date", "time", "flag", "number"]


class Condition(msgspec.Struct, frozen=True):
    """One condition on a column.

    An empty text means no value. Amounts are units of 1/10000, times microseconds since 1970 UTC, flags `yes` or `no`,
    numbers integers.
    """

    column: str
    operator: Operator
    value: str | int


class Column(msgspec.Struct, frozen=True):
    """A column for filters: the kind of its values, and its expression."""

    of: Of
    stored: ColumnElement[Any]


_TABLE: Final = tables.documents.c

STATUS: Final = func.coalesce(
    _TABLE.cause, _TABLE.excluded, case((_TABLE.views.op("&")(SETTLED) != 0, settlement.SETTLED), else_=_TABLE.position)
)
"""Why a document has its position, as one code: its cause, else its exclusion, else that it is settled, else its
position.
"""

_OF: Final[Mapping[ValueType, Of]] = {
    "date": "date",
    "time": "time",
    "amount": "amount",
    "flag": "flag",
    "integer": "number",
}
"""The kind of a filter by the type of its values; `text` for other types."""

# Values that the table `documents` does not have: the status, and columns of the attempt log, which contains few
# documents.
_EXPRESSIONS: Final[Mapping[str, ColumnElement[Any]]] = {
    "standing": STATUS,
    "last_retried": func.max(tables.syncs.c.last_at),
    "attempts": func.max(tables.syncs.c.made),
}


def _stored(field: DocumentField) -> ColumnElement[Any]:
    if field.name in _EXPRESSIONS:
        return _EXPRESSIONS[field.name]
    column = _TABLE[field.column]
    return column if field.absent is None else func.coalesce(column, field.absent)


COLUMNS: Final[Mapping[str, Column]] = {
    field.name: Column(_OF.get(field.type, "text"), _stored(field)) for field in FIELDS if field.filtered
}

NAME_COLUMNS: Final = tuple(field.name for field in FIELDS if field.indexed)
"""Columns with a case-insensitive index (`folded`), which is selective for a prefix."""

SEARCH_COLUMNS: Final = tuple(field.name for field in FIELDS if field.searched)
"""Columns of the quick search."""


Stored = Mapping[str, ColumnElement[Any]]
"""Expressions that replace columns of `documents`, by name."""

TOTALS_COLUMNS: Final[Stored] = {
    **{name: tables.totals.c[name] for name in ("date", "position")},
    # Keys of the totals have '' for no value.
    "currency": func.nullif(tables.totals.c.currency, ""),
    # Of an excluded document it is the reason.
    "cause": case((tables.totals.c.position != "excluded", func.nullif(tables.totals.c.cause, ""))),
}
"""Filters that the materialised totals support."""


def matching(conditions: Iterable[Condition], search: str, stored: Stored) -> ColumnElement[bool]:
    """Return the condition for rows that meet the conditions and contain the search text in a name."""
    clauses = [
        _attempted(condition) if condition.column in _OF_ATTEMPTS else _clause(_column(condition, stored), condition)
        for condition in conditions
    ]
    if search:
        clauses.append(or_(*(_TABLE[name].icontains(search, autoescape=True) for name in SEARCH_COLUMNS)))
    return and_(True, *clauses)


def first_letters(letters: str) -> str:
    """Return the LIKE pattern of a prefix, with the escape character `/`."""
    return letters.replace("/", "//").replace("%", "/%").replace("_", "/_") + "%"


_OF_ATTEMPTS: Final = {"last_retried": tables.syncs.c.last_at, "attempts": tables.syncs.c.made}
"""Columns of the attempt log. A document without attempts has no value."""


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
    column = COLUMNS.get(condition.column)
    if column is None:
        raise QueryError(
            "a grid cannot be filtered on %(column)r; it can on %(columns)s.",
            column=condition.column,
            columns=", ".join(COLUMNS),
        )
    return Column(column.of, stored.get(condition.column, column.stored))


def _clause(column: Column, condition: Condition) -> ColumnElement[bool]:
    stored, value = column.stored, condition.value
    if column.of == "flag":
        return stored == int(value == "yes")
    match condition.operator:
        case "is" | "not" if value == "":
            empty = or_(stored.is_(None), stored == "") if column.of in ("text", "date") else stored.is_(None)
            return empty if condition.operator == "is" else ~empty
        case "is":
            same = stored == value
            return and_(folded(stored) == folded(literal(value)), same) if condition.column in NAME_COLUMNS else same
        case "not":
            return or_(stored.is_(None), stored != value)
        case "starts":
            if condition.column in NAME_COLUMNS:
                # The expression of the PostgreSQL index, which does not serve ILIKE.
                return func.lower(stored).like(func.lower(first_letters(str(value))), escape="/")
            return stored.istartswith(str(value), autoescape=True)
        case "contains":
            return stored.icontains(str(value), autoescape=True)
        case "from":
            return stored >= value
        case "above":
            return stored > value
        case "to":
            return stored <= value
        case "below":
            return stored < value
