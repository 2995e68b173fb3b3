"""Progress of a command: a progress bar on a terminal, a log line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from streams.faust_app import Progress

EVERY_SECONDS = 10.0

log = structlog.get_logger(__name__)


@contextmanager
def bar(title: str, total: float | None) -> Iterator[Callable[[float, float | None, str], None]]:
    """Show a progress bar, and yield the function that updates it: (done, total, note). Needs a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total, note: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    stderr = sys.stderr
    with Progress(*columns, console=Console(file=stderr), transient=True) as progress:
        task = progress.add_task(title, total=total, note="")
        # Rich prints log lines above the bar when they go to its standard error.
        with _logging_to(sys.stderr, stderr):
            yield lambda done, total, note: progress.update(task, completed=done, total=total, note=note)


@contextmanager
def _logging_to(during: TextIO, after: TextIO) -> Iterator[None]:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(during))
    try:
        yield
    finally:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(after))


@contextmanager
def lag(title: str) -> Iterator[Callable[["Progress"], None]]:
    """Show the progress of a worker: events applied, lag, and rate."""
    interval = LogInterval()
    with bar(title, None) as move:

        def report(progress: "Progress") -> None:
            if sys.stderr.isatty():
                note = f"{progress.done:,} applied · lag {progress.left:,} · {progress.rate:,.0f}/s"
                move(progress.done, progress.done + progress.left or None, note)
            elif interval.due(progress.done):
                log.info("worker_progress", records=progress.done, lag=progress.left, rate=round(progress.rate))

        yield report


class LogInterval:
    """Limits progress logs: at most one every ten seconds, and none without progress."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._done = 0

    def due(self, done: int) -> bool:
        """Return True if there is progress and the interval has passed since the last log."""
        if done == self._done or time.monotonic() - self._at < EVERY_SECONDS:
            return False
        self._at, self._done = time.monotonic(), done
        return True
