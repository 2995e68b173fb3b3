"""The values a simulation is made of: events, true outcomes, and the totals that follow from them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

FINANCE_TOPIC = "finance.changes"
DATAVERSE_TOPIC = "dataverse.changes"

Kind = Literal["expense", "vendor-invoice-line"]
Columns = dict[str, Any]

ZERO = Decimal("0.00")
_CLOUD_EVENT_HEADERS = {"content-type": "application/cloudevents+json"}


@dataclass(frozen=True, slots=True)
class Event:
    """One message as it goes onto a topic: the topic without its prefix, the row's id, and the event.

    The value is bytes where it is no JSON; an empty key is none.
    """

    topic: str
    key: str
    value: Any
    headers: dict[str, str] = field(default_factory=lambda: _CLOUD_EVENT_HEADERS)

    @property
    def entity(self) -> str:
        """The table that a CloudEvent is about; empty for a heartbeat."""
        return str(self.value["data"].get("entity", ""))


Entry = tuple[datetime, int, Event]
"""An event with its time and a number that says which of two at one time was first."""


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
    fault: str = ""
    """What went wrong, or was unusual, by its name; and the user's complaint or the requirement it is taken from."""
    taken_from: str = ""
    computable: bool = True
    """Whether the amounts can be known; else none is shown."""

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
            **self._shown(self.parts),
            "accounting_currency": self.accounting_currency,
            "accounting": self._shown(self.accounting_parts),
            "findings": list(self.findings),
            **({"fault": self.fault, "taken_from": self.taken_from} if self.fault else {}),
        }

    def _shown(self, parts: Parts) -> dict[str, str] | dict[str, None]:
        return parts.as_text() if self.computable else dict.fromkeys(Parts.__slots__)


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


encode = msgspec.json.Encoder().encode
"""Values as JSON; bytes become base64."""


def ingest_line(event: Event) -> bytes:
    """The JSON line of an event for `tieout ingest`."""
    line: dict[str, Any] = {"topic": event.topic, "key": event.key or None}
    if event.headers:
        line["headers"] = event.headers
    line["value_base64" if isinstance(event.value, bytes) else "value"] = event.value
    return encode(line) + b"\n"


def label_line(label: Label) -> bytes:
    """The JSON line of a true outcome."""
    return encode(label.as_row()) + b"\n"


def ingest_lines(events: Iterable[Event]) -> Iterator[bytes]:
    """The JSON lines that `tieout ingest` reads, one for each event."""
    for event in events:
        yield ingest_line(event)


def label_lines(labels: Iterable[Label]) -> Iterator[bytes]:
    """The JSON lines of the true outcomes, one for each document."""
    for label in labels:
        yield label_line(label)
