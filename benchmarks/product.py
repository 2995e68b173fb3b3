"""The product: a worker over the log, from the start of its process until it has caught up."""

import cProfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from benchmarks.figures import Mark, Product, cpu_seconds, peak_mib
from benchmarks.job import Job
from benchmarks.profiled import stats_of
from store.lease import Lease
from streams.agents import Projection
from streams.faust_app import run
from streams.log import Batch, EventLog
from streams.projector import Projector
from tieout import logging
from tieout.bootstrap import change_topics, open_log, open_projector, open_store, projecting
from tieout.settings import Settings


def measure(job: Job) -> Product:
    """Run a worker until nothing is left to read, evaluate or publish."""
    return _run(job, None)


def profile(job: Job) -> Product:
    """Run it under the profiler, which slows small functions most; the profile is written to the folder."""
    profiler = cProfile.Profile()
    product = _run(job, profiler)
    profiler.dump_stats(stats_of(job))
    return product


def _run(job: Job, profiler: cProfile.Profile | None) -> Product:
    settings = job.settings
    logging.configure(settings.log_level)
    with _worker(settings) as (log, projector):
        watched = _Watched(projector, job.started, profiler)
        run(log, watched, topics=change_topics(settings), until_caught_up=True)
        seconds = time.monotonic() - job.started
    return Product(watched.events, seconds, cpu_seconds(), peak_mib(), watched.marks)


@contextmanager
def _worker(settings: Settings) -> Iterator[tuple[EventLog, Projector]]:
    """A worker as `tieout run` has it: on a broker with a lease, which every transaction renews."""
    if settings.log_file is not None:
        with open_projector(settings) as opened:
            yield opened
        return
    with open_log(settings, write=True) as log, open_store(settings, write=True) as engine:
        lease = Lease(engine, "benchmark")
        assert lease.acquire()
        with lease.kept_alive(), projecting(engine, log, settings, lease) as projector:
            yield log, projector


class _Watched:
    """A projection that notes when each batch was committed."""

    def __init__(self, inner: Projection, started: float, profiler: cProfile.Profile | None) -> None:
        self._inner = inner
        self._started = started
        self._profiler = profiler
        self.events = 0
        self.marks: list[Mark] = []

    def offsets(self) -> Mapping[tuple[str, int], int]:
        return self._inner.offsets()

    def apply(self, batches: Sequence[Batch]) -> None:
        if self._profiler is None:
            self._inner.apply(batches)
        else:
            self._profiler.runcall(self._inner.apply, batches)
        self.events += sum(len(batch) for batch in batches)
        self.marks.append(Mark(self.events, time.monotonic() - self._started))

    def settle(self) -> None:
        self._inner.settle()

    def work(self) -> bool:
        return self._inner.work() if self._profiler is None else self._profiler.runcall(self._inner.work)
