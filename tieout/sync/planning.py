"""Plans syncs: applies the rules of `engine.sync.actions` to the documents in the store (R40, R42)."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from datetime import time as time_of_day
from typing import Final

import msgspec
import structlog

from engine.calendar import Company, Window, last_due_day
from engine.errors import QueryError, TieoutError
from engine.reconciliation.kinds import KINDS, Kind
from engine.sync.actions import Skipped, Step, Task, skipped, step_for, tasks
from engine.sync.attempts import Request
from store.operational.attempts import SqlAttempts
from store.projection.tile_totals import View
from store.queries.grid_query import GridQuery
from store.queries.reader import Reader
from store.queries.rows import GridRow
from store.queries.snapshot import Snapshot
from store.schema.bulk_sql import chunks
from tieout.settings import Settings
from tieout.sync.requests import request_of

VIEWS: Final[tuple[View, ...]] = ("missing-actuals", "missing-journal-lines")
_ROWS_AT_ONCE: Final = 1_000
RECURRING: Final = "recurring job"
RECURRING_SCOPE: Final = "Recurring job"
_PLANNED_AT_ONCE: Final = 5_000
_NARROW: Final = "Choose fewer dates, or filter the grid. `tieout sync` has no such limit."
MORE_CALLS: Final = f"this sync would make more than %(limit)s calls. {_NARROW}"
MORE_DOCUMENTS: Final = f"this sync would read more than %(limit)s documents. {_NARROW}"
MORE_NAMES: Final = f"this sync has too many names for one page. {_NARROW}"

log = structlog.get_logger(__name__)


class Limits(msgspec.Struct, frozen=True):
    """The largest number of calls and documents of a sync that is started from a page."""

    calls: int
    documents: int


class TooManyCalls(QueryError):
    """A sync that exceeds `Limits`."""

    code = "too-many-calls"


class Planned(msgspec.Struct, frozen=True):
    """A document with its step, or the reason why it has none; `change` is its input fingerprint."""

    row: GridRow
    step: Step | Skipped
    change: str


class Plan(msgspec.Struct, frozen=True):
    """The plan of a sync, in the order of the grids; the same for a dry run and a run."""

    documents: list[Planned]

    @property
    def tasks(self) -> list[Task]:
        """The calls."""
        steps = [(planned.row.document, planned.step) for planned in self.documents]
        return tasks(
            (document.document, document.company or "", step) for document, step in steps if isinstance(step, Step)
        )

    @property
    def left(self) -> list[Planned]:
        """The documents without a step."""
        return [planned for planned in self.documents if isinstance(planned.step, Skipped)]

    @property
    def changes(self) -> dict[str, str]:
        """The input fingerprints of the documents that are synced, by name."""
        return {
            planned.row.document.document: planned.change
            for planned in self.documents
            if isinstance(planned.step, Step)
        }

    def request(self, who: str, scope: str, *, by_person: bool = True) -> Request:
        """Return the request of this plan; `scope` describes in words what was selected."""
        return request_of(self.tasks, self.changes, who=who, scope=scope, by_person=by_person)


def plan(
    snapshot: Snapshot,
    settings: Settings,
    company: Company,
    window: Window,
    kinds: Iterable[Kind] = KINDS,
    limits: Limits | None = None,
) -> Plan:
    """Plan the sync of a company: all documents in the window that are not reconciled. Raises as `plan_of`."""
    queries = [
        GridQuery(company=company.code, kind=kind, window=window, view=view, limit=_ROWS_AT_ONCE)
        for kind in kinds
        for view in VIEWS
    ]
    return plan_of(snapshot, settings, queries, limits)


def plan_of(snapshot: Snapshot, settings: Settings, queries: Iterable[GridQuery], limits: Limits | None = None) -> Plan:
    """Plan the sync of the rows of grids, each row once. Raises `TooManyCalls` beyond the limits."""
    documents: list[Planned] = []
    keys: set[str] = set()
    subjects: set[tuple[str, str]] = set()
    for query in queries:
        rows = (row for row in snapshot.rows(msgspec.structs.replace(query, limit=_ROWS_AT_ONCE)))
        for some in chunks((row for row in rows if row.document.key not in keys), _PLANNED_AT_ONCE):
            keys.update(row.document.key for row in some)
            planned = plan_rows(snapshot, settings, some, include_in_flight=False).documents
            subjects |= {(one.step.action, one.step.subject) for one in planned if isinstance(one.step, Step)}
            if limits is not None and len(subjects) > limits.calls:
                raise TooManyCalls(MORE_CALLS, limit=f"{limits.calls:,}")
            if limits is not None and len(keys) > limits.documents:
                raise TooManyCalls(MORE_DOCUMENTS, limit=f"{limits.documents:,}")
            documents += planned
    return Plan(documents)


def plan_for(snapshot: Snapshot, settings: Settings, document: str) -> Plan:
    """Plan the sync of one requested document. Raises `QueryError` if there is no document of that name."""
    return plan_rows(snapshot, settings, [view.row for view in snapshot.chain(document)])


def plan_rows(
    snapshot: Snapshot, settings: Settings, rows: Iterable[GridRow], *, include_in_flight: bool = True
) -> Plan:
    """Plan the sync of these documents, regardless of their dates. `include_in_flight=False` leaves out documents
    within normal processing time.
    """
    rows = list(rows)
    inputs = snapshot.input_fingerprints([row.document for row in rows], settings_fingerprint(settings))
    refused = snapshot.refusals(rows, inputs)
    in_the_way = snapshot.in_the_way(rows)
    documents = []
    for row in rows:
        own = inputs[row.document.key]
        step: Step | Skipped | None = skipped("in-progress")
        if include_in_flight or not row.in_flight:
            step = step_for(
                row.document,
                row.cause,
                own.rows,
                refused=refused.get(row.document.key),
                in_the_way=in_the_way.get(row.document.key, ()),
                posting_permitted=settings.sync_posts,
            )
        if step is not None:
            documents.append(Planned(row, step, own.change))
    return Plan(documents)


def sync_every_company(
    reader: Reader, attempts: SqlAttempts, settings: Settings, now: datetime, send: Callable[[Request], object]
) -> Iterator[tuple[str, str, Request]]:
    """Run the recurring job for each company for which it is due (R41): `send` its request, and yield the company, the
    day and the request.

    One worker runs the job of a company and day. A company that cannot be planned, such as one without an open period,
    does not block the others: the scope of its run names the reason.
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
        planned, scope = Plan([]), RECURRING_SCOPE
        if last is not None:
            try:
                with reader.snapshot() as snapshot:
                    planned = plan(snapshot, settings, company, snapshot.window(company, None, None))
            except TieoutError as error:
                log.warning("company_not_synced", company=company.code, day=day, reason=str(error))
                scope = f"{RECURRING_SCOPE}, not run: {error}"
        # Claimed after planning: if the database fails during planning, the job of this day is still due.
        if attempts.claim_job(f"sync {company.code}", day):
            request = request_of(
                planned.tasks, planned.changes, who=RECURRING, scope=scope, company=company.code, by_person=False
            )
            send(request)
            yield company.code, day, request


def settings_fingerprint(settings: Settings) -> str:
    """Return the settings in the input fingerprint: if one of them changes, a blocked call is attempted again."""
    names = ("finance", "dataverse", "tenant", "client_id", "outgoing", "sync_posts")
    processes = tuple(name for name in Settings.__struct_fields__ if name.startswith("process_"))
    return repr([getattr(settings, name) for name in names + processes])
