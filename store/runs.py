"""Sync runs in the store: who requested which sync when, and how far its documents are.

A run keeps its documents and the round of attempts that it began for each; their progress is that of the attempt log,
read when somebody looks, so a handler that is killed leaves nothing stale behind.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal, get_args

import msgspec
from sqlalchemy import Connection, case, delete, func, insert, or_, select

from engine.attempts import INTERRUPTED, Request
from store import tables
from store.statements import chunks, upsert

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
"""How far a document is: a person must act; a dependency must change first; a call is under way; it waits for another
attempt; it waits for its first; its handler ended and the next one takes it up; a later run began again; done.
"""

FAILED: Final[Sequence[RunState]] = ("needs-attention", "blocked")
OPEN: Final[Sequence[RunState]] = ("running", "retrying", "queued", "interrupted")
DONE: Final[Sequence[RunState]] = ("succeeded", "not-needed", "superseded")

_AT_ONCE: Final = 500
_RUNS: Final = tables.sync_runs
_OF_RUN: Final = tables.sync_run_documents
_SYNCS: Final = tables.syncs


class SyncRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run and its progress. Times are microseconds since 1970; `arrived` documents have reached the attempt log,
    `joined` of them were queued, in progress or blocked before, so that no new round began for them.

    `counts` are documents by action and state; `due` is when the next waiting document is attempted, `last_at` when an
    attempt ended last.
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

    def count(self, *states: RunState) -> int:
        """The documents in these states."""
        return sum(by_state.get(state, 0) for by_state in self.counts.values() for state in states)

    @property
    def finished(self) -> bool:
        """Whether nothing more happens without a person, or a change of what a blocked document depends on."""
        return self.arrived >= self.documents and not self.count(*OPEN)

    def remaining(self, now: int) -> int | None:
        """The estimated time until the run is finished, in microseconds; None while nothing has ended yet.

        By the pace so far, and not before the next waiting document is due.
        """
        ended = self.count(*FAILED, *DONE)
        left = self.documents - ended
        if not ended or self.last_at is None:
            return None
        by_pace = max(self.last_at - self.at, 0) * left // ended
        waits = self.due - now if self.due is not None and not self.count("running", "interrupted") else 0
        return max(by_pace, waits, 0) if left else 0


class RunDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document of a run, with what came of it. `joined`: no new round began for it."""

    document: str
    action: str
    state: RunState
    joined: bool
    made: int
    due: int
    last_at: int | None
    outcome: str
    text: str


def record(connection: Connection, request: Request, rounds: Mapping[tuple[str, str], int | None]) -> None:
    """Keep a request of a run: the round that it began for each document and action, None where it began none."""
    run = request.run
    assert run is not None
    if connection.execute(select(_RUNS.c.id).where(_RUNS.c.id == run.id)).first() is None:
        values = {"id": run.id, "at": request.at, "who": request.who, "by_person": int(request.by_person)}
        more = {"company": run.company, "scope": run.scope, "calls": run.calls, "documents": run.documents}
        connection.execute(insert(_RUNS).values(**values, **more))
    rows = [(run.id, document, action, number) for (document, action), number in rounds.items()]
    upsert(connection, _OF_RUN, rows)


def recorded(connection: Connection, run: str, documents: Collection[str]) -> set[tuple[str, str]]:
    """Those of these documents, with their actions, that a run has requested already."""
    found: set[tuple[str, str]] = set()
    for some in chunks(documents, _AT_ONCE):
        known = select(_OF_RUN.c.document, _OF_RUN.c.action).where(_OF_RUN.c.run == run, _OF_RUN.c.document.in_(some))
        found.update((row.document, row.action) for row in connection.execute(known))
    return found


def purge(connection: Connection, before: int) -> int:
    """Delete the runs that were requested before then; returns how many."""
    old = select(_RUNS.c.id).where(_RUNS.c.at < before)
    connection.execute(delete(_OF_RUN).where(_OF_RUN.c.run.in_(old)))
    return connection.execute(delete(_RUNS).where(_RUNS.c.at < before)).rowcount


# --- reading ---------------------------------------------------------------------------------------------------------


def run_of(connection: Connection, run: str, now: int) -> SyncRun | None:
    """A run with its progress; None when there is none of this id."""
    row = connection.execute(select(_RUNS).where(_RUNS.c.id == run)).first()
    return None if row is None else _progress(connection, row, now)


def runs_of(
    connection: Connection, company: str, now: int, limit: int, *, by_person: bool | None = None
) -> list[SyncRun]:
    """The last runs of a company, the newest first; those of persons or of the recurring job alone if asked for."""
    query = select(_RUNS).where(_RUNS.c.company == company).order_by(_RUNS.c.at.desc(), _RUNS.c.id).limit(limit)
    if by_person is not None:
        query = query.where(_RUNS.c.by_person == int(by_person))
    return [_progress(connection, row, now) for row in connection.execute(query).all()]


def documents_of(connection: Connection, run: str, now: int, limit: int | None, skip: int = 0) -> list[RunDocument]:
    """Documents of a run, those first that need somebody, then those under way, then those that are done; by name."""
    state = _state(now)
    order = case({name: number for number, name in enumerate(get_args(RunState))}, value=state)
    query = (
        select(_OF_RUN.c.document, _OF_RUN.c.action, _OF_RUN.c.round.is_(None).label("joined"), state.label("state"))
        .add_columns(_SYNCS.c.made, _SYNCS.c.due, _SYNCS.c.last_at, _SYNCS.c.last_outcome, _SYNCS.c.last_text)
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
            outcome="interrupted" if row.state == "interrupted" else row.last_outcome or "",
            text=INTERRUPTED if row.state == "interrupted" else row.last_text or "",
        )
        for row in connection.execute(query)
    ]


def _progress(connection: Connection, row: Any, now: int) -> SyncRun:
    state, waits = _state(now), _SYNCS.c.state == "waiting"
    query = (
        select(_OF_RUN.c.action, state.label("state"), func.count().label("number"))
        .add_columns(func.count().filter(_OF_RUN.c.round.is_(None)).label("joined"))
        .add_columns(func.min(case((waits, _SYNCS.c.due))).label("due"), func.max(_SYNCS.c.last_at).label("last_at"))
        .select_from(_joined())
        .where(_OF_RUN.c.run == row.id)
        .group_by(_OF_RUN.c.action, state)
    )
    counts: dict[str, dict[RunState, int]] = {}
    parts = connection.execute(query).all()
    for part in parts:
        counts.setdefault(part.action, {})[part.state] = part.number
    values = {**row._mapping, "by_person": bool(row.by_person)}
    return SyncRun(
        **values,
        arrived=sum(part.number for part in parts),
        joined=sum(part.joined for part in parts),
        counts=counts,
        due=min((part.due for part in parts if part.due is not None), default=None),
        last_at=max((part.last_at for part in parts if part.last_at is not None), default=None),
    )


def _joined() -> Any:
    same = (_SYNCS.c.document == _OF_RUN.c.document) & (_SYNCS.c.action == _OF_RUN.c.action)
    return _OF_RUN.outerjoin(_SYNCS, same)


def _state(now: int) -> Any:
    """A document's `RunState`."""
    syncs, is_open = _SYNCS.c, _SYNCS.c.state.in_(("waiting", "running"))
    return case(
        (or_(syncs.state.is_(None), syncs.round > _OF_RUN.c.round), "superseded"),
        # A handler that is alive keeps its claim.
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
