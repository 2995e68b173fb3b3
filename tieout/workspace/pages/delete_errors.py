"""Deleting errors: a page that names them and asks for the reason, and what its form does (R55)."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from engine.errorlog.lifecycle import subject_of
from engine.errors import QueryError
from store.errorlog.error_log import ErrorEntry
from tieout.sync.command_topic import current_user, deletion_commands, retried_journals, wait_until_applied
from tieout.workspace.pages.troubleshoot import State, read_state, rows_of, sections
from tieout.workspace.web.context import Frame, asked, frame, workspace_of
from tieout.workspace.web.posted_form import Form, read_form
from tieout.workspace.web.rendering import render

FORM_BYTES_MAX: Final = 1024 * 1024


class Asked(msgspec.Struct, frozen=True):
    """What a form said that cannot be done yet, to be shown again."""

    who: str
    why: str
    problem: str = ""


def confirm(request: Request) -> Response:
    """The page before: the errors of the list's address, or one of them, and the form."""
    return _page(request, _current(request), request.query_params.getlist("error"), Asked(current_user(), ""))


async def delete(request: Request) -> Response:
    """Delete the errors that the page before showed, and go back to the list."""
    form = await read_form(request, FORM_BYTES_MAX)
    return await run_in_threadpool(_delete, request, form)


def _current(request: Request) -> State:
    """The state of the list that the address has, for errors that are current: only those can be deleted."""
    return msgspec.structs.replace(read_state(request), history=False)


def _page(request: Request, state: State, chosen: Sequence[str], told: Asked) -> Response:
    with asked(request) as snapshot:
        around = frame(request, snapshot, state.company)
        rows = rows_of(snapshot, around, state)
        if chosen:
            rows = [row for row in rows if _key(row.entry) in chosen]
        context: dict[str, Any] = {
            "frame": around,
            "tab": "troubleshoot",
            "section": "errors",
            "sections": sections(around),
            "state": state,
            "rows": rows,
            "seen": [_seen(row.entry) for row in rows],
            "retried": retried_journals(row.entry for row in rows),
            "told": told,
        }
        response = render(request, "error_delete.html", context)
        response.status_code = 400 if told.problem else 200
        return response


def _delete(request: Request, form: Form) -> Response:
    workspace = workspace_of(request)
    state = _current(request)
    who, why = ("".join(form.get(name, ())).strip() for name in ("who", "why"))
    seen = frozenset(form.get("seen", ()))
    if not who or not why:
        problem = "Say why, and who you are: both stay in the history."
        return _page(request, state, [one.partition("@")[0] for one in seen], Asked(who, why, problem))
    with asked(request) as snapshot:
        around = frame(request, snapshot, state.company)
        chosen = [row.entry for row in rows_of(snapshot, around, state) if _seen(row.entry) in seen]
    if not chosen:
        raise QueryError("nothing was deleted: none of these errors is current any more.")
    sent = workspace.topic_writer.send(deletion_commands(chosen, who, why))
    if not wait_until_applied(workspace.reader, sent):
        return _to_come(request, around, len(chosen))
    return RedirectResponse(state.address(), status_code=303)


def _to_come(request: Request, around: Frame, number: int) -> Response:
    text = (
        f"{around.locale.number(number)} {'error is' if number == 1 else 'errors are'} to be deleted. The worker has "
        "not come to it yet: look at Operation for how far it is."
    )
    response = render(request, "message.html", {"title": "Asked for", "text": text, "status": 202})
    response.status_code = 202
    return response


def _key(entry: ErrorEntry) -> str:
    return subject_of(entry.message).key


def _seen(entry: ErrorEntry) -> str:
    """An error as somebody saw it: its subject, and when it came; a later one of the subject is another."""
    return f"{_key(entry)}@{entry.message.evidence.at}"
