"""The indexes from which SQLite answers the queries of grids. PostgreSQL chooses by its statistics."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, Engine, event

from engine.reconciliation.account import DOCUMENT_PARTS, PartName
from store.projection.tile_totals import View
from store.queries.account import part_rows
from store.queries.balance import by_project, oldest_open
from store.queries.filters import Condition
from store.queries.grid_query import Sort
from store.queries.grid_totals import groups, totals
from store.queries.grids import page
from store.schema.database import connect, migrate
from tests.support.small_store import fill, grid_queries
from tests.support.stores import memory_store, reader


def test_what_is_unreconciled_by_project_is_told_from_an_index_alone_on_sqlite() -> None:
    engine = fill(memory_store())
    asked_for: list[Any] = []
    with reader(engine).snapshot() as snapshot:
        company = snapshot.company("USPM")
        window = snapshot.window(company, None, None)
    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", lambda *told: asked_for.append((told[2], told[3])))
        by_project(connection, company.code, window)
        oldest_open(connection, company.code)
        questions = [one for one in asked_for if "FROM documents" in one[0]]
        plans = [str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", told).all()) for sql, told in questions]
    assert len(plans) == 2
    assert "COVERING INDEX ix_documents_open_projects" in plans[0]
    assert "B-TREE" not in plans[0]
    assert "INDEX ix_documents_open (company=?)" in plans[1]


@pytest.mark.requirement("R35")
def test_sums_of_a_category_are_told_from_an_index_alone_and_its_pages_walk_by_date_on_sqlite() -> None:
    engine = fill(memory_store())
    project = Condition("project", "is", "P-001")
    with reader(engine).snapshot() as snapshot:
        found = list(grid_queries(snapshot, conditions=(Condition("category", "is", "Hotel-Expense"),)))
        query = next(query for query in found if query.view == "all")
    both = msgspec.structs.replace(query, conditions=(*query.conditions, project))
    asked_for: list[Any] = []
    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", lambda *told: asked_for.append((told[2], told[3])))
        totals(connection, query)
        page(connection, query)
        totals(connection, both)
        questions = [one for one in asked_for if "GROUP BY" in one[0] or "chains" in one[0]]
        plans = [str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", told).all()) for sql, told in questions]
    assert "COVERING INDEX ix_documents_category (company=? AND kind=? AND category=?)" in plans[0]
    assert "B-TREE" not in plans[0]
    assert all("INDEX ix_documents_all" in plan for plan in plans[1:-1])
    assert "INDEX ix_documents_project" in plans[-1]


@pytest.mark.requirement("R37")
@pytest.mark.parametrize("part", sorted(DOCUMENT_PARTS))
def test_the_documents_of_a_part_are_read_day_by_day_in_the_order_of_an_index_on_sqlite(part: PartName) -> None:
    engine = fill(memory_store())
    asked_for: list[Any] = []
    with reader(engine).snapshot() as snapshot:
        company = snapshot.company("USPM")
        window = snapshot.window(company, "2024-06-01", "2024-12-31")
    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", lambda *told: asked_for.append((told[2], told[3])))
        rows = list(part_rows(connection, company, window, part))
        questions = [one for one in asked_for if "FROM documents" in one[0]]
        plans = [str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", told).all()) for sql, told in questions]
    # Only days that have any are asked for.
    assert len(plans) == len({(row.date, row.kind) for row in rows})
    # That of the view is as good as that of all documents; SQLite takes the one made last.
    assert all(re.search(r"INDEX ix_documents_\w+ \(company=\? AND kind=\? AND date=\?", plan) for plan in plans)
    assert all("B-TREE" not in plan for plan in plans)


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Engine]:
    """A store as a worker makes it: among indexes that are as good as each other, SQLite takes the one made last."""
    engine = connect(f"sqlite:///{tmp_path}/store.sqlite", write=True)
    migrate(engine)
    yield fill(engine)
    engine.dispose()


def plans(engine: Engine, ask: Callable[[Connection], object]) -> list[str]:
    """How SQLite goes about what is asked of the documents."""
    told: list[tuple[str, Any]] = []
    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", lambda *one: told.append((one[2], one[3])))
        ask(connection)
        questions = [one for one in told if "of_page" in one[0] or "GROUP BY documents" in one[0]]
        found = [
            str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()) for sql, values in questions
        ]
    assert found
    return found


@pytest.mark.requirement("R33", "R35")
@pytest.mark.parametrize("view", ["missing-actuals", "missing-journal-lines"])
@pytest.mark.parametrize("sort", ["date", "amount", "since"])
def test_a_page_of_what_is_missing_is_found_from_the_index_of_the_view_however_it_is_sorted_on_sqlite(
    on_sqlite: Engine, view: View, sort: Sort
) -> None:
    with reader(on_sqlite).snapshot() as snapshot:
        query = next(query for query in grid_queries(snapshot, sort=sort) if query.view == view)
    led = f"INDEX ix_documents_{view.replace('-', '_')} (company=? AND kind=? AND date"
    filters = [
        Condition("journal", "starts", "USPM"),
        Condition("category", "starts", "Hotel"),
        Condition("amount", "from", 5_000_000),
        Condition("since", "from", 1),
    ]
    assert all(f"COVERING {led}" in plan for plan in plans(on_sqlite, lambda connection: page(connection, query)))
    for one in filters:
        filtered = msgspec.structs.replace(query, conditions=(one,))
        for ask in (page, totals):
            assert all(led in plan for plan in plans(on_sqlite, partial(ask, query=filtered)))


@pytest.mark.requirement("R35")
@pytest.mark.parametrize(
    "condition",
    [
        Condition("category", "starts", "Hotel"),
        Condition("category", "not", "Hotel-Expense"),
        Condition("amount", "from", 5_000_000),
        Condition("reconciled", "to", 5_000_000),
    ],
)
def test_sums_filtered_on_categories_and_amounts_are_told_from_one_index_in_its_order_on_sqlite(
    on_sqlite: Engine, condition: Condition
) -> None:
    with reader(on_sqlite).snapshot() as snapshot:
        query = next(query for query in grid_queries(snapshot, conditions=(condition,)) if query.view == "all")
    for ask in (totals, partial(groups, by="category"), partial(groups, by="currency")):
        found = plans(on_sqlite, partial(ask, query=query))
        assert found
        assert all("COVERING INDEX ix_documents_category (company=? AND kind=?" in plan for plan in found)
        assert all("B-TREE" not in plan for plan in found)
