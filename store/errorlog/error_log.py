"""The error log of Finance's processes: what is asked of it (R50, R52-R55).

The tables hold what was said and what was deleted, nothing that follows from it: where an error stands is decided when
somebody asks (`engine.errorlog.lifecycle`).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, case, func, select, tuple_

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
from engine.events.facts import ProcessMessage, iso, microseconds
from engine.serialization import error_json, state_json
from store.schema import tables
from store.schema.bulk_sql import chunks

AT_ONCE: Final = 500
"""How many subjects are looked at before it is known whether more are needed."""

_SCANNED: Final = 10_000
_said: Final = tables.process_messages.c
_IS_ERROR: Final = _said.code.is_not(None)
_decode: Final = msgspec.msgpack.Decoder(ProcessMessage).decode


class ErrorQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which errors: dates are days in UTC, both included; the other conditions are exact.

    Those that are current, or with `history` every error that is kept.
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
    """An error and where it stands; how often its subject failed, first and last (microseconds since 1970 UTC)."""

    message: ProcessMessage
    status: ErrorStatus
    count: int
    first_seen: int
    last_seen: int
    advice: str | None = None
    """What the ledger calendar adds to the resolution."""

    @property
    def current(self) -> bool:
        return self.status.state == "current"

    def as_json(self) -> dict[str, Any]:
        """For programs: the error as on its topic, and its standing."""
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
    """The most recent errors as they stand at `now`, newest first."""
    found = _all(connection, query) if query.history else _newest(connection, query)
    left = query.limit
    for some in chunks(found, AT_ONCE):
        for entry in with_status(connection, some, now):
            if left and (query.history or entry.current):
                left -= 1
                yield entry
        if not left:
            return


# --- which errors ----------------------------------------------------------------------------------------------------


def _conditions(query: ErrorQuery) -> list[ColumnElement[bool]]:
    """What is the same of all errors of a subject."""
    found: list[ColumnElement[bool]] = [_IS_ERROR]
    if query.company is not None:
        found.append(_said.company == query.company.upper())
    if query.process is not None:
        found.append(_said.process == query.process)
    if query.subject is not None:
        found.append(_said.subject == query.subject)
    return found


def _within(query: ErrorQuery, at: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.start is not None:
        found.append(at >= _midnight(query.start))
    if query.end is not None:
        found.append(at < _midnight(query.end) + 86_400 * 1_000_000)
    return found


def _all(connection: Connection, query: ErrorQuery) -> Iterator[ProcessMessage]:
    where = [*_conditions(query), *_within(query, _said.at)]
    if query.code is not None:
        where.append(_said.code == query.code)
    newest_first = (_said.at.desc(), _said.source.desc(), _said.event.desc())
    rows = connection.execute(select(_said.body).where(*where).order_by(*newest_first).limit(query.limit))
    return (_decode(row.body) for row in rows)


def _newest(connection: Connection, query: ErrorQuery) -> Iterator[ProcessMessage]:
    """The most recent error of each subject; only that one can be current."""
    last = func.max(_said.at)
    subjects = connection.execute(
        select(_said.about, last.label("last"))
        .where(*_conditions(query))
        .group_by(_said.about)
        .having(*_within(query, last))
        .order_by(last.desc(), _said.about)
    )
    for some in chunks(((row.about, row.last) for row in subjects), AT_ONCE):
        newest = _newest_of(connection, some)
        for about, _ in some:
            if query.code is None or recognise(newest[about].text or "").code == query.code:
                yield newest[about]


def _newest_of(connection: Connection, subjects: Sequence[tuple[str, int]]) -> dict[str, ProcessMessage]:
    rows = connection.execute(
        select(_said.about, _said.body).where(_IS_ERROR, tuple_(_said.about, _said.at).in_(subjects))
    )
    found: dict[str, ProcessMessage] = {}
    for row in rows:
        message = _decode(row.body)
        if row.about not in found or recency(found[row.about]) < recency(message):
            found[row.about] = message
    return found


# --- where they stand ------------------------------------------------------------------------------------------------


def with_status(connection: Connection, errors: Sequence[ProcessMessage], now: int) -> Iterator[ErrorEntry]:
    """These errors as they stand at `now`."""
    subjects = [subject_of(error).key for error in errors]
    seen = _occurrences(connection, set(subjects))
    newest = _newest_of(connection, [(about, last) for about, (_, _, last) in seen.items()])
    deleted = deletions(connection, seen)
    runs = _Runs(connection, errors)
    for error, about in zip(errors, subjects, strict=True):
        found = error_status(error, newest[about], runs.after(error), deleted[about], now)
        yield ErrorEntry(error, found, *seen[about])


def newest_of(connection: Connection, subjects: Iterable[str]) -> dict[str, ProcessMessage]:
    """The most recent error of each of these subjects that has any, by the subject's key."""
    return _newest_of(connection, [(about, last) for about, (_, _, last) in _occurrences(connection, subjects).items()])


def _occurrences(connection: Connection, subjects: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """How often errors of these subjects were reported, first and last."""
    rows = connection.execute(
        select(_said.about, func.count().label("number"), func.min(_said.at), func.max(_said.at))
        .where(_IS_ERROR, _said.about.in_(list(subjects)))
        .group_by(_said.about)
    )
    return {about: (number, first, last) for about, number, first, last in rows}


def deletions(connection: Connection, subjects: Iterable[str]) -> defaultdict[str, list[Deletion]]:
    """What was deleted of these subjects."""
    found: defaultdict[str, list[Deletion]] = defaultdict(list)
    table = tables.deletions.c
    for row in connection.execute(select(tables.deletions).where(table.about.in_(list(subjects)))):
        subject = Subject(row.company, row.process, row.subject)
        deletion = Deletion(id=row.id, at=row.at, who=row.who, why=row.why, subject=subject, until=row.until)
        found[row.about].append(deletion)
    return found


class _Runs:
    """The runs that started after the oldest of some errors, by what they may have taken up."""

    def __init__(self, connection: Connection, errors: Iterable[ProcessMessage]) -> None:
        oldest: dict[tuple[str | None, str], int] = {}
        for error in errors:
            group = error.company, error.process
            oldest[group] = min(oldest.get(group, error.evidence.at), error.evidence.at)
        self._runs = {group: runs(connection, *group, after) for group, after in oldest.items()}

    def after(self, error: ProcessMessage) -> Iterator[Run]:
        for run in self._runs[error.company, error.process]:
            if run.started <= error.evidence.at:
                return
            yield run


def runs(connection: Connection, company: str | None, process: str, after: int) -> list[Run]:
    """The runs of a process in a company that started after a moment, newest first."""
    starts = (_of(company, process), _said.stage == "started", _said.at > after)
    names = select(_said.run).where(*starts)
    said = connection.execute(
        select(_said.run, func.max(_said.at), func.max(case((_said.stage.in_(("finished", "failed")), 1), else_=0)))
        # One that names no company belongs to the run of its name.
        .where(_said.process == process, _of(company, process) | _said.company.is_(None), _said.run.in_(names))
        .group_by(_said.run)
    )
    heard = {run: (last, bool(ended)) for run, last, ended in said}
    rows = connection.execute(select(_said.run, _said.at, _said.body).where(*starts).order_by(_said.at.desc()))
    return [Run(company, process, row.run, _decode(row.body).scope, row.at, *heard[row.run]) for row in rows]


def _of(company: str | None, process: str) -> ColumnElement[bool]:
    own = _said.company == company if company is not None else _said.company.is_(None)
    return own & (_said.process == process)


def history(connection: Connection, company: str | None, process: str, subject: str) -> list[ProcessMessage]:
    """Every error of a subject, newest first, and the runs of its process that took it up."""
    rows = connection.execute(
        select(_said.body).where(_of(company, process)).order_by(_said.at.desc(), _said.event).limit(_SCANNED)
    )
    return [
        message
        for message in (_decode(row.body) for row in rows)
        if (message.text and subject_of(message).about == subject)
        or message.subject == subject
        or subject in message.scope
    ]


def known_events(connection: Connection, source: str, events: Collection[str]) -> set[str]:
    """Those of a source's events that the log holds."""
    found: set[str] = set()
    for some in chunks(sorted(events), AT_ONCE):
        rows = connection.execute(select(_said.event).where(_said.source == source, _said.event.in_(some)))
        found.update(rows.scalars())
    return found


# --- purging ---------------------------------------------------------------------------------------------------------

TimeKey = tuple[int, str, str]
"""Where a message stands in the order of time: (time, source, event)."""

FIRST: Final[TimeKey] = (-(2**63), "", "")


def purgeable(
    connection: Connection, before: int, after: TimeKey, limit: int
) -> tuple[list[tuple[str, str]], TimeKey | None]:
    """Of the next `limit` messages after a place, those before a time that nothing depends on any more: their keys, and
    the place to go on at, None at the end.

    An error goes when it is history for good. A run goes, start, end and all, when a later one has taken up all that it
    did: until then it says why errors are history.
    """
    place = tuple_(_said.at, _said.source, _said.event)
    rows = connection.execute(
        select(_said.at, _said.source, _said.event, _said.body)
        .where(_said.at < before, _said.at >= after[0], place > after)
        .order_by(_said.at, _said.source, _said.event)
        .limit(limit)
    ).all()
    messages = [_decode(row.body) for row in rows]
    runs = _Runs(connection, messages)
    gone = [_key(message) for message in _over(connection, messages, runs) if message.stage == "message"]
    for start in messages:
        if start.stage == "started" and is_superseded(begun(start), list(runs.after(start))):
            gone += _whole_run(connection, start, before, runs)
    last = rows[-1] if len(rows) == limit else None
    return gone, None if last is None else (last.at, last.source, last.event)


def every_purgeable(connection: Connection, before: int) -> set[tuple[str, str]]:
    """The keys of all messages that purging up to a time deletes."""
    found: set[tuple[str, str]] = set()
    after: TimeKey | None = FIRST
    while after is not None:
        some, after = purgeable(connection, before, after, _SCANNED)
        found.update(some)
    return found


def _over(connection: Connection, messages: Iterable[ProcessMessage], runs: "_Runs") -> list[ProcessMessage]:
    """The errors among these messages that are history for good."""
    errors = {message: subject_of(message).key for message in messages if message.text}
    seen = _occurrences(connection, set(errors.values()))
    newest = newest_of(connection, seen)
    deleted = deletions(connection, seen)
    return [
        error
        for error, about in errors.items()
        if is_permanent_history(error, newest[about], runs.after(error), deleted[about])
    ]


def begun(start: ProcessMessage) -> Run:
    """A run of which no more than its start matters."""
    at = start.evidence.at
    return Run(start.company, start.process, start.run, start.scope, at, at, ended=False)


def _whole_run(connection: Connection, start: ProcessMessage, before: int, runs: "_Runs") -> Iterator[tuple[str, str]]:
    """The keys of a run's start and end, and of what it said without a text; none while a part of it must stay."""
    rows = connection.execute(
        select(_said.body).where(
            _of(start.company, start.process), _said.run == start.run, ~(_IS_ERROR & (_said.stage == "message"))
        )
    )
    said = [_decode(row.body) for row in rows]
    if max(message.evidence.at for message in said) >= before:
        return
    if len(_over(connection, said, runs)) == sum(1 for message in said if message.text):
        yield from map(_key, said)


def _key(message: ProcessMessage) -> tuple[str, str]:
    return message.evidence.source, message.evidence.event


def _midnight(day: str) -> int:
    return microseconds(datetime.fromisoformat(day).replace(tzinfo=UTC))
