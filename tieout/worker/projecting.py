"""A worker's life: stand by until it may write, project, and start again when a broker or a database was away."""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_never,
    wait_exponential_jitter,
)
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

from engine.errors import LeaseLost, MapError, StoreMismatch, StoreReplaced, StoreUnavailable
from store.lease import Lease, lease_holder
from streams import faust_app
from streams.log import EventLog, LogBusy, LogFailed, LogRefused
from streams.projector import Projector
from tieout.bootstrap import open_log, open_store, projected_topics, projecting
from tieout.settings import Settings
from tieout.sync.command_topic import TopicWriter
from tieout.worker.maps_in_force import FIT_SECONDS, MapsInForce
from tieout.worker.signals import stop_on_signals
from tieout.worker.status import WorkerStatus

STAND_BY_SECONDS: Final = 1.0
RETRY_SECONDS_MAX: Final = 5.0
ATTEMPTS_UNTIL_CAUGHT_UP: Final = 8
"""Who asked for an end waits half a minute for a server, not for ever."""

log = structlog.get_logger(__name__)


def project(
    settings: Settings,
    *,
    until_caught_up: bool = False,
    stop: threading.Event,
    on_progress: Callable[[faust_app.Progress], None] = lambda progress: None,
    status: WorkerStatus | None = None,
    topic_writer: TopicWriter | None = None,
) -> None:
    """Project the events of the topics into the store, until told to stop or, if asked for, until all are read.

    After a replay it loads the maps of the files again. While the store was built under other maps or companies than
    these it waits, and `status` says why; asked for an end it raises `StoreMismatch`.

    On an embedded log this is the only worker, and whatever fails is raised. On Kafka it stands by until it holds the
    lease of the store, and goes on when the broker or the database comes back; what is raised then is for a person.
    `status` is told how it stands; `topic_writer` may use its log meanwhile.
    """
    topics = projected_topics(settings)
    status = status or WorkerStatus()
    in_force = MapsInForce(settings, "projection")

    def report(progress: faust_app.Progress) -> None:
        status.record_progress(progress)
        on_progress(progress)

    begun = False

    def run(event_log: EventLog, projector: Projector, lease: Lease | None) -> None:
        nonlocal begun
        begun = True
        status.record_term(projector, lease)
        with topic_writer.lend_log(event_log) if topic_writer is not None else nullcontext():
            faust_app.run(
                event_log, projector, topics=topics, until_caught_up=until_caught_up, on_progress=report, stop=stop
            )

    def reign() -> None:
        nonlocal begun
        while True:
            try:
                return _alone(settings, in_force, run) if alone else _reign(settings, in_force, stop, run, status)
            except (StoreMismatch, MapError):
                if until_caught_up:
                    raise
                begun = True
                _await_fit(settings, in_force, stop, status)
            except LogBusy as busy:
                # A command may do a worker's part while this one has let go of the log.
                if not begun:
                    raise
                status.record_restart(str(busy))
                stop.wait(STAND_BY_SECONDS)
            if stop.is_set():
                return None

    alone = settings.log_file is not None
    try:
        # While it projects, `streams.faust_app` sees to signals itself.
        with stop_on_signals(stop):
            if alone:
                reign()
            else:
                _retrying(until_caught_up, stop, status)(reign)
    finally:
        status.record_end()


def create_store(settings: Settings, stop: threading.Event) -> None:
    """Make a store where there is none, for readers. A database that is away is waited for, until told to stop."""

    def make() -> None:
        with open_store(settings, write=True):
            pass

    if settings.log_file is not None:
        make()
    else:
        _retrying(False, stop, WorkerStatus())(make)


def wait_for_store(settings: Settings, stop: threading.Event) -> None:
    """Return once the store can be read. A database that is away is waited for, until told to stop."""

    def read() -> None:
        with open_store(settings, write=False):
            pass

    _retrying(False, stop, WorkerStatus())(read)


def _await_fit(settings: Settings, in_force: MapsInForce, stop: threading.Event, status: WorkerStatus) -> None:
    """Wait until the store was built under the maps and companies of this process, or until told to stop."""
    with open_store(settings, write=True) as engine:
        while not stop.is_set() and not in_force.fit(engine):
            status.record_incompatibility(in_force.unfit or "")
            stop.wait(FIT_SECONDS)


def _alone(settings: Settings, in_force: MapsInForce, run: Callable[..., None]) -> None:
    while True:
        try:
            with (
                open_log(settings, write=True) as event_log,
                open_store(settings, write=True) as engine,
                projecting(engine, event_log, settings, in_force=in_force) as projector,
            ):
                in_force.keep(engine)
                run(event_log, projector, None)
                return
        except StoreReplaced as reason:
            log.info("store_rebuilt", reason=str(reason))


def _reign(
    settings: Settings, in_force: MapsInForce, stop: threading.Event, run: Callable[..., None], status: WorkerStatus
) -> None:
    """Project for as long as the lease is held."""
    with open_log(settings, write=True, publish=True) as event_log, open_store(settings, write=True) as engine:
        lease = Lease(engine, f"{socket.gethostname()}/{os.getpid()}")
        if not _stand_by(lease, engine, in_force, stop, status):
            return
        log.info("lease_taken", holder=lease.holder, epoch=lease.epoch)
        with lease.kept_alive():
            event_log.begin_publishing()
            with projecting(engine, event_log, settings, lease, in_force) as projector:
                in_force.keep(engine)
                run(event_log, projector, lease)


def _stand_by(lease: Lease, engine: Engine, in_force: MapsInForce, stop: threading.Event, status: WorkerStatus) -> bool:
    """Wait for the lease; False when told to stop before. Raises `StoreMismatch` when it could not write."""
    told: str | None = None
    while not stop.is_set():
        with engine.connect() as connection:
            in_force.fitting(connection)
        if lease.acquire():
            return True
        with engine.connect() as connection:
            current = lease_holder(connection)
        writer = current.holder if current else None
        status.record_standby(writer)
        if writer != told:
            log.info("standing_by", holder=lease.holder, writer=writer)
            told = writer
        stop.wait(STAND_BY_SECONDS)
    return False


def _retrying(until_caught_up: bool, stop: threading.Event, status: WorkerStatus) -> Retrying:
    ends = stop_after_attempt(ATTEMPTS_UNTIL_CAUGHT_UP) if until_caught_up else stop_never
    return Retrying(
        retry=retry_if_exception(is_transient),
        wait=_wait,
        stop=ends | stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        before_sleep=lambda state: _tell(state, status),
        reraise=True,
    )


_backing_off: Final = wait_exponential_jitter(multiplier=0.5, max=RETRY_SECONDS_MAX, jitter=0.5)


def _wait(state: RetryCallState) -> float:
    """Who was overtaken stands by at once; who met a server that is away waits longer each time."""
    return 0 if isinstance(_error(state), LeaseLost) else _backing_off(state)


def is_transient(error: BaseException) -> bool:
    """Whether waiting helps: a server that is away, a transaction that it gave up, a lease that was lost."""
    if isinstance(error, DBAPIError):
        return (
            error.connection_invalidated
            or isinstance(error, OperationalError | InterfaceError | InternalError)
            or _sqlstate(error).startswith("P0")  # a trigger of the owner's refuses
        )
    return isinstance(error, LogFailed | LeaseLost | StoreUnavailable) and not isinstance(error, LogRefused)


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _tell(state: RetryCallState, status: WorkerStatus) -> None:
    error = _error(state)
    reason = str(error.orig).strip() if isinstance(error, DBAPIError) else str(error)
    status.record_restart(reason)
    log.warning("worker_starts_again", reason=reason, seconds=round(state.upcoming_sleep, 1))


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
