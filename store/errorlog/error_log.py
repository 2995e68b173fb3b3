"""Queries and purging of the error log of Finance's processes (R50, R52-R55).

The tables store messages and deletions only. The status of an error is derived on reading
(`engine.errorlog.lifecycle`).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, case, func, select, tuple_

from engine.calendar import midnight
from engine.errorlog.known_messages import recognise
from engine.errorlog.lifecycle import (
    Deletion,
    ErrorStatus,
    Run,
    Subject,
    error_status,
    is_permanent_history,
    is_superseded,
    recency,
    subject_of,
)
from engine.events.facts import ProcessMessage, iso
from engine.serialization import error_json, state_json
from store.schema import tables
from store.schema.bulk_sql import chunks

AT_ONCE: Final = 500
"""Number of subjects per chunk, before it is known whether more are needed."""

_SCANNED: Final = 10_000
_messages: Final = tables.process_messages.c
_IS_ERROR: Final = _messages.code.is_not(None)
_decode: Final = msgspec.msgpack.Decoder(ProcessMessage).decode


class ErrorQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filter on errors. Dates are days in UTC, inclusive; the other conditions are exact.

    Selects current errors, or with `history` every stored error.
    """

    company: str | None = None
    start: str | None = None
    end: str | None = None
    code: str | None = None
    process: str | None = None
    subject: str | None = None
    history: bool = False
    limit: int = 100


class ErrorEntry(msgspec.Struct, frozen=True):
    """An error with its status, and the number, first and last time of the errors of its subject (microseconds since
    1970 UTC).
    """

    message: ProcessMessage
    status: ErrorStatus
    count: int
    first_seen: int
    last_seen: int
    advice: str | None = None
    """Addition of the ledger calendar to the resolution."""

    @property
    def current(self) -> bool:
        """True if the error is current."""
        return self.status.state == "current"

    def as_json(self) -> dict[str, Any]:
        """Return the JSON for programs: the error as on its topic, and its status."""
        return {
            **error_json(self.message),
            "advice": self.advice,
            "standing": self.status.state,
            "count": self.count,
            "first_seen": iso(self.first_seen),
            "last_seen": iso(self.last_seen),
            **state_json(self.status),
        }


def entries(connection: Connection, query: ErrorQuery, now: int) -> Iterator[ErrorEntry]:
    """Yield the most recent errors with their status at `now`, newest first."""
    messages = _all(connection, query) if query.history else _newest(connection, query)
    remaining = query.limit
    for chunk in chunks(messages, AT_ONCE):
        for entry in with_status(connection, chunk, now):
            if remaining and (query.history or entry.current):
                remaining -= 1
                yield entry
        if not remaining:
            return


def current_of(connection: Connection, subjects: Iterable[Subject], now: int) -> list[ErrorEntry]:
    """Return the current errors of these subjects, newest first."""
    keys = (subject.key for subject in subjects)
    found = [error for chunk in chunks(keys, AT_ONCE) for error in newest_of(connection, chunk).values()]
    current = [entry for entry in with_status(connection, found, now) if entry.current] if found else []
    return sorted(current, key=lambda entry: recency(entry.message), reverse=True)


# --- which errors ----------------------------------------------------------------------------------------------------


def _conditions(query: ErrorQuery) -> list[ColumnElement[bool]]:
    """Return the conditions that all errors of a subject share."""
    conditions: list[ColumnElement[bool]] = [_IS_ERROR]
    if query.company is not None:
        conditions.append(_messages.company == query.company.upper())
    if query.process is not None:
        conditions.append(_messages.process == query.process)
    if query.subject is not None:
        conditions.append(_messages.subject == query.subject)
    return conditions


def _within(query: ErrorQuery, at: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.start is not None:
        conditions.append(at >= midnight(date.fromisoformat(query.start)))
    if query.end is not None:
        conditions.append(at < midnight(date.fromisoformat(query.end)) + 86_400 * 1_000_000)
    return conditions


def _all(connection: Connection, query: ErrorQuery) -> Iterator[ProcessMessage]:
    where = [*_conditions(query), *_within(query, _messages.at)]
    if query.code is not None:
        where.append(_messages.code == query.code)
    newest_first = (_messages.at.desc(), _messages.source.desc(), _messages.event.desc())
    rows = connection.execute(select(_messages.body).where(*where).order_by(*newest_first).limit(query.limit))
    return (_decode(row.body) for row in rows)


def _newest(connection: Connection, query: ErrorQuery) -> Iterator[ProcessMessage]:
    """Yield the most recent error of each subject, the only one that can be current."""
    last = func.max(_messages.at)
    subjects = connection.execute(
        select(_messages.about, last.label("last"))
        .where(*_conditions(query))
        .group_by(_messages.about)
        .having(*_within(query, last))
        .order_by(last.desc(), _messages.about)
    )
    for chunk in chunks(((row.about, row.last) for row in subjects), AT_ONCE):
        newest = _newest_of(connection, chunk)
        for about, _ in chunk:
            if query.code is None or recognise(newest[about].text or "").code == query.code:
                yield newest[about]


def _newest_of(connection: Connection, subjects: Sequence[tuple[str, int]]) -> dict[str, ProcessMessage]:
    rows = connection.execute(
        select(_messages.about, _messages.body).where(_IS_ERROR, tuple_(_messages.about, _messages.at).in_(subjects))
    )
    found: dict[str, ProcessMessage] = {}
    for row in rows:
        message = _decode(row.body)
        if row.about not in found or recency(found[row.about]) < recency(message):
            found[row.about] = message
    return found


# --- status ------------------------------------------------------------------------------------------------


def with_status(connection: Connection, errors: Sequence[ProcessMessage], now: int) -> Iterator[ErrorEntry]:
    """Yield these errors with their status at `now`."""
    subjects = [subject_of(error).key for error in errors]
    occurrences = _occurrences(connection, set(subjects))
    newest = _newest_of(connection, [(about, last) for about, (_, _, last) in occurrences.items()])
    deleted = deletions(connection, occurrences)
    runs = _Runs(connection, errors)
    for error, about in zip(errors, subjects, strict=True):
        status = error_status(error, newest[about], runs.after(error), deleted[about], now)
        yield ErrorEntry(error, status, *occurrences[about])


def newest_of(connection: Connection, subjects: Iterable[str]) -> dict[str, ProcessMessage]:
    """Return the most recent error of each of these subjects, by key of the subject."""
    return _newest_of(connection, [(about, last) for about, (_, _, last) in _occurrences(connection, subjects).items()])


def _occurrences(connection: Connection, subjects: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """Return number, first and last time of the errors of these subjects."""
    rows = connection.execute(
        select(_messages.about, func.count().label("number"), func.min(_messages.at), func.max(_messages.at))
        .where(_IS_ERROR, _messages.about.in_(list(subjects)))
        .group_by(_messages.about)
    )
    return {about: (number, first, last) for about, number, first, last in rows}


def deletions(connection: Connection, subjects: Iterable[str]) -> defaultdict[str, list[Deletion]]:
    """Return the deletions of these subjects."""
    found: defaultdict[str, list[Deletion]] = defaultdict(list)
    table = tables.deletions.c
    for row in connection.execute(select(tables.deletions).where(table.about.in_(list(subjects)))):
        subject = Subject(row.company, row.process, row.subject)
        deletion = Deletion(id=row.id, at=row.at, who=row.who, why=row.why, subject=subject, until=row.until)
        found[row.about].append(deletion)
    return found


class _Runs:
    """Runs that started after the oldest of some errors, by company and process."""

    def __init__(self, connection: Connection, errors: Iterable[ProcessMessage]) -> None:
        oldest: dict[tuple[str | None, str], int] = {}
        for error in errors:
            group = error.company, error.process
            oldest[group] = min(oldest.get(group, error.evidence.at), error.evidence.at)
        self._runs = {group: runs(connection, *group, after) for group, after in oldest.items()}

    def after(self, error: ProcessMessage) -> Iterator[Run]:
        """Yield the runs that started after an error, newest first."""
        for run in self._runs[error.company, error.process]:
            if run.started <= error.evidence.at:
                return
            yield run


def runs(connection: Connection, company: str | None, process: str, after: int) -> list[Run]:
    """Return the runs of a process in a company that started after a time, newest first."""
    starts = (_of(company, process), _messages.stage == "started", _messages.at > after)
    names = select(_messages.run).where(*starts)
    ends = connection.execute(
        select(
            _messages.run,
            func.max(_messages.at),
            func.max(case((_messages.stage.in_(("finished", "failed")), 1), else_=0)),
        )
        # A message without a company belongs to the run of the same name.
        .where(
            _messages.process == process, _of(company, process) | _messages.company.is_(None), _messages.run.in_(names)
        )
        .group_by(_messages.run)
    )
    last_heard = {run: (last, bool(ended)) for run, last, ended in ends}
    rows = connection.execute(
        select(_messages.run, _messages.at, _messages.body).where(*starts).order_by(_messages.at.desc())
    )
    return [Run(company, process, row.run, _decode(row.body).scope, row.at, *last_heard[row.run]) for row in rows]


def _of(company: str | None, process: str) -> ColumnElement[bool]:
    own = _messages.company == company if company is not None else _messages.company.is_(None)
    return own & (_messages.process == process)


def history(connection: Connection, company: str | None, process: str, subject: str) -> list[ProcessMessage]:
    """Return every error of a subject, newest first, and the runs of its process that took it up."""
    rows = connection.execute(
        select(_messages.body)
        .where(_of(company, process))
        .order_by(_messages.at.desc(), _messages.event)
        .limit(_SCANNED)
    )
    return [
        message
        for message in (_decode(row.body) for row in rows)
        if (message.text and subject_of(message).about == subject)
        or message.subject == subject
        or subject in message.scope
    ]


def known_events(connection: Connection, source: str, events: Collection[str]) -> set[str]:
    """Return those of a source's events that are in the log."""
    found: set[str] = set()
    for chunk in chunks(sorted(events), AT_ONCE):
        rows = connection.execute(select(_messages.event).where(_messages.source == source, _messages.event.in_(chunk)))
        found.update(rows.scalars())
    return found


# --- purging ---------------------------------------------------------------------------------------------------------

TimeKey = tuple[int, str, str]
"""Key of a message in chronological order: (time, source, event)."""

FIRST: Final[TimeKey] = (-(2**63), "", "")


def purgeable(
    connection: Connection, before: int, after: TimeKey, limit: int
) -> tuple[list[tuple[str, str]], TimeKey | None]:
    """Return the keys of purgeable messages among the next `limit` messages after a key and before a time, and the key
    to continue at (None at the end).

    An error is purgeable once it is permanently history. A run, with all its messages, is purgeable once a later run
    has taken up everything it did: until then it is the reason why errors are history.
    """
    time_key = tuple_(_messages.at, _messages.source, _messages.event)
    rows = connection.execute(
        select(_messages.at, _messages.source, _messages.event, _messages.body)
        .where(_messages.at < before, _messages.at >= after[0], time_key > after)
        .order_by(_messages.at, _messages.source, _messages.event)
        .limit(limit)
    ).all()
    messages = [_decode(row.body) for row in rows]
    runs = _Runs(connection, messages)
    purgeable_keys = [
        _key(message) for message in _permanent_history(connection, messages, runs) if message.stage == "message"
    ]
    for start in messages:
        if start.stage == "started" and is_superseded(begun(start), list(runs.after(start))):
            purgeable_keys += _whole_run(connection, start, before, runs)
    last = rows[-1] if len(rows) == limit else None
    return purgeable_keys, None if last is None else (last.at, last.source, last.event)


def every_purgeable(connection: Connection, before: int) -> set[tuple[str, str]]:
    """Return the keys of all messages that purging up to a time deletes."""
    found: set[tuple[str, str]] = set()
    after: TimeKey | None = FIRST
    while after is not None:
        keys, after = purgeable(connection, before, after, _SCANNED)
        found.update(keys)
    return found


def _permanent_history(
    connection: Connection, messages: Iterable[ProcessMessage], runs: "_Runs"
) -> list[ProcessMessage]:
    """Return the errors among these messages that are permanently history."""
    errors = {message: subject_of(message).key for message in messages if message.text}
    occurrences = _occurrences(connection, set(errors.values()))
    newest = newest_of(connection, occurrences)
    deleted = deletions(connection, occurrences)
    return [
        error
        for error, about in errors.items()
        if is_permanent_history(error, newest[about], runs.after(error), deleted[about])
    ]


def begun(start: ProcessMessage) -> Run:
    """Return the run of a start message, without its end."""
    at = start.evidence.at
    return Run(start.company, start.process, start.run, start.scope, at, at, ended=False)


def _whole_run(connection: Connection, start: ProcessMessage, before: int, runs: "_Runs") -> Iterator[tuple[str, str]]:
    """Yield the keys of the start and end of a run and of its messages without text; none while part of the run must
    stay.
    """
    rows = connection.execute(
        select(_messages.body).where(
            _of(start.company, start.process), _messages.run == start.run, ~(_IS_ERROR & (_messages.stage == "message"))
        )
    )
    messages = [_decode(row.body) for row in rows]
    if max(message.evidence.at for message in messages) >= before:
        return
    if len(_permanent_history(connection, messages, runs)) == sum(1 for message in messages if message.text):
        yield from map(_key, messages)


def _key(message: ProcessMessage) -> tuple[str, str]:
    return message.evidence.source, message.evidence.event
