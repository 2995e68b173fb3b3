"""A store computed anew from the topics, in a file of its own beside the one in use: for `verify` and `replay`.

What the topics no longer hold, the store in use still knows: the cells of its records whose events are gone are where
the computation begins. Merging is free of order, so the events that are left lead to the same records.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, event, select

from engine.chains.records import Record
from engine.errors import QueryError
from engine.events.facts import Evidence, ProcessMessage
from engine.mapping.compiler import Maps
from store.operational.pins import pins
from store.projection.writer import PURGED_TO, Writer, purged_to
from store.schema import tables
from store.schema.bulk_sql import chunks, upsert
from store.schema.database import connect, migrate
from streams.faust_app import BATCH_BYTES, BATCH_RECORDS
from streams.log import Batch, EventLog, PartitionId
from streams.projector import Projector
from tieout.bootstrap import environments_of, spare_the_collector
from tieout.settings import Settings

SEEDED_AT_ONCE: Final = 2_000

Report = Callable[[int, int], None]
"""Told how many of how many events are read."""

_decode: Final = msgspec.msgpack.Decoder(Record).decode
_decode_message: Final = msgspec.msgpack.Decoder(ProcessMessage).decode


@contextmanager
def scratch_store() -> Iterator[Engine]:
    """An empty store in a folder that is removed at the end, however that comes."""
    with tempfile.TemporaryDirectory(prefix="tieout-rebuild-") as folder:
        engine = connect(f"sqlite:///{Path(folder) / 'rebuilt.sqlite'}", write=True)

        @event.listens_for(engine, "connect")
        def _(connection: object, _record: object) -> None:
            # Nobody needs it after a crash.
            connection.execute("PRAGMA synchronous=OFF")  # type: ignore[attr-defined]

        try:
            migrate(engine)
            with engine.begin() as connection:
                # Nobody asks it for a grid.
                for index in tables.documents.indexes:
                    index.drop(connection)
            yield engine
        finally:
            engine.dispose()


class Rebuilding:
    """The computation: begins from what the log no longer holds, and goes on to wherever it is told."""

    def __init__(self, log: EventLog, used: Connection, rebuilt: Engine, maps: Maps, settings: Settings) -> None:
        spare_the_collector()
        self._log = log
        self._used = used
        self._rebuilt = rebuilt
        self._writer = Writer(rebuilt, maps, settings.companies, publishes=False)
        # A rebuild takes the pins over: found anew, another environment might come first.
        self._pins = pins(used)
        environments = environments_of(settings, self._pins)
        self._projector = Projector(self._writer, log, maps, prefix=settings.prefix, environments=environments)
        self._maps = maps
        self.places: dict[PartitionId, int] = {}
        self._done = 0
        self._purged_to: int | None = None

    def check_pins(self, used: Connection) -> None:
        """Raise `QueryError` when other environments are pinned now: their events were read otherwise here."""
        if pins(used) != self._pins:
            raise QueryError(
                "another environment was pinned, or one was unpinned, while the store was rebuilt: nothing was "
                "changed. Replay again."
            )

    def begin(self, reached: Mapping[PartitionId, int]) -> None:
        """Take over what the events before the log's start left in the store in use; `reached` has its partitions."""
        self.places = {place: self._log.start_offset(*place) for place in reached}
        self._purged_to = purged_to(self._used)
        if self._purged_to is not None:
            with self._rebuilt.begin() as connection:
                upsert(connection, tables.settings, [(PURGED_TO, str(self._purged_to))])
        if not any(self.places.values()):
            return
        for some in chunks(self._seeds(), SEEDED_AT_ONCE):
            self._writer.seed(some)
        with self._rebuilt.begin() as connection:
            for table in (tables.sources, tables.notices):
                upsert(connection, table, [tuple(row) for row in self._used.execute(select(table))])
            for rows in chunks(self._messages(), SEEDED_AT_ONCE):
                upsert(connection, tables.process_messages, rows)
            upsert(connection, tables.deletions, self._deletions())
        self._writer.invalidate_caches()

    def go_on(self, reached: Mapping[PartitionId, int], report: Report) -> None:
        """Read on to these places, and decide everything that waits."""
        for place in reached.keys() - self.places.keys():
            self.places[place] = self._log.start_offset(*place)
        total = self._done + sum(reached[place] - offset for place, offset in self.places.items())
        report(self._done, total)
        while batches := self._read(reached):
            self._projector.apply(batches)
            for batch in batches:
                self.places[batch.topic, batch.partition] = batch.next
                self._done += len(batch)
            report(self._done, total)
        while self._projector.work():
            pass
        self._projector.settle()
        while self._purged_to is not None and self._writer.purge(self._purged_to):
            pass
        # A log that deletes or compacts has gaps: the place is reached all the same.
        self.places.update(reached)

    def _read(self, reached: Mapping[PartitionId, int]) -> list[Batch]:
        """The next events of all partitions, as far as they lie before where it goes on to."""
        left = [(*place, offset) for place, offset in self.places.items() if offset < reached[place]]
        read = self._log.read_together(left, BATCH_RECORDS, BATCH_BYTES) if left else []
        cut = [
            replace(batch, records=[one for one in batch.records if one.offset < reached[batch.topic, batch.partition]])
            for batch in read
        ]
        return [batch for batch in cut if batch.records]

    def _seeds(self) -> Iterator[Record]:
        """The records in use, as far as they come from events that the log no longer holds."""
        table = tables.records
        found = self._used.execution_options(yield_per=1_000).execute(select(table).order_by(table.c.key))
        for row in found:
            record = _decode(row.body)
            if record.entity in self._maps.entities and (seed := self._seed(record)) is not None:
                yield seed

    def _messages(self) -> Iterator[tuple[Any, ...]]:
        """The rows of the error log whose events the log no longer holds."""
        for row in self._used.execution_options(yield_per=1_000).execute(select(tables.process_messages)):
            if self._is_gone(_decode_message(row.body).evidence):
                yield tuple(row)

    def _deletions(self) -> list[tuple[Any, ...]]:
        """What people deleted, as far as their commands may be gone; those that are there say the same again."""
        return [tuple(row) for row in self._used.execute(select(tables.deletions))]

    def _seed(self, record: Record) -> Record | None:
        gone = [self._is_gone(evidence) for evidence in record.evidence]
        deleted = record.deleted if record.deleted is not None and self._is_gone(record.deleted) else None
        if not any(gone) and deleted is None:
            return None
        kept = [index for index, is_gone in enumerate(gone) if is_gone]
        place = {old: new for new, old in enumerate(kept)}
        evidence = [record.evidence[index] for index in kept]
        values = {name: value for name, value in record.values.items() if record.by.get(name, 0) in place}
        by = {name: index for name in values if (index := place[record.by.get(name, 0)])}
        return Record(record.key, record.entity, None, deleted, evidence, values, by, [], [], record.read)

    def _is_gone(self, evidence: Evidence) -> bool:
        start = self.places.get((evidence.topic, evidence.partition))
        return start is not None and evidence.offset < start


def reached(connection: Connection) -> dict[PartitionId, int]:
    """Where the store in use has read to."""
    return {(row.topic, row.partition): row.next for row in connection.execute(select(tables.offsets))}
