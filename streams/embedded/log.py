"""The event log in one SQLite file, for one machine: no broker, no server.

A row of the file is a block: the records of one append to one partition, encoded together, up to `BLOCK_BYTES_MAX`.
Blocks are used because Python's sqlite3 releases the interpreter lock at every row: a thread that reads row by row
while another is busy waits up to 5 ms for each record. Appending is three times as fast with them.
`streams.embedded.blocks` defines the layout of the file and the checksums, which every read verifies.

The key of a block packs the number of the partition in this file and the first offset into one integer, so that a
partition is read in key order, and appending to one partition never moves the blocks of another.

Nothing is ever deleted or compacted, whatever the policies of the topics are: a disk holds years of one company, and
retention is a minimum.
"""

import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple
from zlib import crc32

from streams.embedded.blocks import (
    INSERT_BLOCK,
    MOVE_END,
    OFFSET_MASK,
    Block,
    Broken,
    Item,
    Mode,
    Partition,
    add_partition,
    block_checksum,
    blocks_from,
    contents,
    count_partitions,
    damage,
    encode,
    end_of,
    is_checked,
    items_of,
    open_file,
    partition_checksum,
    translated,
    whole,
    written,
)
from streams.embedded.lock import acquire_lock
from streams.log import (
    RECORD_BYTES_MAX,
    Batch,
    LogFailed,
    LogReadOnly,
    LogRecord,
    NewRecord,
    OffsetOutOfRange,
    PartitionId,
    RecordTooLarge,
    TopicMismatch,
    TopicMissing,
    portions,
)
from streams.topics import DEFAULT_PREFIX, Topic

# Large blocks append and read faster; small ones make reading a single record cheaper. Above 256 KiB nothing is gained.
BLOCK_BYTES_MAX = 256 * 1024

_LAST_BLOCK = "SELECT id, count, time FROM blocks WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"

_NEXT_BLOCK = "SELECT min(id) FROM blocks WHERE id > ? AND id < ?"


class _Extent(NamedTuple):
    """A block without its body, not verified: the offsets from `base` up to `end`, appended at `time`."""

    base: int
    end: int
    time: int


class _Filling:
    """A block while its records are being collected."""

    __slots__ = ("base", "items", "partition", "size")

    def __init__(self, partition: Partition, base: int) -> None:
        self.partition = partition
        self.base = base
        self.items: list[Item] = []
        self.size = 0

    def row(self, now: int) -> tuple[int, int, int, int, bytes]:
        """Return the row for the table of blocks."""
        body, count = encode(self.items), len(self.items)
        checksum = block_checksum(self.partition, self.base, count, now, body)
        return self.partition.low + self.base, count, now, checksum, body


class EmbeddedLog:
    """An `EventLog` in a SQLite file. One process writes at a time; any number may read concurrently."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        *,
        lock: IO[str] | None,
        record_bytes_max: int,
        clock: Callable[[], int],
    ) -> None:
        """Use `open`."""
        self._path = path
        self._connection = connection
        self._lock = lock
        self._record_bytes_max = record_bytes_max
        self._clock = clock
        # The mutex of the connection: a write holds it for a transaction, a read for a statement. Records are encoded
        # without it, so appends have a mutex of their own.
        self._mutex = threading.Lock()
        self._appending = threading.Lock()
        self._closed = False
        self._checked = True
        self._blocks_from = ""
        self._identity: str | None = None
        self._partitions: Mapping[str, tuple[Partition, ...]] = {}
        self._ends: dict[int, int] = {}
        self._latest = 0
        self._keyless = itertools.count()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        mode: Mode,
        *,
        record_bytes_max: int = RECORD_BYTES_MAX,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> "EmbeddedLog":
        """Open a log. For writing, create it if necessary, and lock it until `close` or the end of the process.

        `clock` returns the time of an append in milliseconds since 1970 UTC.

        Raises `LogBusy` if another process writes to it, `LogMissing` if there is none to read, `LogDamaged` if the
        file is not a log or, for writing, if the end of a partition is damaged, and `LogFailed` if the file system
        fails.
        """
        file = Path(path).absolute()
        lock = acquire_lock(file) if mode == "write" else None
        try:
            connection = open_file(file, mode)
            log = cls(file, connection, lock=lock, record_bytes_max=record_bytes_max, clock=clock)
            try:
                log._load()
                if lock is not None:
                    log._find_ends()
            except BaseException:
                connection.close()
                raise
        except BaseException:
            if lock is not None:
                lock.close()
            raise
        return log

    @property
    def path(self) -> Path:
        """Return the absolute path of the file."""
        return self._path

    def identities(self, topics: Sequence[str]) -> Mapping[str, str]:
        """Return the identity of the log for each topic; empty for a file of the previous format."""
        # A log of the previous format has none until it is opened for writing.
        return {} if self._identity is None else dict.fromkeys(topics, f"log:{self._identity}")

    def create_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> None:
        """Create the missing topics in one transaction. Raises `TopicMismatch`."""
        if partitions < 1:
            raise ValueError(f"A topic has at least one partition, not {partitions}.")
        missing = [topic for topic in topics if topic.full_name(prefix) not in self._partitions]
        with self._writing() as connection:
            for topic in missing:
                for number in range(topic.parts(partitions)):
                    add_partition(connection, topic.full_name(prefix), number)
            if missing:
                count_partitions(connection, self._identity or "")
        self.topics()
        if problems := self.check_topics(topics, partitions, prefix=prefix):
            raise TopicMismatch("\n".join(problems))

    def check_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> list[str]:
        """Return a sentence for each missing topic or wrong number of partitions."""
        existing = self.topics()
        problems = []
        for topic in topics:
            name = topic.full_name(prefix)
            number = existing.get(name)
            if number is None:
                problems.append(f"Topic {name} is missing from {self._path}: start a worker, it makes its topics.")
            elif number != topic.parts(partitions):
                problems.append(
                    f"Topic {name} has {number} partitions and the settings say {partitions}: keys would change their "
                    f"partition. Set the number of partitions to {number}, or start a new log in another file."
                )
        return problems

    def topics(self) -> Mapping[str, int]:
        """Return the number of partitions by full name of the topic."""
        with self._using() as connection:
            self._load_partitions(connection)
        return {name: len(partitions) for name, partitions in self._partitions.items()}

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic. Raises `TopicMissing`."""
        return len(self._partitions_of(topic))

    def append(self, records: Sequence[NewRecord]) -> list[tuple[int, int]]:
        """Append all records in one transaction. Return the (partition, offset) of each."""
        for topic in {record.topic for record in records}:
            self._partitions_of(topic)
        # Threads may append concurrently: the ends are read and advanced under one hold of the mutex.
        with self._appending:
            now = max(self._clock(), self._latest)
            filled, ends, placed = self._assign_offsets(records)
            rows = [filling.row(now) for filling in filled]
            new_ends = [(end, partition_checksum(partition, end), partition.place) for partition, end in ends.items()]
            with self._writing() as connection:
                connection.executemany(INSERT_BLOCK, rows)
                connection.executemany(MOVE_END, new_ends)
            self._ends.update({partition.place: end for partition, end in ends.items()})
            self._latest = now
        return placed

    def begin_publishing(self) -> None:
        """Do nothing: the lock admits one writer."""

    def read(self, topic: str, partition: int, offset: int, max_records: int, max_bytes: int) -> list[LogRecord]:
        """Return records from an offset on. Raises `LogDamaged` or `OffsetOutOfRange`."""
        target = self._partition_of(topic, partition)
        records: list[LogRecord] = []
        with self._using() as connection:
            # Read before the blocks, because a writer may append concurrently.
            end = end_of(connection, self._path, target, self._checked)
            bounds = {"low": target.low, "wanted": target.low + max(offset, 0), "high": target.high}
            next_offset = max(offset, 0)
            # Closed immediately: an unfinished statement would prevent a checkpoint of the write-ahead log.
            with closing(connection.execute(self._blocks_from, bounds)) as rows:
                for number, row in enumerate(rows):
                    block, items = self._read_block(target, row)
                    # Only the first block may begin before the offset. Nothing is ever deleted, so there are no gaps.
                    if block.base > next_offset or (number and block.base != next_offset):
                        raise damage(self._path, target, next_offset, block.base, "what stood there cannot be found")
                    skip = max(offset - block.base, 0)
                    items = items[skip : skip + max_records - len(records)]
                    if len(block.body) > max_bytes:
                        items = _cut(items, max_bytes)
                    records += [
                        LogRecord(topic, partition, position, block.time, key, value, headers)
                        for position, (key, value, headers) in enumerate(items, block.base + skip)
                    ]
                    next_offset = block.end
                    if next_offset <= offset < end:
                        raise damage(self._path, target, next_offset, end, "what stood there cannot be found")
                    max_bytes -= len(block.body)
                    if len(records) >= max_records or max_bytes <= 0:
                        break
                else:
                    if offset < end and next_offset < end:
                        raise damage(self._path, target, next_offset, end, "what stood there cannot be found")
        if not records or offset < 0:
            self._check_range(topic, partition, offset)
        return records

    def read_together(self, positions: Sequence[tuple[str, int, int]], max_records: int, max_bytes: int) -> list[Batch]:
        """Return a batch for each position that has records, in proportion to the remaining ones."""
        ends = self.ends([(topic, partition) for topic, partition, _ in positions])
        remaining = {position: ends[position[0], position[1]] - position[2] for position in positions}
        for position, records in remaining.items():
            if records < 0:
                self.read(*position, 1, 1)  # raises `OffsetOutOfRange`
        batches = [
            Batch(topic, partition, offset, self.read(topic, partition, offset, records, size))
            for (topic, partition, offset), (records, size) in portions(remaining, max_records, max_bytes).items()
        ]
        return [batch for batch in batches if batch.records]

    def start_offset(self, topic: str, partition: int) -> int:
        """Return 0: nothing is ever deleted."""
        self._partition_of(topic, partition)
        return 0

    def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset after the last record."""
        target = self._partition_of(topic, partition)
        with self._using() as connection:
            return end_of(connection, self._path, target, self._checked)

    def ends(self, partitions: Sequence[PartitionId]) -> Mapping[PartitionId, int]:
        """Return the end offsets of several partitions."""
        return {partition: self.end_offset(*partition) for partition in partitions}

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """Return the offset of the first record at or after a time, found by bisection of the blocks."""
        target = self._partition_of(topic, partition)
        last = end = self.end_offset(topic, partition)
        first = 0
        # Times never decrease within a partition, and a block has one time: bisect the offsets by blocks.
        while first < end:
            block = self._extent_at(target, (first + end) // 2)
            if block.time >= timestamp_ms:
                end = block.base
            else:
                first = block.end
        # The times on the way were not verified. The blocks on both sides of the result are.
        if (first > 0 and self._block_at(target, first - 1).time >= timestamp_ms) or (
            first < last and self._block_at(target, first).time < timestamp_ms
        ):
            raise damage(self._path, target, first, last, "the times before and after are not those that were given")
        return first

    def close(self) -> None:
        """Close the file and release the lock."""
        with self._mutex:
            self._closed = True
            self._connection.close()
            if self._lock is not None:
                # Closing releases the lock. The file stays: unlinking it could unlink the lock of the next writer.
                self._lock.close()

    def _load(self) -> None:
        with self._using() as connection:
            self._checked = is_checked(connection)
            self._blocks_from = blocks_from(self._checked)
            self._load_partitions(connection)

    def _load_partitions(self, connection: sqlite3.Connection) -> None:
        self._identity, rows = contents(connection, self._path, self._checked)
        partitions: dict[str, list[Partition]] = {}
        for partition in sorted(rows):
            partitions.setdefault(partition.topic, []).append(partition)
        self._partitions = {topic: tuple(numbered) for topic, numbered in partitions.items()}

    def _find_ends(self) -> None:
        """Find the end of each partition, and verify the block before it."""
        for own in itertools.chain(*self._partitions.values()):
            end = self._ends[own.place] = self.end_offset(own.topic, own.number)
            if end:
                self._latest = max(self._latest, self._block_at(own, end - 1).time)

    def _partitions_of(self, topic: str) -> tuple[Partition, ...]:
        if topic not in self._partitions:
            # The topic may have been created after this log was opened.
            with self._using() as connection:
                self._load_partitions(connection)
        try:
            return self._partitions[topic]
        except KeyError:
            raise TopicMissing(
                f"The event log {self._path} has no topic {topic}: check the topic prefix, or start a worker once, it "
                "makes its topics."
            ) from None

    def _partition_of(self, topic: str, partition: int) -> Partition:
        partitions = self._partitions_of(topic)
        if not 0 <= partition < len(partitions):
            raise _no_partition(topic, partition, len(partitions))
        return partitions[partition]

    def _extent_at(self, own: Partition, offset: int) -> _Extent:
        """Return the block that contains an offset, not verified."""
        with self._using() as connection:
            row = connection.execute(_LAST_BLOCK, (own.low, own.low + offset + 1)).fetchone()
        if row is not None and all(isinstance(value, int) for value in row):
            extent = _Extent(row[0] & OFFSET_MASK, (row[0] & OFFSET_MASK) + row[1], row[2])
            if extent.base <= offset < extent.end:
                return extent
        raise damage(self._path, own, offset, offset + 1, "what stood there cannot be found")

    def _block_at(self, own: Partition, offset: int) -> Block:
        """Return the block that contains an offset. Raises `LogDamaged`."""
        wanted = {"low": own.low, "wanted": own.low + offset, "high": own.high}
        with self._using() as connection, closing(connection.execute(self._blocks_from, wanted)) as rows:
            row = rows.fetchone()
            if row is not None:
                block, _ = self._read_block(own, row)
                if block.base <= offset < block.end:
                    return block
        raise damage(self._path, own, offset, offset + 1, "what stood there cannot be found")

    def _read_block(self, own: Partition, row: tuple[Any, ...]) -> tuple[Block, list[Item]]:
        """Verify a block. Return it and its records. Raises `LogDamaged`."""
        try:
            block = whole(own, *row)
            return block, items_of(block)
        except Broken as error:
            # The count in a damaged row is not reliable.
            following = self._connection.execute(_NEXT_BLOCK, (row[0], own.high)).fetchone()[0]
            end = following & OFFSET_MASK if following else end_of(self._connection, self._path, own, self._checked)
            raise damage(self._path, own, row[0] & OFFSET_MASK, end, f"{error}") from None

    def _assign_offsets(
        self, records: Sequence[NewRecord]
    ) -> tuple[list[_Filling], dict[Partition, int], list[tuple[int, int]]]:
        """Assign an offset to each record. Return the blocks, the new ends, and the (partition, offset) of each."""
        filled: list[_Filling] = []
        filling: dict[Partition, _Filling] = {}
        ends: dict[Partition, int] = {}
        placed: list[tuple[int, int]] = []
        for record in records:
            partitions = self._partitions[record.topic]
            own = partitions[self._partition(record, len(partitions))]
            size = self._size(record)
            end = ends.get(own)
            if end is None:
                end = self._ends.get(own.place, 0)
            block = filling.get(own)
            if block is None or block.size + size > BLOCK_BYTES_MAX:
                block = filling[own] = _Filling(own, end)
                filled.append(block)
            block.items.append((record.key, record.value, record.headers))
            block.size += size
            ends[own] = end + 1
            placed.append((own.number, end))
        return filled, ends, placed

    def _partition(self, record: NewRecord, partitions: int) -> int:
        if record.partition is not None:
            if not 0 <= record.partition < partitions:
                raise _no_partition(record.topic, record.partition, partitions)
            return record.partition
        # Not `hash`, which differs from process to process.
        return (next(self._keyless) if record.key is None else crc32(record.key)) % partitions

    def _size(self, record: NewRecord) -> int:
        size = len(record.key or b"") + len(record.value or b"")
        if record.headers:
            size += sum(len(name) + len(value) for name, value in record.headers)
        if size > self._record_bytes_max:
            raise RecordTooLarge(
                f"A record for {record.topic} has {size:,} bytes and the event log takes {self._record_bytes_max:,}: "
                "send less in one event, or raise the limit in the settings."
            )
        return size

    def _check_range(self, topic: str, partition: int, offset: int) -> None:
        start, end = self.start_offset(topic, partition), self.end_offset(topic, partition)
        if not start <= offset <= end:
            raise OffsetOutOfRange(
                f"{topic}, partition {partition} of the event log {self._path} has the offsets {start} up to {end}, "
                f"and {offset} was asked for: is this the log that was read before, or an older copy of it?"
            )

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            if self._closed:
                raise LogFailed(f"The event log {self._path} is closed.")
            with translated(self._path):
                yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Run one durable transaction."""
        if self._lock is None:
            raise LogReadOnly(f"The event log {self._path} was opened for reading.")
        with self._using() as connection, written(connection):
            yield connection


def _no_partition(topic: str, partition: int, partitions: int) -> TopicMissing:
    return TopicMissing(f"Topic {topic} has partitions 0 to {partitions - 1}, and no partition {partition}.")


def _cut(items: list[Item], max_bytes: int) -> list[Item]:
    """Keep items until they hold `max_bytes`, the one that reaches it included."""
    held = 0
    for count, (key, value, _) in enumerate(items, 1):
        held += len(key or b"") + len(value or b"")
        if held >= max_bytes:
            return items[:count]
    return items
