"""From batches of the log to the store: decode each record, apply what it says, publish what came of it.

The one place where bytes, maps and the store meet. It is the `Projection` that the agent works on.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from engine.errors import Rejected
from engine.events import notices
from engine.events.facts import Change, Heartbeat, ProcessMessage
from engine.mapping.compiler import Maps
from engine.sync import commands
from store.operational.state_topic import StateOutbox
from store.projection.batch_plan import DecodedBatch, OffsetAdvance, Plan, ReceivedRequest
from store.projection.outgoing import Outgoing
from store.projection.writer import Writer
from streams.agents import process
from streams.codec import PartlyRejected, change_json, decode
from streams.codec.environments import Environments, Pin
from streams.committer import Committer
from streams.log import Batch, EventLog, LogRecord, NewRecord, digest, is_lost
from streams.topics import COMMANDS, DEFAULT_PREFIX, REJECTED, STATE

log = structlog.get_logger(__name__)

PUBLISHED_AT_ONCE: Final = 5_000
PURGE_SECONDS: Final = 3600.0
LOOK_SECONDS: Final = 1.0
"""How often a worker looks what other processes did: commands that were left, a replay, a pin that was removed."""
INBOX: Final = "tieout-inbox"
"""The header of a command that waited in the inbox: its id there."""
TELL_SECONDS: Final = 60.0
"""How often a worker looks which errors stand elsewhere only because time has passed."""

_COMMANDS: Final = f".{COMMANDS.name}"

_json = msgspec.json.Encoder().encode


class Projector:
    """Applies batches of the change topics to a store, and publishes its outbox.

    `environments` are those that events may come from, None for any; `pinned` asks which are pinned by now, since a
    person may remove one. `overlapping`: the next batch is decoded, linked and decided while a thread of its own
    commits and publishes this one, which pays where the database is another process. `purge_before` tells up to which
    time (microseconds since 1970 UTC) history of the error log is deleted; by default none is. `state` is what the
    state topic is kept from; a store that is computed beside the one in use has none. Raises what the store raises:
    `LeaseLost`, or a failed transaction.
    """

    def __init__(
        self,
        writer: Writer,
        event_log: EventLog,
        maps: Maps,
        *,
        prefix: str = DEFAULT_PREFIX,
        environments: Environments | None = None,
        pinned: Callable[[], Mapping[Pin, str]] | None = None,
        overlapping: bool = False,
        purge_before: Callable[[], int] | None = None,
        state: StateOutbox | None = None,
    ) -> None:
        self._writer = writer
        self._log = event_log
        self._maps = maps
        self._prefix = prefix
        self._environments = environments
        self._pinned = pinned
        self._committer = Committer(overlapping)
        self._purge_before = purge_before
        self._state = state
        self._purge_at = self._tell_at = self._look_at = time.monotonic()
        self._taken: set[str] = set()
        self.rejected = 0
        """Events that were put on the rejected topic."""

    def offsets(self) -> Mapping[tuple[str, int], int]:
        """The next record to read, by topic and partition."""
        self._committer.wait()
        return self._writer.offsets()

    def apply(self, batches: Sequence[Batch]) -> None:
        """Run batches through the pipeline (`streams.agents.process`) and apply them, with their offsets, in one
        transaction.

        With `overlapping` it may return before the commit; the next call waits for it and raises its error.
        """
        decoded = process(batches, self._decode, self._writer, self._committer, self._publish_batch)
        if decoded.rejected:
            self.rejected += len(decoded.rejected)
            log.warning("events_rejected", records=len(decoded.rejected))

    def _decode(self, batches: Sequence[Batch]) -> DecodedBatch:
        """Decode the records of batches. One that cannot be decoded goes to the rejected topic."""
        decoded = DecodedBatch(
            advances=[
                OffsetAdvance(batch.topic, batch.partition, batch.follows, batch.next, digest(batch.records[-1]))
                for batch in batches
            ]
        )
        for batch in batches:
            for record in batch.records:
                if reason := take(record, decoded, self._maps, self._environments):
                    decoded.rejected.append(rejection(record, reason))
        if self._environments is not None:
            decoded.pins = self._environments.take_new_pins()
        return decoded

    def work(self) -> bool:
        """Publish the state that changed, put commands of the inbox on their topic, publish what was left over, decide
        again a bounded number of documents, look which errors return, or purge some history; True while some of it is
        left. Raises `StoreReplaced` when a replay has put another store in place.
        """
        if self._publish_state() or self._look():
            return True
        if self._writer.has_leftovers:
            self._committer.wait()
            self._publish(self._writer.outbox_records(PUBLISHED_AT_ONCE))
            return True
        if self._writer.recomputing:
            self._committer.wait()
            if (plan := self._writer.recompute()) is not None:
                self._publish_plan(plan)
                return True
        return self._tell() or self._purge()

    def _publish_state(self) -> bool:
        """First of all: somebody may wait with a call until its attempt is on the topic."""
        if self._state is None or not (waiting := self._state.pending(PUBLISHED_AT_ONCE)):
            return False
        self._committer.wait()
        placed = self._log.append([self._record(one.outgoing) for one in waiting])
        if not self._state.acknowledge(waiting, placed[-1][1] + 1):
            log.warning("state_published_again", topic=f"{self._prefix}.{STATE.name}")
        return True

    def _look(self) -> bool:
        """Look what other processes did to the store: a replay, commands that they left, pins that they removed."""
        if time.monotonic() < self._look_at:
            return False
        self._committer.wait()
        self._writer.check_generation()
        if self._environments is not None and self._pinned is not None:
            self._environments.pin(self._pinned())
        waiting = self._writer.inbox_commands()
        new = [one for one in waiting if one.id not in self._taken]
        if new:
            # What a worker before this one put there and did not apply comes twice, and counts once by its own id.
            topic = f"{self._prefix}{_COMMANDS}"
            self._log.append([NewRecord(topic, one.key, one.value, ((INBOX, one.id.encode()),)) for one in new])
        self._taken = {one.id for one in waiting}
        self._look_at = time.monotonic() + LOOK_SECONDS
        return bool(new)

    def _tell(self) -> bool:
        if time.monotonic() < self._tell_at:
            return False
        self._committer.wait()
        if self._writer.publish_error_states():
            return True
        self._tell_at = time.monotonic() + TELL_SECONDS
        return False

    def _purge(self) -> bool:
        if self._purge_before is None or time.monotonic() < self._purge_at:
            return False
        self._committer.wait()
        if self._writer.purge(self._purge_before()):
            return True
        self._purge_at = time.monotonic() + PURGE_SECONDS
        return False

    def settle(self) -> None:
        """Return once all that was applied is committed and published, the state with it. Raises what that raised."""
        self._committer.wait()
        while self._publish_state():
            pass
        self._writer.delete_acknowledged()

    def close(self) -> None:
        """Stop the committing thread after its last transaction."""
        self._committer.close()

    def _publish_batch(self, plan: Plan) -> None:
        log.debug("batches_applied", places={f"{move.topic}/{move.partition}": move.next for move in plan.advances})
        self._publish_plan(plan)

    def _publish_plan(self, plan: Plan) -> None:
        """Publish what a plan put into the outbox, unless older things wait there: those must go first."""
        if not self._writer.has_leftovers:
            first = plan.last - len(plan.outgoing) + 1
            self._publish(list(enumerate(plan.outgoing, first)))

    def _publish(self, waiting: Sequence[tuple[int, Outgoing]]) -> None:
        for start in range(0, len(waiting), PUBLISHED_AT_ONCE):
            part = waiting[start : start + PUBLISHED_AT_ONCE]
            self._log.append([self._record(item) for _, item in part])
            self._writer.acknowledge(part[-1][0])

    def _record(self, item: Outgoing) -> NewRecord:
        return NewRecord(f"{self._prefix}.{item.topic}", item.key, item.value)


def take(record: LogRecord, effects: DecodedBatch, maps: Maps, environments: Environments | None = None) -> str | None:
    """Sort what an event says to where it is applied; return why it, or a part of it, cannot be."""
    if is_lost(record):
        return "the event was lost when the log was damaged (`tieout log salvage`): have its source send it again"
    if record.topic.endswith(_COMMANDS):
        return _take_command(record, effects, maps)
    reason = None
    try:
        facts = decode(record.value, record.headers, record, environments)
    except PartlyRejected as part:
        facts, reason = part.facts, str(part)
    except Rejected as refused:
        if environments is not None:
            environments.drop()
        return str(refused)
    if environments is not None:
        environments.confirm()
    unmapped: dict[str, None] = {}
    for fact in facts:
        if isinstance(fact, Change):
            entity_map = maps.by_name.get(fact.entity) or maps.find(fact.entity)
            if fact.operation == "notify" and (entity_map is not None or not fact.id):
                effects.notices.append(notice(fact))
                effects.reread_requests.append(notices.request_of_change(fact, entity_map))
            elif entity_map is None:
                unmapped[fact.entity] = None
            else:
                effects.changes.append((fact, entity_map))
        elif isinstance(fact, Heartbeat):
            effects.heartbeats.append(fact)
        elif isinstance(fact, ProcessMessage):
            effects.messages.append(fact)
    if not unmapped:
        return reason
    return "; ".join([*([reason] if reason else []), *map(_in_no_map, unmapped)])


def _take_command(record: LogRecord, effects: DecodedBatch, maps: Maps) -> str | None:
    waited = [value.decode("ascii", "replace") for name, value in record.headers if name == INBOX]
    # Anybody may write to the topic, and no database keeps every character.
    effects.applied_commands += [one for one in waited if one.isprintable()]
    try:
        command = commands.read(record.value)
        if isinstance(command, commands.DeleteError):
            effects.deletions.append(command.deletion)
            if (retry := command.retry) is not None:
                effects.requests.append(ReceivedRequest(record.topic, record.partition, record.offset, retry))
        elif isinstance(command, commands.RowRead):
            effects.reread_answers.append(command.reread_request(maps.find(command.entity)))
        elif command is not None:
            effects.requests.append(ReceivedRequest(record.topic, record.partition, record.offset, command.request))
    except Rejected as refused:
        return str(refused)
    return None


def _in_no_map(entity: str) -> str:
    return (
        f"the entity {entity!r} is in no map: add a table [entities.{entity}] to a map file, then send the event again"
    )


def notice(change: Change) -> Outgoing:
    """A wish to read a row again, for the commands topic (R5): an event that was cut, or that carries keys only."""
    command = {"command": "read", **change_json(change)}
    del command["operation"]
    return Outgoing(COMMANDS.name, (change.id or change.evidence.event or change.entity).encode(), _json(command))


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
