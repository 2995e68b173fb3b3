"""The columns of both grids; titles, order and formats are those of the workspace in Finance (R33, R34)."""

from datetime import tzinfo
from typing import Any, Final, Literal

import msgspec

from engine import money
from engine.reconciliation.documents import Kind
from store.queries.filters import COLUMNS as FILTERED
from store.queries.grid_query import SORTS
from store.queries.rows import GridRow
from tieout.workspace.web.locales import Locale

Shape = Literal["text", "link", "amount", "number", "date", "time", "flag", "standing", "findings"]


class Column(msgspec.Struct, frozen=True):
    """A column: title, format, default width in characters, and whether it is visible by default."""

    name: str
    title: str
    shape: Shape = "text"
    width: int = 12
    default: bool = True

    @property
    def right(self) -> bool:
        """Whether values are right-aligned."""
        return self.shape in ("amount", "number")

    @property
    def sortable(self) -> bool:
        return self.name in SORTS

    @property
    def filtered(self) -> str:
        """The type of its filter."""
        return FILTERED[self.name].of


_NAMES: Final = (
    Column("document", "Document", "link", 20),
    Column("standing", "Status", "standing", 29),
)
_JOURNAL: Final = (
    Column("journal", "Journal", width=13),
    Column("journal_line_amount", "Journal line amount", "amount", 13),
    Column("journal_voucher", "Journal voucher", width=14),
    Column("journal_line_currency", "Currency", width=10),
    Column("posted_date", "Posted date", "date", 12),
    Column("last_retried", "Last retried date", "time", 22),
    Column("attempts", "Attempts", "number", 10),
)
_RATE: Final = Column("exchange_rate", "Exchange rate", "number", 19)
_MORE: Final = (
    Column("since", "Since", "time", 22),
    Column("findings", "Findings", "findings", 22),
    Column("missing_actual", "Missing actual", "amount", 13, default=False),
    Column("missing_journal_line", "Missing journal line", "amount", 13, default=False),
    Column("reconciled", "Reconciled", "amount", 13, default=False),
    Column("difference", "Difference", "amount", 13, default=False),
)

GRIDS: Final[dict[Kind, tuple[Column, ...]]] = {
    "expense": (
        *_NAMES,
        Column("category", "Expense category", width=18),
        Column("date", "Date", "date"),
        Column("amount", "Amount", "amount", 13),
        Column("currency", "Currency", width=10),
        _RATE,
        Column("voucher", "Voucher", width=14),
        Column("project", "Project ID", width=14),
        Column("project_name", "Project name", width=18),
        Column("actual", "Actual", "flag", 8),
        *_JOURNAL,
        *_MORE,
    ),
    "vendor-invoice-line": (
        *_NAMES,
        Column("vendor", "Vendor account", width=15),
        Column("vendor_name", "Name", width=21),
        Column("date", "Invoice date", "date", 13),
        Column("invoice", "Vendor Invoice", width=14),
        Column("line_number", "Line number", "number", 14),
        Column("amount", "Line amount", "amount", 13),
        Column("currency", "Currency", width=10),
        Column("voucher", "Voucher", width=14),
        Column("project", "Project ID", width=14),
        Column("project_name", "Project name", width=18),
        Column("actual", "Actual", "flag", 8),
        *_JOURNAL[:2],
        _JOURNAL[3],
        _RATE,
        _JOURNAL[2],
        *_JOURNAL[4:],
        *_MORE,
    ),
}


def export_value(column: Column, row: GridRow) -> Any:
    """Return a row's value in the format of exports: digits, ISO dates and times, codes."""
    document = row.document
    match column.name:
        case "standing":
            return row.status
        case "findings":
            return " ".join(sorted({*document.findings, *row.timed}))
        case "actual":
            return "yes" if document.has_actual else "no"
        case "amount" | "missing_actual" | "missing_journal_line" | "reconciled" | "difference":
            return digits(getattr(document.amounts, column.name, None), document.currency)
        case "journal_line_amount":
            # The workspace in Finance shows 0.00 without a journal line.
            return digits(document.journal_line_amount or 0, document.journal_line_currency or document.currency)
        case "exchange_rate":
            return "" if document.exchange_rate is None else money.fixed(document.exchange_rate, 12)
        case "line_number":
            return "" if document.line_number is None else money.fixed(document.line_number, 10)
        case "last_retried" | "attempts":
            value = getattr(row, column.name)
            return "" if value is None else value
        case _:
            value = getattr(document, column.name)
            return "" if value is None else value


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
