"""Sync requests of people and of the recurring job (R40, R41)."""

import time
import uuid
from collections.abc import Iterable

from engine.sync.actions import Task
from engine.sync.attempts import Request, SyncRun


def request_of(
    tasks: Iterable[Task],
    changes: dict[str, str],
    *,
    who: str,
    scope: str,
    company: str | None = None,
    by_person: bool = True,
    restart: bool = True,
    run: str | None = None,
) -> Request:
    """The request of a run of these tasks: of a `company`, else of theirs; with the id `run` if it has one. Tasks of
    several companies are a request without a run.
    """
    wanted = tuple(tasks)
    companies = {company} if company else {task.company for task in wanted}
    name = run or str(uuid.uuid4())
    documents = sum(len(task.documents) for task in wanted)
    return Request(
        id=name,
        at=time.time_ns() // 1_000,
        who=who,
        by_person=by_person,
        tasks=wanted,
        input_fingerprints=changes,
        restart=restart,
        run=SyncRun(id=name, company=companies.pop(), scope=scope, calls=len(wanted), documents=documents)
        if len(companies) == 1
        else None,
    )
