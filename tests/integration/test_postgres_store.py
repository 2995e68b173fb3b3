"""The properties of the core on PostgreSQL: for any order, repetition and batches, the store equals the one of SQLite
for the same events.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, literal, select, text
from sqlalchemy.exc import InternalError

from store.errorlog.error_log import ErrorQuery, entries
from store.projection.writer import Writer
from store.schema import tables
from store.schema.database import check, connect, migrate
from streams.agents import prepare
from tests.property.test_crash import PowerCut, dying_at
from tests.property.test_history import compare_company
from tests.support.containers import Database
from tests.support.histories import deliveries, histories
from tests.support.history_events import COMPANIES
from tests.support.naive_model import NaiveModel
from tests.support.reports import at, deleted, failed, ran
from tests.support.soak import examples
from tests.support.stores import MAPS, Event, apply, batch_of, canonical, memory_store, project, reader, sizes

pytestmark = pytest.mark.containers

SLOW = settings(
    deadline=None,
    max_examples=examples(25),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def engine(database: Database) -> Iterator[Engine]:
    engine = connect(database.create("store"), write=True)
    migrate(engine)
    yield engine
    engine.dispose()


def emptied(engine: Engine) -> Engine:
    """The store with no rows."""
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(tables.metadata.tables)}"))
    return engine


def apply_overlapping(writer: Writer, events: Sequence[Event], cuts: Sequence[int]) -> None:
    """Each batch is prepared before the one ahead of it is committed, as the worker does it."""
    ahead: Any = None
    for piece in sizes(events, cuts):
        plan = prepare(batch_of(piece), writer)
        if ahead is not None:
            writer.commit(ahead)
        writer.stage(plan)
        ahead = plan
    if ahead is not None:
        writer.commit(ahead)
    while writer.recompute():
        pass


@pytest.mark.requirement("R74", "R81")
def test_the_migrations_make_just_the_tables_of_the_code(engine: Engine) -> None:
    check(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []


@pytest.mark.requirement("R11", "R81")
@SLOW
@given(histories(max_documents=4), st.data())
def test_any_order_and_batches_give_the_store_that_sqlite_has(
    engine: Engine, events: list[Event], data: st.DataObject
) -> None:
    arrived = data.draw(deliveries(events))
    cuts = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    apply_overlapping(Writer(emptied(engine), MAPS), arrived, cuts)
    assert canonical(engine) == canonical(project(events))


@pytest.mark.requirement("R11", "R81")
@SLOW
@given(histories(max_documents=3), st.data())
def test_overlapping_batches_give_the_store_of_batches_one_by_one(
    engine: Engine, events: list[Event], data: st.DataObject
) -> None:
    """On SQLite as well, where the worker does not overlap: what is read over the store must be exact on both."""
    arrived = data.draw(deliveries(events))
    cuts = data.draw(st.lists(st.integers(1, 10), min_size=1, max_size=4))
    one_by_one = project([])
    apply_overlapping(Writer(one_by_one, MAPS), arrived, cuts)
    assert canonical(one_by_one) == canonical(project(events))


@pytest.mark.requirement("R71", "R81")
@SLOW
@given(histories(max_documents=2), st.data())
def test_a_crash_between_any_two_statements_changes_nothing(
    engine: Engine, events: list[Event], data: st.DataObject
) -> None:
    arrived = data.draw(deliveries(events))
    cuts = data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=3))
    deaths = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=6))
    writer = Writer(emptied(engine), MAPS)
    follows = 0
    for number, piece in enumerate(sizes(arrived, cuts)):
        batch = batch_of(piece, "changes", follows)
        if number < len(deaths):
            try:
                with dying_at(engine, deaths[number]):
                    apply(writer, batch)
            except PowerCut:
                pass
        if writer.offsets().get(("changes", 0), 0) == follows:
            apply(writer, batch)
        follows += len(piece)
    while writer.recompute():
        pass
    assert canonical(engine) == canonical(project(events))


@pytest.mark.requirement("R32", "R33", "R81")
@SLOW
@given(histories(max_documents=4))
def test_summaries_and_grids_answer_as_the_naive_model(engine: Engine, events: list[Event]) -> None:
    apply_overlapping(Writer(emptied(engine), MAPS), events, [50])
    model, questions = NaiveModel(events), reader(engine)
    with questions.snapshot() as asked:
        known = asked.companies()
    for company in COMPANIES:
        if company in known:
            compare_company(model, questions, company)


@pytest.mark.requirement("R34")
def test_a_reader_sees_one_state_and_cannot_write(engine: Engine, database: Database) -> None:
    emptied(engine)
    reading = connect(database.url.rpartition("/")[0] + "/store")
    try:
        with reading.connect() as asked, asked.begin():
            count = text("SELECT count(*) FROM settings")
            before = asked.execute(count).scalar()
            Writer(engine, MAPS)
            assert asked.execute(count).scalar() == before
            with pytest.raises(InternalError, match="read-only"):
                asked.execute(text("DELETE FROM settings"))
    finally:
        reading.dispose()


@pytest.mark.requirement("R53", "R54", "R55", "R81")
def test_the_error_log_is_asked_and_purged_as_on_sqlite(engine: Engine) -> None:
    events = [
        *(failed(number, f"J-{number % 5}") for number in range(20)),
        failed(30, None, text="x" * 10_000),
        *ran(31, 32, "r2", "J-1"),
        *ran(33, None, "r3", "J-2"),
        *ran(34, 35, "r4", "J-1", "J-3"),
    ]
    told = []
    for store in (emptied(engine), memory_store()):
        writer = Writer(store, MAPS)
        batch = batch_of(events)
        batch.deletions.append(deleted(36, 19, "J-4"))
        apply(writer, batch)
        found = []
        for _ in range(2):
            with store.connect() as connection:
                for history in (False, True):
                    asked = entries(connection, ErrorQuery(history=history, company="uspm"), at(100))
                    found.append([entry.as_json() for entry in asked])
            while writer.purge(at(50)):
                pass
        told.append(found)
    assert told[0] == told[1]
    before, after = told[0][0], told[0][3]
    assert [error["subject"] for error in before] == [None, "J-2", "J-0"]
    assert [error["subject"] for error in after] == [None, "J-2", "J-0"]


@pytest.mark.requirement("R35")
def test_a_question_that_is_asked_often_is_planned_for_what_it_asks(database: Database) -> None:
    readers = connect(database.create("planned"), write=False)
    with readers.connect() as connection:
        for number in range(12):
            connection.execute(select(literal(number))).all()
        assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() == 0
    readers.dispose()


@pytest.mark.requirement("R81")
def test_readers_take_more_processes_for_long_questions_alone(database: Database) -> None:
    url = database.create("processes")
    found = {}
    for write in (True, False):
        engine = connect(url, write=write)
        with engine.connect() as connection:
            found[write] = float(connection.execute(text("SHOW parallel_setup_cost")).scalar_one())
            connection.rollback()
            assert float(connection.execute(text("SHOW parallel_setup_cost")).scalar_one()) == found[write]
        engine.dispose()
    assert found[False] == 10 * found[True]
