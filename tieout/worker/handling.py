"""The handling role: executes sync requests in several threads until stopped (R42–R47)."""

import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from engine.errors import StoreMismatch, TieoutError
from engine.events.facts import iso
from engine.mapping.compiler import Maps
from engine.sync.attempts import SECOND, Request
from handlers.errors import Transient
from handlers.general_journals import GeneralJournals
from handlers.row_refresh import RowReader
from handlers.sync_executor import SyncExecutor
from store import clock
from store.operational.attempts import SqlAttempts
from store.operational.cursors import SqlCursors
from store.queries.reader import Reader
from tieout.bootstrap import open_log, open_store
from tieout.settings import Settings
from tieout.sync.command_topic import TopicWriter, sync_commands
from tieout.sync.connectors import Connectors, is_configured, open_connectors, polled_tables
from tieout.sync.document_sync import DocumentSync, action_handlers
from tieout.sync.general_journals import GeneralJournalSync, column_names
from tieout.sync.planning import sync_every_company
from tieout.sync.row_refresh import reread_rows
from tieout.worker.loops import GENERAL_JOURNALS, RECURRING_SYNC, ROWS_READ_AGAIN, repeat
from tieout.worker.maps_in_force import MapsInForce
from tieout.worker.status import WorkerStatus

CONCURRENT_CALLS: Final = 8
"""Calls in progress at the same time: well below the limit of one user (`handlers.api.service_limits`), which may be
shared with other processes.
"""
POLL_SECONDS: Final = 1.0
UNAVAILABLE_SECONDS: Final = 5.0
"""The delay after the database did not respond, or after an unexpected error."""
JOB_SECONDS: Final = 30.0
"""The interval at which a worker checks whether the recurring job of a company is due."""

ROWS_SECONDS: Final = 30
ROWS_AT_ONCE: Final = 200
"""The most rows that are re-read in `ROWS_SECONDS`: a third of the calls of a user, the rest is left to Sync."""

DAY: Final = 86_400 * SECOND

log = structlog.get_logger(__name__)


NO_ADDRESSES: Final = "the addresses of the two systems are not set: set TIEOUT_FINANCE and TIEOUT_DATAVERSE"
OUTGOING_OFF: Final = "outgoing calls are off for this environment: ask an administrator to set TIEOUT_OUTGOING=true"


def ready(settings: Settings) -> str | None:
    """Return the reason why these settings do not permit the handling role; None if they do."""
    if not is_configured(settings):
        return NO_ADDRESSES
    if not settings.outgoing:
        return OUTGOING_OFF
    return None


class MappedWork(NamedTuple):
    """The parts of the handling role that depend on the maps."""

    maps: Maps
    journals: GeneralJournalSync
    reread: Callable[[], bool]


@contextmanager
def handling(
    settings: Settings,
    stop: threading.Event,
    topic_writer: TopicWriter,
    status: WorkerStatus | None = None,
    *,
    until_done: bool = False,
) -> Iterator[None]:
    """Run the handling role while the block runs, and report through `topic_writer`. With `until_done` it ends once the
    block has ended and nothing is queued, otherwise when `stop` is set. `status` records whether the store responds.

    Nothing is attempted while the store was built with other maps or companies than those of this process.
    """
    with open_store(settings, write=True) as engine, open_connectors(settings) as connectors:
        handler = _Handler(settings, stop, topic_writer, status or WorkerStatus(), engine, connectors)
        with ThreadPoolExecutor(CONCURRENT_CALLS + 3, thread_name_prefix="handler") as pool:
            running = handler.start(pool, until_done=until_done)
            try:
                yield
            except BaseException:
                stop.set()
                raise
            handler.requests_ended.set()
            for future in running:
                future.result()


class _Handler:
    """The handling role of one process; its methods run in several threads."""

    def __init__(
        self,
        settings: Settings,
        stop: threading.Event,
        topic_writer: TopicWriter,
        status: WorkerStatus,
        engine: Engine,
        connectors: Connectors,
    ) -> None:
        self.requests_ended = threading.Event()
        """Set once the block has ended, which may request syncs until then."""
        self._settings = settings
        self._stop = stop
        self._topic_writer = topic_writer
        self._status = status
        self._engine = engine
        self._connectors = connectors
        self._in_force = MapsInForce(settings, "handler")
        self._attempts = SqlAttempts(engine)
        self._reader = Reader(
            engine,
            self._in_force.matching,
            today=settings.today,
            delayed=settings.delayed,
            clock=lambda: datetime.now(UTC),
        )
        self._documents = DocumentSync(connectors.processes, self._reader, settings)
        self._name = f"{socket.gethostname()}/{os.getpid()}"
        self._lock = threading.Lock()
        # Created before the threads start, so that invalid settings raise here.
        self._work = self._work_with(self._in_force.maps)

    def start(self, pool: ThreadPoolExecutor, *, until_done: bool) -> list[Future[Any]]:
        """Start the executors and, unless `until_done`, the periodic tasks."""
        running: list[Future[Any]] = [
            pool.submit(self._execute, number, until_done=until_done) for number in range(CONCURRENT_CALLS)
        ]
        if until_done:
            return running
        settings = self._settings
        tasks: list[tuple[str, Callable[[MappedWork], bool], float]] = [
            (RECURRING_SYNC, self._run_recurring_job, JOB_SECONDS),
            (ROWS_READ_AGAIN, lambda work: work.reread(), JOB_SECONDS),
        ]
        if settings.process_journal and settings.journals_every:
            tasks.append((GENERAL_JOURNALS, self._request_journals, min(JOB_SECONDS, settings.journals_every)))
        for name, task, seconds in tasks:
            running.append(pool.submit(repeat, name, self._if_maps_match(task), self._engine, self._stop, seconds))
        return running

    # --- maps ---------------------------------------------------------------------------------------------------------

    def _work_with(self, maps: Maps) -> MappedWork:
        settings, connectors = self._settings, self._connectors
        journals = GeneralJournals(
            connectors.finance, connectors.dataverse, connectors.processes, column_names(maps, settings)
        )
        report = self._topic_writer.report
        return MappedWork(
            maps,
            GeneralJournalSync(journals, self._attempts, self._reader, settings, report, clock.now),
            row_reread_task(settings, maps, connectors, self._engine, self._topic_writer, self._stop),
        )

    def _current_work(self) -> MappedWork | None:
        """Return the work under the current maps; None while the store was built with other maps or companies."""
        with self._lock:
            if not self._in_force.check(self._engine):
                self._status.record_incompatibility(self._in_force.mismatch or "")
                return None
            if self._work.maps is not self._in_force.maps:
                self._work = self._work_with(self._in_force.maps)
            return self._work

    def _if_maps_match(self, task: Callable[[MappedWork], bool]) -> Callable[[], bool]:
        def run() -> bool:
            work = self._current_work()
            return work is not None and task(work)

        return run

    # --- sync requests ------------------------------------------------------------------------------------------------

    def _execute(self, number: int, *, until_done: bool) -> None:
        """Execute sync requests until stopped; with `until_done` until nothing is queued."""
        while not self._stop.is_set():
            try:
                if (work := self._current_work()) is not None and self._executor(work, number).execute_next():
                    continue
                due = None if work is None else self._attempts.next_due()
                if work is not None:
                    self._status.record_handling()
                if due is None and until_done and self.requests_ended.is_set():
                    return
                self._stop.wait(
                    POLL_SECONDS if due is None else min(max((due - clock.now()) / SECOND, 0.05), POLL_SECONDS)
                )
            except StoreMismatch:
                continue  # a replay replaced the store: no call was made, and the next check reports it
            except DBAPIError as error:
                self._status.record_handling(str(error.orig).strip())
                log.warning("handler_waits", reason=str(error.orig).strip(), seconds=UNAVAILABLE_SECONDS)
                self._stop.wait(UNAVAILABLE_SECONDS)
            except Exception as error:  # noqa: BLE001 - one document must not block the others; its attempt counts
                log.error("handler_failed", error=type(error).__name__)
                self._stop.wait(UNAVAILABLE_SECONDS)

    def _executor(self, work: MappedWork, number: int) -> SyncExecutor:
        return SyncExecutor(
            self._attempts,
            action_handlers(self._documents, work.journals),
            name=f"{self._name}/{number}",
            clock=clock.now,
            sleep=_sleep_until(self._stop),
            chance=random.random,
            publish=self._topic_writer.publish,
        )

    # --- periodic tasks -----------------------------------------------------------------------------------------------

    def _run_recurring_job(self, _: MappedWork) -> bool:
        ran = False
        now = datetime.now(UTC)
        for company, day, request in sync_every_company(self._reader, self._attempts, self._settings, now, self._send):
            documents = sum(len(task.documents) for task in request.tasks)
            log.info("company_synced", company=company, day=day, calls=len(request.tasks), documents=documents)
            self._attempts.purge_runs(clock.now() - self._settings.error_history_days * DAY)
            ran = True
        return ran

    def _send(self, request: Request) -> None:
        """Publish a sync request on the commands topic, as a person does. While the broker is unavailable it is queued
        for the worker, because the job of the day is claimed.
        """
        commands = sync_commands(request)
        try:
            self._topic_writer.send(commands)
        except TieoutError as error:
            log.info("sync_left_for_worker", reason=str(error))
            self._topic_writer.enqueue(commands)

    def _request_journals(self, work: MappedWork) -> bool:
        slot = clock.now() // SECOND // self._settings.journals_every * self._settings.journals_every
        # One of the workers requests them: the first to claim the slot.
        if not self._attempts.claim_job("general journals", iso(slot * SECOND)):
            return False
        log.info("journals_taken", journals=len(work.journals.request_unconfirmed()))
        return True


def row_reread_task(
    settings: Settings,
    maps: Maps,
    connectors: Connectors,
    engine: Engine,
    topic_writer: TopicWriter,
    stop: threading.Event,
) -> Callable[[], bool]:
    """Return the periodic task that executes re-read requests (R5), a limited number each time; the task returns True
    if it ran. It raises `Transient` with the tables that could not be read; the others are read.
    """
    polled_tables(settings, maps)  # raises for a table that no map reads
    row_reader = RowReader(connectors.finance, connectors.dataverse)
    jobs, cursors = SqlAttempts(engine), SqlCursors(engine)

    def limit_reached(rows: int) -> bool:
        return rows >= ROWS_AT_ONCE or stop.is_set()

    def reread() -> bool:
        slot = clock.now() // SECOND // ROWS_SECONDS * ROWS_SECONDS
        # One of the workers reads them: the first to claim the slot.
        if not jobs.claim_job("rows read again", iso(slot * SECOND)):
            return False
        with open_log(settings, write=False) as event_log:
            moved = reread_rows(event_log, settings.prefix, row_reader, cursors, topic_writer.append, limit_reached)
        if rows := sum(cursor.rows for cursor in moved):
            log.info("rows_read_again", rows=rows)
        if faults := [f"{cursor.table.rpartition('/')[2]}: {cursor.fault}" for cursor in moved if cursor.fault]:
            raise Transient("; ".join(faults))
        return True

    return reread


def _sleep_until(stop: threading.Event) -> Callable[[float], None]:
    """Return a sleep that ends when `stop` is set."""

    def sleep(seconds: float) -> None:
        stop.wait(seconds)

    return sleep
