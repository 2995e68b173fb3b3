"""Verifies that the log is the one that the store was filled from, and not an older copy of it.

The store has the identity of each topic and, with each offset, a digest of the last record before it. A log that was
re-created has another identity. A log that was restored from an older backup ends before the offset or, if it was
written to since, has another record there.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, select, update

from store.schema import tables
from store.schema.bulk_sql import upsert
from streams.log import EventLog, LogDiffers, LogRecord, OffsetOutOfRange, PartitionId, digest, is_lost

IDENTITY: Final = "log of "
"""The prefix of the stored setting with the identity of a topic, followed by the full name of the topic."""

ADVICE: Final = (
    "Nothing was changed. If the previous log still exists, set TIEOUT_BROKER and TIEOUT_PREFIX to it. Otherwise set "
    "TIEOUT_STORE to a new store, which is filled from this log, and keep the old store: it may be the only copy of "
    'the records that this log lacks (docs/operating.md, "When a log is refused").'
)


class Comparison(msgspec.Struct):
    """The result of the comparison of a log with a store."""

    problems: list[str] = []
    """Evidence that it is another log; each a clause."""
    uncompared: list[str] = []
    """Partitions of which only the identity could be compared, with the reason."""
    identities: dict[str, str] = {}
    """The identities of topics that the store does not have yet."""
    digests: dict[PartitionId, str] = {}
    """The digests of the last records before offsets that the store does not have yet."""


def compare(connection: Connection, log: EventLog, topics: Sequence[str]) -> Comparison:
    """Compare the log with the one that the store was filled from: the topics (full names) that a worker reads, and
    every partition that it has read. Raises `LogError` if the log does not respond.
    """
    stored = {(row.topic, row.partition): row for row in connection.execute(select(tables.offsets))}
    partitions = log.topics()
    comparison = Comparison()
    if others := sorted({topic for topic, _ in stored} - set(topics)):
        comparison.problems.append(
            f"{', '.join(others)}: topics of another environment (TIEOUT_PREFIX), which the store was filled from; a "
            "store holds one environment"
        )
    existing = [topic for topic in sorted({*topics, *(topic for topic, _ in stored)}) if topic in partitions]
    comparison.problems += _compare_identities(connection, log, existing, comparison)
    read = [partition_id for partition_id in stored if partition_id[1] < partitions.get(partition_id[0], 0)]
    for topic, partition in sorted(stored.keys() - set(read)):
        comparison.problems.append(
            f"{topic}/{partition} was read up to {stored[topic, partition].next:,}, and the partition does not exist"
        )
    ends = log.ends(read)
    for partition_id in sorted(read):
        name, offset = f"{partition_id[0]}/{partition_id[1]}", stored[partition_id].next
        if offset > ends[partition_id]:
            comparison.problems.append(
                f"{name} was read up to {offset:,}, and the log ends at {ends[partition_id]:,}: it is an older copy of "
                "the log, or another one"
            )
        elif offset > 0:
            _compare_last(log, partition_id, offset, stored[partition_id].last, comparison)
    return comparison


def _compare_identities(
    connection: Connection, log: EventLog, topics: Sequence[str], comparison: Comparison
) -> Iterator[str]:
    """Yield the topics whose identity differs from the one in the store; add identities that the store lacks."""
    settings = tables.settings.c
    known = {
        row.name.removeprefix(IDENTITY): row.value
        for row in connection.execute(select(tables.settings).where(settings.name.startswith(IDENTITY)))
    }
    now = log.identities(topics) if topics else {}
    differing: dict[tuple[str, str], list[str]] = {}
    for topic in topics:
        before, current = known.get(topic), now.get(topic)
        if current is not None and (before is None or _is_more_specific(before, current)):
            comparison.identities[topic] = current
        elif before is not None and before != current:
            differing.setdefault((before, current or "one without identity"), []).append(topic)
    # All topics of an embedded log have the identity of the log.
    for (before, shown), names in differing.items():
        yield (
            f"{', '.join(names)}: not what the store was filled from. It was re-created since, or it is of another log "
            f"(the store has {before}, and this is {shown})"
        )


def _is_more_specific(before: str, current: str) -> bool:
    """Return True if a broker that returned the id of the cluster only now returns the ids of topics."""
    return before.startswith("cluster:") and current.startswith("topic:")


def _compare_last(
    log: EventLog, partition_id: PartitionId, offset: int, known: str | None, comparison: Comparison
) -> None:
    name = f"{partition_id[0]}/{partition_id[1]}"
    last = _record_at(log, partition_id, offset - 1)
    if last is None and log.start_offset(*partition_id) >= offset:
        comparison.uncompared.append(f"{name}, whose event {offset - 1:,} was deleted by retention")
    elif last is not None and is_lost(last):
        comparison.uncompared.append(f"{name}, whose event {offset - 1:,} was lost before the log was salvaged")
    elif last is not None and known is None:
        comparison.digests[partition_id] = digest(last)
    elif last is None or digest(last) != known:
        comparison.problems.append(
            f"{name} was read up to {offset:,}, and the event before that offset is not the one that was read: it is "
            "an older copy of the log that was written to since, or another one"
        )


def _record_at(log: EventLog, partition_id: PartitionId, offset: int) -> LogRecord | None:
    try:
        records = log.read(*partition_id, offset, 1, 1)
    except OffsetOutOfRange:
        return None
    return records[0] if records and records[0].offset == offset else None


def require_same_log(connection: Connection, log: EventLog, topics: Sequence[str]) -> Comparison:
    """Compare the log with the store. Raises `LogDiffers` if it is another log."""
    comparison = compare(connection, log, topics)
    if comparison.problems:
        raise LogDiffers("\n".join([*(f"{problem}." for problem in comparison.problems), ADVICE]))
    return comparison


def verify_and_record(engine: Engine, log: EventLog, topics: Sequence[str]) -> None:
    """Verify that the store was filled from this log, and store the identities and digests that it lacks. Raises
    `LogDiffers`.
    """
    with engine.connect() as connection:
        comparison = require_same_log(connection, log, topics)
    if not comparison.identities and not comparison.digests:
        return
    table = tables.offsets
    with engine.begin() as connection:
        upsert(connection, tables.settings, [(IDENTITY + topic, own) for topic, own in comparison.identities.items()])
        for (topic, partition), last in comparison.digests.items():
            location = (table.c.topic == topic) & (table.c.partition == partition) & table.c.last.is_(None)
            connection.execute(update(table).where(location).values(last=last))
