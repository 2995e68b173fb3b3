"""Sync requests of people and of the recurring job (R40, R41)."""

import uuid
from collections.abc import Iterable

from engine.sync.actions import Task
from engine.sync.attempts import Request, SyncRun
from store import clock


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
    """Return the request of a run of these tasks. The run belongs to `company`, by default to the company of the tasks,
    and has the id `run`, by default a new one. Tasks of several companies are a request without a run.
    """
    requested = tuple(tasks)
    companies = {company} if company else {task.company for task in requested}
    name = run or str(uuid.uuid4())
    documents = sum(len(task.documents) for task in requested)
    return Request(
        id=name,
        at=clock.now(),
        who=who,
        by_person=by_person,
        tasks=requested,
        input_fingerprints=changes,
        restart=restart,
        run=SyncRun(id=name, company=companies.pop(), scope=scope, calls=len(requested), documents=documents)
        if len(companies) == 1
        else None,
    )
