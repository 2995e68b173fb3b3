"""Batches of the log as the product's transport yields them: of the same size, topics round-robin."""

from collections.abc import Iterator

from streams.faust_app import BATCH_BYTES, BATCH_RECORDS
from streams.log import Batch, EventLog
from tieout.bootstrap import change_topics
from tieout.settings import Settings


def batches(log: EventLog, settings: Settings) -> Iterator[Batch]:
    """All events of the change topics."""
    turns = [(topic, partition, 0) for topic in change_topics(settings) for partition in range(log.partitions(topic))]
    while turns:
        topic, partition, offset = turns.pop(0)
        if records := log.read(topic, partition, offset, BATCH_RECORDS, BATCH_BYTES):
            batch = Batch(topic, partition, offset, records)
            turns.append((topic, partition, batch.next))
            yield batch
