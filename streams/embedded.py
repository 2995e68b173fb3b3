"""The event log in one SQLite file, for one machine: no broker, no server.

A row of the file is a block: the records of one append to one partition, encoded together, up to `BLOCK_BYTES_MAX`.
Blocks rather than a row for each record, because Python's sqlite3 lets go of the interpreter lock at every row: a
thread that reads record by record beside a busy one waits up to 5 ms for each. It also makes appending three times as
fast.

A block's key is its partition's number in this file and its first offset, packed into one integer, so that a partition
is read in key order, and appending to one partition never moves another's blocks.

Nothing is ever deleted or compacted here, whatever the topics' policies say: a machine's disk holds years of one
company, and a topic that keeps more than it must breaks no promise.
"""

import fcntl
import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Literal, NamedTuple
from urllib.parse import quote
from zlib import crc32

import msgspec

from streams.log import (
    RECORD_BYTES_MAX,
    Batch,
    Headers,
    LogBusy,
    LogDamaged,
    LogError,
    LogFailed,
    LogMissing,
    LogReadOnly,
    LogRecord,
    NewRecord,
    OffsetOutOfRange,
    Place,
    RecordTooLarge,
    TopicMismatch,
    TopicMissing,
    portions,
)
from streams.topics import DEFAULT_PREFIX, Topic

Mode = Literal["read", "write"]

# "TIEO" in the file's header tells a log from any other SQLite file, such as the store given by mistake.
APPLICATION_ID = 0x5449454F
FORMAT_VERSION = 1

# Large blocks append and read faster; small ones make looking up a single record cheaper. Past 256 KiB nothing is
# gained.
BLOCK_BYTES_MAX = 256 * 1024
# With SQLite's usual 4 KiB a block is a long chain of pages: half as fast to write, a third as fast to read.
PAGE_BYTES = 32 * 1024

# 2^40 offsets in a partition are 300 years at 100 records a second; 23 bits are left for the partitions.
OFFSET_BITS = 40
OFFSET_MASK = (1 << OFFSET_BITS) - 1

# A reader only ever waits for a writer that is just opening or closing the file.
BUSY_SECONDS = 10.0

_TABLES = (
    """CREATE TABLE partitions (
        place INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL, UNIQUE (topic, partition))""",
    "CREATE TABLE blocks (id INTEGER PRIMARY KEY, count INTEGER NOT NULL, time INTEGER NOT NULL, body BLOB NOT NULL)",
)
_INSERT_BLOCK = "INSERT INTO blocks (id, count, time, body) VALUES (?, ?, ?, ?)"
_FIRST_BLOCK = "SELECT id, count, time FROM blocks WHERE id >= ? AND id < ? ORDER BY id LIMIT 1"
_LAST_BLOCK = "SELECT id, count, time FROM blocks WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"
# From the block that holds the offset: the last one that does not start after it.
_BLOCKS_FROM = """
    SELECT id, time, body FROM blocks
    WHERE id >= coalesce((SELECT max(id) FROM blocks WHERE id >= :low AND id <= :wanted), :low) AND id < :high
    ORDER BY id"""

_Item = tuple[bytes | None, bytes | None, Headers]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Item]).decode


class _Extent(NamedTuple):
    """A block without its body: the offsets from `base` up to `end`, appended at `time`."""

    base: int
    end: int
    time: int


class _Block:
    """A block while its records are being collected."""

    __slots__ = ("base", "items", "size")

    def __init__(self, base: int) -> None:
        self.base = base
        self.items: list[_Item] = []
        self.size = 0


class EmbeddedLog:
    """An `EventLog` in a SQLite file. One process writes at a time; any number may read beside it."""

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
        # One connection and its mutex: a write holds it for a transaction, a read for a statement. Encoding is done
        # outside of it, so appending threads have a mutex of their own.
        self._mutex = threading.Lock()
        self._appending = threading.Lock()
        self._closed = False
        self._places: Mapping[str, tuple[int, ...]] = {}
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
        """Open a log; for writing, make it if it is not there, and hold it until `close` or the end of the process.

        `clock` gives the time of an append in milliseconds since 1970 UTC.

        Raises `LogBusy` when another process writes to it, `LogMissing` when there is none to read, `LogDamaged` when
        the file is not a log, and `LogFailed` when the file system refuses.
        """
        file = Path(path).absolute()
        lock = _take_lock(file) if mode == "write" else None
        try:
            connection = _connect(file, mode)
            log = cls(file, connection, lock=lock, record_bytes_max=record_bytes_max, clock=clock)
            try:
                log._load()
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
        return self._path

    def create_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> None:
        if partitions < 1:
            raise ValueError(f"A topic has at least one partition, not {partitions}.")
        with self._writing() as connection:
            for name in (topic.full_name(prefix) for topic in topics):
                if name not in self._places:
                    connection.executemany(
                        "INSERT INTO partitions (topic, partition) VALUES (?, ?)",
                        [(name, partition) for partition in range(partitions)],
                    )
        self.topics()
        if problems := self.check_topics(topics, partitions, prefix=prefix):
            raise TopicMismatch("\n".join(problems))

    def check_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> list[str]:
        existing = self.topics()
        problems = []
        for topic in topics:
            name = topic.full_name(prefix)
            found = existing.get(name)
            if found is None:
                problems.append(f"Topic {name} is missing from {self._path}: start a worker, it makes its topics.")
            elif found != partitions:
                problems.append(
                    f"Topic {name} has {found} partitions and the settings say {partitions}: keys would change their "
                    f"partition. Set the number of partitions to {found}, or start a new log in another file."
                )
        return problems

    def topics(self) -> Mapping[str, int]:
        with self._using() as connection:
            self._load_places(connection)
        return {name: len(places) for name, places in self._places.items()}

    def partitions(self, topic: str) -> int:
        return len(self._places_of(topic))

    def append(self, records: Sequence[NewRecord]) -> list[tuple[int, int]]:
        for topic in {record.topic for record in records}:
            self._places_of(topic)
        # Two threads may append: the ends are read and moved under one hold of the mutex.
        with self._appending:
            now = max(self._clock(), self._latest)
            blocks, ends, placed = self._lay_out(records)
            rows = [(id_, len(items), now, _encode(items)) for id_, items in blocks]
            with self._writing() as connection:
                connection.executemany(_INSERT_BLOCK, rows)
            self._ends.update(ends)
            self._latest = now
        return placed

    def begin_publishing(self) -> None: ...

    def read(self, topic: str, partition: int, offset: int, max_records: int, max_bytes: int) -> list[LogRecord]:
        low, high = self._span(topic, partition)
        records: list[LogRecord] = []
        with self._using() as connection:
            wanted = {"low": low, "wanted": low + max(offset, 0), "high": high}
            # Closed at once: a statement left in the middle would keep the write-ahead log from being emptied.
            with closing(connection.execute(_BLOCKS_FROM, wanted)) as blocks:
                for id_, appended, body in blocks:
                    base = id_ & OFFSET_MASK
                    skip = max(offset - base, 0)
                    items = self._items(body, topic, partition, base)[skip : skip + max_records - len(records)]
                    if len(body) > max_bytes:
                        items = _cut(items, max_bytes)
                    records += [
                        LogRecord(topic, partition, number, appended, key, value, headers)
                        for number, (key, value, headers) in enumerate(items, base + skip)
                    ]
                    max_bytes -= len(body)
                    if len(records) >= max_records or max_bytes <= 0:
                        break
        if not records or offset < 0:
            self._check_range(topic, partition, offset)
        return records

    def read_together(self, places: Sequence[tuple[str, int, int]], max_records: int, max_bytes: int) -> list[Batch]:
        ends = self.ends([(topic, partition) for topic, partition, _ in places])
        left = {place: ends[place[0], place[1]] - place[2] for place in places}
        for place, own in left.items():
            if own < 0:
                self.read(*place, 1, 1)  # says that this is not the log of before
        found = [
            Batch(topic, partition, offset, self.read(topic, partition, offset, records, size))
            for (topic, partition, offset), (records, size) in portions(left, max_records, max_bytes).items()
        ]
        return [batch for batch in found if batch.records]

    def start_offset(self, topic: str, partition: int) -> int:
        first = self._extent(_FIRST_BLOCK, *self._span(topic, partition))
        return 0 if first is None else first.base

    def end_offset(self, topic: str, partition: int) -> int:
        last = self._extent(_LAST_BLOCK, *self._span(topic, partition))
        return 0 if last is None else last.end

    def ends(self, places: Sequence[Place]) -> Mapping[Place, int]:
        return {place: self.end_offset(*place) for place in places}

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        low, _ = self._span(topic, partition)
        first, end = 0, self.end_offset(topic, partition)
        # Times never fall within a partition, and a block has one time: halve the offsets, a block at a time.
        while first < end:
            block = self._extent(_LAST_BLOCK, low, low + (first + end) // 2 + 1)
            assert block is not None, "offsets start at 0 and have no gaps"
            if block.time >= timestamp_ms:
                end = block.base
            else:
                first = block.end
        return first

    def close(self) -> None:
        with self._mutex:
            self._closed = True
            self._connection.close()
            if self._lock is not None:
                # Closing lets go of the lock. The file stays: who unlinked it could unlink the next one's lock.
                self._lock.close()

    def _load(self) -> None:
        with self._using() as connection:
            self._load_places(connection)
        for name, places in self._places.items():
            for partition, place in enumerate(places):
                last = self._extent(_LAST_BLOCK, *self._span(name, partition))
                self._ends[place] = 0 if last is None else last.end
                self._latest = max(self._latest, 0 if last is None else last.time)

    def _load_places(self, connection: sqlite3.Connection) -> None:
        places: dict[str, list[int]] = {}
        for topic, place in connection.execute("SELECT topic, place FROM partitions ORDER BY topic, partition"):
            places.setdefault(topic, []).append(place)
        self._places = {topic: tuple(numbers) for topic, numbers in places.items()}

    def _places_of(self, topic: str) -> tuple[int, ...]:
        if topic not in self._places:
            # A reader may be older than the topic.
            with self._using() as connection:
                self._load_places(connection)
        try:
            return self._places[topic]
        except KeyError:
            raise TopicMissing(
                f"The event log {self._path} has no topic {topic}: check the topic prefix, or start a worker once, it "
                "makes its topics."
            ) from None

    def _span(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the ids that a partition's blocks may have: from the first up to, not including, the second."""
        places = self._places_of(topic)
        if not 0 <= partition < len(places):
            raise TopicMissing(f"Topic {topic} has partitions 0 to {len(places) - 1}, and no partition {partition}.")
        place = places[partition]
        return place << OFFSET_BITS, (place + 1) << OFFSET_BITS

    def _extent(self, query: str, low: int, high: int) -> _Extent | None:
        with self._using() as connection:
            row = connection.execute(query, (low, high)).fetchone()
        if row is None:
            return None
        base = row[0] & OFFSET_MASK
        return _Extent(base, base + row[1], row[2])

    def _lay_out(
        self, records: Sequence[NewRecord]
    ) -> tuple[list[tuple[int, list[_Item]]], dict[int, int], list[tuple[int, int]]]:
        """Give each record its place; return the blocks by id, the new ends, and the (partition, offset) of each."""
        blocks: list[tuple[int, list[_Item]]] = []
        filling: dict[int, _Block] = {}
        ends: dict[int, int] = {}
        placed: list[tuple[int, int]] = []
        for record in records:
            places = self._places[record.topic]
            partition = self._partition(record, len(places))
            place = places[partition]
            size = self._size(record)
            end = ends.get(place)
            if end is None:
                end = self._ends.get(place, 0)
            block = filling.get(place)
            if block is None or block.size + size > BLOCK_BYTES_MAX:
                block = filling[place] = _Block(end)
                blocks.append((place << OFFSET_BITS | end, block.items))
            block.items.append((record.key, record.value, record.headers))
            block.size += size
            ends[place] = end + 1
            placed.append((partition, end))
        return blocks, ends, placed

    def _partition(self, record: NewRecord, partitions: int) -> int:
        if record.partition is not None:
            if not 0 <= record.partition < partitions:
                raise TopicMissing(
                    f"Topic {record.topic} has partitions 0 to {partitions - 1}, and no partition {record.partition}."
                )
            return record.partition
        # Not `hash`: it differs from process to process.
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

    def _items(self, body: bytes, topic: str, partition: int, base: int) -> list[_Item]:
        try:
            return _decode(body)
        except msgspec.DecodeError as error:
            raise LogDamaged(
                f"The event log {self._path} cannot be read any more at {topic}, partition {partition}, offset {base}: "
                "put back the last backup."
            ) from error

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
            with _translated(self._path):
                yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Run one transaction: all of it is on the disk afterwards, or nothing."""
        if self._lock is None:
            raise LogReadOnly(f"The event log {self._path} was opened for reading.")
        with self._using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A disk that is full has SQLite roll back by itself, and a second time is an error.
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise


def _cut(items: list[_Item], max_bytes: int) -> list[_Item]:
    """Keep items until they hold `max_bytes`, the one that reaches it included."""
    held = 0
    for count, (key, value, _) in enumerate(items, 1):
        held += len(key or b"") + len(value or b"")
        if held >= max_bytes:
            return items[:count]
    return items


def _take_lock(path: Path) -> IO[str]:
    """Hold the file beside the log that says who writes to it; the system lets go of it when the process ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path.with_name(path.name + ".lock"), "a+", encoding="ascii")  # noqa: SIM115 - held until `close`
    except OSError as error:
        raise LogFailed(
            f"The event log {path} cannot be written ({error}): check the path and its permissions."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise LogBusy(
            f"Another process (id {holder}) writes to the event log {path}: stop it first. An embedded log has one "
            "writer; where several must write at a time, use Kafka."
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _connect(path: Path, mode: Mode) -> sqlite3.Connection:
    """Open the file and make sure that it is a log; for writing, make one of a file that is new or empty."""
    if mode == "read" and not path.exists():
        raise LogMissing(f"There is no event log {path} yet: start a worker or ingest events, or check the setting.")
    with _translated(path):
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode={'ro' if mode == 'read' else 'rwc'}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if _is_empty(connection):
                if mode == "read":
                    raise LogMissing(f"The event log {path} is empty: start a worker or ingest events first.")
                _make_tables(connection)
            _check_format(connection, path)
            # A commit returns when it is on the disk, not when the operating system has heard of it.
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
    return connection


def _is_empty(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()[0])


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    # In one transaction, so that a crash leaves an empty file or a log.
    connection.execute("BEGIN IMMEDIATE")
    for table in _TABLES:
        connection.execute(table)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    connection.execute("COMMIT")


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise LogDamaged(f"{path} is a SQLite file, but not an event log: check the setting of the broker.")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT_VERSION:
        raise LogDamaged(
            f"The event log {path} has format {version}, and this version of tieout knows {FORMAT_VERSION}: use the "
            "one that wrote it, or a newer one."
        )


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _as_log_error(path, error) from error


def _as_log_error(path: Path, error: sqlite3.Error) -> LogError:
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith("SQLITE_NOTADB"):
        return LogDamaged(f"{path} is not an event log: check the setting of the broker.")
    if name.startswith("SQLITE_CORRUPT"):
        return LogDamaged(f"The event log {path} is damaged ({error}): put back the last backup.")
    if name.startswith("SQLITE_CONSTRAINT"):
        return LogBusy(
            f"Another process wrote to the event log {path} although this one holds its lock: put the log on a local "
            "file system, one that keeps locks."
        )
    return LogFailed(f"The event log {path} cannot be used: {error}. Check the disk, its free space and permissions.")
