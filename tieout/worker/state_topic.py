"""Synchronises a store with its state topic (`store.operational.state_topic`), and compares them."""

import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import structlog
from sqlalchemy import Connection, Engine

from store.lease import Lease
from store.operational import state_topic
from store.operational.state_topic import Key, StateTopicOffset
from streams.log import EventLog, LogRecord, TopicMissing, is_lost
from streams.topics import STATE

RECORDS_AT_ONCE: Final = 2_000
BYTES_AT_ONCE: Final = 8 * 1024 * 1024
COMPARE_AGAIN_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


def synchronise_state(engine: Engine, event_log: EventLog, prefix: str, lease: Lease | None = None) -> None:
    """Restore operational data from the state topic, and republish what the topic lacks.

    A new store restores all records. A store that was in use, such as one from a backup, restores the records after its
    saved offset. If the topic was re-created or is an older copy, all operational data is republished to it.
    """
    topic = STATE.full_name(prefix)
    identity = event_log.identities([topic]).get(topic)
    with engine.connect() as connection:
        before = state_topic.load_offset(connection)
    saved = before or StateTopicOffset()
    offset = StateTopicOffset(identity, saved.next, saved.last)
    if _lacks(event_log, topic, identity, saved):
        log.warning("state_published_again", topic=topic)
        offset = StateTopicOffset(identity)
        with engine.begin() as connection:
            state_topic.republish(connection)
            state_topic.save_offset(connection, offset)
            _renew(connection, lease)
    read = 0
    for records in _records(event_log, topic, offset.next):
        last = records[-1]
        offset = StateTopicOffset(identity, last.offset + 1, state_topic.record_digest(last.key, last.value))
        values = {record.key: record.value for record in records if record.key is not None and not is_lost(record)}
        with engine.begin() as connection:
            for fault in state_topic.restore(connection, values, overwrite=before is None):
                log.error("state_record_unreadable", topic=topic, record=fault)
            state_topic.save_offset(connection, offset)
            _renew(connection, lease)
        read += len(records)
    if read:
        log.info("state_read", topic=topic, records=read)
    elif offset != before:
        with engine.begin() as connection:
            state_topic.save_offset(connection, offset)
            _renew(connection, lease)


class StateDifference(msgspec.Struct, frozen=True):
    """A row of operational data that differs between the store and its topic; None where it is missing."""

    key: Key
    stored: dict[str, Any] | None
    published: dict[str, Any] | None


def find_differences(engine: Engine, event_log: EventLog, prefix: str) -> list[StateDifference]:
    """Return the rows that differ between the store and its topic and are not in the outbox. Workers may continue
    meanwhile, so only a difference that is found twice is returned.
    """
    differences = _differences(engine, event_log, prefix)
    if differences:
        time.sleep(COMPARE_AGAIN_SECONDS)
        second = _differences(engine, event_log, prefix)
        differences = [difference for difference in differences if difference in second]
    return differences


def _differences(engine: Engine, event_log: EventLog, prefix: str) -> list[StateDifference]:
    with engine.connect() as connection, connection.begin():
        stored = dict(state_topic.contents(connection))
        unpublished = state_topic.unpublished(connection)
    published = _published(event_log, STATE.full_name(prefix))
    return [
        StateDifference(key, stored.get(key), published.get(key))
        for key in sorted(stored.keys() | published.keys(), key=repr)
        if key not in unpublished and stored.get(key) != published.get(key)
    ]


def _published(event_log: EventLog, topic: str) -> dict[Key, dict[str, Any]]:
    """Return the rows on the topic, except those of kinds that this version does not know."""
    newest: dict[bytes, bytes | None] = {}
    try:
        for records in _records(event_log, topic, 0):
            newest |= {record.key: record.value for record in records if record.key is not None}
    except TopicMissing:
        return {}
    return state_topic.decode_records(newest)


def topic_lacks_state(connection: Connection, event_log: EventLog, prefix: str) -> bool:
    """Return True if the topic lacks records that the store has published; a worker republishes them when it starts."""
    topic = STATE.full_name(prefix)
    saved = state_topic.load_offset(connection)
    return saved is not None and _lacks(event_log, topic, event_log.identities([topic]).get(topic), saved)


def _lacks(event_log: EventLog, topic: str, identity: str | None, saved: StateTopicOffset) -> bool:
    """Return True if the topic was re-created or is an older copy, so that it lacks records before the saved offset."""
    if saved.identity is not None and saved.identity != identity:
        return True
    if saved.next > event_log.end_offset(topic, 0):
        return True
    # Compaction deletes a record only if a later one replaces it.
    offset = saved.next - 1
    if saved.last is None or offset < event_log.start_offset(topic, 0):
        return False
    records = event_log.read(topic, 0, offset, 1, 1)
    return (
        bool(records)
        and records[0].offset == offset
        and state_topic.record_digest(records[0].key, records[0].value) != saved.last
    )


def _records(event_log: EventLog, topic: str, offset: int) -> Iterator[list[LogRecord]]:
    """Yield the records of the topic from an offset on, in batches."""
    offset = max(offset, event_log.start_offset(topic, 0))
    while records := event_log.read(topic, 0, offset, RECORDS_AT_ONCE, BYTES_AT_ONCE):
        yield records
        offset = records[-1].offset + 1


def _renew(connection: Connection, lease: Lease | None) -> None:
    if lease is not None:
        lease.renew(connection)
