"""The product on a real Apache Kafka and a real PostgreSQL on this machine: throughput, latency, memory and growth,
compared with the raw limit and plain Faust in one run.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
from rich.table import Table

from benchmarks.figures import Latency, Prepared, Product, Rate, Timing
from benchmarks.job import Job
from benchmarks.page import Figure, keep, question, terminal
from benchmarks.phase import Phase
from benchmarks.report import Machine, machine
from tests.support import containers

RATE_WANTED, RATE_HOPED_FOR = 20_000, 40_000
FAUST_TIMES, RAW_SHARE = 5, 1 / 3
RATE_OF_LATENCY, P50_MS, P99_MS = 5_000, 60, 300
RATE_OF_EVERY_DAY = 1_000
"""Seventy times what Finance documents as its most, 50,000 data events an hour (docs/domain/events.md)."""
PEAK_MIB = 300
GROWTH, GROWTH_FROM = 1.4, 100_000


class Result(msgspec.Struct, frozen=True):
    """All figures of a run on servers."""

    documents: int
    events: int
    bytes_per_event: float
    seconds: float
    rate: float
    cpu_seconds: float
    peak_mib: float
    growth: float | None
    slices: list[float]
    raw: float
    faust: float
    latency: Latency
    latency_every_day: Latency
    questions: list[Timing]
    machine: Machine


def measure(documents: int, folder: str, phase: Phase, check: Callable[[Job], None]) -> Result:
    """Start both servers, run all phases, and check the product's result."""
    with ExitStack() as running:
        broker = running.enter_context(containers.broker())
        database = running.enter_context(containers.database(durable=True))

        def job(name: str, rate: int = 0) -> Job:
            return Job(folder, documents, broker.url, database.create(name), rate=rate)

        product_job = job("product")
        prepared = phase("prepare", Prepared, product_job)
        product = phase("product", Product, product_job)
        check(product_job)
        timings = phase("questions", list[Timing], product_job)
        raw = phase("raw", Rate, job("raw"))
        faust = phase("faust", Rate, job("faust"))
        latency, every_day = (
            phase("latency", Latency, job(f"latency-{rate}", rate)) for rate in (RATE_OF_LATENCY, RATE_OF_EVERY_DAY)
        )
    last, first = product.cost_at(documents), product.cost_at(GROWTH_FROM)
    return Result(
        documents=documents,
        events=product.events,
        bytes_per_event=prepared.bytes / prepared.events,
        seconds=product.seconds,
        rate=product.rate,
        cpu_seconds=product.cpu_seconds,
        peak_mib=product.peak_mib,
        growth=last / first if last and first and documents > GROWTH_FROM else None,
        slices=product.slices(),
        raw=raw.rate,
        faust=faust.rate,
        latency=latency,
        latency_every_day=every_day,
        questions=timings,
        machine=machine(),
    )


def _figures(one: Result) -> list[Figure]:
    against_faust, against_raw = one.rate / one.faust, one.rate / one.raw
    figures = [
        Figure(
            "events a second, start to caught up",
            f"at least {RATE_WANTED:,}, hoped for {RATE_HOPED_FOR:,}",
            f"{one.rate:,.0f} over {one.seconds:,.0f} s",
            one.rate >= RATE_WANTED,
        ),
        Figure("… processor time of the worker, µs an event", "", f"{1e6 * one.cpu_seconds / one.events:,.1f}"),
        Figure(
            "… against plain Faust", f"at least {FAUST_TIMES}", f"{against_faust:,.1f}", against_faust >= FAUST_TIMES
        ),
        Figure("… against the raw limit", f"at least {RAW_SHARE:.2f}", f"{against_raw:.2f}", against_raw >= RAW_SHARE),
        Figure("plain Faust, events a second", "", f"{one.faust:,.0f}"),
        Figure("raw limit (consume, parse, COPY), events a second", "", f"{one.raw:,.0f}"),
        Figure(
            f"event to committed row at {one.latency.rate:,} a second: median, ms",
            f"at most {P50_MS}",
            f"{one.latency.p50_ms:,.0f}",
            one.latency.p50_ms <= P50_MS,
        ),
        Figure("… 99 of 100, ms", f"at most {P99_MS}", f"{one.latency.p99_ms:,.0f}", one.latency.p99_ms <= P99_MS),
        Figure("… the slowest, ms", "", f"{one.latency.worst_ms:,.0f}"),
        Figure(
            f"… at {one.latency_every_day.rate:,} a second: median, 99 of 100 and slowest, ms",
            "",
            ", ".join(
                f"{value:,.0f}"
                for value in (
                    one.latency_every_day.p50_ms,
                    one.latency_every_day.p99_ms,
                    one.latency_every_day.worst_ms,
                )
            ),
        ),
        Figure("peak memory of the worker, MiB", f"under {PEAK_MIB}", f"{one.peak_mib:,.0f}", one.peak_mib < PEAK_MIB),
    ]
    if one.growth is not None:
        figures.append(
            Figure(
                f"cost of an event against that at {GROWTH_FROM:,} documents",
                f"at most {GROWTH:g}",
                f"{one.growth:.2f}",
                one.growth <= GROWTH,
            )
        )
    return figures + [question(timings) for timings in one.questions]


def table(one: Result) -> Table:
    """The report for a terminal."""
    return terminal(
        f"tieout, one worker, Apache Kafka to PostgreSQL, {one.documents:,} documents ({one.machine})", _figures(one)
    )


def save(one: Result) -> Path:
    """Save the figures next to the code; return the page."""
    return keep("servers", f"servers-{one.documents}", one, _INTRODUCTION.format(one=one), _figures(one))


_INTRODUCTION: Final = """\
# Speed on Apache Kafka and PostgreSQL

Measured by `python -m benchmarks --servers` on {one.machine}, with the broker, the database (which flushes each
commit to disk) and the worker on the same machine: {one.documents:,} documents, {one.events:,} events of
{one.bytes_per_event:.0f} bytes. The worker does all its work: lease, linking, evaluation, explanations, publishing
through the outbox. Its result is checked outside the timed part. The raw limit reads the same topics, parses each
event and appends it by COPY. Plain Faust is an agent as in its guide, one event at a time, with the same work for
each; its rate is that of a sample. The time to a committed row runs from the append on the broker until another
session sees the row.

"""
