"""A Sync handler killed between two of its steps, as a program: simulates `kill -9` at every relevant point.

    python -m tests.support.attempting FOLDER CALLS NOW STEP

FOLDER contains an embedded log and a store. Each call appends a line to the file CALLS: what the other system received.
NOW is the time in seconds. The process is killed before step number STEP; a number beyond the last step lets it end.
Every call fails with a transient error.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

import structlog

from engine.sync.attempts import SECOND, Claim
from handlers.errors import Transient
from handlers.sync_executor import Precondition, SyncExecutor
from store.operational.attempts import SqlAttempts
from store.schema.database import connect
from streams.projector import Projector
from tieout.bootstrap import open_projector
from tieout.settings import Settings


def main(folder: Path, calls: Path, now: int, step: int) -> None:
    """Run the program; see the module."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    passed = count()

    def stepping(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def stepped(*arguments: Any, **named: Any) -> Any:
            here()
            result = function(*arguments, **named)
            here()
            return result

        return stepped

    def here() -> None:
        if next(passed) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    class Failing:
        """An action whose every call fails."""

        @stepping
        def call(self, claim: Claim) -> None:
            with calls.open("a") as file:
                file.write(f"{claim.subject}\n")
            raise Transient("503")

        def check(self, claim: Claim) -> Precondition:
            return Precondition(True, "", {})

        def ended(self, claim: Claim) -> None:
            """Report nothing."""

    settings = settings_in(folder)
    with open_projector(settings) as (event_log, projector):
        attempts = SqlAttempts(connect(settings.store, write=True))
        for name in ("claim", "begin", "end"):
            setattr(attempts, name, stepping(getattr(attempts, name)))
        event_log.append = stepping(event_log.append)  # type: ignore[method-assign]
        SyncExecutor(
            attempts,
            {"export": Failing()},
            name=f"worker {os.getpid()}",
            clock=lambda: now * SECOND,
            sleep=lambda seconds: os._exit(0),  # one attempt a process
            chance=lambda: 0.0,
            publish=lambda: publish(projector),
        ).execute_next()


def settings_in(folder: Path) -> Settings:
    """Return the settings of the log and the store in a folder."""
    return Settings(broker=f"embedded:///{folder / 'log.sqlite'}", store=f"sqlite:///{folder / 'store.sqlite'}")


def publish(projector: Projector) -> None:
    """Publish everything in the outbox."""
    while projector.work():
        pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
