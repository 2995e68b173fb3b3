"""The Dataverse half of the load in the shape in which Dataverse sends it: contexts of about 4 kB, from Kafka to
PostgreSQL (R2).

Finance's half is left out, so that every event is such a context: records are linked and decided, but no document is
whole.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.table import Table
from sqlalchemy import func, select

from benchmarks.figures import Checked, Prepared, Product
from benchmarks.job import Job
from benchmarks.page import Figure, keep, terminal
from benchmarks.phase import Phase
from benchmarks.report import Machine, machine
from benchmarks.workload import DATAVERSE, Message, Workload, references
from store.schema import tables
from streams.log import NewRecord
from streams.topics import REJECTED
from tieout.bootstrap import open_log, open_store
from tieout.simulator.payloads import context
from tieout.simulator.scenario import SimulatedEvent

RATE_WANTED, RATE_HOPED_FOR = 8_000, 15_000
BYTES: Final = 4_000
_APPENDED_AT_ONCE: Final = 5_000


class Result(msgspec.Struct, frozen=True):
    """All figures of a run."""

    events: int
    bytes_per_event: float
    seconds: float
    rate: float
    cpu_seconds: float
    peak_mib: float
    machine: Machine


def run(job: Job, phase: Phase) -> Result:
    """Run all phases on servers. Raises `ValueError` when the store is not as expected."""
    prepared = phase("prepare-contexts", Prepared, job)
    product = phase("product", Product, job)
    if faults := phase("check-contexts", Checked, job).faults:
        raise ValueError("\n".join(faults))
    return Result(
        prepared.events,
        prepared.bytes / prepared.events,
        product.seconds,
        product.rate,
        product.cpu_seconds,
        product.peak_mib,
        machine(),
    )


def prepare(job: Job) -> Prepared:
    """Append the contexts, and the rows they point to."""
    events = size = 0
    with open_log(job.settings, write=True) as log:
        messages = _messages(job.documents)
        while some := list(islice(messages, _APPENDED_AT_ONCE)):
            log.append([NewRecord(f"{job.settings.prefix}.{topic}", key, value) for topic, key, value in some])
            events += len(some)
            size += sum(len(value) for _, _, value in some)
    return Prepared(events, size)


def check(job: Job) -> Checked:
    """Return the faults: events not decoded, rows missing or duplicated."""
    messages = [*references(), *(one for one in Workload(job.documents).document_events() if one[0] == DATAVERSE)]
    rows_sent = (json.loads(value)["data"] for _, _, value in messages)
    rows = {(data["entity"], data["id"]) for data in rows_sent}
    with open_store(job.settings, write=False) as engine, engine.connect() as connection:
        records = connection.execute(select(func.count()).select_from(tables.records)).scalar_one()
    faults = []
    with open_log(job.settings, write=False) as log:
        rejected = REJECTED.full_name(job.settings.prefix)
        if number := sum(log.end_offset(rejected, partition) for partition in range(log.partitions(rejected))):
            faults.append(f"{number} events were rejected")
    if records != len(rows):
        faults.append(f"the store has {records} records of {len(rows)} rows")
    return Checked(faults)


def _messages(documents: int) -> Iterator[Message]:
    yield from references()
    for topic, key, value in Workload(documents).document_events():
        if topic == DATAVERSE:
            plain = json.loads(value)
            sent = context(SimulatedEvent(topic, key.decode(), plain))
            yield topic, key, msgspec.json.encode(_filled(sent.value))


def _filled(value: dict[str, Any]) -> dict[str, Any]:
    """Return a context with the other members of real ones: an image of the whole row, and shared variables."""
    image = {
        "key": "PostImage",
        "value": {"Attributes": [], "FormattedValues": [], "LogicalName": value["PrimaryEntityName"]},
    }
    value = {**value, "PostEntityImages": [image], "SharedVariables": [{"key": "IsAutoTransact", "value": True}]}
    missing = BYTES - len(msgspec.json.encode(value))
    for number in range(max(0, missing // 105)):
        name = f"contoso_column{number:03d}"
        image["value"]["Attributes"].append({"key": name, "value": f"what a column holds {number:09d}"})  # type: ignore[index]
        image["value"]["FormattedValues"].append({"key": name, "value": f"{number:06d}"})  # type: ignore[index]
    return value


# --- the report ------------------------------------------------------------------------------------------------------


def _figures(one: Result) -> list[Figure]:
    return [
        Figure(
            f"events of {one.bytes_per_event:,.0f} bytes a second, start to caught up",
            f"at least {RATE_WANTED:,}, hoped for {RATE_HOPED_FOR:,}",
            f"{one.rate:,.0f} over {one.seconds:,.0f} s",
            one.rate >= RATE_WANTED,
        ),
        Figure("… processor time of the worker, µs an event", "", f"{1e6 * one.cpu_seconds / one.events:,.1f}"),
        Figure("peak memory of the worker, MiB", "", f"{one.peak_mib:,.0f}"),
    ]


def table(one: Result) -> Table:
    """The report for a terminal."""
    return terminal(f"tieout, contexts of Dataverse, Kafka to PostgreSQL ({one.machine})", _figures(one))


def save(one: Result) -> Path:
    """Save the figures next to the code; return the page."""
    return keep("contexts", "contexts", one, _INTRODUCTION.format(one=one), _figures(one))


_INTRODUCTION: Final = """\
# Contexts of Dataverse from Kafka to PostgreSQL

Measured by `python -m benchmarks --contexts` on {one.machine}, with broker and database on the same machine:
{one.events:,} events as Dataverse sends them (`RemoteExecutionContext`), with an image and shared variables that
contain nothing new. Each is decoded, merged, linked and evaluated. A check outside the timed part confirms that
none was rejected and that each row exists.

"""
