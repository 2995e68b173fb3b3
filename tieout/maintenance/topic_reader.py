"""Reading a topic to its end, and on."""

import threading
from collections.abc import Iterator
from typing import Final

from streams.log import EventLog, LogRecord

RECORDS_AT_ONCE: Final = 1_000
BYTES_AT_ONCE: Final = 8 * 1024 * 1024
LOOK_SECONDS: Final = 0.5


def ends(log: EventLog, topic: str) -> dict[int, int]:
    """Where each partition of a topic ends."""
    partitions = [(topic, partition) for partition in range(log.partitions(topic))]
    return {partition: offset for (_, partition), offset in log.ends(partitions).items()}


def records(log: EventLog, topic: str) -> Iterator[LogRecord]:
    """Everything a topic holds, one partition after the other."""
    for partition in range(log.partitions(topic)):
        offset = log.start_offset(topic, partition)
        while found := log.read(topic, partition, offset, RECORDS_AT_ONCE, BYTES_AT_ONCE):
            yield from found
            offset = found[-1].offset + 1


def following(log: EventLog, topic: str, places: dict[int, int], stop: threading.Event) -> Iterator[LogRecord]:
    """What comes onto a topic after `places` (offsets by partition), until told to stop."""
    while True:
        found_some = False
        for partition, end in ends(log, topic).items():
            offset = places.get(partition, 0)
            while offset < end and (found := log.read(topic, partition, offset, RECORDS_AT_ONCE, BYTES_AT_ONCE)):
                yield from found
                offset = places[partition] = found[-1].offset + 1
                found_some = True
        if not found_some and stop.wait(LOOK_SECONDS):
            return
