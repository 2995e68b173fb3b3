"""Values of a simulation: events, true outcomes, and the totals that follow from them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from engine.reconciliation.kinds import Kind
from tieout.simulator.amounts import rounded

FINANCE_TOPIC = "finance.changes"
DATAVERSE_TOPIC = "dataverse.changes"

DocumentKind = Kind
Columns = dict[str, Any]

ZERO = Decimal("0.00")
_CLOUD_EVENT_HEADERS = {"content-type": "application/cloudevents+json"}


@dataclass(frozen=True, slots=True)
class SimulatedEvent:
    """One message for a topic: the topic without its prefix, the row's id as key, and the value.

    The value is bytes where it is not JSON; an empty key means none.
    """

    topic: str
    key: str
    value: Any
    headers: dict[str, str] = field(default_factory=lambda: _CLOUD_EVENT_HEADERS)

    @property
    def entity(self) -> str:
        """Table of a CloudEvent; empty for a heartbeat."""
        return str(self.value["data"].get("entity", ""))


TimedEvent = tuple[datetime, int, SimulatedEvent]
"""An event with its time and a sequence number that orders events of the same time."""


@dataclass(frozen=True, slots=True)
class AmountParts:
    """Division of an amount into missing actual, missing journal line, reconciled and difference (R14)."""

    amount: Decimal
    missing_actual: Decimal = ZERO
    missing_journal_line: Decimal = ZERO
    reconciled: Decimal = ZERO
    difference: Decimal = ZERO

    def __post_init__(self) -> None:
        """Raise `ValueError` for parts that are not all zero and do not add up: the script contradicts itself."""
        parts = self.missing_actual, self.missing_journal_line, self.reconciled, self.difference
        if any(parts) and sum(parts) != self.amount:
            raise ValueError(f"parts add up to {sum(parts)}, not to {self.amount}")

    def as_text(self) -> dict[str, str]:
        """Return the five amounts as text, as the command line prints them."""
        return {name: str(getattr(self, name)) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Label:
    """True outcome of one document, stated by the script that generated its events."""

    document: str
    company: str
    kind: DocumentKind
    position: str
    date: date
    currency: str
    parts: AmountParts
    accounting_currency: str
    accounting_parts: AmountParts
    excluded: str | None = None
    cause: str | None = None
    findings: tuple[str, ...] = ()
    fault: str = ""
    """Name of the fault or peculiarity; `taken_from` is the user complaint or the requirement behind it."""
    taken_from: str = ""
    computable: bool = True
    """False if the amounts cannot be known; no amount is shown then."""
    booked: Decimal = ZERO
    cleared: Decimal = ZERO
    """In accounting currency: what posting the document put on the account, and what the posted lines took out."""

    @property
    def in_account(self) -> bool:
        """True if the document is in the account: posted, and not excluded."""
        return self.position not in ("excluded", "not-posted")

    @property
    def exchange_difference(self) -> Decimal:
        """The reconciled part in accounting currency less what the posted lines took out."""
        return self.accounting_parts.reconciled - self.cleared if self.in_account and self.computable else ZERO

    @property
    def amount(self) -> Decimal:
        """Amount of the document in transaction currency."""
        return self.parts.amount

    @property
    def missing_actual(self) -> Decimal:
        """Part that misses its actual, in transaction currency."""
        return self.parts.missing_actual

    @property
    def missing_journal_line(self) -> Decimal:
        """Part that misses its posted journal line, in transaction currency."""
        return self.parts.missing_journal_line

    @property
    def reconciled(self) -> Decimal:
        """Part that the integration journal has posted, in transaction currency."""
        return self.parts.reconciled

    @property
    def difference(self) -> Decimal:
        """Part that the actuals do not account for, in transaction currency."""
        return self.parts.difference

    @property
    def accounting(self) -> dict[str, str]:
        """The five amounts in accounting currency, as text."""
        return self.accounting_parts.as_text()

    @property
    def misses_actual(self) -> bool:
        """True if the document is a row of the view Missing actuals."""
        return self.position == "missing-actual" or self.missing_actual != 0

    @property
    def misses_journal_line(self) -> bool:
        """True if the document is a row of the view Missing journal lines."""
        return self.position == "missing-journal-line" or self.missing_journal_line != 0

    def as_row(self) -> dict[str, Any]:
        """Return the label under the member names of `tieout documents`."""
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
            **(self._account() | {"fault": self.fault, "taken_from": self.taken_from} if self.fault else {}),
        }

    def _account(self) -> dict[str, str]:
        names = ("booked", "cleared", "exchange_difference")
        return {name: str(rounded(getattr(self, name), self.accounting_currency)) for name in names}

    def _shown(self, parts: AmountParts) -> dict[str, str] | dict[str, None]:
        return parts.as_text() if self.computable else dict.fromkeys(AmountParts.__slots__)


Summary = dict[str, Any]
"""Totals in the format of `tieout summary`, without `as_of`."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """Result of one simulation: the events in order of arrival, the labels and their totals.

    The labels assume an environment whose companies are `companies`; the totals are those of its first company.
    """

    events: tuple[SimulatedEvent, ...]
    labels: tuple[Label, ...]
    today: date
    companies: tuple[str, ...]
    summary: Summary


encode = msgspec.json.Encoder().encode
"""Encodes values as JSON; bytes become base64."""


def ingest_line(event: SimulatedEvent) -> bytes:
    """Return the JSON line of an event for `tieout ingest`."""
    line: dict[str, Any] = {"topic": event.topic, "key": event.key or None}
    if event.headers:
        line["headers"] = event.headers
    line["value_base64" if isinstance(event.value, bytes) else "value"] = event.value
    return encode(line) + b"\n"


def label_line(label: Label) -> bytes:
    """Return the JSON line of a label."""
    return encode(label.as_row()) + b"\n"


def ingest_lines(events: Iterable[SimulatedEvent]) -> Iterator[bytes]:
    """Yield the JSON lines for `tieout ingest`, one for each event."""
    for event in events:
        yield ingest_line(event)


def label_lines(labels: Iterable[Label]) -> Iterator[bytes]:
    """Yield the JSON lines of the labels, one for each document."""
    for label in labels:
        yield label_line(label)
