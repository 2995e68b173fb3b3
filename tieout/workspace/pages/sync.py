"""The Sync pages: the preview, its confirmation, the progress of a run, the runs of a company (R40, R41, R47)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from time import time as time_now
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from engine.calendar import Company, next_run
from engine.errorlog.lifecycle import subject_of
from engine.errors import QueryError
from engine.events.facts import iso, microseconds
from engine.sync.actions import ACTION_TEXTS, SYSTEMS, Skipped, Step
from engine.sync.attempts import ATTEMPTS_MAX, SECOND
from engine.sync.general_journals import ACTION as JOURNAL
from store.operational.sync_runs import DONE, FAILED, WAITING, RunDocument, RunProgress, RunState
from store.queries.snapshot import Snapshot
from tieout.sync import previews
from tieout.sync.command_topic import sync_commands, wait_until_applied
from tieout.sync.planning import RECURRING, VIEWS
from tieout.sync.previews import Candidate, Preview, read_token
from tieout.workspace.pages.document import address as document_address
from tieout.workspace.pages.summary import KIND_NAMES, amounts
from tieout.workspace.web import grid_state
from tieout.workspace.web.context import Frame, age, asked, frame, workspace_of
from tieout.workspace.web.csv_export import csv_response
from tieout.workspace.web.grid_columns import GRIDS
from tieout.workspace.web.grid_state import PATHS, GridState, dates, sync_preview
from tieout.workspace.web.grid_state import VIEWS as VIEW_NAMES
from tieout.workspace.web.posted_form import Form, read_form
from tieout.workspace.web.rendering import label, render

LISTED: Final = 200
"""So many documents of a preview or a run are on a page; its file has all of them."""
RUNS_LISTED: Final = 20
POLL_SECONDS: Final = 2
LOST_SECONDS: Final = 3_600
"""A page waits so long for a run that was requested and is not here yet."""

STATE_NAMES: Final[Mapping[RunState, str]] = {
    "needs-attention": "Needs attention",
    "blocked": "Blocked (dependency)",
    "running": "In progress",
    "retrying": "Retrying",
    "queued": "Queued",
    "interrupted": "Interrupted (will retry)",
    "superseded": "Superseded by a later run",
    "succeeded": "Succeeded",
    "not-needed": "No longer needed",
}


def _company(around: Frame) -> Company:
    assert around.company is not None
    return around.company


def _around(request: Request, snapshot: Snapshot, around: Frame) -> dict[str, Any]:
    """What the pages have around them. Where amounts of several currencies have no sum, they are left out: a sync needs
    none.
    """
    try:
        return amounts(request, snapshot, around)
    except QueryError:
        return amounts(request, snapshot, msgspec.structs.replace(around, window=None))


# --- the preview -----------------------------------------------------------------------------------------------------


def preview(request: Request) -> Response:
    """What a sync would do; nothing is sent. What it is of is said by the address: a grid (`kind`, with its state),
    a `document`, `journal`s, `error`s, or everything in the window.
    """
    workspace = workspace_of(request)
    with asked(request) as snapshot:
        around = frame(request, snapshot, request.path_params["company"], *dates(request.query_params))
        found, back, instead = _chosen(request, snapshot, around)
        context = _around(request, snapshot, around)
    context |= {
        "section": "sync",
        "windowless": True,
        "preview": found,
        "back": back,
        "instead": instead,
        "facts": _facts(found),
        "calls": _calls(found),
        "left": _left(found),
        "synced": found.synced[:LISTED],
        "address_of": lambda name: _address(around, name, documents=found.kind == "documents"),
        "done_as": ACTION_TEXTS,
        "obstacles": lambda: workspace.obstacles(found.kind) if found.tasks else [],
        "csv": f"/{quote(around.code, safe='')}/sync/preview.csv?{request.url.query}",
        "of": ATTEMPTS_MAX,
    }
    return render(request, "sync_preview.html", context)


def preview_csv(request: Request) -> Response:
    """Every document of a preview as a file: what would be done for it, or why it is left unchanged."""
    with asked(request) as snapshot:
        around = frame(request, snapshot, request.path_params["company"], *dates(request.query_params))
        found, *_ = _chosen(request, snapshot, around)
    titles = ["Document", "Cause", "Action", "System", "Subject", "Reason skipped"]
    return csv_response(f"{around.code}-sync-preview", titles, (_line(one) for one in found.candidates))


def _line(one: Candidate) -> list[Any]:
    if isinstance(one.step, Skipped):
        return [one.name, one.cause, "", "", "", one.step.reason]
    return [one.name, one.cause, one.step.action, SYSTEMS[one.step.action], one.step.subject, ""]


def _chosen(request: Request, snapshot: Snapshot, around: Frame) -> tuple[Preview, str, str | None]:
    """The preview that an address asks for, the page to go back to, and the address of everything instead."""
    settings, company, query = workspace_of(request).settings, _company(around), request.query_params
    base = f"/{quote(around.code)}"
    everything = sync_preview(around.code, around.dates)
    if "document" in query:
        name = query["document"]
        if not name:
            raise QueryError("there is no document without a name.")
        return previews.of_document(snapshot, settings, company, name), document_address(name, around.dated()), None
    if journals := query.getlist("journal"):
        numbers = None if journals == ["all"] else journals
        return previews.of_journals(snapshot, company, numbers), f"{base}/general-journals", None
    if errors := query.getlist("error"):
        wanted = frozenset(errors)
        found = previews.of_errors(snapshot, settings, company, lambda entry: subject_of(entry.message).key in wanted)
        return found, f"{base}/errors", None
    if around.window is None:
        raise QueryError(around.problem or "select a start date and an end date.")
    kind = query.get("kind", "")
    if kind:
        if kind not in PATHS:
            raise QueryError(f"there is no kind {kind!r}; there are {', '.join(PATHS)}.")
        state = msgspec.structs.replace(grid_state.read(around.code, kind, query).from_start(), opened="")
        state = msgspec.structs.replace(state, company=around.code, sort="date")
        asked_for = state.query(around.window, around.zone)
        views = [view for view in VIEWS if state.view in ("all", view)]
        queries = [msgspec.structs.replace(asked_for, view=view) for view in views]
        found = previews.of_rows(snapshot, settings, company, queries, _scope(state))
        return found, state.address(), everything
    job = query.get("job") == "1"
    return previews.of_window(snapshot, settings, company, around.window, job=job), f"{base}/sync{around.dated()}", None


def _scope(state: GridState) -> str:
    """Describe a state of a grid: its view, filters and search."""
    titles = {column.name: column.title for column in GRIDS[state.kind]}
    parts = [KIND_NAMES[state.kind], VIEW_NAMES[state.kind][state.view]]
    parts += [f"{titles.get(name, name)}: {_filter_text(name, text)}" for name, text in state.filters.items()]
    parts += [f"Filter: {state.search}"] if state.search else []
    return " · ".join(parts)


def _filter_text(name: str, text: str) -> str:
    return label(text) if name in ("standing", "position") else text


def _facts(found: Preview) -> dict[str, Any]:
    calls = found.tasks
    return {
        "synced": len(found.synced),
        "amounts": _amounts(found.synced),
        "calls": len(calls),
        "systems": [
            (system, number)
            for system in ("Finance", "Dataverse")
            if (number := sum(SYSTEMS[task.action] == system for task in calls))
        ],
        "left": len(found.left),
        "left_amounts": _amounts(found.left),
        "queued": len(found.waiting),
        "unknown": sum(one.amount is None for one in found.synced) if found.kind == "documents" else 0,
    }


def _amounts(candidates: Iterable[Candidate]) -> list[tuple[str, int]]:
    """Exact sums by accounting currency."""
    sums: dict[str, int] = {}
    for one in candidates:
        if one.amount is not None:
            sums[one.currency or ""] = sums.get(one.currency or "", 0) + one.amount
    return sorted(sums.items())


def _calls(found: Preview) -> list[dict[str, Any]]:
    """The calls by action, in the order in which they first appear."""
    rows: dict[str, list[Candidate]] = {}
    for one in found.synced:
        assert isinstance(one.step, Step)
        rows.setdefault(one.step.action, []).append(one)
    return [
        {
            "action": action,
            "system": SYSTEMS[action],
            "causes": _counted(one.cause for one in some),
            "documents": len(some),
            "calls": len({one.step.subject for one in some if isinstance(one.step, Step)}),
            "amounts": _amounts(some),
        }
        for action, some in rows.items()
    ]


def _left(found: Preview) -> list[dict[str, Any]]:
    """What is left unchanged by cause and reason, with the first documents of each."""
    rows: dict[tuple[str, str], list[Candidate]] = {}
    for one in found.left:
        assert isinstance(one.step, Skipped)
        rows.setdefault((one.cause, one.step.reason), []).append(one)
    return [
        {"cause": cause, "why": why, "documents": len(some), "amounts": _amounts(some), "first": some[:LISTED]}
        for (cause, why), some in sorted(rows.items(), key=lambda item: -len(item[1]))
    ]


def _counted(causes: Iterable[str]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for cause in causes:
        counts[cause] = counts.get(cause, 0) + 1
    return sorted(counts.items(), key=lambda item: -item[1])


# --- the confirmation ------------------------------------------------------------------------------------------------


async def confirm(request: Request) -> Response:
    """Request what the preview showed, and go to its run."""
    form = await read_form(request)
    return await run_in_threadpool(_confirm, request, form)


def _confirm(request: Request, form: Form) -> Response:
    workspace = workspace_of(request)
    shown = read_token("".join(form.get("token", ())))
    with asked(request) as snapshot:
        around = frame(request, snapshot, request.path_params["company"])
        page = f"/{quote(around.code)}/sync/{shown.id}"
        if snapshot.run(shown.id) is not None:
            return RedirectResponse(page, status_code=303)
    # Both systems are asked while no snapshot is held.
    if obstacles := workspace.obstacles(shown.kind, fresh=True):
        return _refused(request, " ".join(obstacles))
    with asked(request) as snapshot:
        confirmed = previews.confirm(snapshot, workspace.settings, _company(around), shown)
    if not confirmed.request.tasks:
        return _refused(
            request,
            "All documents of the preview have changed and no longer need these calls. Open the preview again.",
        )
    wait_until_applied(workspace.reader, workspace.topic_writer.send(sync_commands(confirmed.request)))
    changed = len(confirmed.changed)
    at = int(time_now())
    return RedirectResponse(f"{page}?requested={at}" + (f"&changed={changed}" if changed else ""), status_code=303)


def _refused(request: Request, text: str) -> Response:
    response = render(request, "message.html", {"title": "Sync not started", "text": text, "status": 409})
    response.status_code = 409
    return response


# --- a run -----------------------------------------------------------------------------------------------------------


def run(request: Request) -> Response:
    """The progress of a run; once it is finished, its result by document."""
    query = request.query_params
    with asked(request) as snapshot:
        around = frame(request, snapshot, request.path_params["company"], *dates(request.query_params))
        found = _run(request, snapshot, around)
        waits = _waits(query.get("requested", ""), snapshot.now)
        if found is None and not waits:
            raise QueryError("there is no sync run of this address.")
        context = _around(request, snapshot, around)
        page = int(text) if re.fullmatch(r"[1-9]\d{0,5}", text := query.get("page", "1"), re.ASCII) else 1
        page = min(page, max(1, -(-found.arrived // LISTED))) if found else 1
        documents = snapshot.run_documents(found.id, LISTED, (page - 1) * LISTED) if found else []
        known = {row.document.document: row for row in snapshot.documents_named({one.document for one in documents})}
        now = microseconds(snapshot.now)
        context |= {
            "section": "sync",
            "windowless": True,
            "run": found,
            "states": STATE_NAMES,
            "parts": _parts(found, found.documents) if found else {},
            "actions": _by_action(found) if found else [],
            "documents": [
                (
                    one,
                    _address(around, one.document, documents=one.document in known, action=one.action),
                    known[one.document].status if one.document in known else "",
                )
                for one in documents
            ],
            "done_as": ACTION_TEXTS,
            "of": ATTEMPTS_MAX,
            "result": result(found) if found else "",
            "remaining": _remaining(found, now) if found else None,
            "poll": POLL_SECONDS if found is None or not found.finished else None,
            "stalled": found is not None and found.stalled(now),
            "noun": _noun(found, bool(known)) if found else "document",
            "late": waits,
            "changed": int(query["changed"]) if re.fullmatch(r"\d{1,6}", query.get("changed", ""), re.ASCII) else 0,
            "pages": _pages(request, around, found, page) if found else {},
            "csv": f"/{quote(around.code)}/sync/{request.path_params['run']}.csv",
            "runs": f"/{quote(around.code)}/sync{around.dated()}",
        }
    return render(request, "sync_run.html", context)


def _waits(requested: str, now: datetime) -> str:
    """How long ago a run was requested that is not here yet, in words; '' where none was, or too long ago."""
    if not re.fullmatch(r"\d{1,12}", requested, re.ASCII):
        return ""
    seconds = int(now.timestamp()) - int(requested)
    return age(int(requested) * SECOND, now) if -60 <= seconds <= LOST_SECONDS else ""


def _noun(found: RunProgress, of_documents: bool) -> str:
    """What a run is of, in the singular."""
    if set(found.counts) == {JOURNAL}:
        return "journal"
    return "document" if of_documents or not found.documents else "error"


def run_csv(request: Request) -> Response:
    """The result of a run by document, as a file."""
    with asked(request) as snapshot:
        around = frame(request, snapshot, request.path_params["company"])
        found = _run(request, snapshot, around)
        if found is None:
            raise QueryError("there is no sync run of this address.")
        documents = snapshot.run_documents(found.id)
    titles = ["Document", "Action", "Status", "Attempts", "Last attempt", "Outcome", "Response", "Next attempt"]
    return csv_response(f"{around.code}-sync-{found.id}", titles, (_result_line(one) for one in documents))


def _result_line(one: RunDocument) -> list[Any]:
    last, due = iso(one.last_at) if one.last_at else "", iso(one.due) if one.state == "retrying" else ""
    return [one.document, one.action, STATE_NAMES[one.state], one.made, last, one.outcome, one.text, due]


def _run(request: Request, snapshot: Snapshot, around: Frame) -> RunProgress | None:
    found = snapshot.run(request.path_params["run"])
    return found if found is not None and found.company == around.code else None


def _parts(found: RunProgress, documents: int, action: str | None = None) -> dict[str, Any]:
    """How far so many documents are: those of an action, or all of a run. Those that have not arrived wait."""
    done, failed, running = (found.count(*states, action=action) for states in (DONE, FAILED, ("running",)))
    return {
        "action": action,
        "documents": documents,
        "done": done,
        "failed": failed,
        "running": running,
        "waiting": documents - done - failed - running,
    }


def _by_action(found: RunProgress) -> list[dict[str, Any]]:
    return [_parts(found, sum(states.values()), action) for action, states in found.counts.items()]


def result(found: RunProgress) -> str:
    """What came of a run so far, in words: `34 succeeded, 2 need attention`."""
    words: Sequence[tuple[str, str, Sequence[RunState]]] = (
        ("succeeded", "succeeded", ("succeeded",)),
        ("no longer needed", "no longer needed", ("not-needed",)),
        ("needs attention", "need attention", ("needs-attention",)),
        ("blocked", "blocked", ("blocked",)),
        ("superseded", "superseded", ("superseded",)),
        ("in progress", "in progress", ("running",)),
        ("waiting", "waiting", WAITING),
    )
    parts = [
        f"{number:,} {one if number == 1 else several}"
        for one, several, states in words
        if (number := found.count(*states))
    ]
    return ", ".join(parts) or ("nothing to sync" if not found.documents else "requested")


def _remaining(found: RunProgress, now: int) -> str | None:
    """The remaining time in words; None while it cannot be estimated."""
    left = found.remaining(now)
    if left is None:
        return None
    seconds = -(-left // SECOND)
    return f"{seconds} s" if seconds < 90 else f"{-(-seconds // 60)} min"


def _pages(request: Request, around: Frame, found: RunProgress, page: int) -> dict[str, str]:
    last = -(-found.arrived // LISTED)
    return {
        title: f"{request.url.path}?page={number}" + around.dated().replace("?", "&")
        for title, number in (("Previous", page - 1), ("Next", page + 1))
        if 1 <= number <= last
    }


def _address(around: Frame, name: str, *, documents: bool, action: str = "") -> str:
    """Where a name leads: to the document, to the general journals, or to the errors."""
    if documents:
        return document_address(name, around.dated())
    return f"/{quote(around.code)}/" + ("general-journals" if action == "journal" else "errors")


# --- the runs of a company -------------------------------------------------------------------------------------------


def runs(request: Request) -> Response:
    """The recurring job with its last result and its next run, and the last runs of everybody."""
    settings = workspace_of(request).settings
    with asked(request) as snapshot:
        around = frame(request, snapshot, request.path_params["company"], *dates(request.query_params))
        context = _around(request, snapshot, around)
        found = snapshot.runs(around.code, RUNS_LISTED)
        jobs = snapshot.runs(around.code, 1, by_person=False)
        base = f"/{quote(around.code)}/sync"
        at = None if settings.sync_at == "never" else time.fromisoformat(settings.sync_at)
        context |= {
            "section": "sync",
            "windowless": True,
            "runs": [(one, result(one), f"{base}/{one.id}") for one in found],
            "job": (jobs[0], result(jobs[0]), f"{base}/{jobs[0].id}") if jobs else None,
            "job_at": settings.sync_at,
            "job_next": _next(snapshot, around, at) if at is not None else "",
            "recurring": RECURRING,
            "everything": sync_preview(around.code, around.dates),
            "run_now": sync_preview(around.code, {**around.dates, "job": "1"}),
            "days": settings.error_history_days,
            "refresh": f"{base}{around.dated()}",
        }
    return render(request, "sync_runs.html", context)


def _next(snapshot: Snapshot, around: Frame, at: time) -> str:
    turn = snapshot.last_job_day(f"sync {around.code}")
    following = next_run(snapshot.now.astimezone(around.zone), at, date.fromisoformat(turn) if turn else None)
    return "" if following is None else around.locale.time(microseconds(following), around.zone)
