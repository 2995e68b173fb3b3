"""How long the questions take that the workspace asks, on the store that the worker has made."""

import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, func, select, text

from benchmarks.figures import Timing
from benchmarks.job import Job
from benchmarks.workload import COMPANY
from engine.calendar import Window
from store import tables
from store.conditions import Condition
from store.grids import GridQuery
from store.queries import Reader, Snapshot
from store.views import BITS, View
from tieout.bootstrap import load_maps, open_store

CALLS: Final = 200
WARM_UPS: Final = 10
ROWS: Final = 100

Question = Callable[[Snapshot], object]
_encode: Final = msgspec.json.Encoder().encode


def measure(job: Job) -> list[Timing]:
    """Ask each question many times; a call opens its own snapshot and ends with the answer as JSON."""
    with open_store(job.settings, write=False) as engine:
        reader = Reader(engine, load_maps(job.settings), today=job.settings.today)
        return [_timed(reader, name, question) for name, question in _questions(reader, engine)]


def _timed(reader: Reader, name: str, question: Question) -> Timing:
    taken = sorted([_seconds(reader, question) for _ in range(WARM_UPS + CALLS)][WARM_UPS:])
    return Timing(name, CALLS, 1000 * taken[CALLS // 2], 1000 * taken[CALLS * 99 // 100])


def _seconds(reader: Reader, question: Question) -> float:
    started = time.perf_counter()
    with reader.snapshot() as snapshot:
        _encode(question(snapshot))
    return time.perf_counter() - started


def _questions(reader: Reader, engine: Engine) -> Iterator[tuple[str, Question]]:
    with reader.snapshot() as snapshot:
        window = snapshot.window(snapshot.company(COMPANY), None, None)
    yield "summary", _summary
    with engine.connect() as connection:
        for view, name in _VIEWS.items():
            for where, query in _pages(connection, _grid(view, window)):
                yield f"{name}: 100 rows at the {where}", _page(query)
            yield f"{name}: count and sums", _sums(_grid(view, window))
        yield "all expenses of a project: count and sums", _sums(_grid("all", window, project="P-000250-D"))
        yield "a document's chain", _chains(_names(connection))


_VIEWS: Final[dict[View, str]] = {
    "all": "all expenses",
    "missing-actuals": "missing actuals",
    "missing-journal-lines": "missing journal lines",
}


def _grid(view: View, window: Window, **filters: str) -> GridQuery:
    conditions = tuple(Condition(name, "is", value) for name, value in filters.items())
    return GridQuery(company=COMPANY, kind="expense", window=window, view=view, conditions=conditions, limit=ROWS)


def _pages(connection: Connection, query: GridQuery) -> Iterator[tuple[str, GridQuery]]:
    """The first page, one in the middle, and the last full one."""
    table = tables.documents
    condition = text(f"views & {BITS[query.view]} <> 0") if BITS[query.view] else text("1")
    documents = connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one()
    places = (
        select(table.c.date, table.c.key).where(condition).order_by(table.c.date.desc(), table.c.key.desc()).limit(1)
    )
    yield "start", query
    for name, before in (("middle", documents // 2), ("end", max(1, documents - ROWS))):
        date, key = connection.execute(places.offset(before - 1)).one()
        yield name, msgspec.structs.replace(query, after=(date, key))


def _names(connection: Connection) -> list[str]:
    """Documents from anywhere, a different one for each call."""
    highest = connection.execute(select(func.count()).select_from(tables.documents)).scalar_one()
    chance = Random(1)
    return [f"{COMPANY}/PT{chance.randrange(highest):09d}" for _ in range(WARM_UPS + CALLS)]


def _summary(snapshot: Snapshot) -> Any:
    company = snapshot.company(COMPANY)
    return snapshot.summary(company, snapshot.window(company, None, None)).as_json()


def _page(query: GridQuery) -> Question:
    def ask(snapshot: Snapshot) -> Any:
        page = snapshot.page(query)
        if len(page.rows) != ROWS:
            raise RuntimeError(f"a page of {ROWS} rows was asked for, and {len(page.rows)} came")
        return [row.as_json() for row in page.rows]

    return ask


def _sums(query: GridQuery) -> Question:
    return lambda snapshot: list(snapshot.sums(query).values())


def _chains(names: list[str]) -> Question:
    following = iter(names)
    return lambda snapshot: snapshot.chain(next(following))
