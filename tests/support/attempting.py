"""A handler that is killed between two of its steps, as a program: what `kill -9` does at every moment that matters.

    python -m tests.support.attempting FOLDER CALLS NOW STEP

FOLDER is that of an embedded log and a store, CALLS a file to which each call adds a line: what the other system saw.
NOW is the time in seconds. It is killed before the step of this number; a number beyond the last step lets it end.
Every call fails in a way that may pass.
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
    """See the module."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    passed = count()

    def stepping(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def stepped(*arguments: Any, **named: Any) -> Any:
            here()
            found = function(*arguments, **named)
            here()
            return found

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
    """The log and the store of a folder."""
    return Settings(broker=f"embedded:///{folder / 'log.sqlite'}", store=f"sqlite:///{folder / 'store.sqlite'}")


def publish(projector: Projector) -> None:
    """Have everything published that waits."""
    while projector.work():
        pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
