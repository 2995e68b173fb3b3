"""The error log of Finance's processes (R50-R54): the most recent error of each subject, and its history.

Nothing is deleted here. The start of a later run of the same process over the same scope moves an error to history,
unless that run never ended; so a run that succeeds leaves no current error, and one that fails leaves its own.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, select

from engine.changes import ProcessMessage, microseconds
from store import tables

INTERRUPTED_AFTER: Final = 24 * 3600 * 1_000_000
"""A run without an end counts as interrupted after this long, in microseconds (R54)."""

_SCANNED: Final = 10_000
_decode: Final = msgspec.msgpack.Decoder(ProcessMessage).decode


class ErrorQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which errors: dates are days in UTC, both included; the other conditions are exact."""

    company: str | None = None
    start: str | None = None
    end: str | None = None
    code: str | None = None
    process: str | None = None
    limit: int = 100


class ErrorEntry(msgspec.Struct, frozen=True):
    """The most recent error of a subject.

    `count` errors were reported of it since `first_seen` (microseconds since 1970). `current` is False once a later
    run of the process took up its scope; `interrupted` when that run never ended, so that the error holds again.
    """

    message: ProcessMessage
    count: int
    first_seen: int
    current: bool
    interrupted: bool


def messages(connection: Connection, query: ErrorQuery) -> list[ProcessMessage]:
    """The most recent errors, newest first."""
    return [_decode(row.body) for row in connection.execute(_asked(query).limit(query.limit))]


def _asked(query: ErrorQuery) -> Select[Any]:
    table = tables.process_messages.c
    statement = select(table.body).where(table.code.is_not(None))
    if query.company is not None:
        statement = statement.where(table.company == query.company.upper())
    if query.start is not None:
        statement = statement.where(table.at >= _midnight(query.start))
    if query.end is not None:
        statement = statement.where(table.at < _midnight(query.end) + 86_400 * 1_000_000)
    if query.code is not None:
        statement = statement.where(table.code == query.code)
    if query.process is not None:
        statement = statement.where(table.process == query.process)
    return statement.order_by(table.at.desc(), table.source, table.event)


def entries(connection: Connection, query: ErrorQuery) -> list[ErrorEntry]:
    """The most recent error of each subject, newest first."""
    newest: dict[tuple[str | None, str, str], list[ProcessMessage]] = {}
    for row in connection.execute(_asked(query).limit(_SCANNED)):
        message = _decode(row.body)
        newest.setdefault(_subject(message), []).append(message)
    found = list(newest.values())[: query.limit]
    runs = _runs(connection, found)
    return [_entry(reported, runs) for reported in found]


def _subject(message: ProcessMessage) -> tuple[str | None, str, str]:
    """What an error is about; a message that names nothing is about its own text."""
    return message.company, message.process, message.subject or message.text or ""


def _runs(connection: Connection, found: Sequence[Sequence[ProcessMessage]]) -> list[ProcessMessage]:
    """Starts and ends of runs since the oldest of the errors."""
    if not found:
        return []
    table = tables.process_messages.c
    oldest = min(reported[0].evidence.at for reported in found)
    rows = connection.execute(select(table.body).where(table.at >= oldest, table.stage != "message").order_by(table.at))
    return [_decode(row.body) for row in rows]


def _entry(reported: Sequence[ProcessMessage], runs: Iterable[ProcessMessage]) -> ErrorEntry:
    newest = reported[0]
    current, interrupted = True, False
    last = max((run.evidence.at for run in runs), default=0)
    for start in runs:
        if start.stage != "started" or start.evidence.at <= newest.evidence.at or start.run == newest.run:
            continue
        if not _takes_up(start, newest):
            continue
        ended = any(run.run == start.run and run.stage != "started" for run in runs)
        interrupted = not ended and last - start.evidence.at > INTERRUPTED_AFTER
        current = interrupted
    return ErrorEntry(newest, len(reported), reported[-1].evidence.at, current, interrupted)


def _takes_up(start: ProcessMessage, message: ProcessMessage) -> bool:
    """Whether a run works on what a message is about: the whole company, or the subjects of its scope."""
    if start.process != message.process or start.company != message.company:
        return False
    return start.process == "import-from-staging" or not start.scope or message.subject in start.scope


def history(connection: Connection, company: str | None, process: str, subject: str) -> list[ProcessMessage]:
    """Every error of a subject, newest first, and the runs of its process that took it up."""
    table = tables.process_messages.c
    where = [table.process == process, table.company == company if company else table.company.is_(None)]
    rows = connection.execute(select(table.body).where(*where).order_by(table.at.desc(), table.event).limit(_SCANNED))
    said = [_decode(row.body) for row in rows]
    return [
        message
        for message in said
        if (message.text is not None and _subject(message)[2] == subject)
        or message.subject == subject
        or subject in message.scope
    ]


def _midnight(day: str) -> int:
    return microseconds(datetime.fromisoformat(day).replace(tzinfo=UTC))
