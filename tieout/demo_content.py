"""Additional content of the demonstration: a rejected event, and general journals that a worker has attempted.

The attempts are real: this module executes the code of the worker against the simulated pair, with a clock on the
business date, so that the attempt log, the error log and the pair are consistent.
"""

from datetime import UTC, datetime
from typing import Final

from engine.sync.attempts import SECOND, Request
from engine.sync.general_journals import ACTION, task_of
from handlers.general_journals import GeneralJournals
from handlers.sync_executor import SyncExecutor
from store.operational.attempts import SqlAttempts
from store.queries.reader import Reader
from tieout.bootstrap import load_maps, open_store
from tieout.maintenance.ingest import read_line
from tieout.settings import Settings
from tieout.simulator.pair.general_journals import RETRIED, STUCK, LedgerJournal, add_journal
from tieout.simulator.pair.systems import Pair
from tieout.sync.command_topic import TopicWriter
from tieout.sync.connectors import open_connectors
from tieout.sync.general_journals import EVERY_SECONDS, GeneralJournalSync, column_names

_REJECTED: Final = (
    b'{"topic": "finance.changes", "key": "22565421", "value": {"specversion": "1.0", "id": "evt-customer-1", '
    b'"source": "/finance/contoso", "type": "tieout.row.changed", "time": "2025-01-08T14:12:31Z", '
    b'"data": {"entity": "CustTable", "id": "22565421", "operation": "upsert", "company": "USPM", '
    b'"columns": {"AccountNum": "USPM-000007"}}}}'
)
"""An event of a table that no map contains."""

_FIRST: Final = int(datetime(2025, 1, 8, 17, tzinfo=UTC).timestamp()) * SECOND
"""Start of the first attempt, in microseconds since 1970 UTC; the fifth ends before the story of the small company."""


def add(settings: Settings, pair: Pair, topic_writer: TopicWriter) -> None:
    """Add the content to the store and the topics of `settings`, which connect to `pair` and permit outgoing calls.

    One journal stops after five attempts, another one has had one attempt. The events of the pair must go to
    `topic_writer`.
    """
    record = read_line(_REJECTED, settings.prefix)
    assert record is not None
    topic_writer.append([record])
    for journal in (STUCK, RETRIED):
        add_journal(pair.feed, journal)
    now = _FIRST
    with open_store(settings, write=True) as engine, open_connectors(settings) as connectors:
        attempts, maps = SqlAttempts(engine), load_maps(settings)
        reader = Reader(engine, maps, today=settings.today, delayed=settings.delayed, clock=lambda: datetime.now(UTC))

        def clock() -> int:
            return now

        names = column_names(maps, settings)
        journals = GeneralJournalSync(
            GeneralJournals(connectors.finance, connectors.dataverse, connectors.processes, names),
            attempts,
            reader,
            settings,
            topic_writer.report,
            clock,
        )
        executor = SyncExecutor(
            attempts,
            {ACTION: journals},
            name="demonstration",
            clock=clock,
            sleep=lambda seconds: None,
            chance=lambda: 0.0,
            publish=topic_writer.publish,
        )
        for number, journal in enumerate((STUCK, RETRIED)):
            attempts.request(_request(f"demonstration {number}", journal, now))
            while executor.execute_next() and journal is STUCK:
                now += EVERY_SECONDS * SECOND


def _request(run: str, journal: LedgerJournal, now: int) -> Request:
    task = task_of(journal.company, journal.number, f"{journal.day}T17:45:00Z")
    return Request(id=run, at=now, who="general journals", by_person=False, tasks=(task,), input_fingerprints={})
