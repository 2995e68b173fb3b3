"""Measures the latency from the append of an event to the commit of its row, under a steady load.

A worker runs as a separate process. This process appends events at a fixed rate, and reads the committed offsets from
another session every few milliseconds. The time of an event is that of its append, by the clock of the broker, which is
the clock of this machine.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice

import msgspec
from sqlalchemy import select

from benchmarks.figures import Latency
from benchmarks.job import Job
from benchmarks.workload import Message, Workload
from store.schema import tables
from store.schema.database import connect
from streams.log import EventLog, NewRecord
from tieout.bootstrap import change_topics, open_log, open_store

SECONDS = 30
WARM_UP_SECONDS = 5
TICK_SECONDS = 0.02
LOOK_SECONDS = 0.005
QUIET_SECONDS = 15
"""A worker that commits nothing for so long has come to the end."""

Seen = list[tuple[float, str, int]]


def measure(job: Job) -> Latency:
    """Append at a steady rate for half a minute; the first seconds do not count."""
    job = msgspec.structs.replace(job, documents=job.rate * (SECONDS + WARM_UP_SECONDS) // 8 + 1)
    settings = job.settings
    with open_log(settings, write=True) as log, open_store(settings, write=True):
        named = {"BROKER": settings.broker, "STORE": settings.store, "PREFIX": settings.prefix}
        environment = {**os.environ, **{f"TIEOUT_{name}": value for name, value in named.items()}}
        command = [sys.executable, "-m", "tieout", "run", "--role", "project"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as worker:  # noqa: S603
            try:
                started, observed = _load(job, log)
            finally:
                worker.send_signal(signal.SIGTERM)
        taken = sorted(_latencies(log, change_topics(settings), observed, started + WARM_UP_SECONDS))
    return Latency(job.rate, len(taken), _at(taken, 50), _at(taken, 99), 1000 * taken[-1])


def _load(job: Job, log: EventLog) -> tuple[float, Seen]:
    """Append the events on time, while another thread looks; returns when it began, and what was seen when."""
    observed: Seen = []
    messages = iter(Workload(job.documents))
    _append(log, job, islice(messages, 1_000))
    with ThreadPoolExecutor(1) as watcher:
        watching = watcher.submit(_watch, job, observed)
        while not observed and not watching.done():
            time.sleep(0.1)
        started = time.time()
        for tick in range(int((SECONDS + WARM_UP_SECONDS) / TICK_SECONDS)):
            time.sleep(max(0.0, started + tick * TICK_SECONDS - time.time()))
            _append(log, job, islice(messages, int(job.rate * TICK_SECONDS)))
        watching.result()
    return started, observed


def _append(log: EventLog, job: Job, messages: Iterator[Message]) -> None:
    log.append([NewRecord(f"{job.settings.prefix}.{topic}", key, value) for topic, key, value in messages])


def _watch(job: Job, observed: Seen) -> None:
    """Note each step of the worker, until the load has ended and all of it is committed."""
    topics = change_topics(job.settings)
    offsets: dict[str, int] = {}
    quiet_since = time.time()
    engine = connect(job.settings.store)
    with closing(engine.raw_connection()) as raw:
        raw.driver_connection.autocommit = True  # type: ignore[union-attr]
        cursor = raw.cursor()
        while time.time() - quiet_since < QUIET_SECONDS:
            cursor.execute(str(select(tables.offsets.c.topic, tables.offsets.c.next)))
            now = time.time()
            for topic, offset in cursor.fetchall():
                if topic in topics and offsets.get(topic) != offset:
                    offsets[topic] = offset
                    observed.append((now, topic, offset))
                    quiet_since = now
            time.sleep(LOOK_SECONDS)
    engine.dispose()


def _latencies(log: EventLog, topics: list[str], observed: Seen, since: float) -> Iterator[float]:
    """Seconds from the append of each event to the first look that saw it committed. Raises when some never was."""
    for topic in topics:
        steps = iter([(moment, offset) for moment, name, offset in observed if name == topic])
        moment, reached = next(steps)
        offset, end = 0, log.end_offset(topic, 0)
        while offset < end:
            for record in log.read(topic, 0, offset, 10_000, 1 << 24):
                while record.offset >= reached:
                    moment, reached = next(steps)
                if record.timestamp / 1000 >= since:
                    yield moment - record.timestamp / 1000
                offset = record.offset + 1


def _at(taken: list[float], percent: int) -> float:
    """Milliseconds that so many percent of the events do not exceed."""
    return 1000 * taken[min(len(taken) * percent // 100, len(taken) - 1)]
