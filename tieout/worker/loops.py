"""Periodic tasks of a worker. A failed run does not end its loop; the last run of each is recorded for the pages."""

import threading
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from engine.errors import TieoutError
from store import clock
from store.operational.loops import LoopRun, record

log = structlog.get_logger(__name__)


RECURRING_SYNC: Final = "recurring sync"
ROWS_READ_AGAIN: Final = "rows read again"
GENERAL_JOURNALS: Final = "general journals"
ALERTS: Final = "alerts"
LOOP_NAMES: Final = (RECURRING_SYNC, ROWS_READ_AGAIN, GENERAL_JOURNALS, ALERTS)
"""The names of the loops, as the last run of each is recorded and shown."""


def repeat(name: str, task: Callable[[], bool], engine: Engine, stop: threading.Event, seconds: float) -> None:
    """Run `task` every `seconds` until `stop` is set.

    The task returns True if it did anything, so that of several workers the run of the active one is recorded. An
    exception is logged and recorded, and the loop continues.
    """
    while not stop.wait(seconds):
        try:
            if task():
                record_run(engine, name, "")
        except Exception as error:  # noqa: BLE001 - nobody would notice a loop that ends
            reason = reason_of(error)
            log.error("loop_failed", loop=name, reason=reason, seconds=seconds)
            record_run(engine, name, reason)


def record_run(engine: Engine, name: str, failed: str) -> None:
    """Record the last run of a loop; `failed` is the reason of a failure, empty after a success."""
    at = clock.now()
    try:
        with engine.begin() as connection:
            record(connection, LoopRun(name=name, at=at, failed=failed))
    except DBAPIError as error:
        log.warning("loop_not_recorded", loop=name, reason=reason_of(error))


def reason_of(error: BaseException) -> str:
    """Return the reason of a failure without statements or secrets: of an unexpected error the type only."""
    if isinstance(error, DBAPIError):
        return str(error.orig).strip()
    return str(error) if isinstance(error, TieoutError) else type(error).__name__
