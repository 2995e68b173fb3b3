"""The workspace over a large store: query times, first contentful paint in a browser, bytes sent, and the cost of
readers.
"""

import asyncio
import os
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Final

import httpx
import msgspec
from playwright.sync_api import Browser, sync_playwright
from rich.table import Table
from sqlalchemy import text

from benchmarks.figures import Mark, Prepared, Product, Timing
from benchmarks.job import Job
from benchmarks.page import Figure, keep, question, terminal
from benchmarks.phase import Phase
from benchmarks.report import Machine, machine
from benchmarks.workload import COMPANY
from engine.errors import SetupError
from tests.support.workspace import BROWSER, FLAGS
from tieout.bootstrap import open_reader, open_store
from tieout.workspace.server import PORT

FIRST_PAINT_MS, PAGE_KB = 400.0, 50.0
READERS, SECONDS_BETWEEN_PAGES, SLOWED = 50, 10.0, 0.05
"""So many people, each of whom opens a page as often, may slow the worker by so much."""
TURN_SECONDS: Final = 15.0
SETTLING_SECONDS: Final = 3.0
"""What a turn begins with and does not count: pages on their way, and what the turn before left behind."""
ROUND: Final = (False, True, True, False)
"""Whether people read in each turn of a round. The order balances the effect of a growing store."""
CALLS: Final = 20
WINDOW_MS: Final = 1_000
"""So long a new window is left alone before it is sent to a page: Chromium fills its own menus first, which takes a
core for half a second, and belongs to no page.
"""

PAGES: Final = {
    "summary": f"/{COMPANY}",
    "missing actuals": f"/{COMPANY}/expense",
    "all expenses": f"/{COMPANY}/expense?view=all",
    "all expenses, the last page": f"/{COMPANY}/expense?view=all&before=end",
    "expenses of a project": f"/{COMPANY}/expense?view=all&f.project=P-000250-D",
    "balance": f"/{COMPANY}/balance",
    "errors": f"/{COMPANY}/errors",
    "operation": f"/operation?company={COMPANY}",
}

_PAINT: Final = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
_SENT: Final = """() => ['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind))
    .reduce((sum, one) => sum + one.transferSize, 0)"""


class Opened(msgspec.Struct, frozen=True):
    """A page opened cold, many times: time to first content, and bytes sent including its parts."""

    page: str
    p50_ms: float
    worst_ms: float
    kilobytes: float


class Read(msgspec.Struct, frozen=True):
    """Cost of readers: the worker's events per second in each round without and with readers; their pages and waits."""

    rates: list[tuple[float, float]]
    pages: int
    p50_ms: float
    worst_ms: float

    @property
    def slowed(self) -> float:
        """Share of the worker's rate lost to readers, over all rounds."""
        return 1 - sum(read for _, read in self.rates) / sum(alone for alone, _ in self.rates)


class Store(msgspec.Struct, frozen=True):
    """How the worker that made a store shared the machine with readers; then what was asked of the store, and how its
    pages opened. `read` is None where it was made in less than a round.
    """

    name: str
    read: Read | None
    asked: list[Timing]
    opened: list[Opened]


class Result(msgspec.Struct, frozen=True):
    """All figures."""

    documents: int
    stores: list[Store]
    machine: Machine


def run(jobs: Mapping[str, Job], phase: Phase, check: Callable[[Job], None]) -> Result:
    """Make each store from the same events while people read by turns, then look at it, and check it. Raises
    `ValueError` when a page is not shown.
    """
    first = next(iter(jobs.values()))
    phase("prepare", Prepared, first)
    stores = []
    for name, job in jobs.items():
        read = _made(job, phase)
        _cleared_up(job)
        asked = phase("questions", list[Timing], job)
        with _workspace(job) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
            opened = [_opened(browser, page, f"{address}{at}") for page, at in PAGES.items()]
        check(job)
        stores.append(Store(name, read, asked, opened))
    return Result(documents=first.documents, stores=stores, machine=machine())


def _made(job: Job, phase: Phase) -> Read | None:
    """Have a worker make the store while people read it by turns."""
    with ThreadPoolExecutor(1) as thread:
        started = time.monotonic()
        product = thread.submit(phase, "product", Product, job)
        _wait_for_documents(job)
        with _workspace(job) as address:
            rounds, waited = asyncio.run(_by_turns(address, product.done))
        marks = [Mark(mark.events, started + mark.seconds) for mark in product.result().marks]
    rates = [
        (_rate(marks, [turns[0], turns[3]]), _rate(marks, turns[1:3]))
        for turns in rounds
        if turns[-1][1] <= marks[-1].seconds
    ]
    if not rates:
        return None
    waited.sort()
    return Read(rates, len(waited), 1000 * waited[len(waited) // 2], 1000 * waited[-1])


Turn = tuple[float, float]
"""From when to when, on the monotonic clock, it counts."""


def _rate(marks: Sequence[Mark], turns: Sequence[Turn]) -> float:
    """Events a second within the turns."""
    events = sum(_events(marks, end) - _events(marks, begin) for begin, end in turns)
    return events / sum(end - begin for begin, end in turns)


def _events(marks: Sequence[Mark], at: float) -> float:
    """Return the interpolated number of events at a time, as if each batch took a constant rate."""
    after = bisect_left(marks, at, key=lambda mark: mark.seconds)
    one, other = marks[after - 1], marks[after]
    return one.events + (other.events - one.events) * (at - one.seconds) / (other.seconds - one.seconds)


def _cleared_up(job: Job) -> None:
    """Vacuum PostgreSQL now after millions of changes; autovacuum would run some time later, for minutes."""
    if job.store is not None and job.store.startswith("postgresql"):
        with open_store(job.settings, write=True) as engine, engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM (ANALYZE)"))


def _wait_for_documents(job: Job) -> None:
    """Until the worker has committed its first batch: before that there is no company to look at."""
    while True:
        try:
            with open_reader(job.settings) as reader, reader.snapshot() as snapshot:
                if COMPANY in snapshot.companies():
                    return
        except SetupError:
            pass
        time.sleep(0.2)


@contextmanager
def _workspace(job: Job) -> Iterator[str]:
    """A workspace as a process of its own, on the store."""
    settings = job.settings
    named = {
        "BROKER": settings.broker,
        "STORE": settings.store,
        "PREFIX": settings.prefix,
        "TODAY": str(settings.today),
    }
    environment = {**os.environ, **{f"TIEOUT_{name}": value for name, value in named.items()}}
    command = [sys.executable, "-m", "tieout", "run", "--role", "workspace"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:  # noqa: S603
        address = f"http://127.0.0.1:{PORT}"
        try:
            while True:
                try:
                    httpx.get(f"{address}/health")
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield address
        finally:
            process.terminate()


def _opened(browser: Browser, name: str, address: str) -> Opened:
    """Open a page in an existing window, without a warm cache of the page."""
    painted, kilobytes = [], 0.0
    for _ in range(CALLS):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.wait_for_timeout(WINDOW_MS)
        answer = page.goto(address)
        if answer is None or not answer.ok:
            raise ValueError(f"{address} was not shown")
        # Polled, because the content security policy of the page permits no waiting script.
        while (paint := page.evaluate(_PAINT)) is None:
            page.wait_for_timeout(20)
        painted.append(paint)
        kilobytes = max(kilobytes, page.evaluate(_SENT) / 1000)
        context.close()
    painted.sort()
    return Opened(name, painted[len(painted) // 2], painted[-1], kilobytes)


async def _by_turns(address: str, ended: Callable[[], bool]) -> tuple[list[list[Turn]], list[float]]:
    """Rounds of turns in which people read or nobody does, until the worker has ended; and the seconds that each page
    took.
    """
    rounds: list[list[Turn]] = []
    waited: list[float] = []
    paths = cycle(PAGES.values())
    async with httpx.AsyncClient(timeout=60) as client:

        async def open_page() -> None:
            started = time.monotonic()
            (await client.get(f"{address}{next(paths)}")).raise_for_status()
            waited.append(time.monotonic() - started)

        while not ended():
            turns = []
            for reads in ROUND:
                begun = time.monotonic()
                async with asyncio.TaskGroup() as people:
                    while (elapsed := time.monotonic() - begun) < TURN_SECONDS and not ended():
                        if reads:
                            people.create_task(open_page())
                        await asyncio.sleep(SECONDS_BETWEEN_PAGES / READERS)
                turns.append((begun + SETTLING_SECONDS, begun + elapsed))
            rounds.append(turns)
    return rounds, waited


# --- the report ------------------------------------------------------------------------------------------------------


def _figures(one: Result) -> list[Figure]:
    return [figure for store in one.stores for figure in _of_store(store)]


def _of_store(store: Store) -> Iterator[Figure]:
    for asked in store.asked:
        figure = question(asked)
        yield msgspec.structs.replace(figure, name=f"{store.name}: {figure.name}")
    for page in store.opened:
        yield Figure(
            f"{store.name}, page {page.page}: first paint, ms (median / slowest of {CALLS})",
            f"median at most {FIRST_PAINT_MS:g}",
            f"{page.p50_ms:.0f} / {page.worst_ms:.0f}",
            page.p50_ms <= FIRST_PAINT_MS,
        )
    most = max(page.kilobytes for page in store.opened)
    yield Figure(f"{store.name}: most that a page sends, kB", f"under {PAGE_KB:g}", f"{most:.1f}", most < PAGE_KB)
    if store.read is not None:
        yield from _of_readers(store.name, store.read)


def _of_readers(store: str, read: Read) -> Iterator[Figure]:
    rounds = len(read.rates)
    alone, with_readers = (sum(rates) / rounds for rates in zip(*read.rates, strict=True))
    single = sorted(1 - read / alone for alone, read in read.rates)
    yield Figure(
        f"{store}: events a second, by turns without readers and with {READERS}, each a page every "
        f"{SECONDS_BETWEEN_PAGES:g} s",
        f"at most {SLOWED:.0%} slower",
        f"{alone:,.0f} / {with_readers:,.0f}: {read.slowed:.1%} slower "
        f"(in {rounds} rounds {single[0]:.1%} to {single[-1]:.1%})",
        read.slowed <= SLOWED,
    )
    yield Figure(
        f"{store}: {read.pages:,} pages read meanwhile, ms (median / slowest)",
        "",
        f"{read.p50_ms:.0f} / {read.worst_ms:.0f}",
    )


def table(one: Result) -> Table:
    """The report for a terminal."""
    return terminal(f"tieout, the workspace over {one.documents:,} documents ({one.machine})", _figures(one))


def save(one: Result) -> Path:
    """Save the figures next to the code; return the page."""
    return keep("pages", "pages", one, _INTRODUCTION.format(one=one, seconds=TURN_SECONDS), _figures(one))


_INTRODUCTION: Final = """\
# The workspace over {one.documents:,} documents

Measured by `python -m benchmarks --pages` on {one.machine}, from an embedded log; with `--servers` also on
PostgreSQL, after a `VACUUM`. While a worker builds the store, readers are active in alternating turns of
{seconds:g} seconds. Each query runs two hundred times. Each page is opened cold, in a new window of Chromium.

"""
