"""The `Projection` that the agent works on: decodes batches, publishes the outbox, and does the pending work.

Only here do bytes, maps and the store meet. The steps of a batch are those of `streams.agents.process`.
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

PUBLISH_CHUNK: Final = 5_000
"""Maximum number of records in one append."""
PURGE_SECONDS: Final = 3600.0
CHECK_SECONDS: Final = 1.0
"""Interval of the checks for changes by other processes: commands in the inbox, a replay, a removed pin."""
INBOX: Final = "tieout-inbox"
"""Header of a command that comes from the inbox: its id there."""
STATUS_SECONDS: Final = 60.0
"""Interval of the checks for errors whose status changes with time alone."""

_COMMANDS: Final = f".{COMMANDS.name}"

_json = msgspec.json.Encoder().encode


class Projector:
    """Applies batches of the change topics to a store, and publishes its outbox.

    `environments` are those that events may come from, None for any. `pinned` returns the currently pinned ones, since
    a person may remove one. With `overlapping`, the next batch is prepared while a thread commits and publishes this
    one, which pays where the database is another process. `purge_before` returns the time (microseconds since 1970
    UTC) before which the history of the error log is deleted; by default none is. `state` is the outbox of the state
    topic; a store that is rebuilt next to the one in use has none. Raises the errors of the store: `LeaseLost`, or a
    failed transaction.
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
        self._next_purge = self._next_status = self._next_check = time.monotonic()
        self._queued: set[str] = set()
        self.rejected = 0
        """Number of events put on the rejected topic."""

    def offsets(self) -> Mapping[tuple[str, int], int]:
        """Return the next offset to read by topic and partition. Waits for the commit in progress."""
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
        """Do one bounded part of the pending work. Return True if more is left.

        In this order: publish changed state, put commands of the inbox on their topic, publish records left in the
        outbox, re-evaluate documents, publish errors whose status changed with time, purge history. Raises
        `StoreReplaced` if a replay has swapped in another store.
        """
        if self._publish_state() or self._check_other_processes():
            return True
        if self._writer.has_leftovers:
            self._committer.wait()
            self._publish(self._writer.outbox_records(PUBLISH_CHUNK))
            return True
        if self._writer.recomputing:
            self._committer.wait()
            if (plan := self._writer.recompute()) is not None:
                self._publish_plan(plan)
                return True
        return self._publish_error_states() or self._purge()

    def _publish_state(self) -> bool:
        """Publish changed state. It comes first, because a call may be waiting until its attempt is confirmed."""
        if self._state is None or not (waiting := self._state.pending(PUBLISH_CHUNK)):
            return False
        self._committer.wait()
        locations = self._log.append([self._record(record.outgoing) for record in waiting])
        if not self._state.acknowledge(waiting, locations[-1][1] + 1):
            log.warning("state_published_again", topic=f"{self._prefix}.{STATE.name}")
        return True

    def _check_other_processes(self) -> bool:
        """Check for changes by other processes: a replay, commands in the inbox, removed pins."""
        if time.monotonic() < self._next_check:
            return False
        self._committer.wait()
        self._writer.check_generation()
        if self._environments is not None and self._pinned is not None:
            self._environments.pin(self._pinned())
        waiting = self._writer.inbox_commands()
        new = [command for command in waiting if command.id not in self._queued]
        if new:
            # A command that a previous worker appended and did not apply is appended twice. It is idempotent by its id.
            topic = f"{self._prefix}{_COMMANDS}"
            self._log.append(
                [NewRecord(topic, command.key, command.value, ((INBOX, command.id.encode()),)) for command in new]
            )
        self._queued = {command.id for command in waiting}
        self._next_check = time.monotonic() + CHECK_SECONDS
        return bool(new)

    def _publish_error_states(self) -> bool:
        if time.monotonic() < self._next_status:
            return False
        self._committer.wait()
        if self._writer.publish_error_states():
            return True
        self._next_status = time.monotonic() + STATUS_SECONDS
        return False

    def _purge(self) -> bool:
        if self._purge_before is None or time.monotonic() < self._next_purge:
            return False
        self._committer.wait()
        if self._writer.purge(self._purge_before()):
            return True
        self._next_purge = time.monotonic() + PURGE_SECONDS
        return False

    def settle(self) -> None:
        """Return once everything applied is committed and published, including the state. Raises their errors."""
        self._committer.wait()
        while self._publish_state():
            pass
        self._writer.delete_acknowledged()

    def close(self) -> None:
        """Stop the committing thread after its last transaction."""
        self._committer.close()

    def _publish_batch(self, plan: Plan) -> None:
        log.debug(
            "batches_applied",
            places={f"{advance.topic}/{advance.partition}": advance.next for advance in plan.advances},
        )
        self._publish_plan(plan)

    def _publish_plan(self, plan: Plan) -> None:
        """Publish the outbox records of a plan, unless older ones are left there: those must be published first."""
        if not self._writer.has_leftovers:
            first = plan.last - len(plan.outgoing) + 1
            self._publish(list(enumerate(plan.outgoing, first)))

    def _publish(self, waiting: Sequence[tuple[int, Outgoing]]) -> None:
        for start in range(0, len(waiting), PUBLISH_CHUNK):
            part = waiting[start : start + PUBLISH_CHUNK]
            self._log.append([self._record(item) for _, item in part])
            self._writer.acknowledge(part[-1][0])

    def _record(self, item: Outgoing) -> NewRecord:
        return NewRecord(f"{self._prefix}.{item.topic}", item.key, item.value)


def take(record: LogRecord, batch: DecodedBatch, maps: Maps, environments: Environments | None = None) -> str | None:
    """Decode a record and add its facts to `batch`. Return the reason if it, or a part of it, is rejected."""
    if is_lost(record):
        return "the event was lost when the log was damaged (`tieout log salvage`): have its source send it again"
    if record.topic.endswith(_COMMANDS):
        return _take_command(record, batch, maps)
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
                batch.notices.append(notice(fact))
                batch.reread_requests.append(notices.request_of_change(fact, entity_map))
            elif entity_map is None:
                unmapped[fact.entity] = None
            else:
                batch.changes.append((fact, entity_map))
        elif isinstance(fact, Heartbeat):
            batch.heartbeats.append(fact)
        elif isinstance(fact, ProcessMessage):
            batch.messages.append(fact)
    if not unmapped:
        return reason
    return "; ".join([*([reason] if reason else []), *map(_in_no_map, unmapped)])


def _take_command(record: LogRecord, batch: DecodedBatch, maps: Maps) -> str | None:
    queued = [value.decode("ascii", "replace") for name, value in record.headers if name == INBOX]
    # Any client may write to the topic, and databases do not store every character.
    batch.applied_commands += [identifier for identifier in queued if identifier.isprintable()]
    try:
        command = commands.read(record.value)
        if isinstance(command, commands.DeleteError):
            batch.deletions.append(command.deletion)
            if (retry := command.retry) is not None:
                batch.requests.append(ReceivedRequest(record.topic, record.partition, record.offset, retry))
        elif isinstance(command, commands.RowRead):
            batch.reread_answers.append(command.reread_request(maps.find(command.entity)))
        elif command is not None:
            batch.requests.append(ReceivedRequest(record.topic, record.partition, record.offset, command.request))
    except Rejected as refused:
        return str(refused)
    return None


def _in_no_map(entity: str) -> str:
    return (
        f"the entity {entity!r} is in no map: add a table [entities.{entity}] to a map file, then send the event again"
    )


def notice(change: Change) -> Outgoing:
    """Return the re-read request for the commands topic (R5), for an event that was cut or that has keys only."""
    command = {"command": "read", **change_json(change)}
    del command["operation"]
    return Outgoing(COMMANDS.name, (change.id or change.evidence.event or change.entity).encode(), _json(command))


class RejectedEvent(msgspec.Struct, frozen=True):
    """An event on the rejected topic (R7): its location, the reason, and its content."""

    topic: str
    partition: int
    offset: int
    reason: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def rejection(record: LogRecord, reason: str) -> Outgoing:
    """Return the record of a rejected event for the rejected topic. Its key is its original location, so that
    publishing is idempotent.
    """
    location = f"{record.topic}/{record.partition}/{record.offset}"
    event = RejectedEvent(
        record.topic, record.partition, record.offset, reason, record.key, record.value, list(record.headers)
    )
    return Outgoing(REJECTED.name, location.encode(), _json(event))


def read_rejection(value: bytes) -> RejectedEvent:
    """Decode a record of the rejected topic."""
    return msgspec.json.decode(value, type=RejectedEvent)


def as_json(event: RejectedEvent) -> dict[str, Any]:
    """Return a rejected event as JSON values; bytes are in base64."""
    return dict(msgspec.to_builtins(event))
