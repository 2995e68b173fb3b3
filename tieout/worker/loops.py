"""The loops of a worker: each turn may fail, none ends its loop, and when each ran last is kept for the pages."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from engine.errors import TieoutError
from store.operational.loops import LoopRun, record

log = structlog.get_logger(__name__)


def repeat(name: str, turn: Callable[[], bool], engine: Engine, stop: threading.Event, seconds: float) -> None:
    """Call `turn` every so many seconds until told to stop. It returns whether it did anything, so that of several
    workers the one whose turn it was is kept. What it raises is logged and kept; the next turn comes all the same.
    """
    while not stop.wait(seconds):
        try:
            if turn():
                keep(engine, name, "")
        except Exception as error:  # noqa: BLE001 - a loop that ends would be noticed by nobody
            reason = reason_of(error)
            log.error("loop_failed", loop=name, reason=reason, seconds=seconds)
            keep(engine, name, reason)


def keep(engine: Engine, name: str, failed: str) -> None:
    """Keep the last turn of a loop: why it failed, '' if it did not."""
    at = int(datetime.now(UTC).timestamp() * 1_000_000)
    try:
        with engine.begin() as connection:
            record(connection, LoopRun(name=name, at=at, failed=failed))
    except DBAPIError as error:
        log.warning("loop_not_recorded", loop=name, reason=reason_of(error))


def reason_of(error: BaseException) -> str:
    """Why something failed, without what a statement or a secret may hold: an unknown error is its type alone."""
    if isinstance(error, DBAPIError):
        return str(error.orig).strip()
    return str(error) if isinstance(error, TieoutError) else type(error).__name__
