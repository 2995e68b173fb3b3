"""A worker with a wrong address reports the remedy, and ends if waiting would not help."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import NewTopic
from sqlalchemy import make_url

from streams.log import NewRecord
from tests.support.containers import Broker, Database, free_port, until
from tests.support.workers import Environment, environment
from tieout.bootstrap import open_log

pytestmark = [pytest.mark.containers, pytest.mark.requirement("R81")]


@pytest.fixture
def place(broker: Broker, database: Database, tmp_path: Path) -> Iterator[Environment]:
    with environment(broker, database, f"p{time.time_ns() % 10**9}", tmp_path, partitions=2) as made:
        yield made


def refused(place: Environment, *told: str, **environ: str) -> None:
    """Assert that a worker with these settings ends with one error that contains all of these texts."""
    worker = place.start(**environ)
    assert worker.ends(60) == 1, worker.errors
    errors = [line for line in worker.errors.splitlines() if line.startswith("error: ")]
    assert errors
    assert "Traceback" not in worker.errors
    for part in told:
        assert part in "\n".join(errors)


def store_as(place: Environment, **changes: str) -> Mapping[str, str]:
    url = make_url(place.settings.store).set(**changes)  # type: ignore[arg-type]
    return {"TIEOUT_STORE": url.render_as_string(hide_password=False)}


def test_a_wrong_password_of_the_database(place: Environment) -> None:
    refused(place, "password authentication failed", "TIEOUT_STORE", **store_as(place, password="wrong"))


def test_a_database_that_does_not_exist(place: Environment) -> None:
    refused(place, 'database "nowhere" does not exist', "TIEOUT_STORE", **store_as(place, database="nowhere"))


def test_a_user_without_rights_in_the_database(place: Environment, database: Database) -> None:
    place.execute("DROP ROLE IF EXISTS guest")
    place.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    refused(place, "permission denied", **store_as(place, username="guest", password="guest"))


def signed_in(broker: Broker, password: str) -> Mapping[str, str]:
    return {
        "TIEOUT_BROKER": broker.secured_url,
        "TIEOUT_BROKER_USER": broker.user,
        "TIEOUT_BROKER_PASSWORD": password,
    }


def test_a_wrong_password_of_the_broker(place: Environment, broker: Broker) -> None:
    refused(place, "refuses the credentials", "TIEOUT_BROKER_PASSWORD", **signed_in(broker, "wrong"))


def test_the_right_password_of_the_broker(place: Environment, broker: Broker) -> None:
    place.start(**signed_in(broker, broker.password)).wait_for_log("worker_started")
    place.check()


def test_a_broker_that_is_not_there_is_waited_for_and_named(place: Environment) -> None:
    nobody = f"localhost:{free_port()}"
    worker = place.start(TIEOUT_BROKER=f"kafka://{nobody}")
    worker.wait_for_log("worker_starts_again", 60)
    [told, *_] = worker.logged("worker_starts_again")
    assert f"Kafka at {nobody} does not answer" in told["reason"]
    assert "check TIEOUT_BROKER" in told["reason"]
    worker.terminate()
    worker.ends(40)


@pytest.mark.requirement("R73")
def test_another_number_of_partitions_than_the_topics_have(place: Environment) -> None:
    place.make()
    refused(place, "has 2 partitions and the settings say 5", "another prefix", TIEOUT_PARTITIONS="5")


@pytest.mark.requirement("R73")
def test_a_topic_with_another_policy(place: Environment, broker: Broker) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        admin.create_topics([NewTopic(f"{place.name}.positions", 2, 1, topic_configs={"cleanup.policy": "delete"})])
    refused(place, "cleanup.policy=delete and needs cleanup.policy=compact", "kafka-configs.sh --alter")


def read_and_stopped(place: Environment) -> None:
    """A worker has read some events, and has ended."""
    worker = place.writer()
    place.feed(600)
    place.catch_up()
    worker.terminate()
    worker.ends()


@pytest.mark.requirement("R71", "R73")
@pytest.mark.parametrize("events", [0, 1, 5_000], ids=["empty", "shorter", "longer"])
def test_a_topic_that_was_deleted_with_its_events_is_not_taken_for_the_one_before(
    place: Environment, broker: Broker, events: int
) -> None:
    read_and_stopped(place)
    before = place.offsets()
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        admin.delete_topics([f"{place.name}.finance.changes"])
        until(lambda: f"{place.name}.finance.changes" not in admin.list_topics(), 20)
    with open_log(place.settings, write=True) as log:
        topic = f"{place.name}.finance.changes"
        log.append([NewRecord(topic, b"%d" % number, b"{}") for number in range(events)])
    refused(place, f"{place.name}.finance.changes: not what the store was filled from", "keep the old store")
    assert place.offsets() == before
    checked = json.loads(place.output_of("check", "--json"))
    [told] = [line for line in checked["checks"] if line["check"] == "offsets"]
    assert told["ok"] is False
    assert f"{place.name}.finance.changes: not what the store was filled from" in told["says"]


@pytest.mark.requirement("R71")
def test_where_retention_deleted_the_event_before_the_place_the_identity_alone_is_compared(
    place: Environment, broker: Broker
) -> None:
    read_and_stopped(place)
    read = {TopicPartition(*name): offset for name, offset in place.offsets().items()}
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        admin.delete_records(read)
    place.writer()
    told = place.output_of("check")
    assert "by its identity alone: " in told
    for (topic, partition), offset in read.items():
        assert f"{topic}/{partition}, whose event {offset - 1:,} was deleted by retention" in told
    assert "FAULT" not in told


@pytest.mark.requirement("R71")
def test_a_broker_that_begins_to_give_ids_to_topics_is_the_same_broker(place: Environment) -> None:
    read_and_stopped(place)
    place.execute("UPDATE settings SET value = 'cluster:before' WHERE name LIKE 'log of %%'")
    worker = place.writer()
    names = place.execute("SELECT value FROM settings WHERE name LIKE 'log of %%'")
    assert len(names) == 3
    assert all(str(value).startswith("topic:") for [value] in names)
    place.execute("UPDATE offsets SET last = 'another'")
    worker.terminate()
    worker.ends()
    refused(place, "the event before that offset is not the one that was read")


@pytest.mark.requirement("R74")
def test_a_store_that_is_newer_than_the_code(place: Environment) -> None:
    place.make()
    place.execute("UPDATE alembic_version SET version_num = '9999'")
    refused(place, "has the shape 9999, which is newer than this version of tieout knows", "Use the newer version")


@pytest.mark.requirement("R74")
def test_questions_to_a_database_without_tables_say_who_makes_them(place: Environment) -> None:
    asked = place.start("summary", "--company", "USPM")
    assert asked.ends(60) == 1
    assert "is empty: `tieout migrate` or the first `tieout run`" in asked.errors
