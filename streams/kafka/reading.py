"""Fetches partitions from their leaders on demand.

aiokafka's consumer prefetches, and fetches more of a partition only when all records of it were taken. Under a steady
load each read would return the records that had arrived by the previous read, one batch earlier. So this module uses
aiokafka's client without its consumer (docs/decisions/0007).
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    CorruptRecordException,
    KafkaConnectionError,
    KafkaStorageError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    NoError,
    NotLeaderForPartitionError,
    ReplicaNotAvailableError,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords

from streams.log import LogFailed, LogRecord, portions

# Limits for all partitions together, and the minimum for one of many: its share of a batch, and part of the next.
FETCH_BYTES: Final = 8 * 1024 * 1024
FETCH_BYTES_LEAST: Final = 256 * 1024
RETRY_SECONDS: Final = 0.1
ARRIVAL_MS: Final = 250

READ_UNCOMMITTED: Final = 0
UNKNOWN: Final = -1

# Errors during the election of a leader or the restart of a broker. They are retried.
_TRANSIENT: Final = (
    KafkaConnectionError,
    KafkaStorageError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    NotLeaderForPartitionError,
    ReplicaNotAvailableError,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
)


class Chunk:
    """A response of a leader: the records of a partition from an offset on, decoded one by one."""

    def __init__(self, tp: TopicPartition, offset: int, end: int, content: bytes) -> None:
        self.next = offset
        """The next offset to read. Transaction markers are offsets without records."""
        self.end = end
        """The end offset of the partition at the time of the response."""
        self._records = self._read(tp, MemoryRecords(content))

    def __iter__(self) -> Iterator[LogRecord]:
        return self._records

    def _read(self, tp: TopicPartition, content: MemoryRecords) -> Iterator[LogRecord]:
        topic, partition = tp
        first = self.next
        while (batch := content.next_batch()) is not None:
            if not batch.validate_crc():
                raise CorruptRecordException(f"{topic}, partition {partition}, after offset {self.next}")
            if not batch.is_control_batch:
                for record in batch:
                    if record.offset >= first:  # a batch is sent whole, even if only its last record was requested
                        self.next = record.offset + 1
                        yield LogRecord(
                            topic,
                            partition,
                            record.offset,
                            record.timestamp,
                            record.key,
                            record.value,
                            tuple(record.headers),
                        )
            self.next = max(self.next, batch.next_offset)


class Reading:
    """Reads partitions of one or several brokers. All methods run in one event loop."""

    def __init__(self, client: AIOKafkaClient, patience: float) -> None:
        self._client = client
        self._patience = patience
        self._chunks: dict[TopicPartition, Chunk] = {}
        self._using = asyncio.Lock()

    async def read(
        self, offsets: Mapping[TopicPartition, int], max_records: int, max_bytes: int
    ) -> dict[TopicPartition, list[LogRecord]]:
        """Return the records of partitions from offsets on, as many of each as `portions` allows.

        Raises `OffsetOutOfRangeError`, and the errors of the broker.
        """
        async with self._using:
            await self._fetch({tp: offset for tp, offset in offsets.items() if not self._has(tp, offset)})
            remaining = {tp: self._chunks[tp].end - offset for tp, offset in offsets.items()}
            return {
                tp: await self._take(tp, records, size)
                for tp, (records, size) in portions(remaining, max_records, max_bytes).items()
            }

    def reached(self, tp: TopicPartition) -> int:
        """Return the next offset to read of a partition, after the transaction markers that follow."""
        return self._chunks[tp].next

    def _has(self, tp: TopicPartition, offset: int) -> bool:
        chunk = self._chunks.get(tp)
        return chunk is not None and offset == chunk.next < chunk.end

    async def _take(self, tp: TopicPartition, max_records: int, max_bytes: int) -> list[LogRecord]:
        records: list[LogRecord] = []
        size = 0
        until = time.monotonic() + self._patience
        while True:
            chunk = self._chunks[tp]
            for record in chunk:
                records.append(record)
                size += len(record.key or b"") + len(record.value or b"")
                if len(records) >= max_records or size >= max_bytes:
                    return records
            if chunk.next >= chunk.end:
                return records
            await self._fetch({tp: chunk.next}, ARRIVAL_MS)
            if self._chunks[tp].next == chunk.next and time.monotonic() > until:
                raise LogFailed(
                    f"{tp.topic}, partition {tp.partition} gave nothing for {self._patience:.0f} s although "
                    "there is something: look at the broker's log."
                )

    async def _fetch(self, offsets: Mapping[TopicPartition, int], wait_ms: int = 0) -> None:
        """Fetch from the leaders what follows these offsets. Wait at most `wait_ms` for new records."""
        missing = dict(offsets)
        until = time.monotonic() + self._patience
        while missing:
            failed: Exception = LeaderNotAvailableError()
            leaders: dict[int, dict[TopicPartition, int]] = {}
            for tp, offset in missing.items():
                leaders.setdefault(self._client.cluster.leader_for_partition(tp) or UNKNOWN, {})[tp] = offset
            for leader, requested in leaders.items():
                try:
                    for tp, error, chunk in await self._request(leader, requested, wait_ms):
                        if error is NoError:
                            self._chunks[tp] = chunk
                            del missing[tp]
                        else:
                            failed = error()
                            if not isinstance(failed, _TRANSIENT):
                                raise failed
                except _TRANSIENT as error:
                    failed = error
            if missing:
                if time.monotonic() > until:
                    raise failed
                # Includes topics that are not known yet.
                await self._client.set_topics({tp.topic for tp in (*self._chunks, *offsets)})
                await self._client.force_metadata_update()
                await asyncio.sleep(RETRY_SECONDS)

    async def _request(
        self, leader: int, requested: Mapping[TopicPartition, int], wait_ms: int
    ) -> list[tuple[TopicPartition, type[Exception], Chunk]]:
        """Fetch from one leader. Return, for each partition, the type of error and the response."""
        if leader == UNKNOWN:
            raise LeaderNotAvailableError
        most = max(FETCH_BYTES // len(requested), FETCH_BYTES_LEAST)
        topics: dict[str, list[tuple[int, int, int]]] = {}
        for tp, offset in requested.items():
            topics.setdefault(tp.topic, []).append((tp.partition, offset, most))
        request = FetchRequest(wait_ms, 1, FETCH_BYTES, READ_UNCOMMITTED, list(topics.items()))
        answer: Any = await self._client.send(leader, request)
        chunks = []
        for topic, partitions in answer.topics:
            # The fields in between differ from version to version.
            for partition, code, end, *_, content in partitions:
                tp = TopicPartition(topic, partition)
                chunks.append((tp, for_code(code), Chunk(tp, requested[tp], end, content)))
        return chunks
