"""Reads a topic to its end, and follows it."""

import threading
from collections.abc import Iterator
from typing import Final

from streams.log import EventLog, LogRecord

RECORDS_AT_ONCE: Final = 1_000
BYTES_AT_ONCE: Final = 8 * 1024 * 1024
POLL_SECONDS: Final = 0.5


def ends(log: EventLog, topic: str) -> dict[int, int]:
    """Return the end offset of each partition of a topic."""
    partitions = [(topic, partition) for partition in range(log.partitions(topic))]
    return {partition: offset for (_, partition), offset in log.ends(partitions).items()}


def records(log: EventLog, topic: str) -> Iterator[LogRecord]:
    """Yield all records of a topic, one partition after the other."""
    for partition in range(log.partitions(topic)):
        offset = log.start_offset(topic, partition)
        while batch := log.read(topic, partition, offset, RECORDS_AT_ONCE, BYTES_AT_ONCE):
            yield from batch
            offset = batch[-1].offset + 1


def following(log: EventLog, topic: str, offsets: dict[int, int], stop: threading.Event) -> Iterator[LogRecord]:
    """Yield the records from `offsets` (by partition) on, which advance with them, until `stop` is set."""
    while True:
        received = False
        for partition, end in ends(log, topic).items():
            offset = offsets.get(partition, 0)
            while offset < end and (batch := log.read(topic, partition, offset, RECORDS_AT_ONCE, BYTES_AT_ONCE)):
                yield from batch
                offset = offsets[partition] = batch[-1].offset + 1
                received = True
        if not received and stop.wait(POLL_SECONDS):
            return
