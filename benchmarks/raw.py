"""The raw limit: the same log read, each event parsed and appended to a bare table, the place in the transaction.

Nothing is linked, decided or published, so nothing that keeps a ledger can be faster than this on the same machine.
"""

import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import Engine

from benchmarks.figures import Rate
from benchmarks.job import Job
from benchmarks.reading import batches
from store.database import connect
from streams.log import Batch, EventLog
from tieout.bootstrap import open_log
from tieout.settings import Settings

_TABLES: Final = (
    "CREATE TABLE events (place INTEGER PRIMARY KEY, id TEXT, entity TEXT, row TEXT, body BLOB)",
    "CREATE TABLE offsets (topic TEXT, partition INTEGER, next INTEGER, PRIMARY KEY (topic, partition))",
)


class _Data(msgspec.Struct, gc=False):
    entity: str = ""
    id: str = ""
    columns: dict[str, Any] = {}


class _Event(msgspec.Struct, gc=False):
    id: str
    type: str
    data: _Data
    time: str | None = None


_decode: Final = msgspec.json.Decoder(_Event).decode


def measure(job: Job) -> Rate:
    """Copy the log into the table, then see that all of it is there. The pragmas are those of the product's store."""
    file = job.place / "raw.sqlite"
    engine = connect(f"sqlite:///{file}", write=True)
    try:
        with open_log(job.settings, write=False) as log:
            started = time.monotonic()
            events = _copy(engine, log, job.settings)
            seconds = time.monotonic() - started
        _check(engine, events)
    finally:
        engine.dispose()
        file.unlink()
    return Rate(events, seconds)


def _copy(engine: Engine, log: EventLog, settings: Settings) -> int:
    with engine.begin() as connection:
        for table in _TABLES:
            connection.exec_driver_sql(table)
    events = 0
    for batch in batches(log, settings):
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "INSERT INTO events (id, entity, row, body) VALUES (?, ?, ?, ?)", list(_rows(batch))
            )
            place = (batch.topic, batch.partition, batch.next)
            connection.exec_driver_sql("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)", place)
        events += len(batch)
    return events


def _rows(batch: Batch) -> Iterator[tuple[str, str, str, bytes]]:
    for record in batch.records:
        value = record.value or b""
        event = _decode(value)
        yield event.id, event.data.entity, event.data.id, value


def _check(engine: Engine, events: int) -> None:
    with engine.connect() as connection:
        stored = connection.exec_driver_sql("SELECT count(*) FROM events").scalar_one()
        read = connection.exec_driver_sql("SELECT sum(next) FROM offsets").scalar_one()
    if not stored == read == events:
        raise RuntimeError(
            f"the raw limit is not one: {events} events were read, {stored} rows and {read} places are stored"
        )
