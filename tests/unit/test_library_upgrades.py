"""The parts of aiokafka and faust-streaming outside of their public interfaces that streams/ uses.

pyproject.toml limits the versions of both. To raise a limit, run these tests first: each failure names a part that the
new version lacks and the module that uses it.
"""

import inspect
import struct
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from operator import attrgetter
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import NoError, NotLeaderForPartitionError, for_code
from aiokafka.partitioner import murmur2
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.transport.consumer import Consumer

from streams.transport import LogConsumer

AIOKAFKA = "aiokafka"
FAUST = "faust-streaming"

USED = [
    # Library, module, attribute, and the module here that uses it.
    (AIOKAFKA, "aiokafka.conn", "create_conn", "streams/kafka/access.py"),
    (AIOKAFKA, "aiokafka.client", "AIOKafkaClient.bootstrap", "streams/kafka/log.py"),
    (AIOKAFKA, "aiokafka.client", "AIOKafkaClient.close", "streams/kafka/log.py"),
    (AIOKAFKA, "aiokafka.client", "AIOKafkaClient.send", "streams/kafka/reading.py"),
    (AIOKAFKA, "aiokafka.client", "AIOKafkaClient.set_topics", "streams/kafka/reading.py"),
    (AIOKAFKA, "aiokafka.client", "AIOKafkaClient.force_metadata_update", "streams/kafka/reading.py"),
    (AIOKAFKA, "aiokafka.cluster", "ClusterMetadata.leader_for_partition", "streams/kafka/reading.py"),
    (AIOKAFKA, "aiokafka.protocol.fetch", "FetchRequest", "streams/kafka/reading.py"),
    (AIOKAFKA, "aiokafka.record.memory_records", "MemoryRecords.next_batch", "streams/kafka/reading.py"),
    (AIOKAFKA, "aiokafka.errors", "for_code", "streams/kafka/reading.py"),
    (AIOKAFKA, "aiokafka.partitioner", "murmur2", "streams/kafka/publishing.py"),
    (AIOKAFKA, "aiokafka", "AIOKafkaProducer.create_batch", "streams/kafka/publishing.py"),
    (AIOKAFKA, "aiokafka", "AIOKafkaProducer.send_batch", "streams/kafka/publishing.py"),
    (FAUST, "faust.app.base", "BootStrategy.enable_kafka_producer", "streams/faust_app.py"),
    (FAUST, "faust.app.base", "BootStrategy.kafka_consumer", "streams/faust_app.py"),
    (FAUST, "faust.app.base", "App._create_directories", "streams/faust_app.py"),
    (FAUST, "faust.app.base", "App.create_event", "streams/faust_app.py"),
    (FAUST, "faust.app.base", "App.crash_reason", "streams/faust_app.py"),
    (FAUST, "faust.tables.manager", "TableManager.recovery", "streams/faust_app.py"),
    (FAUST, "faust.tables.manager", "TableManager._update_channels", "streams/faust_app.py"),
    (FAUST, "faust.serializers.schemas", "Schema.compile", "streams/faust_app.py"),
    (FAUST, "faust.app.base", "App.consumer_generation_id", "streams/transport.py"),
    (FAUST, "faust.app.base", "App.on_rebalance_start", "streams/transport.py"),
    (FAUST, "faust.transport.consumer", "Consumer.on_partitions_assigned", "streams/transport.py"),
    (FAUST, "faust.transport.consumer", "Consumer._getmany", "streams/transport.py"),
    (FAUST, "faust.transport.consumer", "Consumer._to_message", "streams/transport.py"),
    (FAUST, "faust.transport.consumer", "Consumer._commit", "streams/transport.py"),
    (FAUST, "faust.transport.consumer", "Consumer._seek", "streams/transport.py"),
    (FAUST, "faust.transport.consumer", "Consumer._new_topicpartition", "streams/transport.py"),
]


@pytest.mark.parametrize(("library", "module", "attribute", "user"), USED, ids=lambda value: value)
def test_the_locked_version_has_each_part_that_is_used(library: str, module: str, attribute: str, user: str) -> None:
    try:
        attrgetter(attribute)(import_module(module))
    except (ImportError, AttributeError) as error:
        pytest.fail(
            f"{library} {version(library)} has no {module}.{attribute}, which {user} uses ({error}): adapt that module "
            f"to this version, or keep the upper bound of {library} in pyproject.toml."
        )


CALLS: list[tuple[str, Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
    ("aiokafka.conn.create_conn", create_conn, ("host", 9092), {"request_timeout_ms": 1}),
    ("aiokafka.client.AIOKafkaClient.send", AIOKafkaClient.send, (None, 1, "request"), {}),
    ("aiokafka.client.AIOKafkaClient.set_topics", AIOKafkaClient.set_topics, (None, {"topic"}), {}),
    ("aiokafka.client.AIOKafkaClient.force_metadata_update", AIOKafkaClient.force_metadata_update, (None,), {}),
    ("aiokafka.protocol.fetch.FetchRequest", FetchRequest, (250, 1, 1024, 0, [("topic", [(0, 7, 1024)])]), {}),
    ("aiokafka.AIOKafkaProducer.create_batch", AIOKafkaProducer.create_batch, (None,), {}),
    ("aiokafka.AIOKafkaProducer.send_batch", AIOKafkaProducer.send_batch, (None, "batch", "topic"), {"partition": 0}),
    ("faust Consumer.on_partitions_assigned", Consumer.on_partitions_assigned, (None, set(), 1), {}),
]


@pytest.mark.parametrize(("name", "function", "arguments", "named"), CALLS, ids=[call[0] for call in CALLS])
def test_the_locked_version_takes_the_arguments_that_are_passed(
    name: str, function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    try:
        inspect.signature(function).bind(*arguments, **named)
    except TypeError as error:
        pytest.fail(f"{name} of the locked version takes other arguments than streams/ passes: {error}.")


@pytest.mark.parametrize("method", ["_getmany", "_to_message", "_commit", "_seek", "_new_topicpartition"])
def test_the_consumer_overrides_methods_of_the_same_parameters(method: str) -> None:
    base, own = getattr(Consumer, method), getattr(LogConsumer, method)
    assert inspect.iscoroutinefunction(base) == inspect.iscoroutinefunction(own)
    assert len(inspect.signature(base).parameters) == len(inspect.signature(own).parameters)


def test_a_fetch_request_has_the_offset_and_the_limits_that_were_passed() -> None:
    request = FetchRequest(250, 1, 1024, 0, [("topic", [(3, 7, 512)])])
    assert request.topics == [("topic", [(3, 7, 512)])]


def test_records_that_the_producer_encodes_are_decoded_with_their_check_sum() -> None:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1024,
    )
    builder.append(0, timestamp=1, key=b"key", value=b"value", headers=[])
    builder.append(1, timestamp=2, key=None, value=None, headers=[("name", b"text")])
    content = bytearray(builder.build())
    struct.pack_into(">q", content, 0, 40)  # the broker writes the first offset

    batch = MemoryRecords(bytes(content)).next_batch()

    assert batch.validate_crc()
    assert not batch.is_control_batch
    assert batch.next_offset == 42
    assert [(record.offset, record.key, record.value) for record in batch] == [(40, b"key", b"value"), (41, None, None)]
    content[-1] ^= 1
    assert not MemoryRecords(bytes(content)).next_batch().validate_crc()


def test_error_codes_become_the_exceptions_that_reading_expects() -> None:
    assert for_code(0) is NoError
    assert for_code(6) is NotLeaderForPartitionError


def test_keys_are_partitioned_as_by_the_java_client() -> None:
    # Values of org.apache.kafka.common.utils.UtilsTest.testMurmur2.
    expected = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    assert {key: murmur2(key) & 0x7FFFFFFF for key in expected} == {
        key: value & 0x7FFFFFFF for key, value in expected.items()
    }
