"""A Faust transport that reads an `EventLog` in the same process.

Faust needs about 100 µs for a message of any size, so a message here is the result of one poll: its value is a list
with a `Batch` of each partition that had records, and its offset is that of the first one. They are applied in one
transaction, because the events of a document arrive on both topics and each further evaluation of it costs time.
Reading starts at the offsets stored by the projection. Offsets committed by Faust would not be in the transaction of
the effect, so commits do nothing (docs/decisions/0004).
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from faust.transport.base import Transport
from faust.transport.consumer import Consumer, RecordMap
from faust.types import TP, AppT, ConsumerMessage
from yarl import URL

from streams.log import Batch

# There is one consumer, hence one assignment and one generation.
GENERATION = 1


class BatchSource(Protocol):
    """The source of the consumer's batches. It must not raise: Faust would log the error, restart and continue."""

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic."""
        ...

    async def stored(self) -> Mapping[tuple[str, int], int]:
        """Return the next offset to read for each (topic, partition)."""
        ...

    async def fetch(self, positions: Sequence[tuple[str, int, int]]) -> list[Batch]:
        """Return, without waiting, a batch for each position (topic, partition, offset) that has records."""
        ...


class LogConsumer(Consumer):
    """Passes the batches of all partitions to Faust, one message for each poll."""

    transport: "LogTransport"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._assigned: set[TP] = set()
        self._positions: dict[TP, int] = {}
        self._order: deque[TP] = deque()

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Assign all partitions of the topics to this consumer."""
        source = self.transport.source
        assigned = {TP(topic, partition) for topic in topics for partition in range(source.partitions(topic))}
        # In a separate task, because the assignment waits for this call to return.
        self.add_future(self._assign(assigned))

    async def _assign(self, assigned: set[TP]) -> None:
        self._assigned = assigned
        self._order = deque(sorted(assigned))
        # A group coordinator's listener would call this. Faust requires the start of a rebalance before its end.
        self.app.on_rebalance_start()
        # Faust drops messages of another generation before they reach the agent.
        self.app.consumer_generation_id = GENERATION
        await self.on_partitions_assigned(assigned, GENERATION)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Start at the offsets stored by the projection. Return them."""
        stored = await self.transport.source.stored()
        self._positions = {tp: stored[tp.topic, tp.partition] for tp in self._assigned}
        return dict(self._positions)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> RecordMap:
        active = self._assigned if active_partitions is None else active_partitions
        waiting = [tp for tp in self._order if tp in active and tp in self._positions]
        batches = await self.transport.source.fetch([(*tp, self._positions[tp]) for tp in waiting])
        if not batches:
            await asyncio.sleep(min(timeout, self.transport.poll_seconds))
            return {}
        for batch in batches:
            self._positions[TP(batch.topic, batch.partition)] = batch.next
        first = TP(batches[0].topic, batches[0].partition)
        # Round robin: the partition served first goes to the end, so that a long one does not starve the others.
        self._order.remove(first)
        self._order.append(first)
        return {first: [batches]}

    def _to_message(self, tp: TP, record: list[Batch]) -> ConsumerMessage:
        first = record[0]
        return ConsumerMessage(
            topic=first.topic,
            partition=first.partition,
            offset=first.last,
            timestamp=first.records[-1].timestamp / 1000,
            timestamp_type=1,
            headers=None,
            key=None,
            value=record,  # type: ignore[arg-type]  # Faust's annotation says bytes; nothing before the schema looks
            checksum=None,
            tp=tp,
            generation_id=GENERATION,
        )

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: the full buffer itself delays reading. Faust would sleep a second if all are full."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Do nothing, as in `on_buffer_full`."""

    async def commit(self, topics: object = None, start_new_transaction: bool = True) -> bool:
        """Commit nothing: the offsets are stored with the effect."""
        return False

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        return False

    async def position(self, tp: TP) -> int | None:
        """Return the next offset to read of a partition."""
        return self._positions.get(tp)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Continue at these offsets."""
        self._positions.update(partitions)

    async def _seek(self, partition: TP, offset: int) -> None:
        self._positions[partition] = offset

    def assignment(self) -> set[TP]:
        """Return the partitions of the subscribed topics."""
        return set(self._assigned)

    def highwater(self, tp: TP) -> int:
        """Return the next offset to read. Only Faust's monitor uses it, so the end of the log is not read for it."""
        return self._positions.get(tp, 0)

    def topic_partitions(self, topic: str) -> int | None:
        """Return the number of partitions of a topic."""
        return self.transport.source.partitions(topic)

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        """Return `partition`: Faust produces nothing here."""
        return partition

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    # Used by tables with a changelog only, and there are none.
    async def seek_to_beginning(self, *partitions: TP) -> None:
        """Not used."""
        raise NotImplementedError

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Not used."""
        raise NotImplementedError

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Not used."""
        raise NotImplementedError

    async def create_topic(self, topic: str, *args: Any, **kwargs: Any) -> None:
        """Not used."""
        raise NotImplementedError


class LogTransport(Transport):
    """Faust transport over an event log in the same process. `poll_seconds`: the wait after an empty poll."""

    Consumer = LogConsumer
    driver_version = "event log"

    def __init__(self, app: AppT, source: BatchSource, *, poll_seconds: float) -> None:
        super().__init__([URL("embedded:")], app)
        self.source = source
        self.poll_seconds = poll_seconds
