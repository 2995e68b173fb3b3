"""The workspace over a large store: how long its questions take, until the first content is painted in a browser, how
much is sent, and what readers cost the worker.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import msgspec
from playwright.sync_api import Browser, sync_playwright
from rich.table import Table
from sqlalchemy import text

from benchmarks.figures import Prepared, Product, Timing
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
CALLS: Final = 20
WINDOW_MS: Final = 2_000
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
    """A page opened cold, many times: until its first content was painted, and what was sent, its parts included."""

    page: str
    p50_ms: float
    worst_ms: float
    kilobytes: float


class Store(msgspec.Struct, frozen=True):
    """What was asked of a store, and how its pages opened."""

    name: str
    asked: list[Timing]
    opened: list[Opened]


class Result(msgspec.Struct, frozen=True):
    """All figures; the worker's rate without readers and with them, and what these waited for a page."""

    documents: int
    alone: float
    read: float
    reader_ms: float
    pages_read: int
    stores: list[Store]
    machine: Machine


def run(jobs: Mapping[str, Job], again: Job, phase: Phase, check: Callable[[Job], None]) -> Result:
    """Make each store from the same events without readers and look at it, then make the first of them `again` with
    readers; each is checked. Raises `ValueError` when a page is not shown.
    """
    first = next(iter(jobs.values()))
    phase("prepare", Prepared, first)
    rates, stores = [], []
    for name, job in jobs.items():
        rates.append(phase("product", Product, job).rate)
        _cleared_up(job)
        asked = phase("questions", list[Timing], job)
        with _workspace(job) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
            stores.append(Store(name, asked, [_opened(browser, page, f"{address}{at}") for page, at in PAGES.items()]))
        check(job)
    with ThreadPoolExecutor(1) as thread:
        product = thread.submit(phase, "product", Product, again)
        _wait_for_documents(again)
        with _workspace(again) as address:
            waited = sorted(asyncio.run(_readers(address, product.done)))
        read = product.result()
    check(again)
    return Result(
        documents=first.documents,
        alone=rates[0],
        read=read.rate,
        reader_ms=1000 * waited[len(waited) // 2],
        pages_read=len(waited),
        stores=stores,
        machine=machine(),
    )


def _cleared_up(job: Job) -> None:
    """Have PostgreSQL clear up after millions of changes now; by itself, it does so some time later, for minutes."""
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
    """Open a page in a window that is there, as somebody does who never was on the page."""
    painted, kilobytes = [], 0.0
    for _ in range(CALLS):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.wait_for_timeout(WINDOW_MS)
        answer = page.goto(address)
        if answer is None or not answer.ok:
            raise ValueError(f"{address} was not shown")
        # Asked again and again, for the page's policy lets nobody wait within it.
        while (paint := page.evaluate(_PAINT)) is None:
            page.wait_for_timeout(20)
        painted.append(paint)
        kilobytes = max(kilobytes, page.evaluate(_SENT) / 1000)
        context.close()
    painted.sort()
    return Opened(name, painted[len(painted) // 2], painted[-1], kilobytes)


async def _readers(address: str, ended: Callable[[], bool]) -> list[float]:
    """Everybody opens one page after the other until the worker has ended; returns the seconds that each page took."""
    waited: list[float] = []
    paths = [*PAGES.values()]

    async def read(number: int, client: httpx.AsyncClient) -> None:
        await asyncio.sleep(SECONDS_BETWEEN_PAGES * number / READERS)
        while not ended():
            started = time.perf_counter()
            (await client.get(f"{address}{paths[len(waited) % len(paths)]}")).raise_for_status()
            waited.append(time.perf_counter() - started)
            await asyncio.sleep(SECONDS_BETWEEN_PAGES)

    async with httpx.AsyncClient(timeout=60) as client:
        await asyncio.gather(*(read(number, client) for number in range(READERS)))
    return waited


# --- the report ------------------------------------------------------------------------------------------------------


def _figures(one: Result) -> list[Figure]:
    slowed = 1 - one.read / one.alone
    return [
        *(figure for store in one.stores for figure in _of_store(store)),
        Figure("worker without readers, events a second", "", f"{one.alone:,.0f}"),
        Figure(
            f"worker with {READERS} readers, a page every {SECONDS_BETWEEN_PAGES:g} s each",
            f"at most {SLOWED:.0%} slower",
            f"{one.read:,.0f}: {slowed:.1%} slower",
            slowed <= SLOWED,
        ),
        Figure(f"… they read {one.pages_read:,} pages; median, ms", "", f"{one.reader_ms:.0f}"),
    ]


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


def table(one: Result) -> Table:
    """The report for a terminal."""
    return terminal(f"tieout, the workspace over {one.documents:,} documents ({one.machine})", _figures(one))


def save(one: Result) -> Path:
    """Keep the figures beside the code. Returns the page."""
    return keep("pages", "pages", one, _INTRODUCTION.format(one=one), _figures(one))


_INTRODUCTION: Final = """\
# The workspace over {one.documents:,} documents

Measured by `python -m benchmarks --pages` on {one.machine}, from an embedded log;
with `--servers` on PostgreSQL, too, which has cleared up (`VACUUM`) before it is asked. Questions are asked two hundred
times. Each page is opened cold, in a window of a Chromium that never saw it. Then the first store is made again by a
worker while people read.

"""
