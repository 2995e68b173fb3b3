"""Figures of a run with their targets: on the terminal, and in files of the repository."""

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.table import Table

from benchmarks.figures import Prepared, Product, Rate, Timing

RESULTS: Final = Path(__file__).parent / "results"

RATE_WANTED, RATE_HOPED_FOR = 15_000, 25_000
FIRST_BATCH_SECONDS = 2.0
PEAK_MIB = 250
GROWTH = 1.3
GROWTH_FROM = 100_000
"""Documents: the cost of an event is compared with that at this size."""
QUESTION_MS, FILTERED_MS, SYNC_MS = 50.0, 300.0, 1_000.0


class Machine(msgspec.Struct, frozen=True):
    """The machine of the measurement."""

    cores: int
    ram_gib: int
    python: str

    def __str__(self) -> str:
        return f"{self.cores} cores, {self.ram_gib} GiB, Python {self.python}"


class Result(msgspec.Struct, frozen=True):
    """All figures of one size, as they are saved."""

    documents: int
    events: int
    bytes_per_event: float
    rate: float
    """Events a second, from the start of the process until caught up."""
    seconds: float
    cpu_seconds: float
    first_batch: float
    peak_mib: float
    growth: float | None
    """Cost of an event at the end against that at `GROWTH_FROM` documents; None for a run that is no larger."""
    slices: list[float]
    """Events a second in each 50 thousand documents."""
    raw: float
    """Events a second that are only parsed and appended."""
    orm: float
    """Events a second, one in a transaction, as objects of the ORM."""
    upsert: float
    """Events a second, one in a transaction, as upserts."""
    questions: list[Timing]
    machine: Machine


class Line(msgspec.Struct, frozen=True):
    """A line of the report: a figure, its target, and its getter from a result."""

    name: str
    target: str
    shown: Callable[[Result], str]
    met: Callable[[Result], bool | None] = lambda one: None
    """None where there is nothing to meet."""


def machine() -> Machine:
    """This machine, in three words."""
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(os.cpu_count() or 1, round(ram / 2**30), platform.python_version())


def result(
    documents: int, prepared: Prepared, product: Product, rates: dict[str, Rate], timings: list[Timing]
) -> Result:
    """Put the figures of the phases together."""
    return Result(
        documents=documents,
        events=product.events,
        bytes_per_event=prepared.bytes / prepared.events,
        rate=product.rate,
        seconds=product.seconds,
        cpu_seconds=product.cpu_seconds,
        first_batch=product.first_batch,
        peak_mib=product.peak_mib,
        growth=_growth(product, documents),
        slices=product.slices(),
        raw=rates["raw"].rate,
        orm=rates["orm"].rate,
        upsert=rates["upsert"].rate,
        questions=timings,
        machine=machine(),
    )


def table(results: Sequence[Result]) -> Table:
    """The report for a terminal."""
    shown = Table(title=f"tieout, one process, embedded log to committed SQLite store ({results[0].machine})")
    shown.add_column("figure")
    shown.add_column("target")
    for one in results:
        shown.add_column(f"{one.documents:,} documents", justify="right")
    for line in _lines(results):
        shown.add_row(line.name, line.target, *(_coloured(line, one) for one in results))
    return shown


def markdown(results: Sequence[Result]) -> str:
    """The report for the repository."""
    head = ["figure", "target", *(f"{one.documents:,} documents" for one in results)]
    rows = [[line.name, line.target, *(_plain(line, one) for one in results)] for line in _lines(results)]
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---", "---", *["---:"] * len(results)], *rows)]
    return "\n".join((_introduction(results[0]), *lines, ""))


def save(results: Sequence[Result]) -> None:
    """Save the figures next to the code."""
    RESULTS.mkdir(exist_ok=True)
    for one in results:
        content = msgspec.json.format(msgspec.json.encode(_rounded(one)), indent=2)
        (RESULTS / f"documents-{one.documents}.json").write_bytes(content + b"\n")
    (RESULTS / "latest.md").write_text(markdown(results), encoding="utf-8")


_INTRODUCTION: Final = """\
# Speed, memory and growth

Measured by `make bench` on {machine}. One worker process reads an embedded log and commits to a SQLite store, with
all its work: linking, evaluation, explanations, publishing. A document has eight events of about {bytes:.0f} bytes.
Each phase runs in its own process, one after the other, and results are checked outside the timed parts.

The raw limit reads the same log, parses each event and appends it to a bare table, in batches of the same size. The
two peers merge the events into rows, one event a transaction, without evaluation; their rate is that of a sample.
Each query runs {calls} times after a few calls that do not count, and includes the result as JSON.
"""


def _introduction(one: Result) -> str:
    return _INTRODUCTION.format(machine=one.machine, bytes=one.bytes_per_event, calls=one.questions[0].calls)


def _growth(product: Product, documents: int) -> float | None:
    last, first = product.cost_at(documents), product.cost_at(GROWTH_FROM)
    return last / first if last and first and documents > GROWTH_FROM else None


def _lines(results: Sequence[Result]) -> Iterator[Line]:
    yield Line(
        "events a second, start to caught up",
        f"at least {RATE_WANTED:,}, hoped for {RATE_HOPED_FOR:,}",
        lambda one: f"{one.rate:,.0f}",
        lambda one: one.rate >= RATE_WANTED,
    )
    yield Line("… processor time, ms a thousand events", "", lambda one: f"{1e6 * one.cpu_seconds / one.events:,.1f}")
    yield Line(
        "first batch committed after the start, s",
        f"at most {FIRST_BATCH_SECONDS:g}",
        lambda one: f"{one.first_batch:.2f}",
        lambda one: one.first_batch <= FIRST_BATCH_SECONDS,
    )
    yield Line(
        "peak memory, MiB", f"under {PEAK_MIB}", lambda one: f"{one.peak_mib:,.0f}", lambda one: one.peak_mib < PEAK_MIB
    )
    if any(one.growth for one in results):
        yield Line(
            f"cost of an event against that at {GROWTH_FROM:,} documents",
            f"at most {GROWTH:g}",
            lambda one: f"{one.growth:.2f}" if one.growth else "",
            lambda one: None if one.growth is None else one.growth <= GROWTH,
        )
    yield from _comparisons()
    for index, timing in enumerate(results[0].questions):
        yield _question(index, timing.question)


def _comparisons() -> Iterator[Line]:
    yield Line("raw limit, events a second", "", lambda one: f"{one.raw:,.0f}")
    yield Line("… tieout against it", "", lambda one: f"{one.rate / one.raw:.3f}")
    yield Line("peer: ORM, one event a transaction, events a second", "", lambda one: f"{one.orm:,.0f}")
    yield Line("… tieout against it", "", lambda one: f"{one.rate / one.orm:.1f}")
    yield Line("peer: upserts, one event a transaction, events a second", "", lambda one: f"{one.upsert:,.0f}")
    yield Line("… tieout against it", "", lambda one: f"{one.rate / one.upsert:.1f}")


def _question(index: int, name: str) -> Line:
    bound = bound_of(name)
    return Line(
        f"{name}, ms (median / 99 %)",
        "" if bound is None else f"under {bound:g}",
        lambda one: f"{one.questions[index].p50_ms:.1f} / {one.questions[index].p99_ms:.1f}",
        lambda one: None if bound is None else one.questions[index].p99_ms < bound,
    )


def bound_of(question: str) -> float | None:
    """Return the target of the 99th percentile in milliseconds; None without one."""
    if question == "summary" or "100 rows" in question:
        return QUESTION_MS
    if question.startswith("expenses "):
        return FILTERED_MS
    return SYNC_MS if question.startswith("sync") else None


def _plain(line: Line, one: Result) -> str:
    return line.shown(one) + {None: "", True: " met", False: " **missed**"}[line.met(one)]


def _coloured(line: Line, one: Result) -> str:
    return line.shown(one) + {None: "", True: " [green]met[/]", False: " [red]missed[/]"}[line.met(one)]


def _rounded(one: Result) -> Result:
    """The figures with as many digits as they are worth."""
    return msgspec.convert(_short(msgspec.to_builtins(one)), Result)


def _short(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    return [_short(item) for item in value] if isinstance(value, list) else value
