"""The product itself: a worker over the log, from the start of its process until it has caught up."""

import cProfile
import time
from collections.abc import Mapping, Sequence

from benchmarks.figures import Mark, Product, cpu_seconds, peak_mib
from benchmarks.job import Job
from benchmarks.profiled import stats_of
from streams.agents import Projection
from streams.app import run
from streams.log import Batch
from tieout import logging
from tieout.bootstrap import change_topics, open_projector


def measure(job: Job) -> Product:
    """Run a worker until nothing is left to read, to decide or to publish."""
    return _run(job, None)


def profile(job: Job) -> Product:
    """The same under the profiler, whose account is left in the folder. It slows all down, small functions most."""
    profiler = cProfile.Profile()
    product = _run(job, profiler)
    profiler.dump_stats(stats_of(job))
    return product


def _run(job: Job, profiler: cProfile.Profile | None) -> Product:
    settings = job.settings
    logging.configure(settings.log_level)
    with open_projector(settings) as (log, projector):
        watched = _Watched(projector, job.started, profiler)
        run(log, watched, topics=change_topics(settings), until_caught_up=True)
        seconds = time.monotonic() - job.started
    return Product(watched.events, seconds, cpu_seconds(), peak_mib(), watched.marks)


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
