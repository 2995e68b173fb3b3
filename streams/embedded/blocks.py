"""The layout of the embedded log in its file: tables, blocks, and the checksums of all rows.

Every row has a checksum, so that a damaged byte is an error and never another record. The checksum of a block covers
its location, time and body. The row of a partition holds its end, so that a missing block is detected, and the offset
from which its blocks have checksums (a log of the previous format had none). The row of the log holds its identity and
the number of partitions.

The checksum is a CRC-32 (docs/decisions/0012): it detects accidents, not forgeries.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote
from zlib import crc32

import msgspec

from store.schema.sqlite_files import make_private, reading_uri
from streams.log import Headers, LogBusy, LogDamaged, LogError, LogFailed, LogMissing

Mode = Literal["read", "write"]

# "TIEO" in the header of the file distinguishes a log from other SQLite files, such as a store.
APPLICATION_ID: Final = 0x5449454F
_STORE_ID: Final = 0x54494553  # that of `store.schema.dialects.sqlite`
FORMAT_VERSION: Final = 2
UNCHECKED_VERSION: Final = 1
"""The previous format: blocks without checksums, and no identity."""

# With the default of 4 KiB a block is a long chain of pages: half as fast to write, a third as fast to read.
PAGE_BYTES: Final = 32 * 1024

# 2^40 offsets in a partition are 300 years at 100 records a second; 23 bits are left for the partitions.
OFFSET_BITS: Final = 40
OFFSET_MASK: Final = (1 << OFFSET_BITS) - 1

# A reader waits only while a writer opens or closes the file.
BUSY_SECONDS: Final = 10.0

_TABLES: Final = (
    "CREATE TABLE log (identity TEXT NOT NULL, partitions INTEGER NOT NULL, checksum INTEGER NOT NULL)",
    """CREATE TABLE partitions (
        place INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
        checked INTEGER NOT NULL, ends INTEGER NOT NULL, checksum INTEGER NOT NULL, UNIQUE (topic, partition))""",
    """CREATE TABLE blocks (
        id INTEGER PRIMARY KEY, count INTEGER NOT NULL, time INTEGER NOT NULL, checksum INTEGER, body BLOB NOT NULL)""",
)
_UPGRADES: Final = (
    _TABLES[0],
    "ALTER TABLE partitions ADD COLUMN checked INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE partitions ADD COLUMN ends INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE partitions ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE blocks ADD COLUMN checksum INTEGER",
)

INSERT_BLOCK: Final = "INSERT INTO blocks (id, count, time, checksum, body) VALUES (?, ?, ?, ?, ?)"
MOVE_END: Final = "UPDATE partitions SET ends = ?, checksum = ? WHERE place = ?"
_INSERT_PARTITION: Final = "INSERT INTO partitions (topic, partition, checked, ends, checksum) VALUES (?, ?, 0, 0, 0)"
# In one statement, so that it reads one snapshot. NOT INDEXED, because the checksums cover the rows, not the index.
_CONTENTS: Final = """
    SELECT l.identity, l.partitions, l.checksum, p.place, p.topic, p.partition, p.checked, p.ends, p.checksum
    FROM log AS l LEFT JOIN partitions AS p NOT INDEXED"""
_CONTENTS_UNCHECKED: Final = "SELECT place, topic, partition FROM partitions NOT INDEXED"
_PARTITION: Final = "SELECT ends, checksum FROM partitions WHERE place = ?"
# The block that contains an offset is the last one that does not start after it.
_BLOCKS_FROM: Final = """
    SELECT id, count, time, checksum, body FROM blocks
    WHERE id >= coalesce((SELECT max(id) FROM blocks WHERE id >= :low AND id <= :wanted), :low) AND id < :high
    ORDER BY id"""
_LAST_BLOCK: Final = "SELECT id, count FROM blocks WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"

Item = tuple[bytes | None, bytes | None, Headers]
encode = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Item]).decode
_numbers: Final = Struct(">QQQ").pack

ADVICE: Final = (
    "`tieout log check` lists all that is damaged, and `tieout log salvage FILE` writes what is whole into a new log. "
    "Keep this file: docs/operating.md says how to go on."
)


class Partition(NamedTuple):
    """A partition of this file. `checked`: the offset from which its blocks have checksums."""

    topic: str
    number: int
    place: int
    checked: int

    @property
    def low(self) -> int:
        """Return the minimum id of its blocks."""
        return self.place << OFFSET_BITS

    @property
    def high(self) -> int:
        """Return the first id after those of its blocks."""
        return (self.place + 1) << OFFSET_BITS

    def __str__(self) -> str:
        return f"{self.topic}, partition {self.number}"


class Contents(NamedTuple):
    """Identity and partitions of a log. A log of the previous format has no identity."""

    identity: str | None
    partitions: list[Partition]


class Block(NamedTuple):
    """An intact block: the offsets from `base` up to `end`, appended at `time`."""

    base: int
    end: int
    time: int
    body: bytes


class Broken(Exception):
    """A block or row is damaged; the text is the reason."""


def block_checksum(partition: Partition, base: int, count: int, time: int, body: bytes) -> int:
    """Return the checksum of a block, which includes its location."""
    return crc32(body, crc32(_numbers(base, count, time), crc32(f"{partition.topic}/{partition.number}".encode())))


def partition_checksum(partition: Partition, ends: Any) -> int:
    """Return the checksum of the row of a partition."""
    return crc32(repr((*partition, ends)).encode())


def log_checksum(identity: Any, partitions: Any) -> int:
    """Return the checksum of the row of the log."""
    return crc32(repr((identity, partitions)).encode())


def whole(partition: Partition, id_: Any, count: Any, time: Any, checksum: Any, body: Any) -> Block:
    """Verify a row of the table of blocks and return it as a block. Raises `Broken`."""
    # A damaged row may hold values of any type.
    if not (isinstance(id_, int) and isinstance(count, int) and isinstance(time, int) and isinstance(body, bytes)):
        raise Broken("its row is not one of a block")
    base = id_ & OFFSET_MASK
    if checksum is None and base < partition.checked:
        return Block(base, base + count, time, body)
    if not 0 < count <= OFFSET_MASK or not 0 <= time < 1 << 63:
        raise Broken("its row is not one of a block")
    if checksum != block_checksum(partition, base, count, time, body):
        raise Broken("its checksum is not that of its content")
    return Block(base, base + count, time, body)


def items_of(block: Block) -> list[Item]:
    """Decode the records of a block. Raises `Broken`."""
    try:
        items = _decode(block.body)
    except msgspec.DecodeError as error:
        raise Broken(f"it cannot be decoded ({error})") from None
    if len(items) != block.end - block.base:
        raise Broken(f"it holds {len(items)} records instead of {block.end - block.base}")
    return items


def damage(path: Path, partition: Partition, first: int, end: int, why: str) -> LogDamaged:
    """Return the error for damaged records, with their offsets."""
    return LogDamaged(f"The event log {path} is damaged at {partition}, {offsets(first, end)}: {why}. {ADVICE}")


def offsets(first: int, end: int) -> str:
    """Return offsets as text for people.

    >>> offsets(5, 6), offsets(1000, 3000)
    ('offset 5 (1 record)', 'offsets 1000 to 2999 (2,000 records)')
    """
    if end <= first + 1:
        return f"offset {first} (1 record)"
    return f"offsets {first} to {end - 1} ({end - first:,} records)"


# --- the file --------------------------------------------------------------------------------------------------------


_HEADER_BYTES: Final = 100
"""Size of the header of an SQLite file."""
_MAGIC: Final = b"SQLite format 3\0"


def _is_cut_off(path: Path) -> bool:
    """Return True if a file ends within the header of an SQLite file."""
    with path.open("rb") as file:
        begins = file.read(_HEADER_BYTES)
    return 0 < len(begins) < _HEADER_BYTES and begins[: len(_MAGIC)] == _MAGIC[: len(begins)]


def open_file(path: Path, mode: Mode) -> sqlite3.Connection:
    """Open a file and check that it is a log. For writing, initialise a new or empty file, and upgrade a log of the
    previous format.
    """
    if mode == "read" and not path.exists():
        raise LogMissing(f"There is no event log {path} yet: start a worker or ingest events, or check the setting.")
    if path.is_file() and _is_cut_off(path):
        # SQLite would treat it as a new file and start another log in it.
        raise LogDamaged(f"The event log {path} is cut off: no log is as short as that. {ADVICE}")
    if mode == "write":
        make_private(path)
    with translated(path):
        connection = sqlite3.connect(
            reading_uri(path) if mode == "read" else f"file:{quote(str(path))}?mode=rw",
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
            # A commit returns once it is on the disk, not in the cache of the operating system.
            connection.execute("PRAGMA synchronous = FULL")
            # Detects a damaged page when it is read, before its pointers are followed.
            connection.execute("PRAGMA cell_size_check = ON")
            if mode == "write" and not is_checked(connection):
                _upgrade(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def is_checked(connection: sqlite3.Connection) -> bool:
    """Return True if the log has checksums and an identity."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] != UNCHECKED_VERSION)


def blocks_from(checked: bool) -> str:
    """Return the query for the blocks from the one that contains an offset on."""
    return _BLOCKS_FROM if checked else _BLOCKS_FROM.replace("checksum", "NULL")


def contents(connection: sqlite3.Connection, path: Path, checked: bool) -> Contents:
    """Return the identity and the partitions of the log. Raises `LogDamaged`."""
    if not checked:
        unchecked = connection.execute(_CONTENTS_UNCHECKED).fetchall()
        return Contents(None, [Partition(topic, number, place, OFFSET_MASK) for place, topic, number in unchecked])
    rows = connection.execute(_CONTENTS).fetchall()
    identity, count, checksum = rows[0][:3] if rows else (None, None, None)
    if checksum != log_checksum(identity, count):
        raise LogDamaged(f"The event log {path} is damaged in the row that has its identity. {ADVICE}")
    partitions = []
    for _, _, _, place, topic, number, checked, ends, checksum in rows if count else ():
        partition = Partition(topic, number, place, checked)
        if checksum != partition_checksum(partition, ends):
            raise LogDamaged(f"The event log {path} is damaged in the row of {partition}. {ADVICE}")
        partitions.append(partition)
    if len(partitions) != count:
        raise LogDamaged(
            f"The event log {path} is damaged: {len(partitions)} partitions are found of {count}. {ADVICE}"
        )
    return Contents(identity, partitions)


def end_of(connection: sqlite3.Connection, path: Path, partition: Partition, checked: bool) -> int:
    """Return the end offset of a partition. Raises `LogDamaged`."""
    if not checked:
        return end_by_blocks(connection, partition)
    ends: Any
    ends, checksum = connection.execute(_PARTITION, (partition.place,)).fetchone() or (None, None)
    if checksum != partition_checksum(partition, ends):
        raise LogDamaged(f"The event log {path} is damaged in the row of {partition}. {ADVICE}")
    return int(ends)


def add_partition(connection: sqlite3.Connection, topic: str, number: int) -> None:
    """Create a partition. Call `count_partitions` once all are created."""
    place = connection.execute(_INSERT_PARTITION, (topic, number)).lastrowid or 0
    connection.execute(MOVE_END, (0, partition_checksum(Partition(topic, number, place, 0), 0), place))


def count_partitions(connection: sqlite3.Connection, identity: str) -> None:
    """Write the row of the log."""
    [[count]] = connection.execute("SELECT count(*) FROM partitions").fetchall()
    connection.execute("DELETE FROM log")
    connection.execute("INSERT INTO log VALUES (?, ?, ?)", (identity, count, log_checksum(identity, count)))


def _is_empty(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()[0])


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    # In one transaction, so that a crash leaves an empty file or a log.
    with written(connection):
        for table in _TABLES:
            connection.execute(table)
        count_partitions(connection, new_identity())
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def _upgrade(connection: sqlite3.Connection) -> None:
    """Give a log of the previous format an identity, and checksums from its current ends on."""
    with written(connection):
        rows = connection.execute(_CONTENTS_UNCHECKED).fetchall()
        for statement in _UPGRADES:
            connection.execute(statement)
        for place, topic, number in rows:
            end = end_by_blocks(connection, Partition(topic, number, place, 0))
            checksum = partition_checksum(Partition(topic, number, place, end), end)
            connection.execute("UPDATE partitions SET checked = ? WHERE place = ?", (end, place))
            connection.execute(MOVE_END, (end, checksum, place))
        count_partitions(connection, new_identity())
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def end_by_blocks(connection: sqlite3.Connection, partition: Partition) -> int:
    """Return the end of the last block of a partition, not verified."""
    row = connection.execute(_LAST_BLOCK, (partition.low, partition.high)).fetchone()
    return 0 if row is None else int((row[0] & OFFSET_MASK) + row[1])


def new_identity() -> str:
    """Return a random identity, unique to a log."""
    return secrets.token_hex(16)


@contextmanager
def written(connection: sqlite3.Connection) -> Iterator[None]:
    """Run one durable transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite rolls back automatically if the disk is full. A second rollback is an error.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        kind = "a store, not" if application == _STORE_ID else "a SQLite file, but not"
        raise LogDamaged(f"{path} is {kind} an event log: check TIEOUT_BROKER. The file was left as it is.")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (FORMAT_VERSION, UNCHECKED_VERSION):
        raise LogDamaged(
            f"The event log {path} has format {version}, and this version of tieout knows {FORMAT_VERSION}: use the "
            "one that wrote it, or a newer one."
        )
    has_identity = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'log'").fetchone()[0]
    if has_identity != (version == FORMAT_VERSION):
        raise LogDamaged(f"The event log {path} is damaged: its tables are not those of its format. {ADVICE}")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise the errors of SQLite as `LogError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise _as_log_error(path, error) from error
    except UnicodeDecodeError as error:  # the message about a damaged schema contains its text
        raise LogDamaged(f"The event log {path} is damaged. {ADVICE}") from error


def _as_log_error(path: Path, error: sqlite3.Error) -> LogError:
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith("SQLITE_NOTADB"):
        return LogDamaged(f"{path} is not an event log, or is damaged at its start: check TIEOUT_BROKER.")
    # A damaged schema names tables that do not exist.
    if name.startswith("SQLITE_CORRUPT") or name == "SQLITE_ERROR" or not name:
        return LogDamaged(f"The event log {path} is damaged ({error}). {ADVICE}")
    if name.startswith("SQLITE_CONSTRAINT"):
        return LogBusy(
            f"Another process wrote to the event log {path} although this one holds its lock",
            "put the log on a local file system, one that keeps locks.",
        )
    return LogFailed(f"The event log {path} cannot be used: {error}. Check the disk, its free space and permissions.")
