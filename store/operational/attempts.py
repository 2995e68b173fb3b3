"""The attempt log in the store (`handlers.attempts.AttemptLog`): counters, claims, and the outcome of each attempt.

It is not part of the projection: no event carries it, so it is copied to the state topic, and a replay leaves it
unchanged.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, case, func, select, update

from engine.sync import attempts
from engine.sync.attempts import Attempts, Claim, Outcome, Request, Sync
from store.operational import state_topic, sync_runs
from store.schema import tables
from store.schema.bulk_sql import chunks, insert_absent, upsert
from store.schema.dialects import dialect_of

_json: Final = msgspec.json.Encoder().encode
_CHUNK: Final = 100
_COUNTER: Final = Attempts.__struct_fields__


class Attempt(msgspec.Struct, frozen=True):
    """One call for a document: `call` counts all calls, `number` those of the attempt cycle (None if the attempt does
    not count).

    Times are microseconds since 1970 UTC; `ended` is None until the outcome is known.
    """

    document: str
    action: str
    call: int
    round: int
    number: int | None
    begun: int
    ended: int | None
    outcome: str
    text: str
    holder: str


class SqlAttempts:
    """Attempt log in the store, shared by all workers. `handlers.attempts.AttemptLog` documents the methods."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def request(self, request: Request) -> list[str]:
        """Request syncs; see `handlers.attempts.AttemptLog`, as for the other methods."""
        with self._engine.begin() as connection:
            return save_request(connection, request)

    def claim(
        self, holder: str, *, now: int, until: int, chance: float, only: tuple[str, str] | None = None
    ) -> Claim | None:
        for action, subject in self._free(now) if only is None else [only]:
            with self._engine.begin() as connection:
                _lock(connection, (action, subject))
                syncs = _of_subject(connection, action, subject)
                changed = attempts.claimed(syncs, holder, now, until, chance)
                for sync in changed:
                    if sync.last_outcome == "interrupted" and sync.last_at == now:
                        _close(connection, sync, "interrupted", attempts.INTERRUPTED, now)
                _save(connection, changed)
            if claim := attempts.claim_of(holder, changed):
                return claim
        return None

    def begin(self, claim: Claim, *, now: int, until: int) -> None:
        table = tables.attempts
        with self._engine.begin() as connection:
            begun = attempts.start_all(_held(connection, claim), until)
            _save(connection, begun)
            connection.execute(
                table.insert(),
                [
                    {
                        "document": sync.document,
                        "action": sync.action,
                        "call": sync.attempts.calls,
                        "round": sync.attempts.round,
                        "number": sync.attempts.made,
                        "begun": now,
                        "outcome": "",
                        "text": "",
                        "holder": claim.holder,
                    }
                    for sync in begun
                ],
            )

    def is_acknowledged(self, claim: Claim) -> bool:
        """Return True once the attempts are on the state topic, so that a restored store contains them."""
        syncs, attempt = tables.syncs.c, tables.attempts.c
        own = (syncs.action == claim.action) & (syncs.subject == claim.subject)
        last = (attempt.document == syncs.document) & (attempt.action == syncs.action) & (attempt.call == syncs.calls)
        calls = select(attempt.document, attempt.action, attempt.call).join_from(tables.attempts, tables.syncs, last)
        with self._engine.begin() as connection:
            if state_topic.is_unpublished(connection, "sync", select(syncs.document, syncs.action).where(own)):
                return False
            if state_topic.is_unpublished(connection, "attempt", calls.where(own)):
                return False
            _held(connection, claim)
            return True

    def renew(self, claim: Claim, *, until: int) -> None:
        with self._engine.begin() as connection:
            _save(connection, attempts.extend_all(_held(connection, claim), until))

    def refund(self, claim: Claim, text: str, *, now: int, wait: int) -> None:
        with self._engine.begin() as connection:
            throttled = attempts.throttle_all(_held(connection, claim), text, now, wait)
            for sync in throttled:
                _close(connection, sync, "throttled", text, now, given_back=True)
            _save(connection, throttled)

    def end(
        self,
        claim: Claim,
        outcome: Outcome,
        text: str,
        *,
        now: int,
        chance: float,
        changes: Mapping[str, str],
        wait: int | None = None,
    ) -> None:
        with self._engine.begin() as connection:
            held = _held(connection, claim)
            for sync in held:
                if sync.attempts.state == "running":
                    _close(connection, sync, outcome, text, now)
            _save(connection, attempts.end_all(held, outcome, text, now, chance, changes, wait))

    def close(self, action: str, subject: str, why: str, *, now: int) -> list[str]:
        with self._engine.begin() as connection:
            _lock(connection, (action, subject))
            closed = attempts.close_all(_of_subject(connection, action, subject), why, now)
            _save(connection, closed)
        return [sync.document for sync in closed]

    def syncs(self, documents: Sequence[str] | None = None, *, action: str | None = None) -> list[Sync]:
        with self._engine.connect() as connection:
            return syncs_of(connection, documents, action)

    def next_due(self) -> int | None:
        table = tables.syncs.c
        # A portable maximum of two values: max() of SQLite is greatest() on PostgreSQL.
        when = case((table.due > table.until, table.due), else_=table.until)
        with self._engine.connect() as connection:
            due = connection.execute(select(func.min(when)).where(table.state.in_(("waiting", "running")))).scalar()
        return None if due is None else int(due)

    def claim_job(self, job: str, day: str) -> bool:
        """Claim a recurring job for a day (YYYY-MM-DD): True for the first caller.

        The first day that is ever claimed counts as done: an installation begins with the next one.
        """
        table = tables.settings
        name = job_setting(job)
        with self._engine.begin() as connection:
            if insert_absent(connection, table, {"name": name, "value": day}):
                return False
            later = (table.c.name == name) & (table.c.value < day)
            return connection.execute(update(table).where(later).values(value=day)).rowcount == 1

    def purge_runs(self, before: int) -> int:
        """Delete the sync runs requested before a time (microseconds since 1970 UTC). Return their number."""
        with self._engine.begin() as connection:
            return sync_runs.purge(connection, before)

    def _free(self, now: int) -> list[tuple[str, str]]:
        """Return the subjects that may be claimed, longest due first."""
        table = tables.syncs.c
        free = table.state.in_(("waiting", "running")) & (table.until <= now)
        free &= (table.state == "running") | (table.due <= now)
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(table.action, table.subject)
                .where(free)
                .group_by(table.action, table.subject)
                .order_by(func.min(table.due), table.action, table.subject)
                .limit(_CHUNK)
            )
            return [(row.action, row.subject) for row in rows]


def job_setting(job: str) -> str:
    """Return the name of the setting with the last day of a recurring job."""
    return f"job {job}"


def save_request(connection: Connection, request: Request) -> list[str]:
    """Request tasks within a transaction. Return the names of the documents that will be attempted.

    A request of a run is recorded with its documents. Those that the run has requested already are skipped: delivery is
    at least once.
    """
    names = [document for task in request.tasks for document in task.documents]
    _lock(connection, *(task.key for task in request.tasks))
    done = sync_runs.recorded(connection, request.run.id, names) if request.run is not None else set()
    before = {(sync.document, sync.action): sync for sync in syncs_of(connection, names)}
    in_progress = set() if request.restart else queued(connection, {task.key for task in request.tasks})
    found: dict[tuple[str, str], Sync | None] = {
        (document, task.action): attempts.request_document(
            before.get((document, task.action)),
            task,
            document,
            request,
            queued=task.key in in_progress,
        )
        for task in request.tasks
        for document in task.documents
        if (document, task.action) not in done
    }
    changed = [sync for sync in found.values() if sync is not None]
    # Earlier runs keep their outcome.
    sync_runs.settle(connection, [known for sync in changed if (known := before.get((sync.document, sync.action)))])
    _save(connection, changed)
    if request.run is not None:
        sync_runs.record(connection, request, {key: _begins(before.get(key), sync) for key, sync in found.items()})
    return [sync.document for sync in changed if sync.attempts.state == "waiting"]


def _begins(before: Sync | None, after: Sync | None) -> bool:
    """Return True if a request began an attempt cycle for a document."""
    return after is not None and (before is None or after.attempts.round > before.attempts.round)


def queued(connection: Connection, calls: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those of these calls (action, subject) that have a queued or running document."""
    table = tables.syncs.c
    actions = sorted({action for action, _ in calls})
    found: set[tuple[str, str]] = set()
    for chunk in chunks(sorted({subject for _, subject in calls}), _CHUNK):
        rows = connection.execute(
            select(table.action, table.subject)
            .where(table.action.in_(actions), table.subject.in_(chunk), table.state.in_(attempts.QUEUED))
            .distinct()
        )
        found.update((row.action, row.subject) for row in rows)
    return found & set(calls)


def stopped_syncs(connection: Connection, limit: int | None = None, *, without: str | None = None) -> list[Sync]:
    """Return the syncs that need attention, by name: the first `limit`, `without` one action."""
    table = tables.syncs
    query = select(table).where(table.c.state == "stopped").order_by(table.c.document, table.c.action).limit(limit)
    if without is not None:
        query = query.where(table.c.action != without)
    return [_sync(row) for row in connection.execute(query)]


def sync_counts(connection: Connection) -> dict[tuple[str, str], int]:
    """Count the documents by state and action."""
    table = tables.syncs.c
    query = select(table.state, table.action, func.count().label("number")).group_by(table.state, table.action)
    return {(row.state, row.action): row.number for row in connection.execute(query)}


def syncs_of(
    connection: Connection,
    documents: Sequence[str] | None = None,
    action: str | None = None,
    *,
    without_done: bool = False,
) -> list[Sync]:
    """Return the syncs of these documents, or of all, by name and action. `action` restricts the action, `without_done`
    skips completed ones.
    """
    table = tables.syncs
    query = select(table).order_by(table.c.document, table.c.action)
    if action is not None:
        query = query.where(table.c.action == action)
    if without_done:
        query = query.where(table.c.state != "done")
    if documents is None:
        return [_sync(row) for row in connection.execute(query)]
    found = []
    for chunk in chunks(documents, _CHUNK):
        found += [_sync(row) for row in connection.execute(query.where(table.c.document.in_(chunk)))]
    return sorted(found, key=lambda sync: (sync.document, sync.action))


class LastAttempt(msgspec.Struct, frozen=True):
    """End of the last attempt for a document, and attempts in its current cycle: the maximum over all actions."""

    last_at: int | None
    made: int | None


def last_attempts(connection: Connection, documents: Sequence[str]) -> dict[str, LastAttempt]:
    """Return the last attempts of those documents that a sync was requested for."""
    table = tables.syncs.c
    found: dict[str, LastAttempt] = {}
    for chunk in chunks(documents, _CHUNK):
        rows = connection.execute(
            select(table.document, func.max(table.last_at).label("at"), func.max(table.made).label("made"))
            .where(table.document.in_(chunk))
            .group_by(table.document)
        )
        found.update({row.document: LastAttempt(row.at, row.made) for row in rows})
    return found


def attempts_of(connection: Connection, document: str) -> list[Attempt]:
    """Return every attempt for a document, newest first."""
    table = tables.attempts
    query = select(table).where(table.c.document == document).order_by(table.c.begun.desc(), table.c.call.desc())
    return [Attempt(**row._mapping) for row in connection.execute(query)]


def _lock(connection: Connection, *calls: tuple[str, str]) -> None:
    """Lock the subjects of calls (action, subject) until the end of the transaction."""
    dialect_of(connection).lock(connection, {f"{action}\0{subject}" for action, subject in calls})


def _of_subject(connection: Connection, action: str, subject: str) -> list[Sync]:
    table = tables.syncs
    own = (table.c.action == action) & (table.c.subject == subject)
    return [_sync(row) for row in connection.execute(select(table).where(own).order_by(table.c.document))]


def _held(connection: Connection, claim: Claim) -> list[Sync]:
    _lock(connection, (claim.action, claim.subject))
    return attempts.held(_of_subject(connection, claim.action, claim.subject), claim)


def _sync(row: Any) -> Sync:
    values = dict(row._mapping)
    counter = Attempts(**{name: values.pop(name) for name in _COUNTER})
    return Sync(**{**values, "parameters": msgspec.json.decode(values["parameters"]), "attempts": counter})


def _save(connection: Connection, syncs: Iterable[Sync]) -> None:
    rows = []
    for sync in syncs:
        values = msgspec.structs.asdict(sync) | msgspec.structs.asdict(sync.attempts)
        values["parameters"] = _json(sync.parameters).decode()
        rows.append(tuple(values[column.name] for column in tables.syncs.columns))
    upsert(connection, tables.syncs, rows)


def _close(connection: Connection, sync: Sync, outcome: str, text: str, now: int, *, given_back: bool = False) -> None:
    """Record the outcome of the last call for a document."""
    table = tables.attempts
    last = (table.c.document == sync.document) & (table.c.action == sync.action)
    values: dict[str, Any] = {"ended": now, "outcome": outcome, "text": text}
    if given_back:
        values["number"] = None
    connection.execute(update(table).where(last, table.c.call == sync.attempts.calls).values(values))
