"""A Faust transport that reads an `EventLog` in the same process.

Faust handles a message in some 100 µs, whatever is in it, so a message here is all that one look into the log found:
its value is a list with a `Batch` of each partition that had records, its place that of the first one. They are
applied in one transaction: the events of a document come on both topics, and each time it is decided less is time
gained. Reading starts where the projection stands, not at offsets committed by Faust: those are not stored together
with the effect, so commits do nothing.
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

# There is one member, so there is one assignment, and one generation of it.
GENERATION = 1


class BatchSource(Protocol):
    """Where the consumer gets its batches. Nothing here raises: Faust would log the error, restart, and go on."""

    def partitions(self, topic: str) -> int: ...

    async def stored(self) -> Mapping[tuple[str, int], int]:
        """Return where to start: the next offset of each (topic, partition)."""
        ...

    async def fetch(self, places: Sequence[tuple[str, int, int]]) -> list[Batch]:
        """Return a batch of each place (topic, partition, offset) that has records, at once; none if none has."""
        ...


class LogConsumer(Consumer):
    """Hands on the batches of all partitions in turn."""

    transport: "LogTransport"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._assigned: set[TP] = set()
        self._positions: dict[TP, int] = {}
        self._turns: deque[TP] = deque()

    async def subscribe(self, topics: Iterable[str]) -> None:
        source = self.transport.source
        assigned = {TP(topic, partition) for topic in topics for partition in range(source.partitions(topic))}
        # In a task of its own: the assignment waits for this very call to return.
        self.add_future(self._assign(assigned))

    async def _assign(self, assigned: set[TP]) -> None:
        self._assigned = assigned
        self._turns = deque(sorted(assigned))
        # What a group coordinator's listener would call; without it the rebalance has no start to be the end of.
        self.app.on_rebalance_start()
        # Messages of another generation are dropped on their way to the agent.
        self.app.consumer_generation_id = GENERATION
        await self.on_partitions_assigned(assigned, GENERATION)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        stored = await self.transport.source.stored()
        self._positions = {tp: stored[tp.topic, tp.partition] for tp in self._assigned}
        return dict(self._positions)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> RecordMap:
        active = self._assigned if active_partitions is None else active_partitions
        waiting = [tp for tp in self._turns if tp in active and tp in self._positions]
        batches = await self.transport.source.fetch([(*tp, self._positions[tp]) for tp in waiting])
        if not batches:
            await asyncio.sleep(min(timeout, self.transport.poll_seconds))
            return {}
        for batch in batches:
            self._positions[TP(batch.topic, batch.partition)] = batch.next
        first = TP(batches[0].topic, batches[0].partition)
        # The partition that was served first goes to the end of the queue, or a long one would starve the others.
        self._turns.remove(first)
        self._turns.append(first)
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
        """Let the full buffer itself hold reading back; Faust would sleep a second when all partitions are full."""

    def on_buffer_drop(self, tp: TP) -> None: ...

    async def commit(self, topics: object = None, start_new_transaction: bool = True) -> bool:
        return False

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        return False

    async def position(self, tp: TP) -> int | None:
        return self._positions.get(tp)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        self._positions.update(partitions)

    async def _seek(self, partition: TP, offset: int) -> None:
        self._positions[partition] = offset

    def assignment(self) -> set[TP]:
        return set(self._assigned)

    def highwater(self, tp: TP) -> int:
        # Only Faust's own monitor asks, which nobody reads; a look into the log for each batch is not worth it.
        return self._positions.get(tp, 0)

    def topic_partitions(self, topic: str) -> int | None:
        return self.transport.source.partitions(topic)

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        return partition

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    # Asked for by tables with a changelog only, and there are none.
    async def seek_to_beginning(self, *partitions: TP) -> None:
        raise NotImplementedError

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        raise NotImplementedError

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        raise NotImplementedError

    async def create_topic(self, topic: str, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError


class LogTransport(Transport):
    """Faust's way to an event log in the same process. `poll_seconds`: how long to wait when nothing is there."""

    Consumer = LogConsumer
    driver_version = "event log"

    def __init__(self, app: AppT, source: BatchSource, *, poll_seconds: float) -> None:
        super().__init__([URL("embedded:")], app)
        self.source = source
        self.poll_seconds = poll_seconds
