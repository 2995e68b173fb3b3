"""Faust as its guide shows it: an agent over a topic of Kafka, one event at a time, doing the same work.

The agent hands each event to the product's own projection, which commits it: merged, linked, decided, published. What
is compared is the way of an event through Faust and the database, not another program's idea of the work.
"""

import asyncio
import time
from typing import Any

import faust
import msgspec

from benchmarks.figures import Rate
from benchmarks.job import Job
from benchmarks.prepare import prepare
from benchmarks.workload import Workload
from streams.log import Batch, LogRecord
from streams.projector import Projector
from tieout import logging
from tieout.bootstrap import change_topics, open_log, open_store, projecting

SAMPLE = 500
"""Documents: enough for a rate, which is the same from the first event to the last."""


def measure(job: Job) -> Rate:
    """Measure a load of the same kind as the product's but smaller."""
    sample = msgspec.structs.replace(job, documents=min(SAMPLE, job.documents))
    events = prepare(sample).events
    settings = sample.settings
    logging.configure(settings.log_level)
    with (
        open_log(settings, write=True) as log,
        open_store(settings, write=True) as engine,
        projecting(engine, log, settings) as projector,
    ):
        seconds = asyncio.run(_consume(sample, projector, events))
        projector.settle()
    if (expected := Workload(sample.documents).expected().events) != events:
        raise RuntimeError(f"{events} events were sent, {expected} were expected")
    return Rate(events, seconds)


async def _consume(job: Job, projector: Projector, events: int) -> float:
    """Run the app until it has taken all events; returns the seconds from the first to the last."""
    app = faust.App("plain", broker=str(job.broker), store="memory://", web_enabled=False, topic_partitions=1)
    topics = [app.topic(name, value_type=bytes, value_serializer="raw") for name in change_topics(job.settings)]
    moments: list[float] = []
    finished = asyncio.Event()

    async def process(stream: Any) -> None:
        async for event in stream.events():
            moments.append(time.monotonic())
            message = event.message
            record = LogRecord(
                message.topic, message.partition, message.offset, int(message.timestamp * 1000), None, message.value
            )
            projector.apply([Batch(record.topic, record.partition, record.offset, [record])])
            if len(moments) == events:
                moments.append(time.monotonic())
                finished.set()

    for number, topic in enumerate(topics):
        app.agent(topic, name=f"agent-{number}")(process)
    await app.start()
    await finished.wait()
    await app.stop()
    return moments[-1] - moments[0]
