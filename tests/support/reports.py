"""Process messages of Finance as events, and the error log that follows from them."""

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
from tests.support.stores import MAPS, Event, apply, batch_of, memory_store

START = datetime(2025, 1, 6, 8, tzinfo=UTC)
"""Hour 0 of a test; other times are hours after it."""

POSTING = "integration-journal-posting"
IMPORT = "import-from-staging"

_numbers = count()


def at(hours: float) -> int:
    """Return a time of a test in microseconds since 1970."""
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
    """Return a process message; `stage` is started, message, finished or failed."""
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
    """Return an error message about a subject."""
    return report(hours, "message", run, subject=subject, text=text, **data)


def ran(start: float, end: float | None, run: str, *scope: str, process: str = POSTING, **data: Any) -> list[Event]:
    """Return the messages of a run over a scope; without an end the run died."""
    messages = [report(start, "started", run, scope=list(scope), process=process, **data)]
    return messages if end is None else [*messages, report(end, "finished", run, process=process, **data)]


def deleted(hours: float, until: float, subject: str = "J-1", process: str = POSTING, **more: Any) -> Deletion:
    """Return the deletion of a subject's errors up to a time by a person."""
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
    """Return the error log, at a time, of a store with these events."""
    engine = memory_store()
    batch = batch_of(events)
    batch.deletions += deletions
    apply(Writer(engine, MAPS), batch)
    with engine.connect() as connection:
        return list(entries(connection, ErrorQuery(history=history, **query), at(hours)))


def state_of(record: Outgoing) -> str | None:
    """Return the state in a record of the errors topic; None for a tombstone."""
    return None if record.value is None else str(msgspec.json.decode(record.value)["state"])


def states_on_topic(engine: Engine) -> dict[str, Any]:
    """Return the last value of each key on the errors topic."""
    table = tables.outbox.c
    with engine.connect() as connection:
        rows = connection.execute(select(table.key, table.value).where(table.topic == "errors").order_by(table.id))
        last = {row.key.decode(): row.value for row in rows}
    return {key: msgspec.json.decode(value) for key, value in last.items() if value is not None}


def states_in_store(engine: Engine, now: int) -> dict[str, Any]:
    """Return the state, at a time, of the most recent error of each subject, in the format of the topic."""
    states: dict[str, Any] = {}
    with engine.connect() as connection:
        # Newest first: the first entry of a subject is its most recent error.
        for entry in entries(connection, ErrorQuery(history=True, limit=1_000_000), now):
            states.setdefault(key_of(entry.message).decode(), msgspec.json.decode(value_of(entry)))
    return states
