"""What Finance's processes report, as events; and the error log that comes of it."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import msgspec
from sqlalchemy import Engine, select

from engine.errorlog.lifecycle import Deletion, Subject
from engine.events.facts import microseconds
from store.errorlog.error_log import ErrorEntry, ErrorQuery, entries
from store.errorlog.error_states import key_of, value_of
from store.projection.outgoing import Outgoing
from store.projection.writer import Writer
from store.schema import tables
from tests.support.stores import MAPS, Event, batch_of, memory_store

START = datetime(2025, 1, 6, 8, tzinfo=UTC)
"""The moment 0 of a story; later ones are hours after it."""

POSTING = "integration-journal-posting"
IMPORT = "import-from-staging"

_numbers = count()


def at(hours: float) -> int:
    """A moment of a story in microseconds since 1970."""
    return microseconds(START + timedelta(hours=hours))


def report(
    hours: float,
    stage: str,
    run: str,
    *,
    process: str = POSTING,
    company: str | None = "USPM",
    event: str | None = None,
    **data: Any,
) -> Event:
    """What a run of a process reported: `stage` is started, message, finished or failed."""
    return {
        "topic": "finance.changes",
        "value": {
            "specversion": "1.0",
            "id": event or f"report-{next(_numbers)}",
            "source": "/finance/contoso",
            "type": f"tieout.process.{stage}",
            "time": (START + timedelta(hours=hours)).isoformat(),
            "data": {"process": process, "run": run, "company": company, **data},
        },
    }


def failed(hours: float, subject: str | None = "J-1", run: str = "r1", text: str = "It failed.", **data: Any) -> Event:
    """An error about a subject."""
    return report(hours, "message", run, subject=subject, text=text, **data)


def ran(start: float, end: float | None, run: str, *scope: str, process: str = POSTING, **data: Any) -> list[Event]:
    """A run over a scope, without an end when it died."""
    told = [report(start, "started", run, scope=list(scope), process=process, **data)]
    return told if end is None else [*told, report(end, "finished", run, process=process, **data)]


def deleted(hours: float, until: float, subject: str = "J-1", process: str = POSTING, **more: Any) -> Deletion:
    """A person deletes the errors of a subject up to a moment."""
    return Deletion(
        id=f"deletion-{next(_numbers)}",
        at=at(hours),
        who="ann",
        why="posted by hand",
        subject=Subject(more.get("company", "USPM"), process, subject),
        until=at(until),
    )


def log_of(
    events: Iterable[Event],
    hours: float,
    *,
    deletions: Iterable[Deletion] = (),
    history: bool = False,
    **query: Any,
) -> list[ErrorEntry]:
    """The error log, at a moment, of a store that was given these events."""
    engine = memory_store()
    batch = batch_of(events)
    batch.deletions += deletions
    Writer(engine, MAPS).apply(batch)
    with engine.connect() as connection:
        return list(entries(connection, ErrorQuery(history=history, **query), at(hours)))


def state_of(record: Outgoing) -> str | None:
    """The state that a record of the errors topic tells; None for a tombstone."""
    return None if record.value is None else str(msgspec.json.decode(record.value)["state"])


def states_on_topic(engine: Engine) -> dict[str, Any]:
    """What the last record of each key on the errors topic says, by the key."""
    table = tables.outbox.c
    with engine.connect() as connection:
        rows = connection.execute(select(table.key, table.value).where(table.topic == "errors").order_by(table.id))
        last = {row.key.decode(): row.value for row in rows}
    return {key: msgspec.json.decode(value) for key, value in last.items() if value is not None}


def states_in_store(engine: Engine, now: int) -> dict[str, Any]:
    """What the error log says at a moment of the most recent error of each subject, as on the topic."""
    found: dict[str, Any] = {}
    with engine.connect() as connection:
        # Newest first, so the first of a subject is the one.
        for entry in entries(connection, ErrorQuery(history=True, limit=1_000_000), now):
            found.setdefault(key_of(entry.message).decode(), msgspec.json.decode(value_of(entry)))
    return found
