"""The event log as a port: Kafka in production, one SQLite file on a single machine (`streams.embedded.log`).

A log has topics, a topic has partitions, a partition has records in the order of their offsets. Offsets start at 0,
never change and are never reused. On a log that deletes or compacts, some are missing.

* LogError                 (a `TieoutError`) an error of the log; its text includes the remedy
  + LogBusy                another process writes to the same log
  + LogMissing             the log does not exist yet
  + LogDamaged             the stored data is not a log, or cannot be read
  + LogReadOnly            the log is open for reading only
  + LogFailed              the file system or the broker failed: disk full, no permission, not reachable
    - LogRefused           … refused the credentials or their rights: waiting alone does not help
  + TopicMissing           the log has no topic, or no partition, of this name
  + TopicMismatch          a topic exists with other settings than required
  + RecordTooLarge         a record exceeds the size limit of the log
  + OffsetOutOfRange       an offset before the first or after the last: the log is not the one that was read before
  + LogDiffers             the log is older than the one that was read before, was re-created since, or is another one
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol, TypeVar

import msgspec

from engine.errors import TieoutError
from streams.topics import DEFAULT_PREFIX, Topic

Headers = tuple[tuple[str, bytes], ...]

PartitionId = tuple[str, int]
"""A partition: full topic name and partition number."""

# Both systems cut their events well below a megabyte. The limit only prevents that a mistake, such as a whole export
# sent as one event, fills the memory of every reader.
RECORD_BYTES_MAX = 16 * 1024 * 1024


class LogError(TieoutError):
    """An error of the event log. The text includes the remedy."""

    code = "log-error"


class LogBusy(LogError):
    """Another process writes to the same log."""

    code = "log-busy"

    def __init__(self, problem: str, remedy: str) -> None:
        """`problem` is the process and the log, `remedy` the advice of the message."""
        super().__init__(f"{problem}: {remedy}")
        self.problem = problem


class LogMissing(LogError):
    """The log does not exist yet."""

    code = "log-missing"


class LogDamaged(LogError):
    """The stored data is not a log, or cannot be read."""

    code = "log-damaged"


class LogReadOnly(LogError):
    """The log is open for reading only."""

    code = "log-read-only"


class LogFailed(LogError):
    """The file system or the broker failed. A later attempt may succeed."""

    code = "log-failed"


class LogRefused(LogFailed):
    """The broker refused the credentials, or their rights are not sufficient."""

    code = "log-refused"


class TopicMissing(LogError):
    """The log has no topic, or no partition, of this name."""

    code = "topic-missing"


class TopicMismatch(LogError):
    """A topic exists with other settings than required."""

    code = "topic-mismatch"


class RecordTooLarge(LogError):
    """A record exceeds the size limit of the log."""

    code = "record-too-large"


class OffsetOutOfRange(LogError):
    """An offset is before the first record or after the last."""

    code = "offset-out-of-range"


class LogDiffers(LogError):
    """The log is not the one that was read before."""

    code = "log-differs"


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """A record of the log."""

    topic: str
    """The full name, prefix included."""
    partition: int
    offset: int
    timestamp: int
    """Time of the append in milliseconds since 1970 UTC. It never decreases within a partition."""
    key: bytes | None
    value: bytes | None
    """The original bytes; None is a tombstone."""
    headers: Headers = ()


LOST: Final = "tieout-lost"
"""Header of a placeholder for a record that was lost when the log was damaged; its value is the reason."""

_encode: Final = msgspec.msgpack.Encoder().encode


def is_lost(record: LogRecord) -> bool:
    """Return True if a record is the placeholder of a lost one."""
    return record.value is None and any(name == LOST for name, _ in record.headers)


def digest(record: LogRecord) -> str:
    """Return a digest that distinguishes a record from any other at the same offset."""
    return blake2b(_encode(msgspec.structs.astuple(record)), digest_size=16).hexdigest()


class NewRecord(msgspec.Struct, frozen=True, gc=False):
    """A record to append."""

    topic: str
    """The full name, prefix included."""
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    """None: chosen by a hash of the key; without a key, any."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition, at least one. The agent gets the batches of one poll as one message."""

    topic: str
    partition: int
    follows: int
    """The offset before: the `next` of the previous batch, else the stored offset, else the start of the partition."""
    records: Sequence[LogRecord]

    @property
    def first(self) -> int:
        """Return the offset of the first record. It exceeds `follows` if the log deleted or compacted records."""
        return self.records[0].offset

    @property
    def last(self) -> int:
        """Return the offset of the last record."""
        return self.records[-1].offset

    @property
    def next(self) -> int:
        """Return the offset to continue at once the batch is applied."""
        return self.records[-1].offset + 1

    def __len__(self) -> int:
        return len(self.records)


class EventLog(Protocol):
    """Port of an event log. All methods are thread-safe and raise only `LogError`."""

    def create_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> None:
        """Create the topics that do not exist, each with this number of partitions.

        An existing topic is never changed. Raises `TopicMismatch` with the problems that `check_topics` reports then.
        """
        ...

    def check_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> list[str]:
        """Return a sentence for each problem of the topics; empty if all exist as required."""
        ...

    def identities(self, topics: Sequence[str]) -> Mapping[str, str]:
        """Return the identities of topics (full names), which differ when a log is re-created or is another one.

        An identity is its kind, a colon and a value. A topic without identity is omitted.
        """
        ...

    def topics(self) -> Mapping[str, int]:
        """Return the number of partitions by full name of the topic."""
        ...

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic. Raises `TopicMissing`."""
        ...

    def append(self, records: Sequence[NewRecord]) -> list[tuple[int, int]]:
        """Append all records. Return the (partition, offset) of each, in the order given.

        When it returns, the records are durable: they survive a crash of the process and of the machine. Records of one
        partition keep their order. If it raises `TopicMissing`, `RecordTooLarge` or `LogReadOnly`, none is appended.
        After `LogFailed`, none is in the embedded log, but some may be on a broker; a retry duplicates those.
        """
        ...

    def begin_publishing(self) -> None:
        """Fence earlier processes of the same publisher: their appends raise `LogFailed` from now on.

        Call it before reading the records to publish, because a paused process could append old ones after newer ones.
        An embedded log has one writer and does nothing here.
        """
        ...

    def read(self, topic: str, partition: int, offset: int, max_records: int, max_bytes: int) -> list[LogRecord]:
        """Return the records from an offset on, without waiting; empty if the offset is the end.

        Returns at most `max_records`, and stops once keys and values reach `max_bytes`, but returns at least one record
        if any exists. Raises `OffsetOutOfRange` for an offset before the start or after the end.
        """
        ...

    def read_together(self, positions: Sequence[tuple[str, int, int]], max_records: int, max_bytes: int) -> list[Batch]:
        """Return a batch for each position (topic, partition, offset) that has records, as `read` does. The limits
        apply to all of them together.

        Each partition contributes in proportion to its remaining records, a short one all of them (`portions`). So the
        long ones reach their ends together, and the events of a document, which arrive on several, are in one batch and
        the document is evaluated once.
        """
        ...

    def start_offset(self, topic: str, partition: int) -> int:
        """Return the offset of the first existing record, or the end offset if there is none."""
        ...

    def end_offset(self, topic: str, partition: int) -> int:
        """Return the end offset: that after the last record."""
        ...

    def ends(self, partitions: Sequence[PartitionId]) -> Mapping[PartitionId, int]:
        """Return the end offsets of several partitions, in one request."""
        ...

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """Return the offset of the first record at or after a time (ms since 1970 UTC), or the end offset."""
        ...

    def close(self) -> None:
        """Close the log. Idempotent."""
        ...


P = TypeVar("P")
# Part of a batch that partitions which are read whole may use together.
WHOLE_SHARE: Final = 1 / 4


def portions(remaining: Mapping[P, int], max_records: int, max_bytes: int) -> dict[P, tuple[int, int]]:
    """Return how many records and bytes to read of each partition, given its number of remaining records.

    Short partitions are read whole, up to a quarter of both limits, the others in proportion. In proportion, a short
    one would take as many batches as the longest. It may contain only companies and currencies, on which every document
    depends: each batch that brings another company re-evaluates all documents.
    """
    waiting = {partition: records for partition, records in remaining.items() if records > 0}
    most = int(max_records * WHOLE_SHARE) // max(1, len(waiting))
    room = int(max_bytes * WHOLE_SHARE) // max(1, len(waiting))
    short = {partition: records for partition, records in waiting.items() if records <= most}
    long = {partition: records for partition, records in waiting.items() if records > most}
    records = short | shares(long, max_records - sum(short.values()))
    if long:
        size = dict.fromkeys(short, room) | shares(long, max_bytes - room * len(short))
    else:
        size = shares(short, max_bytes)
    return {partition: (count, max(1, size.get(partition, 0))) for partition, count in records.items()}


def shares(remaining: Mapping[P, int], limit: int) -> dict[P, int]:
    """Divide `limit` in proportion to the remaining records. Each partition with any gets at least 1 until the limit is
    used up.
    """
    total = sum(max(0, records) for records in remaining.values())
    divided = {}
    for partition, records in remaining.items():
        if records > 0 and limit > 0:
            divided[partition] = max(1, limit * records // total)
            limit -= divided[partition]
            total -= records
    return divided
