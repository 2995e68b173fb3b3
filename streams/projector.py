"""From batches of the log to the store: decode each record, apply what it says, publish what came of it.

The one place where bytes, maps and the store meet. It is the `Projection` that the agent works on.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from engine.changes import Change, Heartbeat, ProcessMessage
from engine.errors import Rejected
from engine.maps import Maps
from store.writer import Batch as Effects
from store.writer import Move, Outgoing, Writer
from streams.codec import decode
from streams.log import Batch, EventLog, LogRecord, NewRecord
from streams.topics import DEFAULT_PREFIX, REJECTED

log = structlog.get_logger(__name__)

PUBLISHED_AT_ONCE: Final = 5_000

_json = msgspec.json.Encoder().encode


class Projector:
    """Applies batches of the change topics to a store, and publishes its outbox.

    `environments` are the names an event may come from, None for any. Raises what the store raises: `Overtaken`, or a
    failed transaction.
    """

    def __init__(
        self,
        writer: Writer,
        event_log: EventLog,
        maps: Maps,
        *,
        prefix: str = DEFAULT_PREFIX,
        environments: tuple[str, ...] | None = None,
    ) -> None:
        self._writer = writer
        self._log = event_log
        self._maps = maps
        self._prefix = prefix
        self._environments = environments

    def offsets(self) -> Mapping[tuple[str, int], int]:
        """The next record to read, by topic and partition."""
        return self._writer.offsets()

    def apply(self, batches: Sequence[Batch]) -> None:
        """Decode batches and apply them in one transaction, the places in the log included."""
        effects = Effects(moves=[Move(batch.topic, batch.partition, batch.follows, batch.next) for batch in batches])
        for batch in batches:
            for record in batch.records:
                try:
                    self._sort(record, effects)
                except Rejected as reason:
                    effects.rejected.append(rejection(record, str(reason)))
        self._writer.apply(effects)
        if effects.rejected:
            log.warning("events_rejected", records=len(effects.rejected))
        log.debug("batches_applied", places={f"{batch.topic}/{batch.partition}": batch.next for batch in batches})

    def work(self) -> bool:
        """Publish a bounded part of the outbox, or decide again a bounded number of documents; True while some of
        either is left.
        """
        return self._publish() or self._writer.recompute()

    def _sort(self, record: LogRecord, effects: Effects) -> None:
        for fact in decode(record.value, record.headers, record, self._environments):
            if isinstance(fact, Change):
                entity_map = self._maps.by_name.get(fact.entity) or self._maps.find(fact.entity)
                if entity_map is None:
                    raise Rejected(
                        f"the entity {fact.entity!r} is in no map: add a table [entities.{fact.entity}] to a map "
                        "file, then send the event again"
                    )
                effects.changes.append((fact, entity_map))
            elif isinstance(fact, Heartbeat):
                effects.heartbeats.append(fact)
            elif isinstance(fact, ProcessMessage):
                effects.messages.append(fact)

    def _publish(self) -> bool:
        waiting = self._writer.outgoing(PUBLISHED_AT_ONCE)
        if not waiting:
            return False
        self._log.append([NewRecord(f"{self._prefix}.{item.topic}", item.key, item.value) for _, item in waiting])
        self._writer.sent(waiting[-1][0])
        return len(waiting) == PUBLISHED_AT_ONCE


class RejectedEvent(msgspec.Struct, frozen=True):
    """An event on the rejected topic (R7): where it stood, why it was refused, and all of it."""

    topic: str
    partition: int
    offset: int
    reason: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def rejection(record: LogRecord, reason: str) -> Outgoing:
    """An event that was refused, for the rejected topic; its key is its original place, so that publishing twice
    counts once.
    """
    place = f"{record.topic}/{record.partition}/{record.offset}"
    event = RejectedEvent(
        record.topic, record.partition, record.offset, reason, record.key, record.value, list(record.headers)
    )
    return Outgoing(REJECTED.name, place.encode(), _json(event))


def read_rejection(value: bytes) -> RejectedEvent:
    """An event of the rejected topic."""
    return msgspec.json.decode(value, type=RejectedEvent)


def as_json(event: RejectedEvent) -> dict[str, Any]:
    """A rejected event for programs; bytes in base64."""
    return dict(msgspec.to_builtins(event))
