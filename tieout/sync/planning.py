"""What is to be synced: the rules of `engine.sync.actions` asked of the store (R40, R42)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from datetime import time as time_of_day
from typing import Final

import msgspec
import structlog

from engine.calendar import Company, Window, last_due_day
from engine.errors import QueryError, TieoutError
from engine.reconciliation.documents import Kind
from engine.sync.actions import Skipped, Step, Task, step_for, tasks
from engine.sync.attempts import Claim, Request
from handlers.sync_executor import Precondition
from store.operational.attempts import SqlAttempts
from store.projection.tile_totals import View
from store.queries.grid_query import GridQuery
from store.queries.rows import GridRow
from store.queries.snapshot import Reader, Snapshot
from store.queries.summary import KINDS
from store.schema.bulk_sql import chunks
from tieout.settings import Settings
from tieout.sync.error_retry import still_current
from tieout.sync.requests import request_of

VIEWS: Final[tuple[View, ...]] = ("missing-actuals", "missing-journal-lines")
_ROWS_AT_ONCE: Final = 1_000
RECURRING: Final = "recurring job"
RECURRING_SCOPE: Final = "Recurring job"
_PLANNED_AT_ONCE: Final = 5_000
IN_FLIGHT: Final = "It is on its way: what is missing may still come by itself."
NARROW: Final = "Narrow it: choose fewer dates, or filter the grid; `tieout sync` has no such limit."

log = structlog.get_logger(__name__)


class Limits(msgspec.Struct, frozen=True):
    """The most calls and documents of a sync that is started from a page."""

    calls: int
    documents: int


class TooManyCalls(QueryError):
    """A sync of more than is started at once."""


class Planned(msgspec.Struct, frozen=True):
    """A document and what Sync does for it, or why it is left alone; `change` is the digest of its surroundings."""

    row: GridRow
    step: Step | Skipped
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
        return [one for one in self.documents if isinstance(one.step, Skipped)]

    @property
    def changes(self) -> dict[str, str]:
        """The digests of what surrounds the documents that are synced, by their names."""
        return {one.row.document.document: one.change for one in self.documents if isinstance(one.step, Step)}

    def request(self, who: str, scope: str, *, by_person: bool = True) -> Request:
        """The request that this be done; `scope` says in words what was chosen."""
        return request_of(self.tasks, self.changes, who=who, scope=scope, by_person=by_person)


def plan(
    snapshot: Snapshot,
    settings: Settings,
    company: Company,
    window: Window,
    kinds: Sequence[Kind] = KINDS,
    limits: Limits | None = None,
) -> Plan:
    """What Sync does for a company: everything in the window that is not reconciled. Raises as `plan_of`."""
    queries = [
        GridQuery(company=company.code, kind=kind, window=window, view=view, limit=_ROWS_AT_ONCE)
        for kind in kinds
        for view in VIEWS
    ]
    return plan_of(snapshot, settings, queries, limits)


def plan_of(snapshot: Snapshot, settings: Settings, queries: Iterable[GridQuery], limits: Limits | None = None) -> Plan:
    """What Sync does for the rows of grids, each row once. Raises `TooManyCalls` beyond the limits."""
    found: list[Planned] = []
    seen: set[str] = set()
    subjects: set[tuple[str, str]] = set()
    for query in queries:
        rows = (row for row in snapshot.rows(msgspec.structs.replace(query, limit=_ROWS_AT_ONCE)))
        for some in chunks((row for row in rows if row.document.key not in seen), _PLANNED_AT_ONCE):
            seen.update(row.document.key for row in some)
            planned = plan_rows(snapshot, settings, some, on_its_way_too=False).documents
            subjects |= {(one.step.action, one.step.subject) for one in planned if isinstance(one.step, Step)}
            if limits is not None and len(subjects) > limits.calls:
                raise TooManyCalls(f"this sync would make more than {limits.calls:,} calls. {NARROW}")
            if limits is not None and len(seen) > limits.documents:
                raise TooManyCalls(f"this sync would look at more than {limits.documents:,} documents. {NARROW}")
            found += planned
    return Plan(found)


def plan_for(snapshot: Snapshot, settings: Settings, document: str) -> Plan:
    """What Sync does for one document that is asked for. Raises `QueryError` when there is none of that name."""
    return plan_rows(snapshot, settings, [view.row for view in snapshot.chain(document)])


def plan_rows(snapshot: Snapshot, settings: Settings, rows: Iterable[GridRow], *, on_its_way_too: bool = True) -> Plan:
    """What Sync does for these documents, wherever their dates lie; those on their way are left alone unless they are
    asked for.
    """
    rows = list(rows)
    around = snapshot.input_fingerprints([row.document for row in rows], rests_on(settings))
    found = []
    for row in rows:
        own = around[row.document.key]
        step: Step | Skipped | None = Skipped(IN_FLIGHT)
        if on_its_way_too or not row.in_flight:
            step = step_for(row.document, row.cause, own.rows, posting_permitted=settings.sync_posts)
        if step is not None:
            found.append(Planned(row, step, own.change))
    return Plan(found)


def sync_every_company(
    reader: Reader, attempts: SqlAttempts, settings: Settings, now: datetime, ask: Callable[[Request], object]
) -> Iterator[tuple[str, str, Request]]:
    """Have `ask` ask for what the recurring job is due to do (R41): the company, the day and what was asked for.

    Whichever worker looks first does it for all of them. A company that cannot be planned, such as one without an open
    period, does not keep the others: its run says why it is empty.
    """
    if settings.sync_at == "never":
        return
    at = time_of_day.fromisoformat(settings.sync_at)
    with reader.snapshot() as snapshot:
        companies = [snapshot.company(code) for code in snapshot.companies() if settings.has(code)]
        days = [last_due_day(now.astimezone(snapshot.zone(company)), at).isoformat() for company in companies]
        turns = [snapshot.last_job_day(f"sync {company.code}") for company in companies]
    for company, day, last in zip(companies, days, turns, strict=True):
        if last is not None and last >= day:
            continue
        found, scope = Plan([]), RECURRING_SCOPE
        if last is not None:
            try:
                with reader.snapshot() as snapshot:
                    found = plan(snapshot, settings, company, snapshot.window(company, None, None))
            except TieoutError as error:
                log.warning("company_not_synced", company=company.code, day=day, reason=str(error))
                scope = f"{RECURRING_SCOPE}, not run: {error}"
        # Taken once it is planned: a database that goes away meanwhile leaves the day to be done.
        if attempts.claim_job(f"sync {company.code}", day):
            request = request_of(
                found.tasks, found.changes, who=RECURRING, scope=scope, company=company.code, by_person=False
            )
            ask(request)
            yield company.code, day, request


def rests_on(settings: Settings) -> str:
    """The settings that may make a call succeed that failed before: when one of them changes, it is tried again."""
    names = ("finance", "dataverse", "tenant", "client_id", "outgoing", "sync_posts")
    processes = tuple(name for name in Settings.__struct_fields__ if name.startswith("process_"))
    return repr([getattr(settings, name) for name in names + processes])


def looking(reader: Reader, settings: Settings) -> Callable[[Claim], Precondition]:
    """A look, just before a call, whether the documents of a claim, or the errors it is to clear, still ask for it."""

    def needed(claim: Claim) -> Precondition:
        with reader.snapshot() as snapshot:
            rows = snapshot.documents_named(claim.documents)
            now = plan_rows(snapshot, settings, rows)
            errors = set(claim.documents) - {row.document.document for row in rows}
            erring = bool(errors) and still_current(snapshot, claim, errors)
        asking = [
            one
            for one in now.documents
            if isinstance(one.step, Step) and (one.step.action, one.step.subject) == (claim.action, claim.subject)
        ]
        changes = {one.row.document.document: one.change for one in now.documents}
        if asking or erring:
            return Precondition(True, "", changes)
        causes = sorted({row.cause or row.document.position for row in rows}) or ["not there any more"]
        return Precondition(False, f"nothing asks for it any more: {', '.join(causes)}", changes)

    return needed
