"""The two systems as event sources: they hand out identifiers and write down what changes in them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any

from tieout.simulator.scenario import DATAVERSE_TOPIC, FINANCE_TOPIC, Columns, Entry, Event

FIRST_RECORD_ID = 5637144576
_RECORD_ID_OFFSETS = {"VendInvoiceTrans": 50_000, "VendInvoiceJour": 20_000, "ProjAdvancedJournalLine": 1_000}

_FINANCE_SOURCE = "/finance/contoso"
_DATAVERSE_SOURCE = "/dataverse/contoso"
_ID_COLUMNS = {"msdyn_projectvendorinvoiceline": "assumed_projectvendorinvoicelineid"}

_GREGORIAN_START = datetime(1582, 10, 15, tzinfo=UTC)
_GUID_TAIL = "a730-0022480431d9"


@lru_cache(maxsize=1_024)
def text_time(at: datetime) -> str:
    """A moment as the events write it: UTC, to the second, with a Z."""
    return at.astimezone(UTC).isoformat()[:19] + "Z"


def ticks_of(at: datetime) -> int:
    """A moment in the units of guids: tenths of microseconds since 1582."""
    return (at - _GREGORIAN_START) // timedelta(microseconds=1) * 10


def sequential_guid(ticks: int) -> str:
    """The guid a database hands out at a moment: a version 1 UUID whose first groups are stored byte-reversed."""
    low, mid, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF | 0x1000
    groups = [low.to_bytes(4, "little"), mid.to_bytes(2, "little"), high.to_bytes(2, "little")]
    return "-".join([*(group.hex() for group in groups), _GUID_TAIL])


def random_guid(chance: Random) -> str:
    """A version 4 UUID, made by hand: `uuid.UUID` takes as long as the rest of an event."""
    bits = chance.getrandbits(128) & ~(0xF << 76 | 0x3 << 62) | 4 << 76 | 2 << 62
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class World:
    """Collects the events of both systems; the times of one row only rise, so its last word is never in doubt."""

    def __init__(self, seed: int) -> None:
        """Start empty; everything that is drawn comes from the seed."""
        self.chance = Random(seed)
        self._written = 0
        self._log: list[Entry] = []
        self._reports: list[Event] = []
        self._runs = 0
        self._record_ids: dict[str, int] = {}
        self._guids: set[int] = set()
        self._touched: dict[tuple[str, str], list[datetime]] = defaultdict(list)

    def record_id(self, table: str) -> int:
        """The next RecId of a Finance table."""
        first = FIRST_RECORD_ID + _RECORD_ID_OFFSETS.get(table, 0)
        self._record_ids[table] = self._record_ids.get(table, first - 1) + 1
        return self._record_ids[table]

    def guid(self, at: datetime) -> str:
        """A new Dataverse id of a row that is made at a moment."""
        ticks = ticks_of(at) + self.chance.randrange(10_000_000)
        while ticks in self._guids:
            ticks += 1
        self._guids.add(ticks)
        return sequential_guid(ticks)

    def finance(self, table: str, record_id: int, at: datetime, columns: Columns, company: str | None = None) -> None:
        """A Finance row was inserted or changed; the first event of a row names its RecId."""
        seen = self._touch(table, str(record_id), at)
        columns = columns if seen else {"RecId": record_id, **columns}
        extra: Columns = {"version": seen + 1} | ({"company": company} if company else {})
        self._row(_FINANCE_SOURCE, table, str(record_id), at, extra | {"columns": columns})

    def finance_deleted(self, table: str, record_id: int, at: datetime, company: str | None = None) -> None:
        """A Finance row was deleted."""
        self._touch(table, str(record_id), at)
        extra = {"company": company} if company else {}
        self._row(_FINANCE_SOURCE, table, str(record_id), at, extra, operation="delete")

    def created(self, entity: str, row: str, at: datetime, columns: Columns, company: str | None = None) -> None:
        """A Dataverse row was created."""
        self._dataverse(entity, row, at, {"createdon": text_time(at), **columns}, company)

    def updated(self, entity: str, row: str, at: datetime, columns: Columns) -> None:
        """A Dataverse row was changed; the event carries its id, its time and the changed columns only."""
        self._dataverse(entity, row, at, {**columns, "modifiedon": text_time(at)}, None, delay=timedelta(seconds=1))

    def complete(self, until: datetime) -> list[Event]:
        """The heartbeats of both systems: everything up to then has been sent."""
        data = {"until": text_time(until)}
        sources = ((FINANCE_TOPIC, _FINANCE_SOURCE), (DATAVERSE_TOPIC, _DATAVERSE_SOURCE))
        return [
            Event(topic, source, self._envelope(source, "tieout.source.complete", until, data))
            for topic, source in sources
        ]

    def reported(
        self,
        process: str,
        company: str,
        at: datetime,
        lasts: timedelta,
        errors: Sequence[tuple[str, str]],
        scope: Sequence[str] = (),
    ) -> None:
        """A process of Finance ran over a scope, or all of the company, and named these subjects with what is wrong."""
        self._runs += 1
        data = {"process": process, "run": f"run-{self._runs:04d}", "company": company, "scope": list(scope)}

        def say(stage: str, at: datetime, more: Columns) -> None:
            event = self._envelope(_FINANCE_SOURCE, f"tieout.process.{stage}", at, data | more)
            self._reports.append(Event(FINANCE_TOPIC, str(data["run"]), event))

        say("started", at, {})
        for number, (subject, text) in enumerate(errors, 1):
            say("message", at + lasts * number / (len(errors) + 1), {"subject": subject, "text": text})
        say("failed" if errors else "finished", at + lasts, {})

    def reports(self) -> list[Event]:
        """What the processes reported, run by run."""
        return list(self._reports)

    def events(self) -> list[Event]:
        """All events in the order of their times."""
        return [event for _, _, event in sorted(self._log, key=lambda entry: entry[:2])]

    def take(self, *, forget: bool = True) -> list[Entry]:
        """What has been written down since the last time, as (time, number, event), and forget it.

        Also which rows were touched is forgotten, unless the caller may touch them again.
        """
        taken, self._log = self._log, []
        if forget:
            self._touched.clear()
        return taken

    def touched(self, entity: str, row: str) -> datetime | None:
        """When a row changed last; None when it never did."""
        times = self._touched.get((entity, row))
        return times[-1] if times else None

    def process(self, stage: str, at: datetime, data: Columns) -> None:
        """A process in Finance reports (`tieout.process.started`, `.message`, `.finished`, `.failed`)."""
        envelope = self._envelope(_FINANCE_SOURCE, f"tieout.process.{stage}", at, data)
        self._written += 1
        self._log.append((at, self._written, Event(FINANCE_TOPIC, str(data["run"]), envelope)))

    def last_time(self) -> datetime:
        """The time of the latest event."""
        return max(at for at, _, _ in self._log)

    def dataverse_deleted(self, entity: str, row: str, at: datetime) -> None:
        """A Dataverse row was deleted."""
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
        event = Event(topic, row, self._envelope(source, "tieout.row.changed", at, data))
        self._written += 1
        self._log.append((at, self._written, event))

    def _envelope(self, source: str, kind: str, at: datetime, data: Columns) -> dict[str, Any]:
        event_id = random_guid(self.chance)
        head = {"specversion": "1.0", "id": event_id, "source": source, "type": kind, "time": text_time(at)}
        return {**head, "data": data}
