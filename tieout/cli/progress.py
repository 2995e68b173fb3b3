"""How far a command has got: a moving line on a terminal, now and then a log line elsewhere."""

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
    """A progress bar; what is yielded moves it: (done, total, note). Where nobody watches it shows nothing."""
    if not sys.stderr.isatty():
        yield lambda done, total, note: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    stderr = sys.stderr
    with Progress(*columns, console=Console(file=stderr), transient=True) as shown:
        task = shown.add_task(title, total=total, note="")
        # Log lines go above the bar, not through it.
        with _logging_to(sys.stderr, stderr):
            yield lambda done, total, note: shown.update(task, completed=done, total=total, note=note)


@contextmanager
def _logging_to(during: TextIO, after: TextIO) -> Iterator[None]:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(during))
    try:
        yield
    finally:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(after))


@contextmanager
def lag(title: str) -> Iterator[Callable[["Progress"], None]]:
    """Show how far a worker has got: what it applied, what is left, how fast it is."""
    told = Told()
    with bar(title, None) as move:

        def report(progress: "Progress") -> None:
            if sys.stderr.isatty():
                note = f"{progress.done:,} applied · lag {progress.left:,} · {progress.rate:,.0f}/s"
                move(progress.done, progress.done + progress.left or None, note)
            elif told.due(progress.done):
                log.info("worker_progress", records=progress.done, lag=progress.left, rate=round(progress.rate))

        yield report


class Told:
    """Remembers what was said last, to say nothing twice and nothing too often."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._done = 0

    def due(self, done: int) -> bool:
        """Whether it is time to say something new."""
        if done == self._done or time.monotonic() - self._at < EVERY_SECONDS:
            return False
        self._at, self._done = time.monotonic(), done
        return True
