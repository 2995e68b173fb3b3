"""What a grid can be filtered on (R35): every column, by value, by the start of a text, by a range.

A condition is asked of the database where a column holds the value, else of the decided document itself: then the rows
are read one after the other, which is right at any size and quick only together with other conditions.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, and_, func, or_

from engine.documents import Document
from engine.errors import QuestionError
from store import tables

Operator = Literal["is", "not", "starts", "contains", "from", "above", "to", "below"]
Of = Literal["text", "amount", "date", "time", "flag"]


class Condition(msgspec.Struct, frozen=True):
    """One condition on a column. An empty text means that there is no value; amounts are units of 1/10000, times
    microseconds since 1970, flags `yes` or `no`.
    """

    column: str
    operator: Operator
    value: str | int


class Column(msgspec.Struct, frozen=True):
    """A column that can be filtered on: what it holds, and where."""

    of: Of
    value: Callable[[Document], Any]
    stored: ColumnElement[Any] | None = None


_TABLE: Final = tables.documents.c


def _stored(name: str, of: Of = "text") -> Column:
    return Column(of, lambda document: getattr(document, name), _TABLE[name])


def _told(name: str, of: Of = "text") -> Column:
    return Column(of, lambda document: getattr(document, name))


def _part(name: str) -> Column:
    return Column("amount", lambda document: getattr(document.amounts, name, None), _TABLE[name])


STANDING: Final = func.coalesce(_TABLE.cause, _TABLE.excluded, _TABLE.position)
"""Why a document is where it is, as one word: its cause, its exclusion, else its position."""

COLUMNS: Final[Mapping[str, Column]] = {
    "document": _stored("document"),
    "standing": Column("text", lambda document: document.cause or document.excluded or document.position, STANDING),
    "position": _stored("position"),
    "excluded": _stored("excluded"),
    "cause": _stored("cause"),
    "date": _stored("date", "date"),
    "since": _stored("since", "time"),
    "amount": _part("amount"),
    "missing_actual": _part("missing_actual"),
    "missing_journal_line": _part("missing_journal_line"),
    "reconciled": _part("reconciled"),
    "difference": _part("difference"),
    "currency": _stored("currency"),
    "voucher": _stored("voucher"),
    "project": _stored("project"),
    "category": _stored("category"),
    "vendor": _stored("vendor"),
    "invoice": _stored("invoice"),
    "journal": _stored("journal"),
    "exchange_rate": _told("exchange_rate"),
    "project_name": _told("project_name"),
    "vendor_name": _told("vendor_name"),
    "line_number": _told("line_number"),
    "actual": Column("flag", lambda document: document.has_actual),
    "journal_line_amount": _told("journal_line_amount", "amount"),
    "journal_line_currency": _told("journal_line_currency"),
    "journal_voucher": _told("journal_voucher"),
    "posted_date": _told("posted_date", "date"),
    "findings": Column("text", lambda document: " ".join(document.findings)),
}

SEARCHED: Final = ("document", "voucher", "project", "category", "vendor", "invoice", "journal")
"""The columns that a quick search looks into."""


def in_database(conditions: tuple[Condition, ...], search: str) -> ColumnElement[bool]:
    """The conditions that the database can answer."""
    asked = [
        _clause(stored, condition) for condition in conditions if (stored := _column(condition).stored) is not None
    ]
    if search:
        asked.append(or_(*(_TABLE[name].icontains(search, autoescape=True) for name in SEARCHED)))
    return and_(True, *asked)


def of_document(conditions: tuple[Condition, ...]) -> Callable[[Document], bool] | None:
    """The conditions that only the document can answer; None when there are none."""
    left = [condition for condition in conditions if _column(condition).stored is None]
    return (lambda document: all(holds(document, condition) for condition in left)) if left else None


def _column(condition: Condition) -> Column:
    found = COLUMNS.get(condition.column)
    if found is None:
        raise QuestionError(f"a grid cannot be filtered on {condition.column!r}; it can on {', '.join(COLUMNS)}.")
    return found


def _clause(column: ColumnElement[Any], condition: Condition) -> ColumnElement[bool]:
    value = condition.value
    match condition.operator:
        case "is" | "not" if value == "":
            empty = or_(column.is_(None), column == "")
            return empty if condition.operator == "is" else ~empty
        case "is":
            return column == value
        case "not":
            return or_(column.is_(None), column != value)
        case "starts":
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


def holds(document: Document, condition: Condition) -> bool:
    """Whether a document meets a condition."""
    column = COLUMNS[condition.column]
    held, value = column.value(document), condition.value
    if column.of == "flag":
        return bool(held) == (value == "yes")
    if condition.operator in ("is", "not"):
        return ((held or "") == value if value == "" else held == value) == (condition.operator == "is")
    if held is None:
        return False
    match condition.operator:
        case "starts":
            return str(held).lower().startswith(str(value).lower())
        case "contains":
            return str(value).lower() in str(held).lower()
        case "from":
            return bool(held >= value)
        case "above":
            return bool(held > value)
        case "to":
            return bool(held <= value)
        case _:
            return bool(held < value)
