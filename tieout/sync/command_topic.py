"""Writes records of tieout to the topics: commands of people, from the command line and the workspace (R55), and events
of the processes that tieout runs (R61).

On Kafka a record is published and a projecting worker applies it. An embedded log has one writing process. If this
process runs a worker, the log of that worker is used; if no worker runs, the records are applied here. Commands for a
log that another process has open are queued in the store (`store.operational.inbox`) for the worker of that process.
"""

import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from engine.errorlog.lifecycle import Deletion, subject_of
from engine.errors import QueryError
from engine.sync.attempts import Request
from engine.sync.commands import Command, DeleteError, delete_error, sync_documents
from handlers.change_events import SourceEvent
from store import clock
from store.errorlog.error_log import ErrorEntry
from store.operational.inbox import count_queued, enqueue
from store.queries.reader import Reader
from store.schema.bulk_sql import chunks
from streams import faust_app
from streams.log import EventLog, LogBusy, NewRecord, PartitionId
from streams.topics import COMMANDS
from tieout.bootstrap import open_log, open_projector, open_store, projected_topics
from tieout.settings import Settings

PATIENCE_SECONDS: Final = 3.0
"""How long a page waits for its command to be applied, before it reports that the command is queued."""

_LOOK_SECONDS: Final = 0.05

_json: Final = msgspec.json.Encoder().encode


class Sent(msgspec.Struct, frozen=True):
    """Commands that were sent: the offset after them in each partition, or their ids in the queue of the store."""

    places: dict[PartitionId, int] = {}
    waiting: tuple[str, ...] = ()


class LogNotOpened(QueryError):
    """The worker of this process has not opened the log yet."""

    code = "log-not-opened"


class TopicWriter:
    """Writes records to the topics. A worker of this process lends its log while it projects."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lent: EventLog | None = None
        self._worker = False
        self._changed = threading.Condition()

    @contextmanager
    def expect_worker(self) -> Iterator[None]:
        """Reserve the embedded log for a worker of this process while the block runs."""
        self._set(worker=True)
        try:
            yield
        finally:
            self._set(worker=False)

    @contextmanager
    def lend_log(self, log: EventLog) -> Iterator[None]:
        """Use the log of a worker while the block runs."""
        self._set(lent=log)
        try:
            yield
        finally:
            self._set(lent=None)

    def _set(self, **state: Any) -> None:
        with self._changed:
            self._worker = state.get("worker", self._worker)
            self._lent = state.get("lent", self._lent)
            self._changed.notify_all()

    def send(self, commands: Sequence[tuple[str, Command]]) -> Sent:
        """Publish commands, each with the key of its subject, or queue them for the worker with the embedded log."""
        topic = COMMANDS.full_name(self._settings.prefix)
        records = [NewRecord(topic, key.encode(), _json(command)) for key, command in commands]
        try:
            return Sent(_after(topic, self._append(records)))
        except LogNotOpened:
            return self.enqueue(commands)
        except LogBusy:
            sent = self.enqueue(commands)
            self._take_when_free(sent)
            return sent

    def enqueue(self, commands: Sequence[tuple[str, Command]]) -> Sent:
        """Queue commands in the store for the worker that writes to the log."""
        with open_store(self._settings, write=True) as engine, engine.begin() as connection:
            rows = [(key.encode(), _json(command)) for key, command in commands]
            return Sent(waiting=tuple(enqueue(connection, rows, clock.now())))

    def append(self, records: Sequence[NewRecord]) -> list[tuple[int, int]]:
        """Publish records and return their partitions and offsets. Raises `QueryError` if another process has the
        embedded log open.
        """
        try:
            return self._append(records)
        except LogBusy as busy:
            raise QueryError(
                "%(problem)s, so nothing can be put there from here: use the workspace that this "
                "process serves, or stop it first.",
                problem=busy.problem,
            ) from None

    def _append(self, records: Sequence[NewRecord]) -> list[tuple[int, int]]:
        if self._settings.log_file is None:
            with open_log(self._settings, write=True) as log:
                return log.append(records)
        with self._changed:
            if not self._changed.wait_for(lambda: self._lent is not None or not self._worker, PATIENCE_SECONDS):
                raise LogNotOpened("the worker of this process has not opened the log yet: ask again in a moment.")
            return self._lent.append(records) if self._lent is not None else self._apply(records)

    def report(self, events: Sequence[SourceEvent]) -> None:
        """Publish events to the change topics. Raises as `append`."""
        self.append([record_of(event, self._settings.prefix) for event in events])

    def publish(self) -> None:
        """Publish the outbox of the store, on an embedded log that no worker projects."""
        if self._settings.log_file is None:
            return
        with self._changed:
            if self._lent is None and not self._worker:
                with suppress(LogBusy), open_projector(self._settings) as (_, projector):  # its holder publishes
                    projector.settle()

    def _take_when_free(self, sent: Sent) -> None:
        """Apply queued commands here once the log is free: the process that had it open may not have been a worker."""
        until = time.monotonic() + PATIENCE_SECONDS
        with open_store(self._settings, write=False) as engine:
            while time.monotonic() < until:
                with engine.connect() as connection:
                    if not count_queued(connection, sent.waiting):
                        return
                try:
                    self._apply([])
                except LogBusy:
                    time.sleep(_LOOK_SECONDS)

    def _apply(self, records: Sequence[NewRecord]) -> list[tuple[int, int]]:
        """Publish and project records in this process. Raises `LogBusy` if another process has the log open."""
        with open_projector(self._settings) as (log, projector):
            offsets = log.append(records)
            faust_app.run(log, projector, topics=projected_topics(self._settings), until_caught_up=True)
            return offsets


def record_of(event: SourceEvent, prefix: str) -> NewRecord:
    """Return an event as a record of its topic."""
    key = None if event.key is None else event.key.encode()
    return NewRecord(f"{prefix}.{event.topic}", key, event.value, event.headers)


def _after(topic: str, placed: Iterable[tuple[int, int]]) -> dict[PartitionId, int]:
    found: dict[PartitionId, int] = {}
    for partition, offset in placed:
        found[topic, partition] = max(found.get((topic, partition), 0), offset + 1)
    return found


def wait_until_applied(reader: Reader, sent: Sent, seconds: float = PATIENCE_SECONDS) -> bool:
    """Wait until a worker has applied the commands; return False if it has not within `seconds`."""
    until = time.monotonic() + seconds
    while True:
        with reader.snapshot() as snapshot:
            reached, waiting = snapshot.offsets(), snapshot.count_queued_commands(sent.waiting)
        if not waiting and all(reached.get(place, 0) >= offset for place, offset in sent.places.items()):
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(_LOOK_SECONDS)


def deletion_commands(entries: Iterable[ErrorEntry], who: str, why: str) -> list[tuple[str, Command]]:
    """Return the commands that delete these errors, up to the latest message shown: a later message is not deleted."""
    commands: list[tuple[str, Command]] = []
    at = clock.now()
    for entry in entries:
        subject = subject_of(entry.message)
        deletion = Deletion(
            id=str(uuid.uuid4()), at=at, who=who, why=why, subject=subject, until=entry.message.evidence.at
        )
        commands.append((subject.about, delete_error(deletion)))
    return commands


def retried_journals(entries: Iterable[ErrorEntry]) -> list[str]:
    """Return the general journals for which the deletion of these errors starts a new attempt cycle (R62)."""
    commands = (command for _, command in deletion_commands(entries, "preview", "preview"))
    requests = (command.retry for command in commands if isinstance(command, DeleteError))
    return sorted({task.subject for request in requests if request is not None for task in request.tasks})


_TASKS_AT_ONCE: Final = 500
"""Tasks in one command: a record of some hundred kilobytes, which every log accepts."""


def sync_commands(request: Request) -> list[tuple[str, Command]]:
    """Return the commands of a sync request, each with a part of its calls. A run without calls is one command, so that
    it is recorded.
    """
    commands: list[tuple[str, Command]] = []
    for some in chunks(request.tasks, _TASKS_AT_ONCE):
        names = {document for task in some for document in task.documents}
        own = {name: fingerprint for name, fingerprint in request.input_fingerprints.items() if name in names}
        part = replace(request, id=f"{request.id}/{len(commands)}", tasks=tuple(some), input_fingerprints=own)
        commands.append((some[0].subject, sync_documents(part)))
    if not commands and request.run is not None:
        commands.append((request.run.company, sync_documents(request)))
    return commands
