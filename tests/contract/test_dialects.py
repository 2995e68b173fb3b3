"""What a dialect provides, on each database."""

import time
from typing import Any

import pytest
from sqlalchemy import Engine, Text, cast, func, literal, select

from store.operational import state_topic
from store.schema import tables
from store.schema.bulk_sql import (
    delete,
    insert,
    insert_absent,
    pipelined,
    select_keys,
    select_limited,
    select_ranges,
    upsert,
)
from store.schema.bulk_sql import select as select_rows
from store.schema.dialects import dialect_of

LINKS = [(f"token{number // 2}", f"record{number}") for number in range(50)]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.containers)])
def engine(request: pytest.FixtureRequest) -> Engine:
    store: Engine = request.getfixturevalue(f"{request.param}_store")
    return store


def rows(engine: Engine, table: Any = tables.links) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return sorted(tuple(row) for row in connection.execute(select(table)))


@pytest.mark.parametrize("together", [False, True], ids=["one-by-one", "pipelined"])
def test_rows_are_inserted_replaced_and_deleted(engine: Engine, together: bool) -> None:
    settings = [(f"setting {number}", "old") for number in range(30)]
    with engine.begin() as connection:
        insert(connection, tables.links, LINKS)
        insert(connection, tables.settings, settings)
    if together:
        with engine.begin() as connection, pipelined(connection):
            change(connection)
    else:
        with engine.begin() as connection:
            change(connection)
    assert rows(engine) == sorted([*LINKS[3:], ("token", "record")])
    assert dict(rows(engine, tables.settings)) == {**dict(settings), "setting 1": "new", "setting": "new"}


def change(connection: Any) -> None:
    insert(connection, tables.links, [("token", "record")])
    upsert(connection, tables.settings, [("setting 1", "new"), ("setting", "new")])
    delete(connection, tables.links, ["token", "record"], LINKS[:3])


@pytest.mark.parametrize("number", [0, 1, 20, 21, 500, 501])
def test_rows_are_found_by_any_number_of_values(engine: Engine, number: int) -> None:
    values = [f"token{index}" for index in range(number)]
    links = [(token, f"record of {token}") for token in values]
    with engine.begin() as connection:
        insert(connection, tables.links, [*links, ("another", "record")])
        columns = ["token", "record"]
        assert sorted(select_rows(connection, tables.links, columns, "token", iter(values))) == sorted(links)
        assert sorted(select_limited(connection, tables.links, columns, "token", values, 2)) == sorted(links)
        ranges = [(value, f"{value}!") for value in values]
        assert sorted(select_ranges(connection, tables.links, columns, "token", ranges)) == sorted(links)
        assert sorted(select_keys(connection, tables.links, links)) == sorted(links)


def test_at_most_so_many_rows_of_each_value_are_found(engine: Engine) -> None:
    with engine.begin() as connection:
        insert(connection, tables.links, [(token, f"{number}") for token in ("a", "b") for number in range(5)])
        found = list(select_limited(connection, tables.links, ["token"], "token", ["a", "b", "c"], 2))
    assert sorted(token for (token,) in found) == ["a", "a", "b", "b"]


def test_statements_for_no_rows_do_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        insert(connection, tables.links, [])
        upsert(connection, tables.links, [])
        delete(connection, tables.links, ["token"], [])
    assert rows(engine) == []


def test_only_the_first_row_of_a_key_is_inserted(engine: Engine) -> None:
    with engine.begin() as connection:
        inserted = [insert_absent(connection, tables.settings, {"name": "a", "value": value}) for value in "12"]
    assert inserted == [True, False]
    assert ("a", "1") in rows(engine, tables.settings)


def test_the_clock_of_the_database_counts_microseconds_since_1970(engine: Engine) -> None:
    with engine.connect() as connection:
        now = connection.execute(select(dialect_of(connection).now())).scalar_one()
    assert abs(now / 1_000_000 - time.time()) < 60


def test_the_size_of_a_store_grows_with_its_rows(engine: Engine) -> None:
    with engine.connect() as connection:
        before = dialect_of(connection).size(connection)
    with engine.begin() as connection:
        insert(connection, tables.settings, [(f"{number}", "x" * 1_000) for number in range(1_000)])
    with engine.connect() as connection:
        assert dialect_of(connection).size(connection) >= before + 500_000 > 500_000


def test_keys_are_sorted_by_their_bytes(engine: Engine) -> None:
    names = ["a", "B", "b", "A", "ä", "Z", "z", "_", "10", "9", "\U0001f600", "ﬀ"]
    with engine.begin() as connection:
        insert(connection, tables.reconciliations, [("", name, "", "1") for name in names])
        column = tables.reconciliations.c.date
        order = connection.execute(select(column).order_by(dialect_of(connection).by_bytes(column))).scalars().all()
    assert order == sorted(names)


def test_a_json_array_is_the_key_of_a_changed_row(engine: Engine) -> None:
    with engine.begin() as connection:
        insert_absent(connection, tables.settings, {"name": 'job sync "ä"', "value": ""})
        array = dialect_of(connection).json_array(literal("setting", Text), literal('job sync "ä"', Text))
        key = connection.execute(select(cast(array, Text))).scalar_one()
        assert key in connection.execute(select(tables.state_outbox.c.key)).scalars().all()


def test_changes_are_numbered_above_a_number(engine: Engine) -> None:
    highest = select(func.max(tables.state_outbox.c.number))
    for above in (1_000, 10):
        with engine.begin() as connection:
            dialect_of(connection).number_state_after(connection, above)
            upsert(connection, tables.settings, [(f"{state_topic.JOB_DAYS}{above}", "2025-01-01")])
            assert connection.execute(highest).scalar_one() > 1_000
