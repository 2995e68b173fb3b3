"""The event log on a real Apache Kafka meets the contract of event logs, and reports faults of a broker."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from streams.kafka import Access, KafkaLog
from streams.log import EventLog, LogFailed, LogRecord, NewRecord, TopicMismatch
from streams.topics import CHANGES, POSITIONS, TOPICS
from tests.contract.test_event_log import (
    ALL,
    CHANGED,
    PARTITIONS,
    RECORD_BYTES_MAX,
    Clock,
    EventLogContract,
    everything,
    record,
)
from tests.support.containers import Broker, free_port, until

pytestmark = pytest.mark.containers


class BrokersClock:
    """The clock of the broker, which cannot be set: wait for a future time."""

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000

    def set(self, milliseconds: int) -> None:
        time.sleep(max(milliseconds - self(), 0) / 1000)


def access(broker: Broker) -> Access:
    return Access(servers=(broker.address,))


def forget_topics(broker: Broker) -> None:
    """Leave the broker without topics."""
    with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
        if names := [name for name in admin.list_topics() if not name.startswith("__")]:
            admin.delete_topics(names)
        until(lambda: not [name for name in admin.list_topics() if not name.startswith("__")], 20)


class TestKafkaLog(EventLogContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return BrokersClock()

    @pytest.fixture
    def log(self, broker: Broker, clock: Clock, tmp_path: Path) -> Iterator[EventLog]:
        forget_topics(broker)
        self.broker = broker
        log = self.open(tmp_path, clock)
        log.create_topics(CHANGES, PARTITIONS)
        yield log
        log.close()

    def open(self, place: Path, clock: Clock) -> EventLog:
        return KafkaLog(access(self.broker), record_bytes_max=RECORD_BYTES_MAX)

    def test_a_record_comes_back_as_it_was_given(self, log: EventLog, clock: Clock) -> None:
        headers = (("ce_id", b"\x00\xff"), ("ce_id", b"again"), ("währung", b""))
        before = clock()
        assert log.append([NewRecord(CHANGED, b"\x00key", b"\x80 not text", headers, partition=1)]) == [(1, 0)]
        [found] = log.read(CHANGED, 1, 0, ALL, ALL)
        assert found == LogRecord(CHANGED, 1, 0, found.timestamp, b"\x00key", b"\x80 not text", headers)
        assert before - 1_000 <= found.timestamp <= clock() + 1_000

    def test_times_are_those_of_the_append_and_never_fall(self, log: EventLog, clock: Clock) -> None:
        before = clock()
        for _ in range(4):
            log.append([record(1, partition=0)])
        times = [found.timestamp for found in log.read(CHANGED, 0, 0, ALL, ALL)]
        assert times == sorted(times)
        assert before - 1_000 <= times[0]
        assert times[-1] <= clock() + 1_000

    def test_the_offset_at_a_time_is_that_of_the_first_record_not_before_it(self, log: EventLog, clock: Clock) -> None:
        for step in range(6):
            clock.set(clock() + 5)
            log.append([record(number, partition=0) for number in range(step % 3 + 1)])
        times = [found.timestamp for found in log.read(CHANGED, 0, 0, ALL, ALL)]
        for instant in {moment + shift for moment in times for shift in (-1, 0, 1)}:
            assert log.offset_at(CHANGED, 0, instant) == sum(1 for earlier in times if earlier < instant)

    @pytest.mark.requirement("R73")
    def test_topics_have_their_policies_on_the_broker(self, log: EventLog) -> None:
        log.create_topics(list(TOPICS.values()), PARTITIONS)
        found = self.configured(POSITIONS.full_name())
        assert found["cleanup.policy"] == "compact"
        assert found["message.timestamp.type"] == "LogAppendTime"
        assert self.configured(CHANGED)["retention.ms"] == str(2 * 371 * 24 * 3600 * 1000)

    @pytest.mark.requirement("R73")
    def test_a_topic_with_another_policy_is_reported_with_the_command_that_mends_it(self, log: EventLog) -> None:
        from kafka.admin import NewTopic

        with closing(KafkaAdminClient(bootstrap_servers=self.broker.address)) as admin:
            admin.create_topics([NewTopic("other.positions", PARTITIONS, 1, topic_configs={"retention.ms": "1000"})])
        with pytest.raises(TopicMismatch, match=r"cleanup\.policy=delete and needs cleanup\.policy=compact") as raised:
            log.create_topics([POSITIONS], PARTITIONS, prefix="other")
        assert "kafka-configs.sh --alter --topic other.positions --add-config retention.ms=-1" in str(raised.value)

    def test_a_topic_that_is_made_again_has_another_identity(self, log: EventLog) -> None:
        before = log.identities([CHANGED])
        forget_topics(self.broker)
        log.create_topics(CHANGES, PARTITIONS)
        assert log.identities([CHANGED]) != before
        assert log.identities(["tieout.orders"]).get("tieout.orders", "cluster:").startswith("cluster:")

    @pytest.mark.requirement("R71")
    def test_a_publisher_that_began_later_shuts_out_the_one_before(self, log: EventLog) -> None:
        with (
            closing(KafkaLog(access(self.broker), publisher="one")) as early,
            closing(KafkaLog(access(self.broker), publisher="one")) as late,
        ):
            early.append([record(1, partition=0)])
            late.begin_publishing()
            with pytest.raises(LogFailed, match="another worker publishes now"):
                early.append([record(2, partition=0)])
            late.append([record(3, partition=0)])
        assert [found.value for found in everything(log)] == [b"event 1", b"event 3"]

    def test_the_marks_of_transactions_at_the_end_count_as_the_end(self, log: EventLog) -> None:
        """Otherwise a reader that reads to the end would wait forever for a marker that is no record."""
        with closing(KafkaLog(access(self.broker), publisher="one")) as publisher:
            publisher.append([record(1, partition=0)])
        assert log.read(CHANGED, 0, 1, ALL, ALL) == []
        assert log.end_offset(CHANGED, 0) == 1
        log.append([record(2, partition=0)])
        assert [found.value for found in log.read(CHANGED, 0, 1, ALL, ALL)] == [b"event 2"]

    def configured(self, topic: str) -> dict[str, str]:
        from kafka.admin import ConfigResource, ConfigResourceType

        with closing(KafkaAdminClient(bootstrap_servers=self.broker.address)) as admin:
            found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
        return {key: entry["value"] for key, entry in found["topic"][topic].items()}


def test_a_broker_that_is_not_there_is_named_with_what_to_do() -> None:
    port = free_port()
    with (
        closing(KafkaLog(Access(servers=(f"localhost:{port}",)), patience_seconds=3)) as log,
        pytest.raises(LogFailed, match=rf"Kafka at localhost:{port} does not answer .* check TIEOUT_BROKER"),
    ):
        log.topics()
