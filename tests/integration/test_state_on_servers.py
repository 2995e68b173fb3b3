"""State that events do not contain, on Kafka and PostgreSQL: a new store and a restored one read it from its topic."""

import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from sqlalchemy import Engine, make_url

from engine.cursors import Cursor
from engine.sync.actions import Task
from engine.sync.attempts import ATTEMPTS_MAX, SECOND, Sync
from store.operational import state_topic
from store.operational.attempts import SqlAttempts
from store.operational.cursors import SqlCursors
from store.schema.database import connect
from streams.log import NewRecord
from streams.topics import STATE
from tests.support.containers import Broker, Database, until
from tests.support.workers import Environment, environment
from tieout.sync.command_topic import sync_commands
from tieout.sync.requests import request_of
from tieout.worker.state_topic import find_differences

pytestmark = [pytest.mark.containers, pytest.mark.requirement("R43", "R71", "R81", "R90")]

DOCUMENT = "USPM/000123"
EXPORT = Task("export", DOCUMENT, "USPM", {"recId": 1}, (DOCUMENT,))


@pytest.fixture
def place(broker: Broker, database: Database, tmp_path: Path) -> Iterator[Environment]:
    with environment(broker, database, f"s{time.time_ns() % 10**9}", tmp_path, partitions=2) as made:
        yield made


@pytest.fixture
def engine(place: Environment) -> Iterator[Engine]:
    made = connect(place.settings.store, write=True)
    yield made
    made.dispose()


def ask(place: Environment) -> None:
    """Ask for a sync by the commands topic, as a person does."""
    request = request_of((EXPORT,), {}, who="anna", scope="a test")
    topic = f"{place.settings.prefix}.commands"
    place.log.append(
        [NewRecord(topic, key.encode(), state_topic._json(command)) for key, command in sync_commands(request)]
    )


def attempt(engine: Engine, number: int) -> None:
    """An attempt that fails, once it is safe that it counts: an hour after the one before, when it is due."""
    log, now = SqlAttempts(engine), time.time_ns() // 1_000 + number * 3_600 * SECOND
    held = log.claim(f"handler {now}", now=now, until=now + 60 * SECOND, chance=0.0)
    assert held is not None
    log.begin(held, now=now, until=now + 60 * SECOND)
    until(lambda: log.is_acknowledged(held), 30)
    log.end(held, "transient", "503", now=now, chance=0.0, changes={})


def published(engine: Engine) -> bool:
    with engine.connect() as connection:
        return not state_topic.unpublished(connection)


def only(engine: Engine) -> Sync:
    (sync,) = SqlAttempts(engine).syncs()
    return sync


def stopped(place: Environment, engine: Engine) -> Sync:
    """Five attempts, made while a worker publishes."""
    ask(place)
    until(lambda: len(SqlAttempts(engine).syncs()) == 1, 30)
    for number in range(ATTEMPTS_MAX):
        attempt(engine, number)
    until(lambda: published(engine), 30)
    assert (only(engine).attempts.state, only(engine).attempts.made) == ("stopped", ATTEMPTS_MAX)
    return only(engine)


def test_no_call_leaves_while_no_worker_puts_its_attempt_on_the_topic(place: Environment, engine: Engine) -> None:
    worker = place.writer()
    ask(place)
    until(lambda: len(SqlAttempts(engine).syncs()) == 1, 30)
    until(lambda: published(engine), 30)
    worker.kill()
    log, now = SqlAttempts(engine), time.time_ns() // 1_000
    held = log.claim("handler", now=now, until=now + 600 * SECOND, chance=0.0)
    assert held is not None
    log.begin(held, now=now, until=now + 600 * SECOND)
    time.sleep(1)
    assert not log.is_acknowledged(held)
    place.expire_lease()
    place.writer()
    until(lambda: log.is_acknowledged(held), 30)


@pytest.mark.requirement("R74")
def test_five_attempts_stay_five_in_a_new_store(place: Environment, engine: Engine) -> None:
    worker = place.writer()
    place.feed_rest()
    before = stopped(place, engine)
    SqlCursors(engine).save(Cursor(table="finance/Vendors", rows=7))
    until(lambda: published(engine), 30)
    assert find_differences(engine, place.log, place.settings.prefix) == []
    worker.terminate()
    assert worker.ends() == 0
    engine.dispose()
    place.database.create(place.name)
    worker = place.writer()
    worker.wait_for_log("state_read")
    # The request is read again with all the other events, and asks for nothing a second time.
    place.catch_up()
    until(lambda: published(engine), 30)
    assert only(engine) == before
    assert SqlCursors(engine).load("finance/Vendors") == Cursor(table="finance/Vendors", rows=7)
    assert find_differences(engine, place.log, place.settings.prefix) == []
    place.check()
    ask(place)
    until(lambda: only(engine).attempts.round == 2, 30)


def test_a_topic_that_was_made_again_gets_all_of_the_state(place: Environment, engine: Engine) -> None:
    worker = place.writer()
    before = stopped(place, engine)
    worker.terminate()
    assert worker.ends() == 0
    topic = STATE.full_name(place.settings.prefix)
    with closing(KafkaAdminClient(bootstrap_servers=place.broker.address)) as admin:
        admin.delete_topics([topic])
    until(lambda: topic not in place.log.topics(), 30)
    worker = place.writer()
    worker.wait_for_log("state_published_again")
    until(lambda: published(engine), 30)
    assert only(engine) == before
    assert find_differences(engine, place.log, place.settings.prefix) == []


def test_what_compaction_left_is_all_that_a_new_store_needs(place: Environment, engine: Engine) -> None:
    worker = place.writer()
    topic = STATE.full_name(place.settings.prefix)
    with closing(KafkaAdminClient(bootstrap_servers=place.broker.address)) as admin:
        eager = {"min.cleanable.dirty.ratio": "0.001", "segment.ms": "500", "max.compaction.lag.ms": "500"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=eager)])
    before = stopped(place, engine)
    cursors = SqlCursors(engine)

    def compacted() -> bool:
        # The segment that is written to is never compacted: something else must come.
        cursors.save(Cursor(table="finance/Vendors", rows=time.time_ns() % 1_000_000))
        until(lambda: published(engine), 30)
        return len([record for record in place.everything(topic) if b'"sync"' in (record.key or b"")]) == 1

    until(compacted, 90, every=1.0)
    worker.terminate()
    assert worker.ends() == 0
    engine.dispose()
    place.database.create(place.name)
    place.writer().wait_for_log("state_read")
    until(lambda: published(engine), 30)
    assert only(engine) == before


@pytest.mark.requirement("R74")
def test_a_database_is_backed_up_and_restored_as_the_page_says(place: Environment, engine: Engine) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
    dump, restore = re.findall(r"`(pg_dump [^`]*|pg_restore [^`]*)`", page)[:2]
    worker = place.writer()
    place.feed(1_000)
    place.catch_up()
    ask(place)
    until(lambda: len(SqlAttempts(engine).syncs()) == 1, 30)
    until(lambda: published(engine), 30)
    own = make_url(place.settings.store).set(drivername="postgresql", host="localhost", port=5432)
    variables = f"DATABASE='{own.render_as_string(hide_password=False)}'"

    def run(command: str) -> None:
        code, said = place.database.container.exec(["sh", "-c", f"cd /tmp && {variables} && {command}"])
        assert code == 0, said

    run(dump)
    for number in range(ATTEMPTS_MAX):
        attempt(engine, number)
    place.feed_rest()
    place.catch_up()
    until(lambda: published(engine), 30)
    before = only(engine)
    worker.terminate()
    assert worker.ends() == 0
    engine.dispose()
    run(restore)
    assert only(engine).attempts.made == 0
    place.writer().wait_for_log("state_read")
    place.catch_up()
    until(lambda: published(engine), 30)
    assert only(engine) == before
    place.check()
