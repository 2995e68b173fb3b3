"""A worker that dies or stops at a given point of the write path: simulates `kill -9` and SIGSTOP.

As a program it reads lines of a number and a point from standard input. For each it forks a worker (its imports take
longer than its work) that dies when it reaches the point for that time, counted from 0. It prints `died <point>` when a
worker dies there, and `ended <code>` when one has ended. With the name of a point as argument it is a worker that stops
itself there once.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from itertools import count
from typing import Any, Final

import store.projection.batch_plan
import store.projection.writer
from store.lease import Lease
from store.projection.writer import Writer
from streams.kafka import KafkaLog
from tieout.settings import load
from tieout.worker import projecting

POINTS: Final[dict[str, tuple[Any, str]]] = {
    "before the lease is taken": (Lease, "acquire"),
    "before the store is read": (Writer, "_load"),
    "before a batch is prepared": (Writer, "projecting"),
    "before it is expected": (Writer, "stage"),
    "before its transaction": (Writer, "commit"),
    "before offsets are moved": (store.projection.writer, "_advance_offsets"),
    "before rows are inserted": (store.projection.batch_plan, "insert"),
    "before rows are replaced": (store.projection.batch_plan, "upsert"),
    "before rows are deleted": (store.projection.batch_plan, "delete"),
    "before the outbox is written": (store.projection.writer, "write_outbox"),
    "before the lease is asserted": (Lease, "renew"),
    "before the commit": (Lease, "renew"),
    "before it is published": (KafkaLog, "append"),
    "before it is marked as sent": (Writer, "acknowledge"),
    "before documents are decided again": (Writer, "recompute"),
    "before the outbox is tidied": (Writer, "delete_acknowledged"),
    "before the lease is released": (Lease, "release"),
}
"""Next step of the worker, with the function that performs it."""

AFTER: Final = {"before the commit"}
"""Points after the call, because no function of ours is called there."""

DIED: Final = 9


def arm(name: str, number: int, action: Callable[[str], None]) -> None:
    """Call `action` with the point's name when the worker reaches the point for the time `number`."""
    passed = count()

    def point() -> None:
        # The keeper of the lease has a thread and a rhythm of its own: it would make the numbers mean something else.
        if threading.current_thread().name != "lease" and next(passed) == number:
            action(name)

    owner, attribute = POINTS[name]
    function = getattr(owner, attribute)

    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        if name not in AFTER:
            point()
        result = function(*arguments, **named)
        if name in AFTER:
            point()
        return result

    setattr(owner, attribute, called)


def _die(name: str) -> None:
    os.write(1, f"died {name}\n".encode())
    os._exit(DIED)


def _stop(name: str) -> None:
    os.write(2, f'{{"event": "stopped", "at": "{name}"}}\n'.encode())
    os.kill(os.getpid(), signal.SIGSTOP)


def _work(until_caught_up: bool) -> None:
    projecting.project(load(), until_caught_up=until_caught_up, stop=threading.Event())


def main() -> None:
    """See the module."""
    if len(sys.argv) > 1:
        arm(sys.argv[1], 0, _stop)
        _work(until_caught_up=False)
        return
    for line in sys.stdin:
        number, _, name = line.strip().partition(" ")
        child = os.fork()
        if child == 0:
            arm(name, int(number), _die)
            _work(until_caught_up=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        os.write(1, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    from tieout.logging import configure

    configure("info")
    main()
