"""General journals of a simulated pair, with a store and a worker; only the pair's clock advances time."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import msgspec

from engine.errors import QueryError
from engine.sync.attempts import SECOND, Attempts, Sync
from engine.sync.general_journals import ACTION
from handlers.change_events import SourceEvent
from handlers.general_journals import GeneralJournals
from handlers.sync_executor import SyncExecutor
from store.errorlog.error_log import ErrorEntry, ErrorQuery
from store.operational.attempts import SqlAttempts
from store.projection.batch_plan import DecodedBatch
from store.projection.writer import Writer
from store.queries.reader import Reader
from streams.codec import decode
from streams.log import LogRecord
from streams.projector import take
from streams.topics import COMMANDS
from tests.support.pairs import HOST, Site
from tests.support.stores import MAPS, add, apply, memory_store
from tieout.settings import Settings
from tieout.sync.command_topic import deletion_commands
from tieout.sync.document_sync import DocumentSync, action_handlers
from tieout.sync.general_journals import (
    GeneralJournalSync,
    JournalStatus,
    column_names,
    journal_statuses,
    request_journals,
)

COMPANY = "USPM"
NUMBER = "USPM-000095"
"""A journal of three project lines: time and material twice, fixed price once."""

JOURNAL = f"{COMPANY}/{NUMBER}"
HEADER, LINES, CONFIRM = "msdyn_journals(", "msdyn_journallines(", "contoso_ConfirmJournal"
"""Part of the path of the call of each step."""


class JournalDesk:
    """The small company's general journals and the worker that processes them."""

    def __init__(self, **settings: Any) -> None:
        self.site = Site()
        usual = {"finance": HOST, "dataverse": HOST, "outgoing": True, "companies": (COMPANY,)}
        process = {"process_journal": "contoso_ConfirmJournal"}
        self.settings = Settings(**{**usual, **process, **settings})
        self.engine = memory_store()
        self.attempts = SqlAttempts(self.engine)
        self.reader = Reader(self.engine, MAPS, today=date(2025, 1, 8))
        self.writer = Writer(self.engine, MAPS, [COMPANY])
        self.log_away = False
        self.reports: list[SourceEvent] = []
        journals = GeneralJournals(
            self.site.finance, self.site.dataverse, self.site.processes, column_names(MAPS, self.settings)
        )
        self.journals = GeneralJournalSync(journals, self.attempts, self.reader, self.settings, self.report, self.now)
        self.executor = SyncExecutor(
            self.attempts,
            action_handlers(DocumentSync(self.site.processes, self.reader, self.settings), self.journals),
            name="worker",
            clock=self.now,
            sleep=self.site.clock.sleep,
            chance=lambda: 0.0,
        )

    def now(self) -> int:
        return int(self.site.clock.now().timestamp() * SECOND)

    def report(self, events: Sequence[SourceEvent]) -> None:
        """Put events onto their topic, and let them arrive."""
        if self.log_away:
            raise QueryError("another process writes to the log.")
        self.reports += events
        self.arrive(events)

    def arrive(self, events: Iterable[SourceEvent]) -> None:
        batch = DecodedBatch()
        for event in events:
            for fact in decode(event.value, event.headers):
                add(batch, fact)
        apply(self.writer, batch)

    # --- what a worker does -------------------------------------------------------------------------------------------

    def run(self, minutes: float = 5) -> None:
        """So much later the worker takes the journals, and sees to all that are due."""
        self.site.clock.seconds += minutes * 60
        self.journals.request_unconfirmed()
        self.work()

    def work(self) -> None:
        """See to all that is due."""
        while self.executor.execute_next():
            self.site.clock.seconds += 1

    def runs(self, number: int) -> None:
        for _ in range(number):
            self.run()

    # --- what a person does -------------------------------------------------------------------------------------------

    def sync(self, *names: str) -> None:
        """A person begins a new round."""
        with self.reader.snapshot() as snapshot:
            request = request_journals(snapshot, names or (JOURNAL,), "anna")
        self.attempts.request(msgspec.structs.replace(request, at=self.now()))
        self.work()

    def delete(self) -> None:
        """Apply a person's deletion of logged errors, as the projecting worker does."""
        for _, command in deletion_commands(self.errors(), "anna", "it is mended"):
            value = msgspec.json.encode(command)
            batch = DecodedBatch()
            assert take(LogRecord(COMMANDS.full_name("tieout"), 0, 0, 0, b"", value, ()), batch, MAPS, None) is None
            wishes, batch.requests = batch.requests, []
            apply(self.writer, batch)
            for one in wishes:
                self.attempts.request(msgspec.structs.replace(one.request, at=self.now()))

    # --- what is there ------------------------------------------------------------------------------------------------

    def errors(self, *, history: bool = False) -> list[ErrorEntry]:
        with self.reader.snapshot() as snapshot:
            return snapshot.error_log(ErrorQuery(history=history))

    def texts(self) -> list[str]:
        """The texts of the errors that are current."""
        return [entry.message.text or "" for entry in self.errors()]

    def statuses(self, *, everything: bool = False) -> dict[str, JournalStatus]:
        with self.reader.snapshot() as snapshot:
            return {one.journal: one for one in journal_statuses(snapshot, everything=everything)}

    def counter(self, name: str = JOURNAL) -> Attempts:
        return self.of(name).attempts

    def of(self, name: str = JOURNAL) -> Sync:
        (sync,) = self.attempts.syncs([name], action=ACTION)
        return sync

    def journal_in_dataverse(self, number: str = NUMBER) -> tuple[int, list[str], bool]:
        """Return a journal's rows in Dataverse: their number, its lines by key, and whether it is confirmed."""
        tables = self.site.pair.tables
        journals = tables.where("msdyn_journal", "msdyn_description", number)
        lines = [
            line for journal in journals for line in tables.where("msdyn_journalline", "msdyn_journal", journal.id)
        ]
        confirmed = any(journal.columns.get("msdyn_isposted") is True for journal in journals)
        return len(journals), sorted(line.text("msdyn_externaldescription") for line in lines), confirmed

    def calls(self, part: str) -> int:
        """Return the number of changing calls whose path contains `part`."""
        return sum(1 for call in self.site.pair.calls if part in call and not call.startswith("GET"))
