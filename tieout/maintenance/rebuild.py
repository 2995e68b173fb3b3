"""Rebuilds a store from the topics in a temporary file, for `verify` and `replay`.

Events that the topics no longer contain are replaced by the cells that they left in the records of the current store,
with which the rebuild starts. Merging is commutative, so the remaining events lead to the same records.
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
from tieout.bootstrap import environments_of, tune_garbage_collection
from tieout.settings import Settings

SEEDED_AT_ONCE: Final = 2_000

Report = Callable[[int, int], None]
"""Receives the number of events read, and their total."""

_decode: Final = msgspec.msgpack.Decoder(Record).decode
_decode_message: Final = msgspec.msgpack.Decoder(ProcessMessage).decode


@contextmanager
def scratch_store() -> Iterator[Engine]:
    """Create an empty store in a temporary folder, which is removed at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="tieout-rebuild-") as folder:
        engine = connect(f"sqlite:///{Path(folder) / 'rebuilt.sqlite'}", write=True)

        @event.listens_for(engine, "connect")
        def _(connection: object, _record: object) -> None:
            # The file is worthless after a crash.
            connection.execute("PRAGMA synchronous=OFF")  # type: ignore[attr-defined]

        try:
            migrate(engine)
            with engine.begin() as connection:
                # No grid is read from it.
                for index in tables.documents.indexes:
                    index.drop(connection)
            yield engine
        finally:
            engine.dispose()


class Rebuilding:
    """A rebuild in progress. `begin` copies what the log no longer contains; `read_to` applies events up to offsets."""

    def __init__(self, log: EventLog, used: Connection, rebuilt: Engine, maps: Maps, settings: Settings) -> None:
        tune_garbage_collection()
        self._log = log
        self._used = used
        self._rebuilt = rebuilt
        self._writer = Writer(
            rebuilt,
            maps,
            settings.companies,
            beginning=settings.beginning_balances,
            accounts=settings.ledger_accounts,
            publishes=False,
        )
        # The pins are copied: in a rebuild, the first event might come from another environment.
        self._pins = pins(used)
        environments = environments_of(settings, self._pins)
        self._projector = Projector(self._writer, log, maps, prefix=settings.prefix, environments=environments)
        self._maps = maps
        self.offsets: dict[PartitionId, int] = {}
        self._done = 0
        self._purged_to: int | None = None

    def check_pins(self, used: Connection) -> None:
        """Raise `QueryError` if the pinned environments have changed: the rebuild read their events differently."""
        if pins(used) != self._pins:
            raise QueryError(
                "another environment was pinned, or one was unpinned, while the store was rebuilt: nothing was "
                "changed. Replay again."
            )

    def begin(self, committed: Mapping[PartitionId, int]) -> None:
        """Copy what the events before the start of the log have left in the current store.

        `committed` contains the partitions and their offsets.
        """
        self.offsets = {partition: self._log.start_offset(*partition) for partition in committed}
        self._purged_to = purged_to(self._used)
        if self._purged_to is not None:
            with self._rebuilt.begin() as connection:
                upsert(connection, tables.settings, [(PURGED_TO, str(self._purged_to))])
        if not any(self.offsets.values()):
            return
        for seeds in chunks(self._seeds(), SEEDED_AT_ONCE):
            self._writer.seed(seeds)
        with self._rebuilt.begin() as connection:
            for table in (tables.sources, tables.notices):
                upsert(connection, table, [tuple(row) for row in self._used.execute(select(table))])
            for rows in chunks(self._messages(), SEEDED_AT_ONCE):
                upsert(connection, tables.process_messages, rows)
            upsert(connection, tables.deletions, self._deletions())
        self._writer.invalidate_caches()

    def read_to(self, committed: Mapping[PartitionId, int], report: Report) -> None:
        """Apply events up to these offsets, and complete all pending re-evaluations."""
        for partition in committed.keys() - self.offsets.keys():
            self.offsets[partition] = self._log.start_offset(*partition)
        total = self._done + sum(committed[partition] - offset for partition, offset in self.offsets.items())
        report(self._done, total)
        while batches := self._read(committed):
            self._projector.apply(batches)
            for batch in batches:
                self.offsets[batch.topic, batch.partition] = batch.next
                self._done += len(batch)
            report(self._done, total)
        while self._projector.work():
            pass
        self._projector.settle()
        while self._purged_to is not None and self._writer.purge(self._purged_to):
            pass
        # Retention and compaction leave gaps in a log, so the last record may be before the offset.
        self.offsets.update(committed)

    def _read(self, committed: Mapping[PartitionId, int]) -> list[Batch]:
        """Return the next events of all partitions, up to the committed offsets."""
        unread = [(*partition, offset) for partition, offset in self.offsets.items() if offset < committed[partition]]
        batches = self._log.read_together(unread, BATCH_RECORDS, BATCH_BYTES) if unread else []
        limited = []
        for batch in batches:
            end = committed[batch.topic, batch.partition]
            limited.append(replace(batch, records=[record for record in batch.records if record.offset < end]))
        return [batch for batch in limited if batch.records]

    def _seeds(self) -> Iterator[Record]:
        """Yield the parts of the current records that come from events that the log no longer contains."""
        table = tables.records
        rows = self._used.execution_options(yield_per=1_000).execute(select(table).order_by(table.c.key))
        for row in rows:
            record = _decode(row.body)
            if record.entity in self._maps.entities and (seed := self._seed(record)) is not None:
                yield seed

    def _messages(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the error log whose events the event log no longer contains."""
        for row in self._used.execution_options(yield_per=1_000).execute(select(tables.process_messages)):
            if self._is_gone(_decode_message(row.body).evidence):
                yield tuple(row)

    def _deletions(self) -> list[tuple[Any, ...]]:
        """Return the deletions of errors, because their commands may be deleted. Remaining commands repeat the same."""
        return [tuple(row) for row in self._used.execute(select(tables.deletions))]

    def _seed(self, record: Record) -> Record | None:
        """Return the part of a record that comes from deleted events; None if there is none."""
        deleted = record.deleted if record.deleted is not None and self._is_gone(record.deleted) else None
        kept = [index for index, evidence in enumerate(record.evidence) if self._is_gone(evidence)]
        former = {
            column: gone
            for column, values in record.former.items()
            if (gone := [item for item in values if self._is_gone(item.evidence)])
        }
        hidden = {column: item for column, item in record.hidden.items() if self._is_gone(item.evidence)}
        if not kept and deleted is None and not former and not hidden:
            return None
        new_index = {old: new for new, old in enumerate(kept)}
        evidence = [record.evidence[index] for index in kept]
        values = {name: value for name, value in record.values.items() if record.by.get(name, 0) in new_index}
        by = {name: index for name in values if (index := new_index[record.by.get(name, 0)])}
        seed = Record(record.key, record.entity, None, deleted, evidence, values, by, [], [], record.read)
        seed.former, seed.crowded, seed.hidden = former, record.crowded, hidden
        return seed

    def _is_gone(self, evidence: Evidence) -> bool:
        """Return True if the log no longer contains the event."""
        start = self.offsets.get((evidence.topic, evidence.partition))
        return start is not None and evidence.offset < start


def committed_offsets(connection: Connection) -> dict[PartitionId, int]:
    """Return the committed offset of each partition of a store."""
    return {(row.topic, row.partition): row.next for row in connection.execute(select(tables.offsets))}
