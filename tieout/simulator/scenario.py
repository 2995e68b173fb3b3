"""The values a simulation is made of: events, true outcomes, and the totals that follow from them."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

FINANCE_TOPIC = "finance.changes"
DATAVERSE_TOPIC = "dataverse.changes"

Kind = Literal["expense", "vendor-invoice-line"]
Columns = dict[str, Any]

ZERO = Decimal("0.00")
_CLOUD_EVENT_HEADERS = {"content-type": "application/cloudevents+json"}


@dataclass(frozen=True, slots=True)
class Event:
    """One message as it goes onto a topic: the topic without its prefix, the row's id, and a CloudEvent."""

    topic: str
    key: str
    value: dict[str, Any]

    @property
    def entity(self) -> str:
        """The table the event is about; empty for a heartbeat."""
        return str(self.value["data"].get("entity", ""))


@dataclass(frozen=True, slots=True)
class Parts:
    """How an amount is split: what misses its actual, what misses its journal line, and so on (R14)."""

    amount: Decimal
    missing_actual: Decimal = ZERO
    missing_journal_line: Decimal = ZERO
    reconciled: Decimal = ZERO
    difference: Decimal = ZERO

    def __post_init__(self) -> None:
        """Refuse a split that is neither empty nor whole: the script would contradict itself."""
        parts = self.missing_actual, self.missing_journal_line, self.reconciled, self.difference
        if any(parts) and sum(parts) != self.amount:
            raise ValueError(f"parts add up to {sum(parts)}, not to {self.amount}")

    def as_text(self) -> dict[str, str]:
        """The five amounts as text, as the command line prints them."""
        return {name: str(getattr(self, name)) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Label:
    """The true outcome of one document, written by the script that made its events."""

    document: str
    company: str
    kind: Kind
    position: str
    date: date
    currency: str
    parts: Parts
    accounting_currency: str
    accounting_parts: Parts
    excluded: str | None = None
    cause: str | None = None
    findings: tuple[str, ...] = ()

    @property
    def amount(self) -> Decimal:
        """The document's amount in transaction currency."""
        return self.parts.amount

    @property
    def missing_actual(self) -> Decimal:
        """What misses its actual, in transaction currency."""
        return self.parts.missing_actual

    @property
    def missing_journal_line(self) -> Decimal:
        """What misses its posted journal line, in transaction currency."""
        return self.parts.missing_journal_line

    @property
    def reconciled(self) -> Decimal:
        """What the integration journal has posted, in transaction currency."""
        return self.parts.reconciled

    @property
    def difference(self) -> Decimal:
        """What the actuals do not explain, in transaction currency."""
        return self.parts.difference

    @property
    def accounting(self) -> dict[str, str]:
        """The five amounts in accounting currency, as text."""
        return self.accounting_parts.as_text()

    @property
    def misses_actual(self) -> bool:
        """Whether the document is a row of the view Missing actuals."""
        return self.position == "missing-actual" or self.missing_actual != 0

    @property
    def misses_journal_line(self) -> bool:
        """Whether the document is a row of the view Missing journal lines."""
        return self.position == "missing-journal-line" or self.missing_journal_line != 0

    def as_row(self) -> dict[str, Any]:
        """The label with the names that `tieout documents` uses."""
        return {
            "document": self.document,
            "company": self.company,
            "kind": self.kind,
            "position": self.position,
            "excluded": self.excluded,
            "cause": self.cause,
            "date": self.date.isoformat(),
            "currency": self.currency,
            **self.parts.as_text(),
            "accounting_currency": self.accounting_currency,
            "accounting": self.accounting,
            "findings": list(self.findings),
        }


Summary = dict[str, Any]
"""The totals, shaped like the answer of `tieout summary`, but without `as_of`."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What one run made: the events in the order they arrive, the truth about them, and its totals.

    The labels hold for an environment whose list of companies is `companies`; the totals are those of its first one.
    """

    events: tuple[Event, ...]
    labels: tuple[Label, ...]
    today: date
    companies: tuple[str, ...]
    summary: Summary


def ingest_lines(events: Iterable[Event]) -> Iterator[bytes]:
    """The JSON lines that `tieout ingest` reads, one for each event."""
    for event in events:
        line = {"topic": event.topic, "key": event.key, "headers": _CLOUD_EVENT_HEADERS, "value": event.value}
        yield json.dumps(line, separators=(",", ":")).encode() + b"\n"


def label_lines(labels: Iterable[Label]) -> Iterator[bytes]:
    """The JSON lines of the true outcomes, one for each document."""
    for label in labels:
        yield json.dumps(label.as_row(), separators=(",", ":")).encode() + b"\n"


def summarise(
    labels: Iterable[Label], company: str, currency: str, window: tuple[date, date], unsynced: Iterable[Decimal]
) -> Summary:
    """Add up the labels of one company within a window (both ends included)."""
    first, last = window
    rows = [label for label in labels if label.company == company and first <= label.date <= last]
    expenses = [row for row in rows if row.kind == "expense"]
    invoices = [row for row in rows if row.kind == "vendor-invoice-line"]
    unsynced = list(unsynced)
    return {
        "company": company,
        "from": first.isoformat(),
        "to": last.isoformat(),
        "currency": currency,
        "unreconciled": {"expense": _unreconciled(expenses), "vendor_invoice": _unreconciled(invoices)},
        "tiles": {
            "vendor_invoice_missing_journal_lines": _missing_journal_lines(invoices),
            "vendor_invoice_missing_actuals": _missing_actuals(invoices),
            "expense_missing_journal_lines": _missing_journal_lines(expenses),
            "expense_missing_actuals": _missing_actuals(expenses),
        },
        "difference": _total([row for row in rows if row.difference], lambda parts: parts.difference),
        "in_flight": {"amount": str(ZERO), "documents": 0},
        "not_synced_to_finance": {"amount": str(sum(unsynced, ZERO)), "records": len(unsynced)},
    }


def _missing_actuals(rows: list[Label]) -> dict[str, Any]:
    return _total([row for row in rows if row.misses_actual], lambda parts: parts.missing_actual)


def _missing_journal_lines(rows: list[Label]) -> dict[str, Any]:
    return _total([row for row in rows if row.misses_journal_line], lambda parts: parts.missing_journal_line)


def _unreconciled(rows: list[Label]) -> dict[str, Any]:
    open_rows = [row for row in rows if row.misses_actual or row.misses_journal_line]
    return _total(open_rows, lambda parts: parts.missing_actual + parts.missing_journal_line)


def _total(rows: list[Label], part: Callable[[Parts], Decimal]) -> dict[str, Any]:
    return {"amount": str(sum((part(row.accounting_parts) for row in rows), ZERO)), "documents": len(rows)}
