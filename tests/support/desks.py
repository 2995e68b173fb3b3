"""A company's two simulated systems, a store, and a Sync executor; only the pair's clock advances time."""

from datetime import date
from typing import Any

import msgspec

from engine.calendar import Window
from engine.events.notices import reread_request
from engine.sync.actions import SYNC_ACTIONS
from engine.sync.attempts import SECOND, Sync
from handlers.sync_executor import SyncExecutor
from store.errorlog.error_log import ErrorQuery
from store.operational.attempts import SqlAttempts
from store.projection.batch_plan import DecodedBatch
from store.projection.writer import Writer
from store.queries.reader import Reader
from tests.support.pairs import HOST, Site, decoded_facts
from tests.support.stores import MAPS, TODAY, add, apply, batch_of, memory_store
from tieout.settings import Settings
from tieout.simulator import simulate
from tieout.simulator.pair.systems import ACTIONS
from tieout.sync import error_retry
from tieout.sync.document_sync import DocumentSync
from tieout.sync.planning import Plan, plan, plan_for

COMPANY = "USPM"


NAMED = {f"process_{process}": written for process, written in ACTIONS.items()}


class Desk:
    """The documented small company and its Sync."""

    def __init__(self, **settings: Any) -> None:
        self.site = Site()
        self.settings = msgspec.structs.replace(
            Settings(finance=HOST, dataverse=HOST, outgoing=True, companies=(COMPANY,)), **(NAMED | settings)
        )
        self.engine = memory_store()
        self.attempts = SqlAttempts(self.engine)
        self.reader = Reader(self.engine, MAPS, today=TODAY)
        self._writer = Writer(self.engine, MAPS, self.settings.companies)
        self._seen = 0
        self._apply(list(simulate("small", deliver=False).events))
        self.executor = SyncExecutor(
            self.attempts,
            dict.fromkeys(SYNC_ACTIONS, DocumentSync(self.site.processes, self.reader, self.settings)),
            name="worker",
            clock=self.now,
            sleep=self.site.clock.sleep,
            chance=lambda: 0.0,
        )

    def now(self) -> int:
        return int(self.site.clock.now().timestamp() * SECOND)

    def _apply(self, events: list[Any]) -> None:
        batch = DecodedBatch()
        for fact in decoded_facts(events):
            if not hasattr(fact, "entity") or MAPS.find(fact.entity):
                add(batch, fact)
        apply(self._writer, batch)
        while self._writer.recompute():
            pass

    def also(self, events: list[dict[str, Any]]) -> None:
        """Apply further events, in the form that `tieout ingest` takes."""
        apply(self._writer, batch_of(events))

    def notice(self, entity: str) -> None:
        """Apply a truncated event about an unknown row of an entity."""
        row = "0f1c0000-0000-4000-8000-000000000001"
        notice = reread_request("dataverse", entity, row, None, self.now(), MAPS.entities[entity])
        apply(self._writer, DecodedBatch(reread_requests=[notice]))

    def plan(self, document: str | None = None) -> Plan:
        """Return the plan of Sync."""
        with self.reader.snapshot() as snapshot:
            if document is not None:
                return plan_for(snapshot, self.settings, document)
            company = snapshot.company(COMPANY)
            return plan(snapshot, self.settings, company, snapshot.window(company, None, None))

    def ask(self, document: str | None = None, *, by_person: bool = True) -> list[str]:
        """Request Sync, as a person or as the recurring job; return the documents to be attempted."""
        request = self.plan(document).request("anna", "a test", by_person=by_person)
        return self.attempts.request(msgspec.structs.replace(request, at=self.now()))

    def handle(self) -> None:
        """Execute everything that is due, and apply the events of the systems."""
        while self.executor.execute_next():
            self.arrive()
        self.arrive()

    def arrive(self) -> None:
        """Apply the events that the systems have sent."""
        events = self.site.events[self._seen :]
        self._seen += len(events)
        self._apply(events)

    def sync(self, document: str | None = None, *, by_person: bool = True) -> list[Sync]:
        """Request Sync and wait for the end."""
        names = self.ask(document, by_person=by_person)
        self.handle()
        return self.attempts.syncs(names)

    def retry(self, subject: str) -> list[Sync]:
        """Retry the process of a subject's current error and wait for the end."""
        names = self.ask_retry(subject)
        self.handle()
        return self.attempts.syncs(names)

    def ask_retry(self, subject: str) -> list[str]:
        """Request the retry of a subject's current error; return the names of the errors to be attempted."""
        with self.reader.snapshot() as snapshot:
            entries = snapshot.error_log(ErrorQuery(company=COMPANY, subject=subject))
            request = error_retry.request(snapshot, error_retry.plan(snapshot, entries, self.settings), "anna")
        return self.attempts.request(msgspec.structs.replace(request, at=self.now()))

    def run(self, process: str, **parameters: Any) -> None:
        """Run a process of Finance an hour later and apply its messages."""
        self.site.clock.seconds += 3_600
        self.site.processes.start(process, {"company": COMPANY, **parameters})
        self.arrive()

    def errors(self, *, history: bool = False, today: date = TODAY) -> list[dict[str, Any]]:
        """Return the current errors, or all, as `tieout errors --json` prints them on a day."""
        with Reader(self.engine, MAPS, today=today).snapshot() as snapshot:
            return [entry.as_json() for entry in snapshot.error_log(ErrorQuery(company=COMPANY, history=history))]

    def tiles(self) -> dict[str, tuple[str, int]]:
        """Return amount and documents of each tile."""
        with self.reader.snapshot() as snapshot:
            company = snapshot.company(COMPANY)
            window: Window = snapshot.window(company, None, None)
            tiles = snapshot.summary(company, window).as_json()["tiles"]
        return {name: (tile["amount"], tile["documents"]) for name, tile in tiles.items()}

    def status_of(self, document: str) -> str:
        """Return position and cause of a document."""
        with self.reader.snapshot() as snapshot:
            (row,) = snapshot.documents_named([document])
        return f"{row.document.position}: {row.cause}" if row.cause else row.document.position
