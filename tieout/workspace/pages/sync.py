"""The Sync pages: preview, confirmation, progress of a run, and the runs of a company (R40, R41, R47)."""

import re
from collections.abc import Iterable
from datetime import date, datetime, time
from functools import partial
from time import time as time_now
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.calendar import Company, next_run
from engine.errorlog.lifecycle import subject_of
from engine.errors import NotFound, QueryError
from engine.events.facts import iso, microseconds
from engine.sync.actions import ACTION_TEXTS, SYSTEMS, Skipped, Step, filled
from engine.sync.attempts import ATTEMPTS_MAX, SECOND
from engine.sync.general_journals import ACTION as JOURNAL
from store.operational.sync_runs import DONE, FAILED, RunDocument, RunProgress
from store.queries.snapshot import Snapshot
from tieout.presenters import OUTCOMES
from tieout.sync import previews
from tieout.sync.command_topic import sync_commands, wait_until_applied
from tieout.sync.general_journals import STATE_LABELS
from tieout.sync.planning import RECURRING, VIEWS
from tieout.sync.previews import Candidate, Preview, read_token
from tieout.texts import ENGLISH, Texts
from tieout.workspace.pages import Section
from tieout.workspace.pages.document import address as document_address
from tieout.workspace.pages.summary import amounts_context
from tieout.workspace.web import grid_state
from tieout.workspace.web.context import Frame, age, make_frame, open_snapshot, texts_of, workspace_of
from tieout.workspace.web.csv_export import csv_response
from tieout.workspace.web.grid_state import PATHS, GridState, dates, sync_preview
from tieout.workspace.web.identity import identity_of, require_document
from tieout.workspace.web.posted_form import Form, read_form
from tieout.workspace.web.rendering import label, render, sentence
from tieout.workspace.web.run_texts import STATE_NAMES, STATE_TONES, remaining_time, result
from tieout.workspace.web.scopes import of_grid, recorded

LISTED: Final = 200
"""Documents of a preview or a run on a page; its file has all of them."""
RUNS_LISTED: Final = 20
POLL_SECONDS: Final = 2
LOST_SECONDS: Final = 3_600
"""How long a page waits for a requested run that the store does not have yet."""


def _company(frame: Frame) -> Company:
    assert frame.company is not None
    return frame.company


def _page_context(request: Request, snapshot: Snapshot, frame: Frame) -> dict[str, Any]:
    """Return the shared context of the Dual-write pages, without amounts if several currencies have no total.

    A sync needs no totals.
    """
    try:
        return amounts_context(request, snapshot, frame)
    except QueryError:
        return amounts_context(request, snapshot, msgspec.structs.replace(frame, window=None))


# --- the preview -----------------------------------------------------------------------------------------------------


def preview(request: Request) -> Response:
    """Show what a sync would do; nothing is sent.

    The address selects the scope: a grid (`kind` with its state), a `document`, `journal`s, `error`s, or all documents
    of the window.
    """
    workspace = workspace_of(request)
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.path_params["company"], *dates(request.query_params))
        plan, back, instead, scope = _requested_preview(request, snapshot, frame)
        context = _page_context(request, snapshot, frame)
    context |= {
        "section": "sync",
        "windowless": True,
        "preview": plan,
        "scope": scope,
        "cause_label": partial(_cause_label, frame.texts),
        "back": back,
        "instead": instead,
        "facts": _facts(plan),
        "calls": _calls(plan),
        "left": _skipped_rows(plan, frame.texts),
        "synced": plan.synced[:LISTED],
        "address_of": lambda name: _address(frame, name, documents=plan.kind == "documents"),
        "done_as": ACTION_TEXTS,
        "obstacles": lambda: _shown(workspace.obstacles(plan.kind), frame.texts) if plan.tasks else [],
        "csv": f"/{quote(frame.code, safe='')}/sync/preview.csv?{request.url.query}",
        "of": ATTEMPTS_MAX,
    }
    return render(request, "sync_preview.html", context)


def preview_csv(request: Request) -> Response:
    """Return every document of a preview as a CSV file: its call, or the reason it is skipped."""
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.path_params["company"], *dates(request.query_params))
        plan, *_ = _requested_preview(request, snapshot, frame)
    titles = ["Document", "Cause", "Action", "System", "Subject", "Reason skipped"]
    return csv_response(
        f"{frame.code}-sync-preview", titles, (_candidate_line(candidate) for candidate in plan.candidates)
    )


def _candidate_line(candidate: Candidate) -> list[Any]:
    if isinstance(candidate.step, Skipped):
        return [candidate.name, candidate.cause, "", "", "", candidate.step.reason]
    return [
        candidate.name,
        candidate.cause,
        candidate.step.action,
        SYSTEMS[candidate.step.action],
        candidate.step.subject,
        "",
    ]


def _requested_preview(request: Request, snapshot: Snapshot, frame: Frame) -> tuple[Preview, str, str | None, str]:
    """Return the preview of an address, the page to return to, the address of the preview of all documents, and the
    scope for the reader.
    """
    plan, back, state = _preview_of_address(request, snapshot, frame)
    if state is None:
        return plan, back, None, recorded(plan.scope, frame.texts)
    return plan, back, sync_preview(frame.code, frame.dates), of_grid(state, frame.texts)


def _preview_of_address(request: Request, snapshot: Snapshot, frame: Frame) -> tuple[Preview, str, GridState | None]:
    """Return the preview of an address, the page to return to, and the state of the grid that it is of."""
    settings, company, query = workspace_of(request).settings, _company(frame), request.query_params
    base = f"/{quote(frame.code)}"
    if "document" in query:
        name = query["document"]
        if not name:
            raise NotFound("there is no document without a name.")
        require_document(request, name)
        return previews.of_document(snapshot, settings, company, name), document_address(name, frame.dated()), None
    if journals := query.getlist("journal"):
        numbers = None if journals == ["all"] else journals
        return previews.of_journals(snapshot, company, numbers), f"{base}/general-journals", None
    if errors := query.getlist("error"):
        keys = frozenset(errors)
        plan = previews.of_errors(snapshot, settings, company, lambda entry: subject_of(entry.message).key in keys)
        return plan, f"{base}/errors", None
    if frame.window is None:
        raise QueryError(frame.problem or "select a start date and an end date.")
    kind = query.get("kind", "")
    if kind:
        if kind not in PATHS:
            raise QueryError("there is no kind %(name)r; there are %(names)s.", name=kind, names=", ".join(PATHS))
        state = msgspec.structs.replace(grid_state.read(frame.code, kind, query).from_start(), opened="")
        state = msgspec.structs.replace(state, company=frame.code, sort="date")
        grid_query = state.query(frame.window, frame.zone)
        views = [view for view in VIEWS if state.view in ("all", view)]
        queries = [msgspec.structs.replace(grid_query, view=view) for view in views]
        plan = previews.of_rows(snapshot, settings, company, queries, of_grid(state, ENGLISH))
        return plan, state.address(), state
    job = query.get("job") == "1"
    return previews.of_window(snapshot, settings, company, frame.window, job=job), f"{base}/sync{frame.dated()}", None


def _shown(obstacles: Iterable[str], texts: Texts) -> list[str]:
    """Return obstacles for the reader. What a system responds is not translated."""
    return [texts.of_code(previews.OBSTACLE, reason) for reason in obstacles]


def _cause_label(texts: Texts, cause: str) -> str:
    """Return the label of the cause of a candidate: that of a document, or the state of a journal."""
    states = {text: state for state, text in STATE_LABELS.items()}
    return sentence(texts.of_code(states[cause], cause)) if cause in states else label(cause, texts)


def _facts(plan: Preview) -> dict[str, Any]:
    calls = plan.tasks
    return {
        "synced": len(plan.synced),
        "amounts": _amounts(plan.synced),
        "calls": len(calls),
        "systems": [
            (system, number)
            for system in ("Finance", "Dataverse")
            if (number := sum(SYSTEMS[task.action] == system for task in calls))
        ],
        "left": len(plan.left),
        "left_amounts": _amounts(plan.left),
        "queued": len(plan.waiting),
        "unknown": sum(candidate.amount is None for candidate in plan.synced) if plan.kind == "documents" else 0,
    }


def _amounts(candidates: Iterable[Candidate]) -> list[tuple[str, int]]:
    """Return the exact totals by accounting currency."""
    sums: dict[str, int] = {}
    for candidate in candidates:
        if candidate.amount is not None:
            sums[candidate.currency or ""] = sums.get(candidate.currency or "", 0) + candidate.amount
    return sorted(sums.items())


def _calls(plan: Preview) -> list[dict[str, Any]]:
    """Return the calls grouped by action, in the order of their first document."""
    rows: dict[str, list[Candidate]] = {}
    for candidate in plan.synced:
        assert isinstance(candidate.step, Step)
        rows.setdefault(candidate.step.action, []).append(candidate)
    return [
        {
            "action": action,
            "system": SYSTEMS[action],
            "causes": _cause_counts(candidate.cause for candidate in candidates),
            "documents": len(candidates),
            "calls": len({candidate.step.subject for candidate in candidates if isinstance(candidate.step, Step)}),
            "amounts": _amounts(candidates),
        }
        for action, candidates in rows.items()
    ]


def _skipped_rows(plan: Preview, texts: Texts) -> list[dict[str, Any]]:
    """Return the skipped documents grouped by cause and reason, with the first ones of each."""
    rows: dict[tuple[str, Skipped], list[Candidate]] = {}
    for candidate in plan.left:
        assert isinstance(candidate.step, Skipped)
        rows.setdefault((candidate.cause, candidate.step), []).append(candidate)
    return [
        {
            "cause": cause,
            "why": filled(texts.of_code(why.code, why.template), why.lines),
            "documents": len(candidates),
            "amounts": _amounts(candidates),
            "first": candidates[:LISTED],
        }
        for (cause, why), candidates in sorted(rows.items(), key=lambda item: -len(item[1]))
    ]


def _cause_counts(causes: Iterable[str]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for cause in causes:
        counts[cause] = counts.get(cause, 0) + 1
    return sorted(counts.items(), key=lambda item: -item[1])


# --- the confirmation ------------------------------------------------------------------------------------------------


async def confirm(request: Request) -> Response:
    """Request the calls of the preview, and redirect to the run."""
    form = await read_form(request)
    return await run_in_threadpool(_confirm, request, form)


def _confirm(request: Request, form: Form) -> Response:
    workspace = workspace_of(request)
    request_form = read_token("".join(form.get("token", ())))
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.path_params["company"])
        page = f"/{quote(frame.code)}/sync/{request_form.id}"
        if snapshot.run(request_form.id) is not None:
            return RedirectResponse(page, status_code=303)
    # No snapshot is open while both systems are called.
    if obstacles := workspace.obstacles(request_form.kind, fresh=True):
        return _refusal(request, " ".join(_shown(obstacles, frame.texts)))
    with open_snapshot(request) as snapshot:
        who = identity_of(request).name
        confirmed = previews.confirm(snapshot, workspace.settings, _company(frame), request_form, who)
    if not confirmed.request.tasks:
        text = "All documents of the preview have changed and no longer need these calls. Open the preview again."
        return _refusal(request, frame.texts.gettext(text))
    wait_until_applied(workspace.reader, workspace.topic_writer.send(sync_commands(confirmed.request)))
    changed = len(confirmed.changed)
    at = int(time_now())
    return RedirectResponse(f"{page}?requested={at}" + (f"&changed={changed}" if changed else ""), status_code=303)


def _refusal(request: Request, text: str) -> Response:
    title = texts_of(request).gettext("Sync not started")
    response = render(request, "message.html", {"title": title, "text": text, "status": 409})
    response.status_code = 409
    return response


# --- a run -----------------------------------------------------------------------------------------------------------


def run(request: Request) -> Response:
    """Show the progress of a run; once it has finished, the result by document."""
    query = request.query_params
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.path_params["company"], *dates(request.query_params))
        progress = _run(request, snapshot, frame)
        waits = _waiting_time(query.get("requested", ""), snapshot.now, frame.texts)
        if progress is None and not waits:
            raise NotFound("there is no sync run of this address.")
        context = _page_context(request, snapshot, frame)
        page = int(text) if re.fullmatch(r"[1-9]\d{0,5}", text := query.get("page", "1"), re.ASCII) else 1
        page = min(page, max(1, -(-progress.arrived // LISTED))) if progress else 1
        documents = snapshot.run_documents(progress.id, LISTED, (page - 1) * LISTED) if progress else []
        rows = {row.document.document: row for row in snapshot.documents_named({item.document for item in documents})}
        now = microseconds(snapshot.now)
        context |= {
            "section": "sync",
            "windowless": True,
            "run": progress,
            "states": STATE_NAMES,
            "run_tones": STATE_TONES,
            "parts": _progress(progress, progress.documents) if progress else {},
            "actions": _by_action(progress) if progress else [],
            "documents": [
                (
                    item,
                    _address(frame, item.document, documents=item.document in rows, action=item.action),
                    rows[item.document].status if item.document in rows else "",
                )
                for item in documents
            ],
            "recorded": partial(recorded, texts=frame.texts),
            "done_as": ACTION_TEXTS,
            "outcomes": OUTCOMES,
            "of": ATTEMPTS_MAX,
            "result": result(progress, frame.texts) if progress else "",
            "remaining": remaining_time(progress, now, frame.texts) if progress else None,
            "poll": POLL_SECONDS if progress is None or not progress.finished else None,
            "stalled": progress is not None and progress.stalled(now),
            "kind": _subjects(progress, bool(rows)) if progress else "documents",
            "late": waits,
            "changed": int(query["changed"]) if re.fullmatch(r"\d{1,6}", query.get("changed", ""), re.ASCII) else 0,
            "pages": _pages(request, frame, progress, page) if progress else {},
            "csv": f"/{quote(frame.code)}/sync/{request.path_params['run']}.csv",
            "runs": f"/{quote(frame.code)}/sync{frame.dated()}",
        }
    return render(request, "sync_run.html", context)


def _waiting_time(requested: str, now: datetime, texts: Texts) -> str:
    """Return how long ago a run was requested that the store does not have yet; '' without one or after too long."""
    if not re.fullmatch(r"\d{1,12}", requested, re.ASCII):
        return ""
    seconds = int(now.timestamp()) - int(requested)
    return age(int(requested) * SECOND, now, texts) if -60 <= seconds <= LOST_SECONDS else ""


def _subjects(progress: RunProgress, of_documents: bool) -> previews.Kind:
    """Return what a run is for."""
    if set(progress.counts) == {JOURNAL}:
        return "journals"
    return "documents" if of_documents or not progress.documents else "errors"


def run_csv(request: Request) -> Response:
    """Return the result of a run by document as a CSV file."""
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.path_params["company"])
        progress = _run(request, snapshot, frame)
        if progress is None:
            raise NotFound("there is no sync run of this address.")
        documents = snapshot.run_documents(progress.id)
    titles = ["Document", "Action", "Status", "Attempts", "Last attempt", "Outcome", "Response", "Next attempt"]
    return csv_response(f"{frame.code}-sync-{progress.id}", titles, (_result_line(item) for item in documents))


def _result_line(item: RunDocument) -> list[Any]:
    last, due = iso(item.last_at) if item.last_at else "", iso(item.due) if item.state == "retrying" else ""
    return [item.document, item.action, STATE_NAMES[item.state], item.made, last, item.outcome, item.text, due]


def _run(request: Request, snapshot: Snapshot, frame: Frame) -> RunProgress | None:
    progress = snapshot.run(request.path_params["run"])
    return progress if progress is not None and progress.company == frame.code else None


def _progress(progress: RunProgress, documents: int, action: str | None = None) -> dict[str, Any]:
    """Return the progress of `documents` of a run or of one of its actions. Those that have not arrived are waiting."""
    done, failed, running = (progress.count(*states, action=action) for states in (DONE, FAILED, ("running",)))
    return {
        "action": action,
        "documents": documents,
        "done": done,
        "failed": failed,
        "running": running,
        "waiting": documents - done - failed - running,
    }


def _by_action(progress: RunProgress) -> list[dict[str, Any]]:
    return [_progress(progress, sum(states.values()), action) for action, states in progress.counts.items()]


def _pages(request: Request, frame: Frame, progress: RunProgress, page: int) -> dict[str, str]:
    last = -(-progress.arrived // LISTED)
    titles = {frame.texts.gettext("Previous"): page - 1, frame.texts.gettext("Next"): page + 1}
    return {
        title: f"{request.url.path}?page={number}" + frame.dated().replace("?", "&")
        for title, number in titles.items()
        if 1 <= number <= last
    }


def _address(frame: Frame, name: str, *, documents: bool, action: str = "") -> str:
    """Return the address of a name: its document, the general journals, or the errors."""
    if documents:
        return document_address(name, frame.dated())
    return f"/{quote(frame.code)}/" + ("general-journals" if action == "journal" else "errors")


# --- the runs of a company -------------------------------------------------------------------------------------------


def runs(request: Request) -> Response:
    """Show the recurring job with its last result and next run, and the last runs of the company."""
    settings = workspace_of(request).settings
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.path_params["company"], *dates(request.query_params))
        context = _page_context(request, snapshot, frame)
        progresses = snapshot.runs(frame.code, RUNS_LISTED)
        jobs = snapshot.runs(frame.code, 1, by_person=False)
        base = f"/{quote(frame.code)}/sync"
        at = None if settings.sync_at == "never" else time.fromisoformat(settings.sync_at)
        context |= {
            "section": "sync",
            "windowless": True,
            "runs": [(progress, result(progress, frame.texts), f"{base}/{progress.id}") for progress in progresses],
            "job": (jobs[0], result(jobs[0], frame.texts), f"{base}/{jobs[0].id}") if jobs else None,
            "recorded": partial(recorded, texts=frame.texts),
            "job_at": settings.sync_at,
            "job_next": _next(snapshot, frame, at) if at is not None else "",
            "recurring": RECURRING,
            "everything": sync_preview(frame.code, frame.dates),
            "run_now": sync_preview(frame.code, {**frame.dates, "job": "1"}),
            "days": settings.error_history_days,
            "refresh": f"{base}{frame.dated()}",
        }
    return render(request, "sync_runs.html", context)


def _next(snapshot: Snapshot, frame: Frame, at: time) -> str:
    turn = snapshot.last_job_day(f"sync {frame.code}")
    following = next_run(snapshot.now.astimezone(frame.zone), at, date.fromisoformat(turn) if turn else None)
    return "" if following is None else frame.locale.time(microseconds(following), frame.zone)


ROUTES: Final = (
    Route("/{company}/sync", runs, methods=["GET"]),
    Route("/{company}/sync", confirm, methods=["POST"]),
    Route("/{company}/sync/preview", preview),
    Route("/{company}/sync/preview.csv", preview_csv),
    Route("/{company}/sync/{run}.csv", run_csv),
    Route("/{company}/sync/{run}", run),
)
SECTIONS: Final = (
    Section(80, "operation", "sync", lambda frame: frame.texts.gettext("Sync runs"), "sync", dated=True),
)
