"""The errors topic as a program sees it that knows Kafka and JSON, and nothing of tieout."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer

from tests.support.containers import Broker, Database, until
from tests.support.reports import failed, ran
from tests.support.stores import Event, body
from tests.support.workers import Environment, environment
from tieout.access.identities import local_name

pytestmark = [pytest.mark.containers, pytest.mark.requirement("R58")]

OURS = "USPM/integration-journal-posting/"


@pytest.fixture
def place(broker: Broker, database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Environment]:
    name = f"f{abs(hash(request.node.name)) % 10**8}"
    with environment(broker, database, name, tmp_path, partitions=3) as made:
        made.make()
        yield made


def send(place: Environment, *events: Event) -> None:
    with closing(KafkaProducer(bootstrap_servers=place.broker.address)) as producer:
        for event in events:
            producer.send(f"{place.name}.finance.changes", body(event))


class Consumer:
    """What a table of the last record of each key holds."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self._last: dict[str, Any] = {}
        self.heard = 0

    def state(self, subject: str) -> str | None:
        for records in self._consumer.poll(timeout_ms=200).values():
            for record in records:
                self._last[record.key.decode()] = json.loads(record.value)
                self.heard += 1
        return str(self.of(subject)["state"]) if OURS + subject in self._last else None

    def of(self, subject: str) -> Any:
        return self._last[OURS + subject]


@contextmanager
def consuming(place: Environment) -> Iterator[Consumer]:
    with closing(
        KafkaConsumer(f"{place.name}.errors", bootstrap_servers=place.broker.address, auto_offset_reset="earliest")
    ) as plain:
        yield Consumer(plain)


def test_a_plain_consumer_sees_an_error_open_and_close_and_another_deleted(place: Environment) -> None:
    place.writer()
    with consuming(place) as consumer:
        send(place, failed(1), failed(1, "J-2"), failed(1, "J-3"))
        until(lambda: {consumer.state(f"J-{number}") for number in (1, 2, 3)} == {"current"}, 30)
        send(place, *ran(2, 3, "r2", "J-1"))
        until(lambda: consumer.state("J-1") == "history", 30)
        assert consumer.of("J-1")["taken_up"] == {"run": "r2", "started": "2025-01-06T10:00:00Z"}
        assert consumer.of("J-1")["text"] == "It failed."
        place.output_of("errors", "delete", "--subject", "J-2", "--why", "by hand", "--yes")
        until(lambda: consumer.state("J-2") == "deleted", 30)
        assert (consumer.of("J-2")["deleted"]["who"], consumer.of("J-2")["deleted"]["why"]) == (local_name(), "by hand")
        assert consumer.state("J-3") == "current"
        assert consumer.heard == 5
        told = [json.loads(line) for line in place.output_of("errors", "--history", "--json").splitlines()]
        assert {error["subject"]: error["state"] for error in told} == {
            f"J-{number}": consumer.state(f"J-{number}") for number in (1, 2, 3)
        }


def test_a_plain_consumer_sees_an_error_return_whose_run_died(place: Environment) -> None:
    # Long ago, so it is dead when the worker hears of it.
    send(place, failed(1), *ran(2, None, "r2", "J-1"))
    place.writer()
    with consuming(place) as consumer:
        until(lambda: consumer.state("J-1") == "interrupted", 30)
        assert consumer.of("J-1")["interrupted"]["run"] == "r2"
