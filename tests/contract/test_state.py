"""The state topic, on both databases: every change is published, and a new store reads all of it."""

import json
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Engine, LargeBinary, create_engine, insert, select, text, update
from sqlalchemy.pool import StaticPool

from engine.alerts import Alert
from engine.cursors import Cursor
from engine.sync.attempts import SECOND, ClaimLost, Outcome
from store.operational import state_topic
from store.operational.alerts import SqlAlerts
from store.operational.attempts import SqlAttempts
from store.operational.cursors import SqlCursors
from store.operational.state_topic import STATE_TABLES, StateOutbox, StateTable
from store.schema import tables
from store.schema.bulk_sql import upsert
from store.schema.database import connect, migrate
from store.schema.dialects.sqlite import begin_explicitly
from tests.contract.test_attempts import claim, request, task
from tests.support.soak import examples
from tests.support.stores import publish_state

pytestmark = pytest.mark.requirement("R90")

HOUR = 3_600 * SECOND
OFFSETS = count(1_000_000)
"""Offsets of a topic grow with every published record."""

Records = dict[bytes, bytes | None]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.containers)])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.getfixturevalue(f"{request.param}_store")
    return found


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Engine]:
    """A new store."""
    engine = connect(f"sqlite:///{tmp_path / 'other.sqlite'}", write=True)
    migrate(engine)
    yield engine
    engine.dispose()


def contents(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(state_topic.contents(connection))


def noted(engine: Engine) -> list[tuple[Any, ...]]:
    """The keys of what waits to be published, in the order of the changes."""
    return [tuple(state_topic._read(one.outgoing.key)) for one in StateOutbox(engine).pending(1_000)]


def published(engine: Engine, onto: Records | None = None) -> Records:
    """Publish pending rows as a worker does. Return the latest value of each key on the topic."""
    topic = {} if onto is None else onto
    outbox = StateOutbox(engine)
    while waiting := outbox.pending(2):
        topic |= {one.outgoing.key: one.outgoing.value for one in waiting}
        outbox.acknowledge(waiting, next(OFFSETS))
    return topic


def adopted(engine: Engine, records: Records, *, overwrite: bool = False) -> list[str]:
    with engine.begin() as connection:
        return state_topic.restore(connection, records, overwrite=overwrite)


def example(kept: StateTable, number: int = 1) -> dict[str, Any]:
    """A row with a value in every column; another number makes another value in each."""
    values: dict[str, Any] = {}
    for column in kept.table.columns:
        if isinstance(column.type, LargeBinary):
            values[column.name] = state_topic._pack({"table": "t", "rows": number})
        elif column.type.python_type is int:
            values[column.name] = number
        else:
            values[column.name] = f'{kept.name_prefixes[0] if kept.name_prefixes else ""}ü "x" {number}'
    return values


def key_of(kind: str, values: dict[str, Any]) -> tuple[Any, ...]:
    return (kind, *(values[column.name] for column in STATE_TABLES[kind].table.primary_key.columns))


@pytest.mark.requirement("R71")
@pytest.mark.parametrize("kind", STATE_TABLES)
def test_every_change_of_a_row_is_noted_once_and_what_is_of_the_moment_never(engine: Engine, kind: str) -> None:
    kept = STATE_TABLES[kind]
    table, values, others = kept.table, example(kept), example(kept, 2)
    key = key_of(kind, values)
    own = [column == values[column.name] for column in table.primary_key.columns]
    with engine.begin() as connection:
        connection.execute(insert(table).values(values))
    assert noted(engine) == [key]
    publish_state(engine)
    for column in table.columns:
        if column.primary_key:
            continue
        with engine.begin() as connection:
            connection.execute(update(table).where(*own).values({column.name: values[column.name]}))
        assert noted(engine) == [], f"{column.name} did not change"
        with engine.begin() as connection:
            connection.execute(update(table).where(*own).values({column.name: others[column.name]}))
        assert noted(engine) == ([] if column.name in kept.transient else [key]), column.name
        publish_state(engine)
    with engine.begin() as connection:
        upsert(connection, table, [tuple(values[column.name] for column in table.columns)])
        connection.execute(table.delete().where(*own))
    (gone,) = StateOutbox(engine).pending(10)
    assert (gone.outgoing.key, gone.outgoing.value) == (state_topic.key_of(key), None)


def test_settings_of_other_names_are_not_kept(engine: Engine) -> None:
    with engine.begin() as connection:
        upsert(connection, tables.settings, [("maps", "a digest"), ("job alerts", "now"), ("PIN x", "no")])
    assert (noted(engine), contents(engine)) == ([], [])


@pytest.mark.containers
def test_a_temporary_table_takes_no_notes(postgres_store: Engine) -> None:
    """The function of the triggers runs as the owner: it must not write to a table of the caller."""
    with postgres_store.begin() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE state_outbox (number bigserial, key text UNIQUE)"))
        connection.execute(insert(tables.alerts).values(example(STATE_TABLES["alert"])))
        assert connection.execute(text("SELECT * FROM pg_temp.state_outbox")).all() == []
        connection.execute(text("DROP TABLE pg_temp.state_outbox"))
    assert noted(postgres_store) == [key_of("alert", example(STATE_TABLES["alert"]))]


def test_what_fails_is_not_noted(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin() as transaction:
        connection.execute(insert(tables.alerts).values(example(STATE_TABLES["alert"])))
        transaction.rollback()
    assert noted(engine) == []


@pytest.mark.requirement("R43", "R71")
def test_a_call_may_leave_once_its_attempt_is_published(engine: Engine) -> None:
    log = SqlAttempts(engine)
    log.request(request(task()))
    publish_state(engine)
    held = claim(log, 0)
    log.begin(held, now=1, until=HOUR)
    assert not log.is_acknowledged(held)
    # A concurrent change commits later and blocks no other.
    waiting = StateOutbox(engine).pending(10)
    SqlCursors(engine).save(Cursor(table="dataverse/msdyn_actual"))
    StateOutbox(engine).acknowledge(waiting, next(OFFSETS))
    assert log.is_acknowledged(held)


@pytest.mark.requirement("R43", "R71")
def test_a_row_that_changes_while_it_is_published_is_published_again(engine: Engine) -> None:
    log = SqlAttempts(engine)
    log.request(request(task()))
    waiting = StateOutbox(engine).pending(10)
    held = claim(log, 0)
    log.begin(held, now=1, until=HOUR)
    StateOutbox(engine).acknowledge(waiting, next(OFFSETS))
    assert not log.is_acknowledged(held)
    assert noted(engine) == [("sync", "USPM/1", "export"), ("attempt", "USPM/1", "export", 1)]


@pytest.mark.requirement("R43", "R71")
def test_a_handler_loses_its_claim_to_what_the_topic_knew_better(engine: Engine, other: Engine) -> None:
    """Another store went on after the backup that this one was restored from."""
    log = SqlAttempts(engine)
    log.request(request(task()))
    before = published(engine)
    adopted(other, before, overwrite=True)
    published(other)
    further = SqlAttempts(other)
    for number in range(3):
        held = claim(further, number * HOUR)
        further.begin(held, now=number * HOUR, until=number * HOUR + SECOND)
        further.end(held, "transient", "503", now=number * HOUR, chance=0.0, changes={})
    topic = published(other)

    held = claim(log, 0)
    log.begin(held, now=0, until=HOUR)
    adopted(engine, topic)
    publish_state(engine)
    with pytest.raises(ClaimLost):
        log.is_acknowledged(held)
    (sync,) = log.syncs()
    assert (sync.attempts.made, sync.attempts.calls) == (3, 3)


@pytest.mark.requirement("R71")
def test_what_was_not_published_stays_against_what_is_older(engine: Engine) -> None:
    cursors = SqlCursors(engine)
    cursors.save(Cursor(table="finance/Vendors", rows=1))
    topic = published(engine)
    cursors.save(Cursor(table="finance/Vendors", rows=2))
    adopted(engine, topic)
    assert cursors.load("finance/Vendors") == Cursor(table="finance/Vendors", rows=2)


@pytest.mark.requirement("R71")
def test_a_store_that_knows_nothing_takes_all_whatever_was_written_to_it_before(engine: Engine, other: Engine) -> None:
    cursors = SqlCursors(engine)
    cursors.save(Cursor(table="finance/Vendors", rows=1))
    topic = published(engine)
    early = SqlCursors(other)
    for number in range(9):
        early.save(Cursor(table="finance/Vendors", rows=100 + number))
    adopted(other, topic, overwrite=True)
    assert contents(other) == contents(engine)
    # The topic has all of it; what changes from now on has numbers above those that were taken over.
    assert StateOutbox(other).pending(10) == []
    highest = max(json.loads(value)["number"] for value in topic.values() if value is not None)
    early.save(Cursor(table="finance/Vendors", rows=2))
    assert StateOutbox(other).pending(10)[0].number > highest


@pytest.mark.requirement("R43", "R71")
def test_what_is_taken_over_in_pieces_is_what_came_last(engine: Engine, other: Engine) -> None:
    log = SqlAttempts(engine)
    log.request(request(task()))
    pieces = [published(engine)]
    for number in range(5):
        held = claim(log, number * HOUR)
        log.begin(held, now=number * HOUR, until=number * HOUR + SECOND)
        pieces.append(published(engine))
        log.end(held, "transient", "503", now=number * HOUR, chance=0.0, changes={})
        pieces.append(published(engine))
    for number, piece in enumerate(pieces):
        # The first start ends after the first piece; the next one knows that it has begun.
        adopted(other, piece, overwrite=number == 0)
    assert contents(other) == contents(engine)
    assert StateOutbox(other).pending(10) == []


def test_a_record_with_a_key_or_value_out_of_range_is_named(engine: Engine) -> None:
    with engine.begin() as connection:
        upsert(connection, tables.settings, [("log of tieout.finance.changes", "log:1")])
    sync = example(STATE_TABLES["sync"])
    for name in STATE_TABLES["sync"].transient:
        del sync[name]

    def synced(**more: Any) -> bytes:
        row = {**sync, "parameters": "{}", **more}
        return json.dumps({"number": 1, "row": row}).encode()

    sync_key = state_topic.key_of(("sync", sync["document"], sync["action"]))
    worse: list[tuple[bytes, bytes | None]] = [
        (b'["sync","USPM/1"]', None),
        (b'["sync",{"a":1},["b"]]', None),
        (b'["attempt","a","export",9223372036854775808]', None),
        (b'["setting","log of tieout.finance.changes"]', None),
        (b'["cursor",' + b"[" * 5_000 + b"]" * 5_000 + b"]", None),
        (b'["cursor","a\\u0000"]', None),
        (sync_key, synced(made=2**40)),
        (sync_key, synced(due=2**70)),
        (sync_key, synced(made=True)),
        (sync_key, synced(last_text="a\0b")),
        (sync_key, synced(parameters="no JSON")),
        (sync_key, synced(parameters="[1]")),
        (sync_key, synced().replace(b'"number": 1', b'"number": 1e300')),
        (b'["cursor","deep"]', b'{"number":1,"row":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}"),
    ]
    for bad_name, content in worse:
        assert len(adopted(engine, {bad_name: content})) == 1, (bad_name, content)
    with engine.connect() as connection:
        assert connection.scalar(select(tables.settings.c.value).where(tables.settings.c.value == "log:1"))
    assert adopted(engine, {sync_key: synced().replace(b'"number": 1', b'"number": 9223372036854775807')}) == []


def test_records_that_cannot_be_read_are_named_and_keep_no_other(engine: Engine) -> None:
    SqlCursors(engine).save(Cursor(table="finance/Vendors", rows=1))
    ((key, value),) = published(engine).items()
    assert value is not None
    bad: Records = {
        b"\xff": b"{}",
        b"{}": b"{}",
        b'["cursor"]': value,
        b'["cursor","another"]': value,
        b'["sync","a","b"]': b'{"number":1,"row":{"document":"a"}}',
        b'["alert","a"]': b'{"number":"1"}',
        b'["cursor",7]': value.replace(b'"table":"finance/Vendors","body"', b'"table":7,"body"'),
        key: value.replace(b'"rows":1', b'"rows":5'),
        b'["a kind of tomorrow","x"]': b'{"number":9,"row":{"x":1}}',
        b'["a kind of tomorrow","y"]': None,
    }
    faults = adopted(engine, bad)
    assert len(faults) == 7
    assert any("the column 'action' is missing" in fault for fault in faults)
    assert any("the row has another key than its record" in fault for fault in faults)
    assert SqlCursors(engine).load("finance/Vendors") == Cursor(table="finance/Vendors", rows=5)
    assert len(contents(engine)) == 1


def test_all_of_it_can_be_published_again(engine: Engine) -> None:
    SqlCursors(engine).save(Cursor(table="finance/Vendors", rows=1))
    log = SqlAttempts(engine)
    log.request(request(task("USPM/1", "USPM/1", "USPM/2"), run="r1"))
    topic = published(engine)
    with engine.begin() as connection:
        state_topic.republish(connection)
        state_topic.republish(connection)
    assert len(noted(engine)) == len(topic)
    assert set(published(engine)) == set(topic)


class Keeping(RuleBasedStateMachine):
    """Any work of handlers, pollers and alerts, published or not at any moment. A new store, and one that was restored
    from a backup, read from the topic what the first store published.
    """

    @initialize()
    def begin(self) -> None:
        self.engine = new_store()
        self.topic: Records = {}
        self.backup: Engine | None = None
        self.now = HOUR

    @rule(names=st.sets(st.sampled_from(["USPM/1", "USPM/2"]), min_size=1), person=st.booleans(), run=st.booleans())
    def ask(self, names: set[str], person: bool, run: bool) -> None:
        asked = request(task("USPM/1", *sorted(names)), at=self.now, by_person=person, run=f"r{self.now}" * run)
        SqlAttempts(self.engine).request(asked)

    @rule(outcome=st.sampled_from(["succeeded", "transient", "configuration", None]), minutes=st.integers(0, 30))
    def attempt(self, outcome: Outcome | None, minutes: int) -> None:
        self.now += minutes * 60 * SECOND
        log = SqlAttempts(self.engine)
        held = log.claim(f"h{self.now}", now=self.now, until=self.now + SECOND, chance=0.0)
        if held is not None and any(sync.attempts.made < 5 for sync in held.syncs):
            log.begin(held, now=self.now, until=self.now + SECOND)
            if outcome is not None:
                log.end(held, outcome, "so it was", now=self.now, chance=0.0, changes={})

    @rule(rows=st.integers(0, 3))
    def poll(self, rows: int) -> None:
        SqlCursors(self.engine).save(Cursor(table="finance/Vendors", rows=rows))

    @rule(stands=st.booleans())
    def look(self, stands: bool) -> None:
        alerts = SqlAlerts(self.engine)
        alerts.record([Alert("a", "feed-silent", None, "silent")] if stands else [], {"feed-silent"}, self.now)
        if (told := alerts.claim(self.now, self.now)) is not None and told.due is not None:
            alerts.mark_sent(told, told.due)

    @rule()
    def purge(self) -> None:
        SqlAttempts(self.engine).purge_runs(self.now)

    @rule(limit=st.integers(1, 5), acknowledged=st.booleans())
    def publish(self, limit: int, acknowledged: bool) -> None:
        outbox = StateOutbox(self.engine)
        if waiting := outbox.pending(limit):
            self.topic |= {one.outgoing.key: one.outgoing.value for one in waiting}
            if acknowledged:
                outbox.acknowledge(waiting, next(OFFSETS))

    @rule()
    def back_up(self) -> None:
        self.backup = copied(self.engine)

    @rule()
    def restore(self) -> None:
        """The store is lost, and what was published is not."""
        if self.backup is not None:
            published(self.engine, self.topic)
            expected = contents(self.engine)
            self.engine, self.backup = self.backup, None
            adopted(self.engine, self.topic)
            self.compare(expected)

    @rule()
    def lose(self) -> None:
        published(self.engine, self.topic)
        expected = contents(self.engine)
        self.engine, self.backup = new_store(), None
        adopted(self.engine, self.topic, overwrite=True)
        self.compare(expected)

    def compare(self, expected: list[Any]) -> None:
        found = dict(contents(self.engine))
        assert {key: row for key, row in found.items() if key in dict(expected)} == dict(expected)

    @invariant()
    def what_waits_is_all_that_the_topic_lacks(self) -> None:
        if not hasattr(self, "engine"):
            return
        with self.engine.connect() as connection:
            stored, waiting = dict(state_topic.contents(connection)), state_topic.unpublished(connection)
        told = state_topic.decode_records(self.topic)
        assert {key for key in stored.keys() | told.keys() if stored.get(key) != told.get(key)} <= waiting


@cache
def _empty() -> Engine:
    engine = in_memory()
    migrate(engine)
    return engine


def new_store() -> Engine:
    return copied(_empty())


def in_memory() -> Engine:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    begin_explicitly(engine, write=True)
    return engine


def copied(engine: Engine) -> Engine:
    """A backup of a store."""
    to = in_memory()
    with engine.connect() as source, to.connect() as target:
        source.connection.driver_connection.backup(target.connection.driver_connection)  # type: ignore[union-attr]
    return to


TestKeeping = Keeping.TestCase
TestKeeping.settings = settings(deadline=None, max_examples=examples(30))


def test_the_place_of_the_topic_is_kept_with_what_was_published(engine: Engine) -> None:
    with engine.connect() as connection:
        assert state_topic.load_offset(connection) is None
    SqlCursors(engine).save(Cursor(table="finance/Vendors"))
    publish_state(engine)
    with engine.connect() as connection:
        place = state_topic.load_offset(connection)
        assert place is not None
        assert connection.execute(select(tables.state_outbox)).all() == []
    assert place.last is not None
