"""Event source of both systems: allocates identifiers and records every change as an event."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any

from tieout.simulator.scenario import DATAVERSE_TOPIC, FINANCE_TOPIC, Columns, SimulatedEvent, TimedEvent

FIRST_RECORD_ID = 5637144576
_RECORD_ID_OFFSETS = {"VendInvoiceTrans": 50_000, "VendInvoiceJour": 20_000, "ProjAdvancedJournalLine": 1_000}

_FINANCE_SOURCE = "/finance/contoso"
_DATAVERSE_SOURCE = "/dataverse/contoso"
_ID_COLUMNS = {"msdyn_projectvendorinvoiceline": "assumed_projectvendorinvoicelineid"}

_GREGORIAN_START = datetime(1582, 10, 15, tzinfo=UTC)
_GUID_TAIL = "a730-0022480431d9"


@lru_cache(maxsize=1_024)
def text_time(at: datetime) -> str:
    """Format a time as the events do: UTC, to the second, with a Z."""
    return at.astimezone(UTC).isoformat()[:19] + "Z"


def ticks_of(at: datetime) -> int:
    """Return a time in the units of guids: tenths of microseconds since 1582."""
    return (at - _GREGORIAN_START) // timedelta(microseconds=1) * 10


def sequential_guid(ticks: int) -> str:
    """Return the sequential guid of a database: a version 1 UUID whose first groups are stored byte-reversed."""
    low, mid, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF | 0x1000
    groups = [low.to_bytes(4, "little"), mid.to_bytes(2, "little"), high.to_bytes(2, "little")]
    return "-".join([*(group.hex() for group in groups), _GUID_TAIL])


def random_guid(chance: Random) -> str:
    """Return a version 4 UUID. Built by hand because `uuid.UUID` takes as long as the rest of an event."""
    bits = chance.getrandbits(128) & ~(0xF << 76 | 0x3 << 62) | 4 << 76 | 2 << 62
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class EventRecorder:
    """Collects the events of both systems. The times of one row strictly increase, so its last value is unambiguous."""

    def __init__(self, seed: int) -> None:
        """Start empty; everything random is drawn from `seed`."""
        self.chance = Random(seed)
        self._written = 0
        self._log: list[TimedEvent] = []
        self._reports: list[SimulatedEvent] = []
        self._runs = 0
        self._record_ids: dict[str, int] = {}
        self._guids: set[int] = set()
        self._touched: dict[tuple[str, str], list[datetime]] = defaultdict(list)

    def record_id(self, table: str) -> int:
        """Allocate the next RecId of a Finance table."""
        first = FIRST_RECORD_ID + _RECORD_ID_OFFSETS.get(table, 0)
        self._record_ids[table] = self._record_ids.get(table, first - 1) + 1
        return self._record_ids[table]

    def guid(self, at: datetime) -> str:
        """Allocate the Dataverse id of a row created at a time."""
        ticks = ticks_of(at) + self.chance.randrange(10_000_000)
        while ticks in self._guids:
            ticks += 1
        self._guids.add(ticks)
        return sequential_guid(ticks)

    def finance_changed(
        self, table: str, record_id: int, at: datetime, columns: Columns, company: str | None = None
    ) -> None:
        """Record an inserted or changed Finance row; the first event of a row includes its RecId."""
        changes = self._touch(table, str(record_id), at)
        columns = columns if changes else {"RecId": record_id, **columns}
        extra: Columns = {"version": changes + 1} | ({"company": company} if company else {})
        self._row(_FINANCE_SOURCE, table, str(record_id), at, extra | {"columns": columns})

    def finance_deleted(self, table: str, record_id: int, at: datetime, company: str | None = None) -> None:
        """Record a deleted Finance row."""
        self._touch(table, str(record_id), at)
        extra = {"company": company} if company else {}
        self._row(_FINANCE_SOURCE, table, str(record_id), at, extra, operation="delete")

    def dataverse_created(
        self, entity: str, row: str, at: datetime, columns: Columns, company: str | None = None
    ) -> None:
        """Record a created Dataverse row."""
        self._dataverse(entity, row, at, {"createdon": text_time(at), **columns}, company)

    def dataverse_updated(self, entity: str, row: str, at: datetime, columns: Columns) -> None:
        """Record a changed Dataverse row; the event carries its id, its time and the changed columns only."""
        self._dataverse(entity, row, at, {**columns, "modifiedon": text_time(at)}, None, delay=timedelta(seconds=1))

    def heartbeats(self, until: datetime) -> list[SimulatedEvent]:
        """Return the heartbeats of both systems, which declare them complete up to `until`."""
        data = {"until": text_time(until)}
        sources = ((FINANCE_TOPIC, _FINANCE_SOURCE), (DATAVERSE_TOPIC, _DATAVERSE_SOURCE))
        return [
            SimulatedEvent(topic, source, self._envelope(source, "tieout.source.complete", until, data))
            for topic, source in sources
        ]

    def process_reported(
        self,
        process: str,
        company: str,
        at: datetime,
        duration: timedelta,
        errors: Sequence[tuple[str, str]],
        scope: Sequence[str] = (),
    ) -> None:
        """Record a run of a Finance process over `scope` (empty: the whole company) with (subject, text) errors."""
        self._runs += 1
        data = {"process": process, "run": f"run-{self._runs:04d}", "company": company, "scope": list(scope)}

        def report(stage: str, at: datetime, more: Columns) -> None:
            event = self._envelope(_FINANCE_SOURCE, f"tieout.process.{stage}", at, data | more)
            self._reports.append(SimulatedEvent(FINANCE_TOPIC, str(data["run"]), event))

        report("started", at, {})
        for number, (subject, text) in enumerate(errors, 1):
            report("message", at + duration * number / (len(errors) + 1), {"subject": subject, "text": text})
        report("failed" if errors else "finished", at + duration, {})

    def process_events(self) -> list[SimulatedEvent]:
        """Return what the processes reported, run by run."""
        return list(self._reports)

    def events(self) -> list[SimulatedEvent]:
        """Return all events in the order of their times."""
        return [event for _, _, event in sorted(self._log, key=lambda entry: entry[:2])]

    def drain(self, *, forget: bool = True) -> list[TimedEvent]:
        """Return and remove the events recorded since the last call, as (time, number, event).

        With `forget` the times of changed rows are forgotten too: the caller must not change those rows again.
        """
        taken, self._log = self._log, []
        if forget:
            self._touched.clear()
        return taken

    def last_change(self, entity: str, row: str) -> datetime | None:
        """Return the time of a row's last change; None if it never changed."""
        times = self._touched.get((entity, row))
        return times[-1] if times else None

    def process_event(self, stage: str, at: datetime, data: Columns) -> None:
        """Record a process message of Finance (`tieout.process.started`, `.message`, `.finished`, `.failed`)."""
        envelope = self._envelope(_FINANCE_SOURCE, f"tieout.process.{stage}", at, data)
        self._written += 1
        self._log.append((at, self._written, SimulatedEvent(FINANCE_TOPIC, str(data["run"]), envelope)))

    def last_time(self) -> datetime:
        """Return the time of the latest event."""
        return max(at for at, _, _ in self._log)

    def dataverse_deleted(self, entity: str, row: str, at: datetime) -> None:
        """Record a deleted Dataverse row."""
        self._touch(entity, row, at)
        self._row(_DATAVERSE_SOURCE, entity, row, at, {}, operation="delete")

    def _dataverse(
        self, entity: str, row: str, at: datetime, columns: Columns, company: str | None, delay: timedelta = timedelta()
    ) -> None:
        self._touch(entity, row, at)
        columns = {_ID_COLUMNS.get(entity, f"{entity}id"): row, **columns}
        extra: Columns = {"company": company} if company else {}
        self._row(_DATAVERSE_SOURCE, entity, row, at + delay, extra | {"columns": columns})

    def _touch(self, entity: str, row: str, at: datetime) -> int:
        times = self._touched[entity, row]
        if times and at <= times[-1]:
            raise ValueError(f"{entity} {row} changes at {at}, but has changed at {times[-1]} already")
        times.append(at)
        return len(times) - 1

    def _row(
        self, source: str, entity: str, row: str, at: datetime, extra: Mapping[str, Any], operation: str = "upsert"
    ) -> None:
        data = {"entity": entity, "id": row, "operation": operation, **extra}
        topic = FINANCE_TOPIC if source == _FINANCE_SOURCE else DATAVERSE_TOPIC
        event = SimulatedEvent(topic, row, self._envelope(source, "tieout.row.changed", at, data))
        self._written += 1
        self._log.append((at, self._written, event))

    def _envelope(self, source: str, kind: str, at: datetime, data: Columns) -> dict[str, Any]:
        event_id = random_guid(self.chance)
        head = {"specversion": "1.0", "id": event_id, "source": source, "type": kind, "time": text_time(at)}
        return {**head, "data": data}
