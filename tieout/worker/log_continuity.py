"""Is the log the one that the store was filled from, and no older copy of it?

The store keeps each topic's identity and, beside each offset, a digest of the last record before it. A log that was
made again has another identity; one that was restored from an older backup ends before the offset or, when it was
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
"""The setting that says which log a topic (by its full name) was read from."""

ADVICE: Final = (
    "Nothing was changed. If the log that was read still exists, have TIEOUT_BROKER and TIEOUT_PREFIX name it again. "
    "If not, point TIEOUT_STORE to a new store, which is filled from this log, and keep the old one: it may be the "
    'only copy of what this log lacks (docs/operating.md, "When a log is refused").'
)


class Found(msgspec.Struct):
    """What a comparison came to."""

    problems: list[str] = []
    """What says that it is another log; each a clause."""
    uncompared: list[str] = []
    """Where the identity alone could be compared, and why."""
    identities: dict[str, str] = {}
    """Of topics whose identity the store does not know yet."""
    digests: dict[PartitionId, str] = {}
    """Of the last records before offsets that have none yet."""


def compare(connection: Connection, log: EventLog, topics: Sequence[str]) -> Found:
    """Compare the log with what the store knows of the one it was filled from: the topics (full names) that a worker
    reads, and every place that it has read. Raises `LogError` when the log cannot be asked.
    """
    stored = {(row.topic, row.partition): row for row in connection.execute(select(tables.offsets))}
    partitions = log.topics()
    found = Found()
    if others := sorted({topic for topic, _ in stored} - set(topics)):
        found.problems.append(
            f"{', '.join(others)}: topics of another environment (TIEOUT_PREFIX), which the store was filled from; a "
            "store holds one environment"
        )
    there = [topic for topic in sorted({*topics, *(topic for topic, _ in stored)}) if topic in partitions]
    found.problems += _unlike(connection, log, there, found)
    read = [place for place in stored if place[1] < partitions.get(place[0], 0)]
    for topic, partition in sorted(stored.keys() - set(read)):
        found.problems.append(
            f"{topic}/{partition} was read up to {stored[topic, partition].next:,}, and there is no such partition"
        )
    ends = log.ends(read)
    for place in sorted(read):
        name, offset = f"{place[0]}/{place[1]}", stored[place].next
        if offset > ends[place]:
            found.problems.append(
                f"{name} was read up to {offset:,}, and the log ends at {ends[place]:,}: it is an older copy of the "
                "log, or another one"
            )
        elif offset > 0:
            _compare_last(log, place, offset, stored[place].last, found)
    return found


def _unlike(connection: Connection, log: EventLog, topics: Sequence[str], found: Found) -> Iterator[str]:
    """The topics whose identity is not the one that the store knows."""
    settings = tables.settings.c
    known = {
        row.name.removeprefix(IDENTITY): row.value
        for row in connection.execute(select(tables.settings).where(settings.name.startswith(IDENTITY)))
    }
    now = log.identities(topics) if topics else {}
    differing: dict[tuple[str, str], list[str]] = {}
    for topic in topics:
        before, here = known.get(topic), now.get(topic)
        if here is not None and (before is None or _learned(before, here)):
            found.identities[topic] = here
        elif before is not None and before != here:
            differing.setdefault((before, here or "one without identity"), []).append(topic)
    # All topics of an embedded log have the log's own identity.
    for (before, shown), names in differing.items():
        yield (
            f"{', '.join(names)}: not what the store was filled from. It was made again since, or it is of another log "
            f"(the store knows {before}, and this is {shown})"
        )


def _learned(before: str, here: str) -> bool:
    """Whether a broker that gave the cluster's id alone now gives those of topics."""
    return before.startswith("cluster:") and here.startswith("topic:")


def _compare_last(log: EventLog, place: PartitionId, offset: int, known: str | None, found: Found) -> None:
    name = f"{place[0]}/{place[1]}"
    last = _record_at(log, place, offset - 1)
    if last is None and log.start_offset(*place) >= offset:
        found.uncompared.append(f"{name}, whose event {offset - 1:,} retention has deleted")
    elif last is not None and is_lost(last):
        found.uncompared.append(f"{name}, whose event {offset - 1:,} was lost before the log was salvaged")
    elif last is not None and known is None:
        found.digests[place] = digest(last)
    elif last is None or digest(last) != known:
        found.problems.append(
            f"{name} was read up to {offset:,}, and the event before is not the one that was read there: it is an "
            "older copy of the log that was written to since, or another one"
        )


def _record_at(log: EventLog, place: PartitionId, offset: int) -> LogRecord | None:
    try:
        records = log.read(*place, offset, 1, 1)
    except OffsetOutOfRange:
        return None
    return records[0] if records and records[0].offset == offset else None


def require_same_log(connection: Connection, log: EventLog, topics: Sequence[str]) -> Found:
    """Compare, and raise `LogDiffers` when it is another log."""
    found = compare(connection, log, topics)
    if found.problems:
        raise LogDiffers("\n".join([*(f"{problem}." for problem in found.problems), ADVICE]))
    return found


def verify_and_record(engine: Engine, log: EventLog, topics: Sequence[str]) -> None:
    """Make sure that it is the log that the store was filled from, and have the store know what it does not know of it
    yet. Raises `LogDiffers`.
    """
    with engine.connect() as connection:
        found = require_same_log(connection, log, topics)
    if not found.identities and not found.digests:
        return
    table = tables.offsets
    with engine.begin() as connection:
        upsert(connection, tables.settings, [(IDENTITY + topic, own) for topic, own in found.identities.items()])
        for (topic, partition), last in found.digests.items():
            here = (table.c.topic == topic) & (table.c.partition == partition) & table.c.last.is_(None)
            connection.execute(update(table).where(here).values(last=last))
