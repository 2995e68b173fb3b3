"""The projecting role: stands by for the lease, projects, and restarts after a failure of broker or database."""

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
"""A run that is to end waits about half a minute for a server, not indefinitely."""

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
    """Project the events of the topics into the store until `stop` is set or, with `until_caught_up`, all are read.

    After a replay the map files are loaded again. While the store was built with other maps or companies, the worker
    waits and records the reason in `status`; with `until_caught_up` it raises `StoreMismatch`.

    On an embedded log this is the only worker, and every error is raised. On Kafka it stands by until it acquires the
    lease of the store, and retries after a failure of the broker or the database; an error that is raised needs a
    person. `topic_writer` may use the log while the worker projects.
    """
    worker = _Projecting(settings, until_caught_up, stop, on_progress, status or WorkerStatus(), topic_writer)
    try:
        # While it projects, `streams.faust_app` handles signals itself.
        with stop_on_signals(stop):
            worker.run()
    finally:
        worker.status.record_end()


class _Projecting:
    """The projecting role of one process, over all its terms."""

    def __init__(
        self,
        settings: Settings,
        until_caught_up: bool,
        stop: threading.Event,
        on_progress: Callable[[faust_app.Progress], None],
        status: WorkerStatus,
        topic_writer: TopicWriter | None,
    ) -> None:
        self.status = status
        self._settings = settings
        self._until_caught_up = until_caught_up
        self._stop = stop
        self._on_progress = on_progress
        self._topic_writer = topic_writer
        self._topics = projected_topics(settings)
        self._in_force = MapsInForce(settings, "projection")
        self._embedded = settings.log_file is not None
        self._had_term = False

    def run(self) -> None:
        """Run until stopped or caught up. On Kafka failures of a server are retried."""
        if self._embedded:
            self._run_terms()
        else:
            _retrying(self._until_caught_up, self._stop, self.status)(self._run_terms)

    def _run_terms(self) -> None:
        while True:
            try:
                return self._run_embedded() if self._embedded else self._run_term()
            except (StoreMismatch, MapError):
                if self._until_caught_up:
                    raise
                self._had_term = True
                self._await_matching_maps()
            except LogBusy as busy:
                # A command may apply records itself while this worker has closed the log.
                if not self._had_term:
                    raise
                self.status.record_restart(str(busy))
                self._stop.wait(STAND_BY_SECONDS)
            if self._stop.is_set():
                return None

    def _run_embedded(self) -> None:
        """Project an embedded log, which has no lease."""
        while True:
            try:
                with (
                    open_log(self._settings, write=True) as event_log,
                    open_store(self._settings, write=True) as engine,
                    projecting(engine, event_log, self._settings, in_force=self._in_force) as projector,
                ):
                    self._in_force.record(engine)
                    self._project(event_log, projector, None)
                    return
            except StoreReplaced as reason:
                log.info("store_rebuilt", reason=str(reason))

    def _run_term(self) -> None:
        """Stand by for the lease, and project while it is held."""
        settings = self._settings
        with open_log(settings, write=True, publish=True) as event_log, open_store(settings, write=True) as engine:
            lease = Lease(engine, f"{socket.gethostname()}/{os.getpid()}")
            if not self._acquire(lease, engine):
                return
            log.info("lease_taken", holder=lease.holder, epoch=lease.epoch)
            with lease.kept_alive():
                event_log.begin_publishing()
                with projecting(engine, event_log, settings, lease, self._in_force) as projector:
                    self._in_force.record(engine)
                    self._project(event_log, projector, lease)

    def _acquire(self, lease: Lease, engine: Engine) -> bool:
        """Wait for the lease; return False if stopped before. Raises `StoreMismatch` if the maps do not match."""
        last: str | None = None
        while not self._stop.is_set():
            with engine.connect() as connection:
                self._in_force.matching(connection)
            if lease.acquire():
                return True
            with engine.connect() as connection:
                current = lease_holder(connection)
            writer = current.holder if current else None
            self.status.record_standby(writer)
            if writer != last:
                log.info("standing_by", holder=lease.holder, writer=writer)
                last = writer
            self._stop.wait(STAND_BY_SECONDS)
        return False

    def _project(self, event_log: EventLog, projector: Projector, lease: Lease | None) -> None:
        self._had_term = True
        self.status.record_term(projector, lease)
        with self._topic_writer.lend_log(event_log) if self._topic_writer is not None else nullcontext():
            faust_app.run(
                event_log,
                projector,
                topics=self._topics,
                until_caught_up=self._until_caught_up,
                on_progress=self._report,
                stop=self._stop,
            )

    def _report(self, progress: faust_app.Progress) -> None:
        self.status.record_progress(progress)
        self._on_progress(progress)

    def _await_matching_maps(self) -> None:
        """Wait until the store was built with the maps and companies of this process, or until stopped."""
        with open_store(self._settings, write=True) as engine:
            while not self._stop.is_set() and not self._in_force.check(engine):
                self.status.record_incompatibility(self._in_force.mismatch or "")
                self._stop.wait(FIT_SECONDS)


def create_store(settings: Settings, stop: threading.Event) -> None:
    """Create the store for readers, if it does not exist. Waits for an unavailable database until `stop` is set."""

    def create() -> None:
        with open_store(settings, write=True):
            pass

    if settings.log_file is not None:
        create()
    else:
        _retrying(False, stop, WorkerStatus())(create)


def wait_for_store(settings: Settings, stop: threading.Event) -> None:
    """Return once the store can be read. Waits for an unavailable database until `stop` is set."""

    def read() -> None:
        with open_store(settings, write=False):
            pass

    _retrying(False, stop, WorkerStatus())(read)


# --- retries ---------------------------------------------------------------------------------------------------------


def _retrying(until_caught_up: bool, stop: threading.Event, status: WorkerStatus) -> Retrying:
    ends = stop_after_attempt(ATTEMPTS_UNTIL_CAUGHT_UP) if until_caught_up else stop_never
    return Retrying(
        retry=retry_if_exception(is_transient),
        wait=_wait,
        stop=ends | stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        before_sleep=lambda state: _record_retry(state, status),
        reraise=True,
    )


_backing_off: Final = wait_exponential_jitter(multiplier=0.5, max=RETRY_SECONDS_MAX, jitter=0.5)


def _wait(state: RetryCallState) -> float:
    """Return the delay: none after losing the lease, exponential backoff with jitter after a server failure."""
    return 0 if isinstance(_error(state), LeaseLost) else _backing_off(state)


def is_transient(error: BaseException) -> bool:
    """Return True if a retry may succeed: a server failure, a transaction that it aborted, a lost lease."""
    if isinstance(error, DBAPIError):
        return (
            error.connection_invalidated
            or isinstance(error, OperationalError | InterfaceError | InternalError)
            or _sqlstate(error).startswith("P0")  # raised by a trigger of the owner
        )
    return isinstance(error, LogFailed | LeaseLost | StoreUnavailable) and not isinstance(error, LogRefused)


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _record_retry(state: RetryCallState, status: WorkerStatus) -> None:
    error = _error(state)
    reason = str(error.orig).strip() if isinstance(error, DBAPIError) else str(error)
    status.record_restart(reason)
    log.warning("worker_starts_again", reason=reason, seconds=round(state.upcoming_sleep, 1))


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
