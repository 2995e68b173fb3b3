"""What is to be synced: the rules of `engine.syncing` asked of the store (R40, R42)."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from datetime import time as time_of_day
from typing import Final

import msgspec

from engine.attempts import Claim, Request
from engine.calendar import Company, Window, day_of_job
from engine.documents import Kind
from engine.syncing import Left, Step, Task, step_for, tasks
from handlers.sync import Needed
from store.attempts import SqlAttempts
from store.grids import GridQuery
from store.queries import GridRow, Reader, Snapshot
from store.views import View
from tieout.retrying import still_current
from tieout.settings import Settings

KINDS: Final[tuple[Kind, ...]] = ("expense", "vendor-invoice-line")
_VIEWS: Final[tuple[View, ...]] = ("missing-actuals", "missing-journal-lines")
_ROWS_AT_ONCE: Final = 1_000
IN_FLIGHT: Final = "It is on its way: what is missing may still come by itself."


class Planned(msgspec.Struct, frozen=True):
    """A document and what Sync does for it, or why it is left alone; `change` is the digest of its surroundings."""

    row: GridRow
    step: Step | Left
    change: str


class Plan(msgspec.Struct, frozen=True):
    """What a sync comes to, in the order of the grids: dry run and run alike."""

    documents: list[Planned]

    @property
    def tasks(self) -> list[Task]:
        """The calls."""
        documents = [(one.row.document, one.step) for one in self.documents]
        return tasks((own.document, own.company or "", step) for own, step in documents if isinstance(step, Step))

    @property
    def left(self) -> list[Planned]:
        """The documents that are left alone."""
        return [one for one in self.documents if isinstance(one.step, Left)]

    def request(self, who: str, *, by_person: bool) -> Request:
        """The wish that this be done."""
        return Request(
            id=str(uuid.uuid4()),
            at=time.time_ns() // 1_000,
            who=who,
            by_person=by_person,
            tasks=tuple(self.tasks),
            changes={one.row.document.document: one.change for one in self.documents if isinstance(one.step, Step)},
        )


def plan(
    snapshot: Snapshot, settings: Settings, company: Company, window: Window, kinds: Sequence[Kind] = KINDS
) -> Plan:
    """What Sync does for a company: everything in the window that is not reconciled."""
    found: dict[str, GridRow] = {}
    for kind in kinds:
        for view in _VIEWS:
            query = GridQuery(company=company.code, kind=kind, window=window, view=view, limit=_ROWS_AT_ONCE)
            for row in snapshot.rows(query):
                found.setdefault(row.document.key, row)
    return _planned(snapshot, settings, found.values(), on_its_way_too=False)


def plan_for(snapshot: Snapshot, settings: Settings, document: str) -> Plan:
    """What Sync does for one document, wherever its date lies, and also while it is on its way: a person asks for it.

    Raises `QuestionError` when there is none of this name.
    """
    return _planned(snapshot, settings, [view.row for view in snapshot.chain(document)], on_its_way_too=True)


def _planned(snapshot: Snapshot, settings: Settings, rows: Iterable[GridRow], *, on_its_way_too: bool) -> Plan:
    rows = list(rows)
    around = snapshot.surroundings([row.document for row in rows], rests_on(settings))
    found = []
    for row in rows:
        own = around[row.document.key]
        step: Step | Left | None = Left(IN_FLIGHT)
        if on_its_way_too or not row.in_flight:
            step = step_for(row.document, row.cause, own.rows, posting_permitted=settings.sync_posts)
        if step is not None:
            found.append(Planned(row, step, own.change))
    return Plan(found)


def sync_every_company(
    reader: Reader, attempts: SqlAttempts, settings: Settings, now: datetime, ask: Callable[[Request], object]
) -> Iterator[tuple[str, str, Request]]:
    """Have `ask` ask for what the recurring job is due to do (R41): the company, the day and what was asked for.

    Whichever worker looks first does it for all of them.
    """
    if settings.sync_at == "never":
        return
    at = time_of_day.fromisoformat(settings.sync_at)
    with reader.snapshot() as snapshot:
        companies = [snapshot.company(code) for code in snapshot.companies()]
        days = [day_of_job(now.astimezone(snapshot.zone(company)), at).isoformat() for company in companies]
    for company, day in zip(companies, days, strict=True):
        if attempts.take_turn(f"sync {company.code}", day):
            with reader.snapshot() as snapshot:
                found = plan(snapshot, settings, company, snapshot.window(company, None, None))
            request = found.request("recurring job", by_person=False)
            ask(request)
            yield company.code, day, request


def rests_on(settings: Settings) -> str:
    """The settings that may make a call succeed that failed before: when one of them changes, it is tried again."""
    names = ("finance", "dataverse", "tenant", "client_id", "outgoing", "sync_posts")
    processes = tuple(name for name in Settings.__struct_fields__ if name.startswith("process_"))
    return repr([getattr(settings, name) for name in names + processes])


def looking(reader: Reader, settings: Settings) -> Callable[[Claim], Needed]:
    """A look, just before a call, whether the documents of a claim, or the errors it is to clear, still ask for it."""

    def needed(claim: Claim) -> Needed:
        with reader.snapshot() as snapshot:
            rows = snapshot.named(claim.documents)
            now = _planned(snapshot, settings, rows, on_its_way_too=True)
            errors = set(claim.documents) - {row.document.document for row in rows}
            erring = bool(errors) and still_current(snapshot, claim, errors)
        asking = [
            one
            for one in now.documents
            if isinstance(one.step, Step) and (one.step.action, one.step.subject) == (claim.action, claim.subject)
        ]
        changes = {one.row.document.document: one.change for one in now.documents}
        if asking or erring:
            return Needed(True, "", changes)
        causes = sorted({row.cause or row.document.position for row in rows}) or ["not there any more"]
        return Needed(False, f"nothing asks for it any more: {', '.join(causes)}", changes)

    return needed
