"""Sync runs: who requested which sync when, and the progress of its documents.

The progress of a run is derived from the attempt log on reading, so a killed handler leaves nothing stale. The outcome
of its documents is stored when a later request restarts them.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal, get_args

import msgspec
from sqlalchemy import Connection, bindparam, case, delete, func, insert, select, update

from engine.sync.attempts import INTERRUPTED, SECOND, Attempts, Request, Sync
from store.schema import tables
from store.schema.bulk_sql import chunks, upsert

RunState = Literal[
    "needs-attention",
    "blocked",
    "running",
    "retrying",
    "queued",
    "interrupted",
    "superseded",
    "succeeded",
    "not-needed",
]
"""State of a document in a run: needs a person; blocked by a dependency; call in progress; waiting for another attempt;
waiting for the first; interrupted, to be resumed by the next handler; restarted by a later run; done.
"""

FAILED: Final[Sequence[RunState]] = ("needs-attention", "blocked")
WAITING: Final[Sequence[RunState]] = ("retrying", "queued", "interrupted")
OPEN: Final[Sequence[RunState]] = ("running", *WAITING)
DONE: Final[Sequence[RunState]] = ("succeeded", "not-needed", "superseded")

_CHUNK: Final = 500
_PICKED_UP: Final = 15 * SECOND
"""Time in which a handler picks up due work: it polls at least every second."""
_LONGEST_CALL: Final = 140 * SECOND
"""Both systems end a call after two minutes."""
_RUNS: Final = tables.sync_runs
_OF_RUN: Final = tables.sync_run_documents
_SYNCS: Final = tables.syncs


class RunProgress(msgspec.Struct, frozen=True, kw_only=True):
    """A run and its progress. Times are microseconds since 1970 UTC.

    `arrived` documents have reached the attempt log. `joined` of them were queued, in progress or blocked before, so
    that no attempt cycle began for them. `counts` are documents by action and state. `due` is the time of the next
    attempt of a waiting document, `last_at` the last begin or end of an attempt, `ended_at` the last end.
    """

    id: str
    at: int
    who: str
    by_person: bool
    company: str
    scope: str
    calls: int
    documents: int
    arrived: int = 0
    joined: int = 0
    counts: Mapping[str, Mapping[RunState, int]] = {}
    due: int | None = None
    last_at: int | None = None
    ended_at: int | None = None

    def count(self, *states: RunState, action: str | None = None) -> int:
        """Count the documents in these states, of one action or of all."""
        some = self.counts.values() if action is None else [self.counts.get(action, {})]
        return sum(by_state.get(state, 0) for by_state in some for state in states)

    @property
    def finished(self) -> bool:
        """True if nothing more happens without a person or a change of a dependency."""
        return self.arrived >= self.documents and not self.count(*OPEN)

    def stalled(self, now: int) -> bool:
        """Return True if a handler should have made progress and has not: none may be running."""
        if self.finished:
            return False
        if self.last_at is None:
            return now - self.at > _PICKED_UP
        due = self.due is not None and now - self.due > _PICKED_UP
        return now - self.last_at > (_PICKED_UP if due and not self.count("running") else _LONGEST_CALL)

    def remaining(self, now: int) -> int | None:
        """Estimate the time until the run is finished, in microseconds; None if unknown.

        Based on the pace so far, and at least until the next waiting document is due.
        """
        ended = self.count(*FAILED, *DONE)
        left = self.documents - ended
        if not left:
            return 0
        if self.stalled(now):
            return None
        waits = max(self.due - now, 0) if self.due is not None and not self.count("running", "interrupted") else 0
        if not ended or self.ended_at is None:
            return waits or None
        return max(max(self.ended_at - self.at, 0) * left // ended, waits)


class RunDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document of a run and its outcome. `joined`: no attempt cycle began for it."""

    document: str
    action: str
    state: RunState
    joined: bool
    made: int
    due: int
    last_at: int | None
    outcome: str
    text: str


def record(connection: Connection, request: Request, began: Mapping[tuple[str, str], bool]) -> None:
    """Record a request of a run: for each document and action, whether an attempt cycle began."""
    run = request.run
    assert run is not None
    if connection.execute(select(_RUNS.c.id).where(_RUNS.c.id == run.id)).first() is None:
        values = {"id": run.id, "at": request.at, "who": request.who, "by_person": int(request.by_person)}
        more = {"company": run.company, "scope": run.scope, "calls": run.calls, "documents": run.documents}
        connection.execute(insert(_RUNS).values(**values, **more))
    rows = [
        (run.id, document, action, int(not new), None, None, None, None, None)
        for (document, action), new in began.items()
    ]
    upsert(connection, _OF_RUN, rows)


def settle(connection: Connection, syncs: Collection[Sync]) -> None:
    """Store the outcome of these documents in their runs, before a request restarts them."""
    if not syncs:
        return
    own = (_OF_RUN.c.document == bindparam("of_document")) & (_OF_RUN.c.action == bindparam("of_action"))
    kept: dict[str, Any] = {name: bindparam(f"kept_{name}") for name in ("state", "made", "last_at", "outcome", "text")}
    connection.execute(
        update(_OF_RUN).where(own, _OF_RUN.c.state.is_(None)).values(**kept),
        [
            {
                "of_document": sync.document,
                "of_action": sync.action,
                "kept_state": _outcome_state(sync.attempts, sync.last_outcome),
                "kept_made": sync.attempts.made,
                "kept_last_at": sync.last_at,
                "kept_outcome": sync.last_outcome,
                "kept_text": sync.last_text,
            }
            for sync in syncs
        ],
    )


def _outcome_state(attempts: Attempts, outcome: str) -> RunState:
    match attempts.state:
        case "done":
            return "not-needed" if outcome == "not-needed" else "succeeded"
        case "blocked":
            return "blocked"
        case "stopped":
            return "needs-attention"
        case _:
            return "superseded"


def recorded(connection: Connection, run: str, documents: Collection[str]) -> set[tuple[str, str]]:
    """Return the (document, action) pairs that a run has already requested, of these documents."""
    found: set[tuple[str, str]] = set()
    for chunk in chunks(documents, _CHUNK):
        known = select(_OF_RUN.c.document, _OF_RUN.c.action).where(_OF_RUN.c.run == run, _OF_RUN.c.document.in_(chunk))
        found.update((row.document, row.action) for row in connection.execute(known))
    return found


def purge(connection: Connection, before: int) -> int:
    """Delete the runs requested before a time. Return their number."""
    old = select(_RUNS.c.id).where(_RUNS.c.at < before)
    connection.execute(delete(_OF_RUN).where(_OF_RUN.c.run.in_(old)))
    return connection.execute(delete(_RUNS).where(_RUNS.c.at < before)).rowcount


# --- reading ---------------------------------------------------------------------------------------------------------


def run_of(connection: Connection, run: str, now: int) -> RunProgress | None:
    """Return a run with its progress, or None."""
    row = connection.execute(select(_RUNS).where(_RUNS.c.id == run)).first()
    return None if row is None else _progress(connection, row, now)


def runs_of(
    connection: Connection, company: str, now: int, limit: int, *, by_person: bool | None = None
) -> list[RunProgress]:
    """Return the last runs of a company, newest first. `by_person` restricts them to those of people or of the
    recurring job.
    """
    query = select(_RUNS).where(_RUNS.c.company == company).order_by(_RUNS.c.at.desc(), _RUNS.c.id).limit(limit)
    if by_person is not None:
        query = query.where(_RUNS.c.by_person == int(by_person))
    return [_progress(connection, row, now) for row in connection.execute(query).all()]


def documents_of(connection: Connection, run: str, now: int, limit: int | None, skip: int = 0) -> list[RunDocument]:
    """Return documents of a run: first those that need a person, then those in progress, then those done; by name."""
    state = _state(now)
    order = case({name: number for number, name in enumerate(get_args(RunState))}, value=state)
    query = (
        select(_OF_RUN.c.document, _OF_RUN.c.action, _OF_RUN.c.joined, state.label("state"), _SYNCS.c.due)
        .add_columns(*(_kept(kept, live).label(kept.name) for kept, live in _RESULT))
        .select_from(_joined())
        .where(_OF_RUN.c.run == run)
        .order_by(order, _OF_RUN.c.document, _OF_RUN.c.action)
        .limit(limit)
        .offset(skip)
    )
    return [
        RunDocument(
            document=row.document,
            action=row.action,
            state=row.state,
            joined=bool(row.joined),
            made=row.made or 0,
            due=row.due or 0,
            last_at=row.last_at,
            outcome="interrupted" if row.state == "interrupted" else row.outcome or "",
            text=INTERRUPTED if row.state == "interrupted" else row.text or "",
        )
        for row in connection.execute(query)
    ]


_RESULT: Final = (
    (_OF_RUN.c.made, _SYNCS.c.made),
    (_OF_RUN.c.last_at, _SYNCS.c.last_at),
    (_OF_RUN.c.outcome, _SYNCS.c.last_outcome),
    (_OF_RUN.c.text, _SYNCS.c.last_text),
)
"""The columns of an outcome: where it is stored, and where it is until then."""


def _kept(kept: Any, live: Any) -> Any:
    return case((_OF_RUN.c.state.is_not(None), kept), else_=live)


def _progress(connection: Connection, row: Any, now: int) -> RunProgress:
    state, waits = _state(now), _SYNCS.c.state == "waiting"
    ended = _kept(_OF_RUN.c.last_at, _SYNCS.c.last_at)
    query = (
        select(_OF_RUN.c.action, state.label("state"), func.count().label("number"))
        .add_columns(func.sum(_OF_RUN.c.joined).label("joined"))
        .add_columns(func.min(case((waits & _OF_RUN.c.state.is_(None), _SYNCS.c.due))).label("due"))
        # Attempts before this run are no progress of it.
        .add_columns(func.max(case((ended >= row.at, ended))).label("ended_at"))
        .select_from(_joined())
        .where(_OF_RUN.c.run == row.id)
        .group_by(_OF_RUN.c.action, state)
    )
    counts: dict[str, dict[RunState, int]] = {}
    parts = connection.execute(query).all()
    for part in parts:
        counts.setdefault(part.action, {})[part.state] = part.number
    begun = tables.attempts
    same = (begun.c.document == _OF_RUN.c.document) & (begun.c.action == _OF_RUN.c.action)
    last = connection.execute(
        select(func.max(begun.c.begun))
        .select_from(_OF_RUN.join(begun, same))
        .where(_OF_RUN.c.run == row.id, _OF_RUN.c.state.is_(None), begun.c.begun >= row.at)
    ).scalar()
    ended_at = max((part.ended_at for part in parts if part.ended_at is not None), default=None)
    values = {**row._mapping, "by_person": bool(row.by_person)}
    return RunProgress(
        **values,
        arrived=sum(part.number for part in parts),
        joined=sum(int(part.joined) for part in parts),
        counts=counts,
        due=min((part.due for part in parts if part.due is not None), default=None),
        last_at=max((at for at in (last, ended_at) if at is not None), default=None),
        ended_at=ended_at,
    )


def _joined() -> Any:
    same = (_SYNCS.c.document == _OF_RUN.c.document) & (_SYNCS.c.action == _OF_RUN.c.action)
    return _OF_RUN.outerjoin(_SYNCS, same)


def _state(now: int) -> Any:
    """Return the SQL expression of the `RunState`."""
    syncs, is_open = _SYNCS.c, _SYNCS.c.state.in_(("waiting", "running"))
    return case(
        (_OF_RUN.c.state.is_not(None), _OF_RUN.c.state),
        (syncs.state.is_(None), "superseded"),
        # A live handler renews its claim.
        ((syncs.state == "running") & (syncs.until <= now), "interrupted"),
        (syncs.state == "running", "running"),
        (is_open & (syncs.until > now), "running"),
        (is_open & (syncs.made > 0), "retrying"),
        (is_open & (syncs.last_outcome == "throttled"), "retrying"),
        (is_open, "queued"),
        (syncs.state == "blocked", "blocked"),
        (syncs.state == "stopped", "needs-attention"),
        (syncs.last_outcome == "not-needed", "not-needed"),
        else_="succeeded",
    )
