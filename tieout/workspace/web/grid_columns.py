"""The columns of both grids; titles, order and formats are those of the workspace in Finance (R33, R34)."""

from datetime import tzinfo
from typing import Any, Final, Literal

import msgspec

from engine import money
from engine.reconciliation.fields import FIELD, DocumentField, ValueType, title_of
from engine.reconciliation.kinds import KINDS, Kind
from store.queries.filters import COLUMNS as FILTERED
from store.queries.grid_query import SORTS
from store.queries.rows import GridRow
from tieout.workspace.web.locales import Locale

Shape = Literal["text", "link", "amount", "number", "date", "time", "flag", "standing", "findings"]


_SHAPES: Final[dict[ValueType, Shape]] = {
    "key": "link",
    "amount": "amount",
    "decimal": "number",
    "integer": "number",
    "date": "date",
    "time": "time",
    "flag": "flag",
    "status": "standing",
    "codes": "findings",
}


class Column(msgspec.Struct, frozen=True):
    """A column of the grid of one document kind: a field, and the head that it has there."""

    field: DocumentField
    title: str

    @property
    def name(self) -> str:
        """The name of its field."""
        return self.field.name

    @property
    def width(self) -> int:
        """Its default width in characters."""
        return self.field.width

    @property
    def shape(self) -> Shape:
        """The format of its cells."""
        return _SHAPES.get(self.field.type, "text")

    @property
    def right(self) -> bool:
        """Whether values are right-aligned."""
        return self.shape in ("amount", "number")

    @property
    def sortable(self) -> bool:
        """Whether the grid can be sorted by it."""
        return self.name in SORTS

    @property
    def filtered(self) -> str:
        """The type of its filter."""
        return FILTERED[self.name].of


GRIDS: Final[dict[Kind, tuple[Column, ...]]] = {
    code: tuple(Column(FIELD[name], title_of(FIELD[name], kind)) for name in kind.columns)
    for code, kind in KINDS.items()
}
"""The columns of each grid in their order."""


def export_value(column: Column, row: GridRow) -> Any:
    """Return a row's value in the format of exports: digits, ISO dates, times in microseconds, codes."""
    field = column.field
    value = row.value(field)
    if value is None:
        value = field.absent
    if value is None:
        return ""
    match field.type:
        case "codes":
            return " ".join(value)
        case "flag":
            return "yes" if value else "no"
        case "amount":
            return digits(value, getattr(row.document, field.currency) or row.document.currency)
        case "decimal":
            return money.fixed(value, field.places)
        case _:
            return value


def digits(units: int | None, currency: str | None) -> str:
    """Return an amount in the format of exports; '' for None."""
    return "" if units is None else money.text(units, currency)


def display_text(column: Column, row: GridRow, locale: Locale, zone: tzinfo) -> str:
    """Return a row's value in the reader's format."""
    value = export_value(column, row)
    if value == "":
        return ""
    match column.shape:
        case "amount" | "number":
            return locale.digits(str(value))
        case "date":
            return locale.day(value)
        case "time":
            return locale.time(value, zone)
        case _:
            return str(value)
