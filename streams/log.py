"""The event log as a port: Kafka in production, one SQLite file on a single machine (`streams.embedded.log`).

A log has topics, a topic has partitions, a partition has records in the order of their offsets. Offsets start at 0,
never change and are never given twice; on a log that deletes or compacts, some are missing.

* LogError                 (a `TieoutError`) the log is at fault, and its text says what to do
  + LogBusy                another process writes to the same log
  + LogMissing             there is no log at this place yet
  + LogDamaged             what is stored is not a log, or cannot be read any more
  + LogReadOnly            this log was opened for reading
  + LogFailed              the file system or the broker refused: disk full, no permission, not reachable
    - LogRefused           … the credentials, or the rights that go with them: waiting alone does not help
  + TopicMissing           the log has no topic, or no partition, of this name
  + TopicMismatch          a topic exists, but not as it must be
  + RecordTooLarge         a record is larger than the log takes
  + OffsetOutOfRange       an offset before the first or after the last: the log is not the one that was read before
  + LogDiffers             the log is older than the one that was read before, was made again since, or is another one
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

# Both systems cut their events well below a megabyte. The limit only keeps a mistake, a whole export sent as one event,
# from filling the memory of every reader.
RECORD_BYTES_MAX = 16 * 1024 * 1024


class LogError(TieoutError):
    """The event log is at fault; the text says what to do."""

    code = "log-error"


class LogBusy(LogError):
    """Another process writes to the same log."""

    code = "log-busy"

    def __init__(self, problem: str, remedy: str) -> None:
        """`problem` is the process and the log, `remedy` the advice of the message."""
        super().__init__(f"{problem}: {remedy}")
        self.problem = problem


class LogMissing(LogError):
    """There is no log at this place yet."""

    code = "log-missing"


class LogDamaged(LogError):
    """What is stored is not a log, or cannot be read any more."""

    code = "log-damaged"


class LogReadOnly(LogError):
    """This log was opened for reading."""

    code = "log-read-only"


class LogFailed(LogError):
    """The file system or the broker failed; it may be better later."""

    code = "log-failed"


class LogRefused(LogFailed):
    """The broker refused the credentials, or what they were used for."""

    code = "log-refused"


class TopicMissing(LogError):
    """The log has no topic, or no partition, of this name."""

    code = "topic-missing"


class TopicMismatch(LogError):
    """A topic exists, but not as it must be."""

    code = "topic-mismatch"


class RecordTooLarge(LogError):
    """A record is larger than the log takes."""

    code = "record-too-large"


class OffsetOutOfRange(LogError):
    """An offset lies before the first record or after the last."""

    code = "offset-out-of-range"


class LogDiffers(LogError):
    """The log is not the one that was read before."""

    code = "log-differs"


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """A record as it stands in the log."""

    topic: str
    """The full name, prefix included."""
    partition: int
    offset: int
    timestamp: int
    """When the log took it: milliseconds since 1970 UTC. Never falls within a partition."""
    key: bytes | None
    value: bytes | None
    """The bytes as they came; None is a tombstone."""
    headers: Headers = ()


LOST: Final = "tieout-lost"
"""The header of a record in the place of one that was lost when the log was damaged: why."""

_encode: Final = msgspec.msgpack.Encoder().encode


def is_lost(record: LogRecord) -> bool:
    """Whether a record only stands in the place of one that was lost."""
    return record.value is None and any(name == LOST for name, _ in record.headers)


def digest(record: LogRecord) -> str:
    """What tells a record from any other that might stand in its place."""
    return blake2b(_encode(msgspec.structs.astuple(record)), digest_size=16).hexdigest()


class NewRecord(msgspec.Struct, frozen=True, gc=False):
    """A record to append."""

    topic: str
    """The full name, prefix included."""
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    """None: chosen by the key, the same one for the same key; without a key any."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition, at least one: what an agent gets as one message."""

    topic: str
    partition: int
    follows: int
    """Where reading stood before: the `next` of the batch before, or the stored offset, or the partition's start."""
    records: Sequence[LogRecord]

    @property
    def first(self) -> int:
        """The offset of the first record; above `follows` where the log deleted or compacted some."""
        return self.records[0].offset

    @property
    def last(self) -> int:
        return self.records[-1].offset

    @property
    def next(self) -> int:
        """The offset to go on from once the batch is applied."""
        return self.records[-1].offset + 1

    def __len__(self) -> int:
        return len(self.records)


class EventLog(Protocol):
    """What every event log promises. Any thread may call any method; each raises `LogError` and nothing else."""

    def create_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> None:
        """Make those of the topics that do not exist, each with that many partitions.

        Raises `TopicMismatch` with all that `check_topics` finds, after the missing ones are made: a topic that exists
        is never changed.
        """
        ...

    def check_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> list[str]:
        """Say in a sentence for each topic what is wrong with it; empty when all exist as they must."""
        ...

    def identities(self, topics: Sequence[str]) -> Mapping[str, str]:
        """What tells topics (full names) from others of the same names: of a log made again, or of another one.

        A word for the kind, a colon and the identity; a topic that has none is left out.
        """
        ...

    def topics(self) -> Mapping[str, int]:
        """Return the full names of all topics with their numbers of partitions."""
        ...

    def partitions(self, topic: str) -> int:
        """Return a topic's number of partitions. Raises `TopicMissing`."""
        ...

    def append(self, records: Sequence[NewRecord]) -> list[tuple[int, int]]:
        """Append all of the records, and return the (partition, offset) of each, in the order given.

        When it returns, the records have survived a crash of the process and of the machine. Records given for one
        partition keep their order. Raises `TopicMissing`, `RecordTooLarge`, `LogReadOnly`, and then none is appended.
        After `LogFailed` none is in the embedded log; of a broker's some may be, and appending again repeats them.
        """
        ...

    def begin_publishing(self) -> None:
        """Refuse from now on what processes that began before append for the same publisher: `LogFailed` there.

        Call it before you read what is to be published: one that slept would put it after what came later. An embedded
        log has one writer, and nothing to do here.
        """
        ...

    def read(self, topic: str, partition: int, offset: int, max_records: int, max_bytes: int) -> list[LogRecord]:
        """Return records from an offset on, without waiting; empty when the offset is the end.

        As many as there are, up to `max_records`, and no more once they hold `max_bytes` of keys and values, but at
        least one if there is one. Raises `OffsetOutOfRange` for an offset before the start or after the end.
        """
        ...

    def read_together(self, places: Sequence[tuple[str, int, int]], max_records: int, max_bytes: int) -> list[Batch]:
        """Return a batch of each place (topic, partition, offset) that has records, as `read`: from each in proportion
        to what is left there, and all of what is short (`portions`).

        Then the long ones reach their ends together, and the events of a document, which come on several, meet: it is
        decided once. The limits are for all places together.
        """
        ...

    def start_offset(self, topic: str, partition: int) -> int:
        """Return the offset of the first record that is still there; the end offset when there is none."""
        ...

    def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset to stop at: nothing is there from it on."""
        ...

    def ends(self, places: Sequence[PartitionId]) -> Mapping[PartitionId, int]:
        """Return the end offsets of several partitions, in one question."""
        ...

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """Return the offset of the first record at or after a time (ms since 1970 UTC); the end offset if none is."""
        ...

    def close(self) -> None:
        """Let go of the log. A second call does nothing."""
        ...


P = TypeVar("P")
# Of a batch, what partitions that are read whole may take together.
WHOLE: Final = 1 / 4


def portions(left: Mapping[P, int], max_records: int, max_bytes: int) -> dict[P, tuple[int, int]]:
    """How many records and bytes to read of each place of which so many records are `left`: a short one whole, as far
    as a quarter of the bytes allows, the others in proportion.

    In proportion, a short one takes as many batches as the longest. That may be a feed of nothing but companies and
    currencies, on which every document rests: each batch that brings another company has all documents decided again.
    """
    waiting = {place: own for place, own in left.items() if own > 0}
    most = int(max_records * WHOLE) // max(1, len(waiting))
    room = int(max_bytes * WHOLE) // max(1, len(waiting))
    short = {place: own for place, own in waiting.items() if own <= most}
    long = {place: own for place, own in waiting.items() if own > most}
    records = short | shares(long, max_records - sum(short.values()))
    if long:
        size = dict.fromkeys(short, room) | shares(long, max_bytes - room * len(short))
    else:
        size = shares(short, max_bytes)
    return {place: (own, max(1, size.get(place, 0))) for place, own in records.items()}


def shares(left: Mapping[P, int], limit: int) -> dict[P, int]:
    """`limit` divided in proportion to what is `left` in each place; a place with anything left gets at least 1, as
    long as there is some.
    """
    total = sum(max(0, own) for own in left.values())
    found = {}
    for place, own in left.items():
        if own > 0 and limit > 0:
            found[place] = max(1, limit * own // total)
            limit -= found[place]
            total -= own
    return found
