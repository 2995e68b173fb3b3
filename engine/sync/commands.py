"""What people ask for, as it stands on the commands topic.

A command is an event like any other: it is kept on its topic, comes at least once, in any order, and what it does
follows from the set of them. To add one: a struct with its own tag in `Command`, and what applies it in the worker.
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
    """Take the errors of a subject off the current list, up to the one of the time `until`.

    `at` is when `who` asked for it. A subject that the process did not name is the error's own text.
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
        """What it does. Raises `Rejected` for what cannot be meant."""
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
        """The sync that it asks for beside: deleting what is logged of a general journal begins a new round of
        attempts for it, as pressing Sync does (R62). Raises as `deletion`.
        """
        if self.process != general_journals.PROCESS or self.company is None:
            return None
        if (number := general_journals.number_in(self.subject)) is None:
            return None
        tasks = (general_journals.task_of(self.company, number),)
        at = _time(self.at, "delete-error: at")
        return Request(id=self.id, at=at, who=self.who, by_person=True, tasks=tasks, changes={})


class SyncDocuments(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag="sync"):
    """Do these calls for these documents (R40): `who` asks for it at `at`, a person or the recurring job.

    `changes`, `restart` and `run` are those of `engine.sync.attempts.Request`.
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
        """What is asked for. Raises `Rejected` for what cannot be meant."""
        if not (self.id and self.who.strip()):
            raise Rejected("sync: a sync says its id and who asks for it")
        return Request(
            id=self.id,
            at=_time(self.at, "sync: at"),
            who=self.who,
            by_person=self.by_person,
            tasks=self.tasks,
            changes=self.changes,
            restart=self.restart,
            run=self.run,
        )


def sync_documents(request: Request) -> SyncDocuments:
    """The command that asks for a sync."""
    return SyncDocuments(
        id=request.id,
        at=iso(request.at),
        who=request.who,
        by_person=request.by_person,
        tasks=request.tasks,
        changes=request.changes,
        restart=request.restart,
        run=request.run,
    )


class RowRead(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag="row-read"):
    """A command `read` was answered: its row was asked for, and what there was of it is on the change topics (R5).

    `at` is the time of the notice, `event_id` its event, as the command said them.
    """

    source: Source
    entity: str
    id: str | None
    at: str
    event_id: str | None

    def reread_request(self, entity_map: EntityMap | None) -> RereadRequest:
        """The notice that it answers. Raises `Rejected` for a time that is none."""
        return reread_request(
            self.source, self.entity, self.id, self.event_id, _time(self.at, "row-read: at"), entity_map
        )


Command = DeleteError | SyncDocuments | RowRead
"""Those that the projecting worker applies. Others on the topic are for others."""


def delete_error(deletion: Deletion) -> DeleteError:
    """The command that asks for a deletion."""
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
    """The command in a record; None when it is not for the projecting worker. Raises `Rejected`."""
    try:
        command = _decode(value or b"") if _kind(value or b"").command in _APPLIED else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(f"not a command: {error}") from None
    # Only so can JSON write it; a database that cannot keep it would refuse the batch again and again.
    if command is not None and b"\\u0000" in (value or b"") and "\0" in _texts(msgspec.to_builtins(command)):
        raise Rejected("not a command: one of its texts holds the character NUL")
    return command


def _texts(value: Any) -> str:
    """All texts within a value, one after the other."""
    if isinstance(value, dict):
        return "".join(f"{_texts(name)}{_texts(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return "".join(map(_texts, value))
    return value if isinstance(value, str) else ""


def _time(text: str, name: str) -> int:
    at = parse_time(text)
    if at is None:
        raise Rejected(f"{name} is {text!r}, which is no time; write it as 2025-01-08T17:30:00Z")
    return at
