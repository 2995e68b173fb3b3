"""Compares committed offsets with effects: are the effects of the last events before each offset in the store?

An offset is committed in the transaction of its effects, so they differ only in a store that was restored in part,
edited, or fed from another log.
"""

from collections.abc import Collection, Iterator
from typing import Final

import msgspec
from sqlalchemy import Connection, select, tuple_

from engine.chains.records import Record, record_key
from engine.events.facts import Change, Evidence
from engine.mapping.compiler import EntityMap, Maps
from store.projection.batch_plan import DecodedBatch
from store.projection.writer import purged_to
from store.schema import tables
from streams.codec.environments import Environments
from streams.log import EventLog, LogRecord, PartitionId, is_lost
from streams.projector import rejection, take
from streams.topics import REJECTED

LAST: Final = 20
"""The number of events checked before each offset."""

_BYTES: Final = 32 * 1024 * 1024
_AT_ONCE: Final = 1_000
# Partition leaders may have different clocks.
_CLOCK_SKEW_MS: Final = 60_000

_decode_record: Final = msgspec.msgpack.Decoder(Record).decode


def without_effect(
    connection: Connection,
    log: EventLog,
    maps: Maps,
    prefix: str,
    environments: Environments,
    offsets: dict[PartitionId, int],
) -> Iterator[tuple[LogRecord, str]]:
    """Yield the last events before the committed offsets whose effect is missing in the store, with the missing effect.

    Raises `LogError`.
    """
    for partition, committed in offsets.items():
        effects = DecodedBatch()
        records: dict[int, LogRecord] = {}
        refused: dict[bytes, LogRecord] = {}
        commanded: dict[str, LogRecord] = {}
        for record in _last(log, partition, committed):
            records[record.offset] = record
            before = environments.refusals
            reason = take(record, effects, maps, environments)
            if environments.refusals > before:
                continue  # other environments may have been pinned when it was read
            if reason:
                refused[rejection(record, reason).key] = record
            commanded |= {deletion.id: record for deletion in effects.deletions if deletion.id not in commanded}
        lacking = [*_changes(connection, effects.changes), *_others(connection, effects)]
        # Events that were rejected under environments that have changed since have no effect, which is correct.
        keys = {rejection(records[evidence.offset], "").key: evidence.offset for evidence, _ in lacking}
        candidates = {key: records[offset] for key, offset in keys.items()}
        accepted = {keys[key] for key in _not_refused(connection, log, prefix, candidates)}
        for evidence, missing in lacking:
            if evidence.offset in accepted:
                yield records[evidence.offset], missing
        for deletion in commanded.keys() - _deleted(connection, commanded):
            yield commanded[deletion], "the error log does not hold the deletion"
        for key in _not_refused(connection, log, prefix, refused):
            yield refused[key], "it was to be rejected, and is neither on the rejected topic nor in the outbox"


def _last(log: EventLog, partition: PartitionId, committed: int) -> list[LogRecord]:
    start = max(log.start_offset(*partition), committed - LAST)
    records = log.read(*partition, start, committed - start, _BYTES) if start < committed else []
    return [record for record in records if record.offset < committed and not is_lost(record)]


def _changes(connection: Connection, changes: Collection[tuple[Change, EntityMap]]) -> Iterator[tuple[Evidence, str]]:
    """Yield the changes whose record is missing, or has lower precedence."""
    keys = {record_key(entity_map, change.id) for change, entity_map in changes}
    table = tables.records
    rows = connection.execute(select(table).where(table.c.key.in_(keys)))
    records = {row.key: _decode_record(row.body) for row in rows}
    for change, entity_map in changes:
        deletes = change.operation == "delete"
        if deletes and entity_map.keep_on_delete:
            continue
        key = record_key(entity_map, change.id)
        record = records.get(key)
        # A delete hides deletes and upserts of lower precedence; an upsert hides no delete.
        applied = [] if record is None else [record.deleted, None if deletes else record.latest_upsert]
        if not any(one is not None and one.precedence >= change.evidence.precedence for one in applied):
            yield change.evidence, f"the record {key} is not there as late as that"


def _others(connection: Connection, effects: DecodedBatch) -> Iterator[tuple[Evidence, str]]:
    """Yield the heartbeats and process messages that the store does not contain."""
    until = {row.source: row.until for row in connection.execute(select(tables.sources))}
    for heartbeat in effects.heartbeats:
        if until.get(heartbeat.source, heartbeat.until - 1) < heartbeat.until:
            yield heartbeat.evidence, f"{heartbeat.source} is not known to be complete up to then"
    table = tables.process_messages
    expected = [(message.evidence.source, message.evidence.event) for message in effects.messages]
    name = tuple_(table.c.source, table.c.event)
    before = purged_to(connection)
    stored = {tuple(row) for row in connection.execute(select(table.c.source, table.c.event).where(name.in_(expected)))}
    for message, key in zip(effects.messages, expected, strict=True):
        if key not in stored and (before is None or message.evidence.at >= before):
            yield message.evidence, "the error log does not hold it"


def _deleted(connection: Connection, ids: Collection[str]) -> set[str]:
    """Return the ids of the deletions that the store contains."""
    table = tables.deletions.c
    return set(connection.execute(select(table.id).where(table.id.in_(ids))).scalars())


def _not_refused(
    connection: Connection, log: EventLog, prefix: str, refused: dict[bytes, LogRecord]
) -> Collection[bytes]:
    """Return the keys that are neither in the outbox nor on the rejected topic."""
    if not refused:
        return ()
    table = tables.outbox
    waiting = select(table.c.key).where(table.c.topic == REJECTED.name, table.c.key.in_(list(refused)))
    missing = set(refused) - set(connection.execute(waiting).scalars())
    topic = REJECTED.full_name(prefix)
    # An event is rejected after it was appended.
    since = min(record.timestamp for record in refused.values()) - _CLOCK_SKEW_MS
    for partition in range(log.partitions(topic) if missing else 0):
        offset = log.offset_at(topic, partition, since)
        while missing and (batch := log.read(topic, partition, offset, _AT_ONCE, _BYTES)):
            missing -= {record.key for record in batch if record.key is not None}
            offset = batch[-1].offset + 1
    return sorted(missing)
