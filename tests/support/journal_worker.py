"""A worker killed while it processes general journals, as a program: simulates `kill -9` at every relevant step.

    python -m tests.support.journal_worker STORE PAIR REPORTS NOW STEP

PAIR is the address of a simulated pair. Each report appends a line to the file REPORTS. NOW is the time in seconds.
The worker is killed before step number STEP: claim, begin, each write, end, report. A number beyond the last one lets
it end.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

import structlog

from engine.sync.attempts import SECOND
from engine.sync.general_journals import ACTION
from handlers.api.bounded_exchange import client
from handlers.api.connection import Connection
from handlers.api.dataverse import API as DATAVERSE_API
from handlers.api.dataverse import Dataverse
from handlers.api.finance import API as FINANCE_API
from handlers.api.finance import Finance
from handlers.change_events import SourceEvent
from handlers.general_journals import GeneralJournals
from handlers.processes import Processes
from handlers.sync_executor import SyncExecutor
from store.operational.attempts import SqlAttempts
from store.queries.reader import Reader
from store.schema.database import connect
from tests.support.pairs import targets
from tests.support.stores import MAPS, publish_state
from tieout.settings import Settings
from tieout.sync.general_journals import GeneralJournalSync, column_names


def _killed_before(step: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that counts the calls of all decorated functions and kills the process before one of them."""
    passed = count()

    def stepping(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def stepped(*arguments: Any, **named: Any) -> Any:
            if next(passed) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return stepped

    return stepping


def main(store: str, pair: str, reports: Path, now: int, step: int) -> None:
    """Run the program; see the module."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    stepping = _killed_before(step)

    def report(events: Sequence[SourceEvent]) -> None:
        with reports.open("ab") as file:
            file.write(b"".join(event.value + b"\n" for event in events))

    http = client()

    def connection(api: str) -> Connection:
        return Connection(http, f"{pair}/{api}", None, may_change=lambda: True)

    finance, dataverse = Finance(connection(FINANCE_API)), Dataverse(connection(DATAVERSE_API))
    engine = connect(store, write=True)
    attempts = SqlAttempts(engine)
    for name in ("claim", "begin", "end"):
        setattr(attempts, name, stepping(getattr(attempts, name)))
    for name in ("upsert", "act"):
        setattr(dataverse, name, stepping(getattr(dataverse, name)))
    settings = Settings(finance=pair, dataverse=pair, companies=("USPM",), process_journal="contoso_ConfirmJournal")
    journals = GeneralJournalSync(
        GeneralJournals(finance, dataverse, Processes(finance, dataverse, targets()), column_names(MAPS, settings)),
        attempts,
        Reader(connect(store, write=False), MAPS, today=None),
        settings,
        stepping(report),
        lambda: now * SECOND,
    )
    executor = SyncExecutor(
        attempts,
        {ACTION: journals},
        name=f"worker {os.getpid()}",
        clock=lambda: now * SECOND,
        sleep=lambda seconds: os._exit(0),  # one attempt a process
        chance=lambda: 0.0,
        publish=lambda: publish_state(engine),
    )
    journals.request_unconfirmed()
    while executor.execute_next():
        pass


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
