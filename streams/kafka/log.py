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

# A leader is elected anew, a broker restarts: longer than either takes.
PATIENCE_SECONDS: Final = 30.0


class KafkaLog:
    """An `EventLog` on Kafka. Clients are made when they are first needed, and kept.

    With a `publisher`, a name that several processes may share, appends are transactions, and the last of these
    processes to begin shuts the others out: one that was stopped in the middle of an append and wakes later cannot put
    old values after the new ones. Event Hubs has no such transactions.
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
        # What they say about a broker that does not answer is said by the errors, once.
        for name in ("aiokafka", "kafka"):
            if (logger := logging.getLogger(name)).level == logging.NOTSET:
                logger.setLevel(logging.CRITICAL)
        self._loop = Loop()
        self._topics = Topics(access, patience_seconds)
        self._publishing = Publishing(access, self._topics, patience_seconds, publisher, record_bytes_max)
        self._client: AIOKafkaClient | None = None
        self._reading: Reading | None = None
        # A broker answers the questions of one connection in turn, and a fetch takes its time: other questions have a
        # connection of their own.
        self._asker: AIOKafkaConsumer | None = None
        # Offsets at the end of a partition that hold no records, from and to: marks of transactions.
        self._void: dict[TopicPartition, tuple[int, int]] = {}

    # --- topics ------------------------------------------------------------------------------------------------------

    def create_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> None:
        self._topics.create(topics, partitions, prefix=prefix)

    def check_topics(self, topics: Sequence[Topic], partitions: int, *, prefix: str = DEFAULT_PREFIX) -> list[str]:
        return self._topics.check(topics, partitions, prefix=prefix)

    def identities(self, topics: Sequence[str]) -> Mapping[str, str]:
        return self._topics.identities(topics)

    def topics(self) -> Mapping[str, int]:
        return self._topics.all()

    def partitions(self, topic: str) -> int:
        return self._topics.partitions(topic)

    # --- records -----------------------------------------------------------------------------------------------------

    def append(self, records: Sequence[NewRecord]) -> list[tuple[int, int]]:
        return self._run(self._publishing.append(self._publishing.placed(records)))

    def begin_publishing(self) -> None:
        self._run(self._publishing.begin())

    def read(self, topic: str, partition: int, offset: int, max_records: int, max_bytes: int) -> list[LogRecord]:
        batches = self.read_together([(topic, partition, offset)], max_records, max_bytes)
        return list(batches[0].records) if batches else []

    def read_together(self, places: Sequence[tuple[str, int, int]], max_records: int, max_bytes: int) -> list[Batch]:
        for topic, partition, offset in places:
            self._topics.check_place(topic, partition)
            if offset < 0:
                raise self._out_of_range(topic, partition, offset)
        wanted = {TopicPartition(topic, partition): offset for topic, partition, offset in places}
        try:
            found = self._run(self._read(wanted, max_records, max_bytes))
        except OffsetOutOfRange:
            for topic, partition, offset in places:
                if not self.start_offset(topic, partition) <= offset <= self.end_offset(topic, partition):
                    raise self._out_of_range(topic, partition, offset) from None
            raise
        return [
            Batch(place.topic, place.partition, wanted[place], records) for place, records in found.items() if records
        ]

    async def _read(
        self, wanted: Mapping[TopicPartition, int], max_records: int, max_bytes: int
    ) -> Mapping[TopicPartition, Sequence[LogRecord]]:
        if self._reading is None:
            self._client = AIOKafkaClient(**self._access.options())
            await asyncio.wait_for(self._client.bootstrap(), self._patience)
            self._reading = Reading(self._client, self._patience)
        try:
            found = await self._reading.read(wanted, max_records, max_bytes)
        except OffsetOutOfRangeError:
            raise OffsetOutOfRange from None
        for place, records in found.items():
            if not records and (reached := self._reading.reached(place)) > wanted[place]:
                self._void[place] = (wanted[place], reached)
        return found

    def start_offset(self, topic: str, partition: int) -> int:
        self._topics.check_place(topic, partition)
        place = TopicPartition(topic, partition)
        return int(self._run(self._ask("beginning_offsets", [place]))[place])

    def end_offset(self, topic: str, partition: int) -> int:
        return self.ends([(topic, partition)])[topic, partition]

    def ends(self, places: Sequence[PartitionId]) -> Mapping[PartitionId, int]:
        for place in places:
            self._topics.check_place(*place)
        found = self._run(self._ask("end_offsets", [TopicPartition(*place) for place in places])) if places else {}
        return {(place.topic, place.partition): self._last(place, int(offset)) for place, offset in found.items()}

    def _last(self, place: TopicPartition, end: int) -> int:
        """Where the last record ends, as far as is known: Kafka counts the marks after it."""
        start, until = self._void.get(place, (end, end))
        return start if until == end else end

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        self._topics.check_place(topic, partition)
        place = TopicPartition(topic, partition)
        found = self._run(self._ask("offsets_for_times", {place: max(timestamp_ms, 0)}))[place]
        return self.end_offset(topic, partition) if found is None else int(found.offset)

    def close(self) -> None:
        self._loop.close(self._stop())

    async def _stop(self) -> None:
        closing = [self._publishing.stop()]
        if self._asker is not None:
            closing.append(self._asker.stop())
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

    async def _ask(self, question: str, places: Any) -> Mapping[TopicPartition, Any]:
        if self._asker is None:
            asker = AIOKafkaConsumer(**self._access.options(), enable_auto_commit=False)
            await started(asker, self._patience)
            self._asker = asker
        answer: Mapping[TopicPartition, Any] = await getattr(self._asker, question)(places)
        return answer
