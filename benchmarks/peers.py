"""What one would write first: one event, one transaction, with SQLAlchemy, in two ways.

Both only merge the events into rows, and of two values keep the one that came last. They decide, explain and publish
nothing: a document's position has to be asked of the rows afterwards, as the check does it, untimed.
"""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import JSON, Connection, Engine, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.figures import Rate
from benchmarks.job import Job
from benchmarks.prepare import prepare
from benchmarks.reading import batches
from benchmarks.workload import Part, Workload
from store.schema.database import connect
from streams.log import LogRecord
from tieout.bootstrap import open_log

SAMPLE: Final = 2_500
"""Documents: enough for a rate, which for these is the same from the first event to the last."""

Rows = dict[str, dict[str, dict[str, Any]]]
"""Columns by row and entity."""


class _Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON}  # noqa: RUF012 - as SQLAlchemy declares it


class _Row(_Base):
    __tablename__ = "rows"
    entity: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    columns: Mapped[dict[str, Any]]


class _Place(_Base):
    __tablename__ = "places"
    topic: Mapped[str] = mapped_column(primary_key=True)
    partition: Mapped[int] = mapped_column(primary_key=True)
    next: Mapped[int]


def orm(job: Job) -> Rate:
    """Objects of the ORM: get, merge, commit."""
    return _measure(job, "orm", lambda engine, record: _in_session(engine, record))


def upsert(job: Job) -> Rate:
    """Statements of Core: one upsert, with the merging done by SQLite."""
    return _measure(job, "upsert", lambda engine, record: _in_statements(engine, record))


def _measure(job: Job, name: str, apply: Callable[[Engine, LogRecord], None]) -> Rate:
    """Apply a load of the same kind as the product's but smaller; compare the result."""
    folder = job.place / name
    folder.mkdir()
    sample = msgspec.structs.replace(job, folder=str(folder), documents=min(SAMPLE, job.documents))
    prepare(sample)
    engine = connect(f"sqlite:///{folder / 'rows.sqlite'}", write=True)
    try:
        _Base.metadata.create_all(engine)
        with open_log(sample.settings, write=False) as log:
            started, events = time.monotonic(), 0
            for batch in batches(log, sample.settings):
                for record in batch.records:
                    apply(engine, record)
                events += len(batch)
            seconds = time.monotonic() - started
        _check(engine, Workload(sample.documents))
    finally:
        engine.dispose()
    return Rate(events, seconds)


def _in_session(engine: Engine, record: LogRecord) -> None:
    with Session(engine) as session, session.begin():
        if row := _said(record):
            entity, row_id, columns = row
            row = session.get(_Row, (entity, row_id))
            if row is None:
                session.add(_Row(entity=entity, id=row_id, columns=columns))
            else:
                row.columns = {**row.columns, **columns}
        session.merge(_Place(topic=record.topic, partition=record.partition, next=record.offset + 1))


def _in_statements(engine: Engine, record: LogRecord) -> None:
    with engine.begin() as connection:
        if row := _said(record):
            _upsert_row(connection, *row)
        statement = insert(_Place).values(topic=record.topic, partition=record.partition, next=record.offset + 1)
        connection.execute(statement.on_conflict_do_update(set_={"next": statement.excluded.next}))


def _upsert_row(connection: Connection, entity: str, row_id: str, columns: dict[str, Any]) -> None:
    statement = insert(_Row).values(entity=entity, id=row_id, columns=columns)
    patched = func.json_patch(_Row.columns, statement.excluded.columns)
    connection.execute(statement.on_conflict_do_update(set_={"columns": patched}))


def _said(record: LogRecord) -> tuple[str, str, dict[str, Any]] | None:
    """The entity, row and columns of an event; None for a heartbeat."""
    event = json.loads(record.value or b"")
    if event["type"] != "tieout.row.changed":
        return None
    data = event["data"]
    return data["entity"], data["id"], data["columns"]


def _check(engine: Engine, workload: Workload) -> None:
    with Session(engine) as session:
        rows: Rows = {}
        for row in session.scalars(select(_Row)):
            rows.setdefault(row.entity, {})[row.id] = row.columns
    parts, expected = _parts(rows), workload.expected()
    expected_parts = {
        "missing-actual": expected.expense_missing_actuals,
        "missing-journal-line": expected.expense_missing_journal_lines,
        "reconciled": expected.reconciled,
    }
    if parts != expected_parts:
        raise RuntimeError(f"the peer's rows come to {parts}, the load to {expected_parts}")


def _parts(rows: Rows) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for position, amount in _positions(rows):
        part = parts.get(position, Part(Decimal(0), 0))
        parts[position] = Part(part.amount + amount, part.documents + 1)
    return parts


def _positions(rows: Rows) -> Iterator[tuple[str, Decimal]]:
    """The position of each expense and its amount, by the links that the load has."""
    expenses = {row["assumed_externalexpenseid"]: key for key, row in rows["msdyn_expense"].items()}
    actuals = {row["assumed_sourcedocument"]: key for key, row in rows["msdyn_actual"].items()}
    staged = {row["ActualId"]: str(row["ProjAdvancedJournalLine"]) for row in rows["ProjCDSActualsImport"].values()}
    for expense in rows["TrvExpTrans"].values():
        line = staged.get(actuals.get(expenses[expense["ProjTransId"]], ""))
        posted = rows["ProjAdvancedJournalLine"].get(line or "", {}).get("Status") == 3
        yield (
            "missing-actual" if line is None else "reconciled" if posted else "missing-journal-line",
            Decimal(expense["AmountMST"]),
        )
