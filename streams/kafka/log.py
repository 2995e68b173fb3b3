"""The `EventLog` on Kafka."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from streams.kafka.access import Access, translated
from streams.kafka.loop import STOP_SECONDS, Loop, started
from streams.kafka.publishing import Publishing
from streams.kafka.reading import Reading
from streams.kafka.topics import Topics
from streams.log import RECORD_BYTES_MAX, Batch, LogRecord, NewRecord, OffsetOutOfRange, PartitionId
from streams.topics import DEFAULT_PREFIX, Topic

T = TypeVar("T")

# Longer than the election of a leader or the restart of a broker takes.
PATIENCE_SECONDS: Final = 30.0


class KafkaLog:
    """An `EventLog` on Kafka. Clients are created when first needed, and reused.

    With a `publisher`, a name that several processes may share, appends are Kafka transactions, and the last of these
    processes to begin fences the others: one that was paused in the middle of an append and resumes cannot write old
    values after newer ones. Event Hubs has no such transactions.
    """

    def __init__(
        self,
        access: Access,
        *,
        publisher: str | None = None,
        record_bytes_max: int = RECORD_BYTES_MAX,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._access = access
        self._patience = patience_seconds
        # The clients log that a broker does not respond. Our errors report it once.
        for name in ("aiokafka", "kafka"):
            if (logger := logging.getLogger(name)).level == logging.NOTSET:
                logger.setLevel(logging.CRITICAL)
        self._loop = Loop()
        self._topics = Topics(access, patience_seconds)
        self._publishing = Publishing(access, self._topics, patience_seconds, publisher, record_bytes_max)
        self._client: AIOKafkaClient | None = None
        self._reading: Reading | None = None
        # A broker handles the requests of one connection in order, and a fetch may wait: other requests use another
        # connection.
        self._offsets_client: AIOKafkaConsumer | None = None
        # Ranges of offsets at the end of a partition without records: transaction markers.
        self._markers: dict[TopicPartition, tuple[int, int]] = {}

    # --- topics ------------------------------------------------------------------------------------------------------

    def create_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> None:
        """Create the missing topics. Raises `TopicMismatch`."""
        self._topics.create(topics, partitions, prefix=prefix)

    def check_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> list[str]:
        """Return a sentence for each missing topic and each wrong setting."""
        return self._topics.check(topics, partitions, prefix=prefix)

    def identities(self, topics: Sequence[str]) -> Mapping[str, str]:
        """Return the topic ids, or the id of the cluster if the broker has none."""
        return self._topics.identities(topics)

    def topics(self) -> Mapping[str, int]:
        """Return the number of partitions by full name of the topic."""
        return self._topics.all()

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic. Raises `TopicMissing`."""
        return self._topics.partitions(topic)

    # --- records -----------------------------------------------------------------------------------------------------

    def append(self, records: Sequence[NewRecord]) -> list[tuple[int, int]]:
        """Append all records, in a transaction if there is a publisher. Return the (partition, offset) of each."""
        return self._run(self._publishing.append(self._publishing.placed(records)))

    def begin_publishing(self) -> None:
        """Fence earlier processes of the same publisher."""
        self._run(self._publishing.begin())

    def read(self, topic: str, partition: int, offset: int, max_records: int, max_bytes: int) -> list[LogRecord]:
        """Return records from an offset on. Raises `OffsetOutOfRange`."""
        batches = self.read_together([(topic, partition, offset)], max_records, max_bytes)
        return list(batches[0].records) if batches else []

    def read_together(self, positions: Sequence[tuple[str, int, int]], max_records: int, max_bytes: int) -> list[Batch]:
        """Return a batch for each position that has records, fetched in one request to each leader."""
        for topic, partition, offset in positions:
            self._topics.check_partition(topic, partition)
            if offset < 0:
                raise self._out_of_range(topic, partition, offset)
        offsets = {TopicPartition(topic, partition): offset for topic, partition, offset in positions}
        try:
            records_by_partition = self._run(self._read(offsets, max_records, max_bytes))
        except OffsetOutOfRange:
            for topic, partition, offset in positions:
                if not self.start_offset(topic, partition) <= offset <= self.end_offset(topic, partition):
                    raise self._out_of_range(topic, partition, offset) from None
            raise
        return [
            Batch(tp.topic, tp.partition, offsets[tp], records)
            for tp, records in records_by_partition.items()
            if records
        ]

    async def _read(
        self, offsets: Mapping[TopicPartition, int], max_records: int, max_bytes: int
    ) -> Mapping[TopicPartition, Sequence[LogRecord]]:
        if self._reading is None:
            self._client = AIOKafkaClient(**self._access.options())
            await asyncio.wait_for(self._client.bootstrap(), self._patience)
            self._reading = Reading(self._client, self._patience)
        try:
            records_by_partition = await self._reading.read(offsets, max_records, max_bytes)
        except OffsetOutOfRangeError:
            raise OffsetOutOfRange from None
        for tp, records in records_by_partition.items():
            if not records and (reached := self._reading.reached(tp)) > offsets[tp]:
                self._markers[tp] = (offsets[tp], reached)
        return records_by_partition

    def start_offset(self, topic: str, partition: int) -> int:
        """Return the offset of the first existing record."""
        self._topics.check_partition(topic, partition)
        tp = TopicPartition(topic, partition)
        return int(self._run(self._request_offsets("beginning_offsets", [tp]))[tp])

    def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset after the last record."""
        return self.ends([(topic, partition)])[topic, partition]

    def ends(self, partitions: Sequence[PartitionId]) -> Mapping[PartitionId, int]:
        """Return the end offsets of several partitions, in one request."""
        for partition in partitions:
            self._topics.check_partition(*partition)
        keys = [TopicPartition(*partition) for partition in partitions]
        offsets = self._run(self._request_offsets("end_offsets", keys)) if keys else {}
        return {(tp.topic, tp.partition): self._last(tp, int(offset)) for tp, offset in offsets.items()}

    def _last(self, partition: TopicPartition, end: int) -> int:
        """Return the offset after the last record as far as known: Kafka counts the transaction markers after it."""
        start, until = self._markers.get(partition, (end, end))
        return start if until == end else end

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """Return the offset of the first record at or after a time."""
        self._topics.check_partition(topic, partition)
        tp = TopicPartition(topic, partition)
        first = self._run(self._request_offsets("offsets_for_times", {tp: max(timestamp_ms, 0)}))[tp]
        return self.end_offset(topic, partition) if first is None else int(first.offset)

    def close(self) -> None:
        """Stop the clients and their thread."""
        self._loop.close(self._stop())

    async def _stop(self) -> None:
        closing = [self._publishing.stop()]
        if self._offsets_client is not None:
            closing.append(self._offsets_client.stop())
        if self._client is not None:
            closing.append(self._client.close())
        for last in closing:
            with suppress(TimeoutError, KafkaError):
                await asyncio.wait_for(last, STOP_SECONDS)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with translated(self._access):
            return self._loop.run(work)

    def _out_of_range(self, topic: str, partition: int, offset: int) -> OffsetOutOfRange:
        start, end = self.start_offset(topic, partition), self.end_offset(topic, partition)
        return OffsetOutOfRange(
            f"{topic}, partition {partition} at {self._access.shown} has the offsets {start} up to {end}, and {offset} "
            "was asked for: is this the broker that was read before, and did it keep its events long enough?"
        )

    async def _request_offsets(self, method: str, partitions: Any) -> Mapping[TopicPartition, Any]:
        if self._offsets_client is None:
            client = AIOKafkaConsumer(**self._access.options(), enable_auto_commit=False)
            await started(client, self._patience)
            self._offsets_client = client
        answer: Mapping[TopicPartition, Any] = await getattr(self._offsets_client, method)(partitions)
        return answer
