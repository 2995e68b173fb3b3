"""Commands: requests of people, as the commands topic carries them.

A command is an event like any other: durable on its topic, delivered at least once and in any order, and its effect is
a function of the set of all commands. To add one: a struct with its own tag in `Command`, and its execution in the
worker.
"""

from typing import Any, Final

import msgspec

from engine.errorlog.lifecycle import Deletion, Subject
from engine.errors import Rejected
from engine.events.facts import PROCESSES, Source, iso
from engine.events.notices import RereadRequest, reread_request
from engine.mapping.compiler import EntityMap
from engine.mapping.values import parse_time
from engine.sync import general_journals
from engine.sync.actions import Task
from engine.sync.attempts import Request, SyncRun


class DeleteError(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag="delete-error"):
    """Delete the errors of a subject from the current list, up to the one of the time `until`.

    `at` is the time of the request, `who` the actor, `why` the reason. A subject that the process did not name is the
    text of the error.
    """

    id: str
    at: str
    who: str
    why: str
    company: str | None
    process: str
    subject: str
    until: str

    @property
    def deletion(self) -> Deletion:
        """The deletion to apply. Raises `Rejected` for an invalid command."""
        if not (self.id and self.who.strip() and self.why.strip()):
            raise Rejected("delete-error: a deletion says its id, who asks for it and why")
        if self.process not in PROCESSES:
            raise Rejected(f"delete-error: unknown process {self.process!r}; known are {', '.join(PROCESSES)}")
        return Deletion(
            id=self.id,
            at=_time(self.at, "delete-error: at"),
            who=self.who,
            why=self.why,
            subject=Subject(self.company, self.process, self.subject),
            until=_time(self.until, "delete-error: until"),
        )

    @property
    def retry(self) -> Request | None:
        """The sync request that the deletion implies, if any. Raises as `deletion`.

        Deleting an error of a general journal starts a new attempt cycle for it, as Sync does (R62).
        """
        if self.process != general_journals.PROCESS or self.company is None:
            return None
        if (number := general_journals.number_in(self.subject)) is None:
            return None
        tasks = (general_journals.task_of(self.company, number),)
        at = _time(self.at, "delete-error: at")
        return Request(id=self.id, at=at, who=self.who, by_person=True, tasks=tasks, input_fingerprints={})


class SyncDocuments(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag="sync"):
    """Execute these calls for these documents (R40). `who` is the actor, a person or the recurring job, `at` the time
    of the request.

    `changes` are the input fingerprints, `restart` and `run` are those of `engine.sync.attempts.Request`.
    """

    id: str
    at: str
    who: str
    by_person: bool
    tasks: tuple[Task, ...]
    changes: dict[str, str]
    restart: bool = True
    run: SyncRun | None = None

    @property
    def request(self) -> Request:
        """The request to execute. Raises `Rejected` for an invalid command."""
        if not (self.id and self.who.strip()):
            raise Rejected("sync: a sync says its id and who asks for it")
        return Request(
            id=self.id,
            at=_time(self.at, "sync: at"),
            who=self.who,
            by_person=self.by_person,
            tasks=self.tasks,
            input_fingerprints=self.changes,
            restart=self.restart,
            run=self.run,
        )


def sync_documents(request: Request) -> SyncDocuments:
    """Return the command that carries a sync request."""
    return SyncDocuments(
        id=request.id,
        at=iso(request.at),
        who=request.who,
        by_person=request.by_person,
        tasks=request.tasks,
        changes=request.input_fingerprints,
        restart=request.restart,
        run=request.run,
    )


class RowRead(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag="row-read"):
    """A `read` command is completed: its row was requested, and the result is on the change topics (R5).

    `at` is the time of the re-read request and `event_id` its event, as in the command.
    """

    source: Source
    entity: str
    id: str | None
    at: str
    event_id: str | None

    def reread_request(self, entity_map: EntityMap | None) -> RereadRequest:
        """Return the re-read request that it completes. Raises `Rejected` for an invalid time."""
        return reread_request(
            self.source, self.entity, self.id, self.event_id, _time(self.at, "row-read: at"), entity_map
        )


Command = DeleteError | SyncDocuments | RowRead
"""The commands that the projecting worker applies. The topic has others, for other workers."""


def delete_error(deletion: Deletion) -> DeleteError:
    """Return the command that carries a deletion."""
    return DeleteError(
        id=deletion.id,
        at=iso(deletion.at),
        who=deletion.who,
        why=deletion.why,
        company=deletion.subject.company,
        process=deletion.subject.process,
        subject=deletion.subject.about,
        until=iso(deletion.until),
    )


class _Kind(msgspec.Struct):
    command: str


_kind: Final = msgspec.json.Decoder(_Kind).decode
_decode: Final = msgspec.json.Decoder(Command).decode
_APPLIED: Final = ("delete-error", "sync", "row-read")


def read(value: bytes | None) -> Command | None:
    """Decode the command of a log record; None if it is not for the projecting worker. Raises `Rejected`."""
    try:
        command = _decode(value or b"") if _kind(value or b"").command in _APPLIED else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(f"not a command: {error}") from None
    # NUL can only be escaped in JSON. A database that cannot store it would fail every retry of the batch.
    if command is not None and b"\\u0000" in (value or b"") and "\0" in _texts(msgspec.to_builtins(command)):
        raise Rejected("not a command: one of its texts holds the character NUL")
    return command


def _texts(value: Any) -> str:
    """Concatenate all texts within a value."""
    if isinstance(value, dict):
        return "".join(f"{_texts(name)}{_texts(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return "".join(map(_texts, value))
    return value if isinstance(value, str) else ""


def _time(text: str, name: str) -> int:
    at = parse_time(text)
    if at is None:
        raise Rejected(f"{name} is {text!r}, which is no time; write it as 2025-01-08T17:30:00Z")
    return at
