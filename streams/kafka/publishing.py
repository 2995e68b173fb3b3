"""Appending records, all of them or, in a transaction, none; by aiokafka's producer."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import murmur2

from streams.kafka.access import EVENT_HUBS_RECORD_BYTES, Access
from streams.kafka.loop import started
from streams.kafka.topics import Topics
from streams.log import RECORD_BYTES_MAX, LogFailed, NewRecord, RecordTooLarge

APPEND_BYTES: Final = 512 * 1024


class Publishing:
    """Appends to the topics of a broker. The coroutines run in one event loop.

    With a `publisher`, appends are transactions of that name; see `KafkaLog`.
    """

    def __init__(
        self, access: Access, topics: Topics, patience: float, publisher: str | None, record_bytes_max: int
    ) -> None:
        self._access = access
        self._topics = topics
        self._patience = patience
        self._publisher = None if access.event_hubs else publisher
        self._record_bytes_max = (
            min(record_bytes_max, EVENT_HUBS_RECORD_BYTES) if access.event_hubs else record_bytes_max
        )
        self._keyless = itertools.count()
        self._producer: AIOKafkaProducer | None = None

    def placed(self, records: Sequence[NewRecord]) -> list[tuple[NewRecord, int]]:
        """Return each record with its partition. Raises all errors that can be detected before the first append."""
        placed = [(record, self._partition(record)) for record in records]
        for record in records:
            self._check_size(record)
        return placed

    def _partition(self, record: NewRecord) -> int:
        count = self._topics.partitions(record.topic)
        if record.partition is not None:
            self._topics.check_partition(record.topic, record.partition)
            return record.partition
        if count == 1:
            return 0
        # The default partitioner of Kafka, so that the events of a row stay together whichever client sends them.
        return (next(self._keyless) if record.key is None else murmur2(record.key) & 0x7FFFFFFF) % count

    def _check_size(self, record: NewRecord) -> None:
        size = len(record.key or b"") + len(record.value or b"")
        size += sum(len(name) + len(value) for name, value in record.headers)
        if size > self._record_bytes_max:
            raise RecordTooLarge(
                f"A record for {record.topic} has {size:,} bytes and the event log takes {self._record_bytes_max:,}: "
                "send less in one event."
            )

    async def append(self, placed: Sequence[tuple[NewRecord, int]]) -> list[tuple[int, int]]:
        """Append the records. Return the partition and offset of each."""
        if not placed:
            return []
        producer = await self.begin()
        if self._publisher is not None:
            await producer.begin_transaction()
        try:
            # The client would retry without limit, and the worker could not stop.
            async with asyncio.timeout(self._patience):
                sent = await self._send(producer, placed)
                firsts = [(await acknowledged).offset for _, _, acknowledged in sent]
                # A failed transaction stays open. The next one of this name, by any process, ends it.
                if self._publisher is not None:
                    await producer.commit_transaction()
        except TimeoutError:
            raise LogFailed(
                f"Kafka at {self._access.shown} did not acknowledge within {self._patience:.0f} s what was appended: "
                "is it away, or does it not reach itself (inter.broker.listener.name)?"
            ) from None
        offsets: list[tuple[int, int]] = [(0, 0)] * len(placed)
        for (tp, members, _), first in zip(sent, firsts, strict=True):
            for index, number in enumerate(members):
                offsets[number] = (tp.partition, first + index)
        return offsets

    async def _send(
        self, producer: AIOKafkaProducer, placed: Sequence[tuple[NewRecord, int]]
    ) -> list[tuple[TopicPartition, list[int], Any]]:
        """Send the records in batches. Return the partition, indexes of records and acknowledgement of each."""
        order: dict[TopicPartition, list[int]] = {}
        for number, (record, partition) in enumerate(placed):
            order.setdefault(TopicPartition(record.topic, partition), []).append(number)
        sent = []
        for tp, numbers in order.items():
            batch = producer.create_batch()
            members: list[int] = []
            for number in numbers:
                record = placed[number][0]
                if not _added(batch, record):
                    sent.append((tp, members, await producer.send_batch(batch, tp.topic, partition=tp.partition)))
                    batch, members = producer.create_batch(), []
                    _added(batch, record)
                members.append(number)
            sent.append((tp, members, await producer.send_batch(batch, tp.topic, partition=tp.partition)))
        return sent

    async def begin(self) -> AIOKafkaProducer:
        """Create the producer, which fences earlier ones of the same name."""
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._access.options(),
                transactional_id=self._publisher,
                enable_idempotence=not self._access.event_hubs,
                acks="all",
                max_batch_size=APPEND_BYTES,
                max_request_size=EVENT_HUBS_RECORD_BYTES if self._access.event_hubs else 2 * RECORD_BYTES_MAX,
            )
            await started(producer, self._patience)
            self._producer = producer
        return self._producer

    async def stop(self) -> None:
        """Stop the producer. Needs a timeout, because it waits without limit for a broker that does not respond."""
        if self._producer is not None:
            await self._producer.stop()


def _added(batch: Any, record: NewRecord) -> bool:
    added = batch.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers))
    return added is not None
