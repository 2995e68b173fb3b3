"""Write the load into an embedded log. Not timed: only the reading side is measured."""

from collections.abc import Iterable, Iterator
from itertools import islice

from benchmarks.figures import Prepared
from benchmarks.job import Job
from benchmarks.workload import Message, Workload
from streams.log import NewRecord
from tieout.bootstrap import open_log

APPENDED_AT_ONCE = 5_000


def prepare(job: Job) -> Prepared:
    """Append all events of the load, in their order, and count them."""
    events = size = 0
    with open_log(job.settings, write=True) as log:
        for records in _records(Workload(job.documents), job.settings.prefix):
            log.append(records)
            events += len(records)
            size += sum(len(record.value or b"") for record in records)
    return Prepared(events, size)


def _records(messages: Iterable[Message], prefix: str) -> Iterator[list[NewRecord]]:
    iterator = iter(messages)
    while some := list(islice(iterator, APPENDED_AT_ONCE)):
        yield [NewRecord(f"{prefix}.{topic}", key, value) for topic, key, value in some]
