"""The raw limit: read the same log, parse each event and append it to a bare table, offsets in the same transaction.

Nothing is linked, evaluated or published, so no ledger can be faster on the same machine.
"""

import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Column, Engine, Integer, LargeBinary, MetaData, Table, Text, func, select

from benchmarks.figures import Rate
from benchmarks.job import Job
from benchmarks.reading import batches
from store.schema.bulk_sql import insert, upsert
from store.schema.database import connect
from streams.log import Batch, EventLog
from tieout.bootstrap import open_log
from tieout.settings import Settings

_metadata: Final = MetaData(schema=None)
_events: Final = Table(
    "raw_events",
    _metadata,
    Column("id", Text),
    Column("entity", Text),
    Column("row", Text),
    Column("body", LargeBinary),
)
_offsets: Final = Table(
    "raw_offsets",
    _metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next", BigInteger),
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
    """Copy the log into the table, and check that it is complete. SQLite has the pragmas of the product's store;
    PostgreSQL receives the rows by COPY.
    """
    file = job.place / "raw.sqlite"
    engine = connect(job.store or f"sqlite:///{file}", write=True)
    try:
        _metadata.create_all(engine)
        with open_log(job.settings, write=False) as log:
            started = time.monotonic()
            events = _copy(engine, log, job.settings)
            seconds = time.monotonic() - started
        _check(engine, events)
        _metadata.drop_all(engine)
    finally:
        engine.dispose()
        file.unlink(missing_ok=True)
    return Rate(events, seconds)


def _copy(engine: Engine, log: EventLog, settings: Settings) -> int:
    events = 0
    for batch in batches(log, settings):
        with engine.begin() as connection:
            insert(connection, _events, list(_rows(batch)))
            upsert(connection, _offsets, [(batch.topic, batch.partition, batch.next)])
        events += len(batch)
    return events


def _rows(batch: Batch) -> Iterator[tuple[str, str, str, bytes]]:
    for record in batch.records:
        value = record.value or b""
        event = _decode(value)
        yield event.id, event.data.entity, event.data.id, value


def _check(engine: Engine, events: int) -> None:
    with engine.connect() as connection:
        stored = connection.execute(select(func.count()).select_from(_events)).scalar_one()
        read = connection.execute(select(func.sum(_offsets.c.next))).scalar_one()
    if not stored == read == events:
        raise RuntimeError(
            f"the raw limit is not one: {events} events were read, {stored} rows and {read} places are stored"
        )
