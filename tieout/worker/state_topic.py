"""Brings a store and its state topic (`store.operational.state_topic`) together, and compares them."""

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
LOOK_AGAIN_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


def synchronise_state(engine: Engine, event_log: EventLog, prefix: str, lease: Lease | None = None) -> None:
    """Have a store know what the state topic says, and the topic what it lacks.

    A new store takes all of it. One that was in use takes what came after the place that it knows: a store that was
    restored from a backup. A topic that was made again, or is an older copy, gets all of the state once more.
    """
    topic = STATE.full_name(prefix)
    identity = event_log.identities([topic]).get(topic)
    with engine.connect() as connection:
        before = state_topic.load_offset(connection)
    known = before or StateTopicOffset()
    place = StateTopicOffset(identity, known.next, known.last)
    if _lacks(event_log, topic, identity, known):
        log.warning("state_published_again", topic=topic)
        place = StateTopicOffset(identity)
        with engine.begin() as connection:
            state_topic.republish(connection)
            state_topic.save_offset(connection, place)
            _hold(connection, lease)
    read = 0
    for records in _following(event_log, topic, place.next):
        last = records[-1]
        place = StateTopicOffset(identity, last.offset + 1, state_topic.record_digest(last.key, last.value))
        told = {record.key: record.value for record in records if record.key is not None and not is_lost(record)}
        with engine.begin() as connection:
            for fault in state_topic.restore(connection, told, overwrite=before is None):
                log.error("state_record_unreadable", topic=topic, record=fault)
            state_topic.save_offset(connection, place)
            _hold(connection, lease)
        read += len(records)
    if read:
        log.info("state_read", topic=topic, records=read)
    elif place != before:
        with engine.begin() as connection:
            state_topic.save_offset(connection, place)
            _hold(connection, lease)


class StateDifference(msgspec.Struct, frozen=True):
    """A row of the state that the store and its topic say differently; None where it is missing."""

    key: Key
    stored: dict[str, Any] | None
    published: dict[str, Any] | None


def find_differences(engine: Engine, event_log: EventLog, prefix: str) -> list[StateDifference]:
    """Where the store and its topic differ in what is not still to be published. Workers may go on meanwhile: what
    differs twice in the same way does differ.
    """
    found = _differences(engine, event_log, prefix)
    if found:
        time.sleep(LOOK_AGAIN_SECONDS)
        again = _differences(engine, event_log, prefix)
        found = [one for one in found if one in again]
    return found


def _differences(engine: Engine, event_log: EventLog, prefix: str) -> list[StateDifference]:
    with engine.connect() as connection, connection.begin():
        stored = dict(state_topic.contents(connection))
        waiting = state_topic.unpublished(connection)
    published = _published(event_log, STATE.full_name(prefix))
    return [
        StateDifference(key, stored.get(key), published.get(key))
        for key in sorted(stored.keys() | published.keys(), key=repr)
        if key not in waiting and stored.get(key) != published.get(key)
    ]


def _published(event_log: EventLog, topic: str) -> dict[Key, dict[str, Any]]:
    """What the topic says; what it says of kinds that are unknown here is left out."""
    newest: dict[bytes, bytes | None] = {}
    try:
        for records in _following(event_log, topic, 0):
            newest |= {record.key: record.value for record in records if record.key is not None}
    except TopicMissing:
        return {}
    return state_topic.decode_records(newest)


def topic_lacks_state(connection: Connection, event_log: EventLog, prefix: str) -> bool:
    """Whether the topic lacks what the store put there; a worker publishes it again when it starts."""
    topic = STATE.full_name(prefix)
    known = state_topic.load_offset(connection)
    return known is not None and _lacks(event_log, topic, event_log.identities([topic]).get(topic), known)


def _lacks(event_log: EventLog, topic: str, identity: str | None, known: StateTopicOffset) -> bool:
    """Whether a topic lacks what the store put there: it was made again, or is an older copy."""
    if known.identity is not None and known.identity != identity:
        return True
    if known.next > event_log.end_offset(topic, 0):
        return True
    # Compaction takes no record but one that a later one replaces.
    offset = known.next - 1
    if known.last is None or offset < event_log.start_offset(topic, 0):
        return False
    found = event_log.read(topic, 0, offset, 1, 1)
    return (
        bool(found)
        and found[0].offset == offset
        and state_topic.record_digest(found[0].key, found[0].value) != known.last
    )


def _following(event_log: EventLog, topic: str, offset: int) -> Iterator[list[LogRecord]]:
    """The records of the topic from an offset on, some at a time."""
    offset = max(offset, event_log.start_offset(topic, 0))
    while found := event_log.read(topic, 0, offset, RECORDS_AT_ONCE, BYTES_AT_ONCE):
        yield found
        offset = found[-1].offset + 1


def _hold(connection: Connection, lease: Lease | None) -> None:
    if lease is not None:
        lease.renew(connection)
