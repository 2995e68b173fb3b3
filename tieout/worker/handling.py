"""The role that handles: several threads see to what is to be synced, until told to stop (R42–R47)."""

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from engine.errors import StoreMismatch, TieoutError
from engine.events.facts import iso
from engine.mapping.compiler import Maps
from engine.sync.attempts import SECOND, Claim, Request
from engine.sync.general_journals import ACTION
from handlers.errors import Transient
from handlers.general_journals import GeneralJournals
from handlers.processes import Processes
from handlers.row_refresh import RowReader
from handlers.sync_executor import SyncExecutor
from store.operational.attempts import SqlAttempts
from store.operational.cursors import SqlCursors
from store.queries.snapshot import Reader
from tieout.bootstrap import open_log, open_store
from tieout.settings import Settings
from tieout.sync.command_topic import TopicWriter, sync_commands
from tieout.sync.connectors import Connectors, is_configured, open_connectors, polled_tables
from tieout.sync.general_journals import GeneralJournalSync, column_names
from tieout.sync.planning import looking, sync_every_company
from tieout.sync.row_refresh import reread_rows
from tieout.worker.loops import repeat
from tieout.worker.maps_in_force import MapsInForce
from tieout.worker.status import WorkerStatus

AT_ONCE: Final = 8
"""Calls under way together: well below what one user may have (`handlers.api.service_limits`), for others share the
user.
"""
POLL_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 5.0
JOB_SECONDS: Final = 30.0
"""How often is looked whether the recurring job of a company is due."""

ROWS_SECONDS: Final = 30
ROWS_AT_ONCE: Final = 200
"""So many rows are read again in so many seconds at most: a third of the calls that a user has; Sync has the rest."""

DAY: Final = 86_400 * SECOND

T = TypeVar("T")

log = structlog.get_logger(__name__)


def ready(settings: Settings) -> str | None:
    """Why nothing can be handled under these settings; None when it can."""
    if not is_configured(settings):
        return "TIEOUT_FINANCE and TIEOUT_DATAVERSE do not say where the two systems are"
    if not settings.outgoing:
        return "outgoing calls are off for this environment: an administrator sets TIEOUT_OUTGOING=true"
    return None


class Desk(NamedTuple):
    """What of the work depends on the maps."""

    maps: Maps
    journals: GeneralJournalSync
    rows: Callable[[], bool]


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

    While the store was built under other maps or companies than those of this process, nothing is attempted.
    """
    status = status or WorkerStatus()
    # The block may still bring work.
    nothing_more_comes = threading.Event()
    in_force = MapsInForce(settings, "handler")
    with open_store(settings, write=True) as engine, open_connectors(settings) as connectors:
        attempts = SqlAttempts(engine)
        reader = Reader(engine, in_force.fitting, today=settings.today, clock=lambda: datetime.now(UTC))
        name = f"{socket.gethostname()}/{os.getpid()}"

        def desk_under(maps: Maps) -> Desk:
            journals = GeneralJournalSync(
                GeneralJournals(
                    connectors.finance, connectors.dataverse, connectors.processes, column_names(maps, settings)
                ),
                attempts,
                reader,
                settings,
                topic_writer.report,
                _now,
            )
            return Desk(maps, journals, reading_rows(settings, maps, connectors, engine, topic_writer, stop))

        # Before the threads begin: what is wrong with the settings must end them all.
        desk = desk_under(in_force.maps)
        looking_at_maps = threading.Lock()

        def at_hand() -> Desk | None:
            """What to work with; None while the store was built under other maps or companies."""
            nonlocal desk
            with looking_at_maps:
                if not in_force.fit(engine):
                    status.record_incompatibility(in_force.unfit or "")
                    return None
                if desk.maps is not in_force.maps:
                    desk = desk_under(in_force.maps)
                return desk

        def syncing_at(desk: Desk, number: int) -> SyncExecutor:
            return SyncExecutor(
                attempts,
                by_action(desk.journals.call, caller(connectors.processes)),
                by_action(desk.journals.needed, looking(reader, settings)),
                name=f"{name}/{number}",
                clock=_now,
                sleep=_until(stop),
                chance=random.random,
                ended=by_action(desk.journals.ended, lambda claim: None),
                publish=topic_writer.publish,
            )

        def work(number: int) -> None:
            while not stop.is_set():
                try:
                    if (desk := at_hand()) is not None and syncing_at(desk, number).execute_next():
                        continue
                    due = None if desk is None else attempts.next_due()
                    if desk is not None:
                        status.record_handling()
                    if due is None and until_done and nothing_more_comes.is_set():
                        return
                    stop.wait(POLL_SECONDS if due is None else min(max((due - _now()) / SECOND, 0.05), POLL_SECONDS))
                except StoreMismatch:
                    continue  # a replay came between: nothing was called, and the next look tells
                except DBAPIError as error:
                    status.record_handling(str(error.orig).strip())
                    log.warning("handler_waits", reason=str(error.orig).strip(), seconds=AWAY_SECONDS)
                    stop.wait(AWAY_SECONDS)
                except Exception as error:  # noqa: BLE001 - one document must not keep the others; its attempt counts
                    log.error("handler_failed", error=type(error).__name__)
                    stop.wait(AWAY_SECONDS)

        def ask(request: Request) -> None:
            """By the commands topic, as a person does; left for the worker while the broker is away, for the day's turn
            is taken.
            """
            commands = sync_commands(request)
            try:
                topic_writer.send(commands)
            except TieoutError as error:
                log.info("sync_left_for_worker", reason=str(error))
                topic_writer.enqueue(commands)

        def recur(_: Desk) -> bool:
            done = False
            for company, day, asked in sync_every_company(reader, attempts, settings, datetime.now(UTC), ask):
                documents = sum(len(task.documents) for task in asked.tasks)
                log.info("company_synced", company=company, day=day, calls=len(asked.tasks), documents=documents)
                attempts.purge_runs(_now() - settings.error_history_days * DAY)
                done = True
            return done

        def take_journals(desk: Desk) -> bool:
            slot = _now() // SECOND // settings.journals_every * settings.journals_every
            # One of the workers takes them, whichever comes first.
            if not attempts.claim_job("general journals", iso(slot * SECOND)):
                return False
            log.info("journals_taken", journals=len(desk.journals.request_unconfirmed()))
            return True

        def turn_of(work: Callable[[Desk], bool]) -> Callable[[], bool]:
            def turn() -> bool:
                desk = at_hand()
                return desk is not None and work(desk)

            return turn

        with ThreadPoolExecutor(AT_ONCE + 3, thread_name_prefix="handler") as pool:
            working = [pool.submit(work, number) for number in range(AT_ONCE)]
            if not until_done:
                working.append(pool.submit(repeat, "recurring sync", turn_of(recur), engine, stop, JOB_SECONDS))
                if settings.process_journal and settings.journals_every:
                    seconds = min(JOB_SECONDS, settings.journals_every)
                    working.append(
                        pool.submit(repeat, "general journals", turn_of(take_journals), engine, stop, seconds)
                    )
                rows = turn_of(lambda desk: desk.rows())
                working.append(pool.submit(repeat, "rows read again", rows, engine, stop, JOB_SECONDS))
            try:
                yield
            except BaseException:
                stop.set()
                raise
            nothing_more_comes.set()
            for one in working:
                one.result()


def reading_rows(
    settings: Settings,
    maps: Maps,
    connectors: Connectors,
    engine: Engine,
    topic_writer: TopicWriter,
    stop: threading.Event,
) -> Callable[[], bool]:
    """A turn of the loop that reads the rows which notices ask for (R5), a bounded number of them; it tells whether
    there were any. Raises `Transient` that names the tables that could not be read; the others are.
    """
    polled_tables(settings, maps)  # raises for a table that no map reads
    row_reader = RowReader(connectors.finance, connectors.dataverse)
    turns, cursors = SqlAttempts(engine), SqlCursors(engine)

    def limit_reached(rows: int) -> bool:
        return rows >= ROWS_AT_ONCE or stop.is_set()

    def turn() -> bool:
        slot = _now() // SECOND // ROWS_SECONDS * ROWS_SECONDS
        # One of the workers reads them, whichever comes first.
        if not turns.claim_job("rows read again", iso(slot * SECOND)):
            return False
        with open_log(settings, write=False) as event_log:
            done = reread_rows(event_log, settings.prefix, row_reader, cursors, topic_writer.append, limit_reached)
        if rows := sum(cursor.rows for cursor in done):
            log.info("rows_read_again", rows=rows)
        if faults := [f"{cursor.table.rpartition('/')[2]}: {cursor.fault}" for cursor in done if cursor.fault]:
            raise Transient("; ".join(faults))
        return True

    return turn


def caller(processes: Processes) -> Callable[[Claim], None]:
    """What a claim says, done by the processes of the two systems."""

    def call(claim: Claim) -> None:
        processes.start(claim.action, claim.parameters)

    return call


def by_action(of_journals: Callable[[Claim], T], of_documents: Callable[[Claim], T]) -> Callable[[Claim], T]:
    """Does one thing with the claims of general journals, another with those of documents."""

    def either(claim: Claim) -> T:
        return of_journals(claim) if claim.action == ACTION else of_documents(claim)

    return either


def _now() -> int:
    return time.time_ns() // 1_000


def _until(stop: threading.Event) -> Callable[[float], None]:
    """A sleep that a stop ends."""

    def sleep(seconds: float) -> None:
        stop.wait(seconds)

    return sleep
