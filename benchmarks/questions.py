"""Query times of the workspace on the store that the worker has written."""

import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from random import Random
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, func, select, text, true

from benchmarks.figures import Timing
from benchmarks.job import Job
from benchmarks.workload import COMPANY
from engine.calendar import Window
from store.projection.tile_totals import BITS, View
from store.queries.filters import Condition
from store.queries.grid_query import GridQuery
from store.queries.snapshot import Reader, Snapshot
from store.schema import tables
from tieout.bootstrap import load_maps, open_store
from tieout.settings import Settings
from tieout.sync.planning import plan

CALLS: Final = 200
WARM_UPS: Final = 10
ROWS: Final = 100
IN_NEED: Final = 1_000
"""Number of documents a sync selects: one of a hundred in a store of a hundred thousand."""

Question = Callable[[Snapshot], object]
_encode: Final = msgspec.json.Encoder().encode


def measure(job: Job) -> list[Timing]:
    """Ask each question many times; a call opens its own snapshot and ends with the answer as JSON."""
    with open_store(job.settings, write=False) as engine:
        reader = Reader(engine, load_maps(job.settings), today=job.settings.today)
        return [_timed(reader, name, question) for name, question in _questions(reader, engine, job.settings)]


def _timed(reader: Reader, name: str, question: Question) -> Timing:
    taken = sorted([_seconds(reader, question) for _ in range(WARM_UPS + CALLS)][WARM_UPS:])
    return Timing(name, CALLS, 1000 * taken[CALLS // 2], 1000 * taken[CALLS * 99 // 100])


def _seconds(reader: Reader, question: Question) -> float:
    started = time.perf_counter()
    with reader.snapshot() as snapshot:
        _encode(question(snapshot))
    return time.perf_counter() - started


def _questions(reader: Reader, engine: Engine, settings: Settings) -> Iterator[tuple[str, Question]]:
    with reader.snapshot() as snapshot:
        window = snapshot.window(snapshot.company(COMPANY), None, None)
    yield "summary", _summary
    with engine.connect() as connection:
        for view, name in _VIEWS.items():
            for where, query in _pages(connection, _grid(view, window)):
                yield f"{name}: 100 rows at the {where}", _page(query)
            by_amount = msgspec.structs.replace(_grid(view, window), sort="amount")
            yield f"{name} by amount: 100 rows", _page(by_amount)
            yield f"{name}: count and sums", _sums(_grid(view, window))
        of_a_project = _grid("all", window, project="P-000250-D")
        yield "expenses of a project: 100 rows", _page(of_a_project)
        yield "expenses of a project: count and sums", _sums(of_a_project)
        of_a_category = _grid("all", window, category="Hotel-Expense")
        yield "expenses of a category: 100 rows", _page(of_a_category)
        yield "expenses of a category: count and sums", _sums(of_a_category)
        # No index leads to these; one holds all of them.
        for description, condition in _OF_MANY.items():
            some = msgspec.structs.replace(_grid("all", window), conditions=(condition,))
            yield f"expenses {description}: count and sums", _sums(some)
        yield "a document's chain", _chains(_names(connection))
        documents = _documents(connection)
    yield f"sync: what is to be done for {IN_NEED:,} documents", _plan(settings, _window_of(documents, window))


_VIEWS: Final[dict[View, str]] = {
    "all": "all expenses",
    "missing-actuals": "missing actuals",
    "missing-journal-lines": "missing journal lines",
}


_OF_MANY: Final = {
    "of categories that begin alike": Condition("category", "starts", "Hotel"),
    "above an amount": Condition("amount", "above", 5_000_000),
}


def _grid(view: View, window: Window, **filters: str) -> GridQuery:
    conditions = tuple(Condition(name, "is", value) for name, value in filters.items())
    return GridQuery(company=COMPANY, kind="expense", window=window, view=view, conditions=conditions, limit=ROWS)


def _pages(connection: Connection, query: GridQuery) -> Iterator[tuple[str, GridQuery]]:
    """The first page, one in the middle, and the last full one."""
    table = tables.documents
    condition = text(f"views & {BITS[query.view]} <> 0") if BITS[query.view] else true()
    documents = connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one()
    positions = (
        select(table.c.date, table.c.key).where(condition).order_by(table.c.date.desc(), table.c.key.desc()).limit(1)
    )
    yield "start", query
    for name, before in (("middle", documents // 2), ("end", max(1, documents - ROWS))):
        date, key = connection.execute(positions.offset(before - 1)).one()
        yield name, msgspec.structs.replace(query, after=(date, key))


def _documents(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(tables.documents)).scalar_one()


def _window_of(documents: int, window: Window) -> Window:
    """Return the last part of a window in which this many documents need a sync; one of ten does."""
    start, end = date.fromisoformat(window.start), date.fromisoformat(window.end)
    days = round(((end - start).days + 1) * min(10 * IN_NEED / documents, 1.0))
    return Window(str(end - timedelta(days=max(days, 1) - 1)), window.end)


def _plan(settings: Settings, window: Window) -> Question:
    def ask(snapshot: Snapshot) -> Any:
        planned = plan(snapshot, settings, snapshot.company(COMPANY), window)
        if not planned.documents:
            raise RuntimeError("documents in need of a sync were asked for, and none came")
        return planned.tasks

    return ask


def _names(connection: Connection) -> list[str]:
    """Documents from anywhere, a different one for each call."""
    highest = _documents(connection)
    chance = Random(1)
    return [f"{COMPANY}/PT{chance.randrange(highest):09d}" for _ in range(WARM_UPS + CALLS)]


def _summary(snapshot: Snapshot) -> Any:
    company = snapshot.company(COMPANY)
    return snapshot.summary(company, snapshot.window(company, None, None)).as_json()


def _page(query: GridQuery) -> Question:
    def ask(snapshot: Snapshot) -> Any:
        page = snapshot.page(query)
        # A small load has fewer of a project.
        if len(page.rows) != ROWS and not (page.rows and query.filtered):
            raise RuntimeError(f"a page of {ROWS} rows was asked for, and {len(page.rows)} came")
        return [row.as_json() for row in page.rows]

    return ask


def _sums(query: GridQuery) -> Question:
    return lambda snapshot: list(snapshot.totals(query).values())


def _chains(names: list[str]) -> Question:
    following = iter(names)
    return lambda snapshot: snapshot.chain(next(following))
