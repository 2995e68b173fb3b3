"""A store and its state topic, brought together at the start of a worker."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from engine.cursors import Cursor
from store.operational import state_topic
from store.operational.cursors import SqlCursors
from store.operational.state_topic import StateOutbox, StateTopicOffset
from store.schema.database import connect, migrate
from streams.embedded.log import EmbeddedLog
from streams.log import LOST, NewRecord
from streams.topics import STATE
from tieout.worker import state_topic as worker_state_topic
from tieout.worker.state_topic import find_differences, synchronise_state

pytestmark = pytest.mark.requirement("R71", "R74", "R90")
TOPIC = STATE.full_name("tieout")
FIRST, SECOND = Cursor(table="finance/Vendors", rows=1), Cursor(table="finance/Vendors", rows=2)


@pytest.fixture
def event_log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    log = EmbeddedLog.open(tmp_path / "log.sqlite", "write")
    log.create_topics([STATE], 4, prefix="tieout")
    yield log
    log.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = connect(f"sqlite:///{tmp_path / 'store.sqlite'}", write=True)
    migrate(made)
    yield made
    made.dispose()


def publish(engine: Engine, event_log: EmbeddedLog) -> None:
    outbox = StateOutbox(engine)
    while waiting := outbox.pending(100):
        placed = event_log.append([NewRecord(TOPIC, one.outgoing.key, one.outgoing.value) for one in waiting])
        outbox.acknowledge(waiting, placed[-1][1] + 1)


def at(engine: Engine) -> StateTopicOffset:
    with engine.connect() as connection:
        found = state_topic.load_offset(connection)
    assert found is not None
    return found


def set_place(engine: Engine, place: StateTopicOffset) -> None:
    with engine.begin() as connection:
        state_topic.save_offset(connection, place)


def kept(engine: Engine, event_log: EmbeddedLog) -> StateTopicOffset:
    """A store with one cursor that is on the topic."""
    synchronise_state(engine, event_log, "tieout")
    SqlCursors(engine).save(FIRST)
    publish(engine, event_log)
    return at(engine)


def test_the_first_start_reads_nothing_and_writes_nothing(engine: Engine, event_log: EmbeddedLog) -> None:
    synchronise_state(engine, event_log, "tieout")
    assert (at(engine).next, event_log.end_offset(TOPIC, 0)) == (0, 0)
    assert at(engine).identity == event_log.identities([TOPIC])[TOPIC]


def test_a_later_start_takes_nothing_that_it_knows(engine: Engine, event_log: EmbeddedLog) -> None:
    place = kept(engine, event_log)
    synchronise_state(engine, event_log, "tieout")
    assert at(engine) == place
    assert StateOutbox(engine).pending(10) == []


@pytest.mark.parametrize(
    "lacking",
    [
        StateTopicOffset("log:another", 1, None),
        StateTopicOffset(None, 7, None),
        StateTopicOffset(None, 1, state_topic.record_digest(b"another", b"record")),
    ],
    ids=["another topic", "one that ends before", "one with another record there"],
)
def test_a_topic_that_lacks_something_gets_everything(
    engine: Engine, event_log: EmbeddedLog, lacking: StateTopicOffset
) -> None:
    place = kept(engine, event_log)
    set_place(engine, StateTopicOffset(lacking.identity or place.identity, lacking.next, lacking.last))
    synchronise_state(engine, event_log, "tieout")
    assert [
        state_topic.decode_records({one.outgoing.key: one.outgoing.value}) for one in StateOutbox(engine).pending(10)
    ] != []
    publish(engine, event_log)
    assert event_log.end_offset(TOPIC, 0) == 2
    assert SqlCursors(engine).load("finance/Vendors") == FIRST
    assert find_differences(engine, event_log, "tieout") == []
    synchronise_state(engine, event_log, "tieout")
    assert event_log.end_offset(TOPIC, 0) == 2


def test_a_topic_that_is_made_again_beneath_a_worker_gets_everything(engine: Engine, event_log: EmbeddedLog) -> None:
    kept(engine, event_log)
    SqlCursors(engine).save(Cursor(table="finance/Customers", rows=1))
    outbox = StateOutbox(engine)
    waiting = outbox.pending(10)
    # It begins at offset 0 again.
    assert not outbox.acknowledge(waiting, len(waiting))
    names = {one.outgoing.key for one in outbox.pending(10)}
    assert names == {b'["cursor","finance/Customers"]', b'["cursor","finance/Vendors"]'}
    assert outbox.acknowledge(outbox.pending(10), 3)
    assert outbox.pending(10) == []


def test_a_new_store_whose_worker_is_killed_while_it_reads_goes_on_reading(
    engine: Engine, event_log: EmbeddedLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synchronise_state(engine, event_log, "tieout")
    for rows in range(9):
        for table in ("finance/Vendors", "finance/Customers"):
            SqlCursors(engine).save(Cursor(table=table, rows=rows))
        publish(engine, event_log)
    monkeypatch.setattr(worker_state_topic, "RECORDS_AT_ONCE", 4)
    other = connect(f"sqlite:///{tmp_path / 'other.sqlite'}", write=True)
    migrate(other)
    adopt, left = state_topic.restore, [2]

    def dying(*arguments: Any, **named: Any) -> list[str]:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return adopt(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(state_topic, "restore", dying)
        with pytest.raises(KeyboardInterrupt):
            synchronise_state(other, event_log, "tieout")
    assert at(other).next == 8
    synchronise_state(other, event_log, "tieout")
    assert list(SqlCursors(other).all()) == list(SqlCursors(engine).all())
    assert StateOutbox(other).pending(10) == []
    assert find_differences(other, event_log, "tieout") == []
    other.dispose()


def test_what_was_acknowledged_and_not_noted_is_published_twice_and_counts_once(
    engine: Engine, event_log: EmbeddedLog
) -> None:
    kept(engine, event_log)
    SqlCursors(engine).save(SECOND)
    waiting = StateOutbox(engine).pending(10)
    event_log.append([NewRecord(TOPIC, one.outgoing.key, one.outgoing.value) for one in waiting])
    synchronise_state(engine, event_log, "tieout")
    publish(engine, event_log)
    assert SqlCursors(engine).load("finance/Vendors") == SECOND
    assert find_differences(engine, event_log, "tieout") == []


def test_a_record_that_was_lost_when_the_log_was_damaged_deletes_nothing(
    engine: Engine, event_log: EmbeddedLog
) -> None:
    kept(engine, event_log)
    event_log.append([NewRecord(TOPIC, b'["cursor","finance/Vendors"]', None, ((LOST, b"damaged"),))])
    synchronise_state(engine, event_log, "tieout")
    assert SqlCursors(engine).load("finance/Vendors") == FIRST


def test_rubbish_on_the_topic_keeps_no_worker_from_its_work(engine: Engine, event_log: EmbeddedLog) -> None:
    kept(engine, event_log)
    event_log.append(
        [
            NewRecord(TOPIC, None, b"no key"),
            NewRecord(TOPIC, b"\xff", b"no JSON"),
            NewRecord(TOPIC, b'["cursor","finance/Vendors"]', b'{"number":99}'),
        ]
    )
    synchronise_state(engine, event_log, "tieout")
    assert SqlCursors(engine).load("finance/Vendors") == FIRST
    # `verify` names it, and publishing the row again puts it right.
    assert [one.key for one in find_differences(engine, event_log, "tieout")] == [("cursor", "finance/Vendors")]
