"""Deletion of errors: the confirmation page with the reason, and the form it sends (R55)."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.errorlog.lifecycle import subject_of
from engine.errors import NotFound
from store.errorlog.error_log import ErrorEntry
from tieout.sync.command_topic import deletion_commands, retried_journals, wait_until_applied
from tieout.workspace.pages.troubleshoot import ErrorListState, error_rows, read_state
from tieout.workspace.web.context import Frame, make_frame, open_snapshot, texts_of, workspace_of
from tieout.workspace.web.identity import identity_of
from tieout.workspace.web.posted_form import Form, read_form
from tieout.workspace.web.rendering import render

FORM_BYTES_MAX: Final = 1024 * 1024


class Entered(msgspec.Struct, frozen=True):
    """The values of an incomplete form, shown again with the problem."""

    reason: str
    problem: str = ""


def confirm(request: Request) -> Response:
    """Show the errors of the list's address, or one of them, with the form that deletes them."""
    return _page(request, _current(request), request.query_params.getlist("error"), Entered(""))


async def delete(request: Request) -> Response:
    """Delete the errors that the confirmation page listed, and return to the list."""
    form = await read_form(request, FORM_BYTES_MAX)
    return await run_in_threadpool(_delete, request, form)


def _current(request: Request) -> ErrorListState:
    """Return the state of the list that the address has, without history: only current errors can be deleted."""
    return msgspec.structs.replace(read_state(request), history=False)


def _page(request: Request, state: ErrorListState, chosen: Sequence[str], entered: Entered) -> Response:
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, state.company)
        rows = error_rows(snapshot, frame, state)
        if chosen:
            rows = [row for row in rows if _key(row.entry) in chosen]
        context: dict[str, Any] = {
            "frame": frame,
            "section": "errors",
            "state": state,
            "rows": rows,
            "listed": [_reference(row.entry) for row in rows],
            "retried": retried_journals(row.entry for row in rows),
            "entered": entered,
        }
        response = render(request, "error_delete.html", context)
        response.status_code = 400 if entered.problem else 200
        return response


def _delete(request: Request, form: Form) -> Response:
    workspace = workspace_of(request)
    state = _current(request)
    reason = "".join(form.get("why", ())).strip()
    listed = frozenset(form.get("seen", ()))
    if not reason:
        keys = [reference.partition("@")[0] for reference in listed]
        problem = texts_of(request).gettext("Enter a reason. It is recorded in the history.")
        return _page(request, state, keys, Entered(reason, problem))
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, state.company)
        chosen = [row.entry for row in error_rows(snapshot, frame, state) if _reference(row.entry) in listed]
    if not chosen:
        raise NotFound("nothing was deleted: none of these errors is current any more.")
    sent = workspace.topic_writer.send(deletion_commands(chosen, identity_of(request).name, reason))
    if not wait_until_applied(workspace.reader, sent):
        return _requested(request, frame, len(chosen))
    return RedirectResponse(state.address(), status_code=303)


def _requested(request: Request, frame: Frame, number: int) -> Response:
    text = frame.texts.ngettext(
        "Deletion of %(number)s error requested. The worker hasn't processed the request yet: Operation shows its lag.",
        "Deletion of %(number)s errors requested. The worker hasn't processed the request yet: "
        "Operation shows its lag.",
        number,
        number=frame.locale.number(number),
    )
    title = frame.texts.gettext("Request sent")
    response = render(request, "message.html", {"title": title, "text": text, "status": 202})
    response.status_code = 202
    return response


def _key(entry: ErrorEntry) -> str:
    return subject_of(entry.message).key


def _reference(entry: ErrorEntry) -> str:
    """Return the reference of an error in the form: its subject's key and its time.

    A later error of the same subject has another reference, so it is not deleted unseen.
    """
    return f"{_key(entry)}@{entry.message.evidence.at}"


ROUTES: Final = (
    Route("/{company}/errors/delete", confirm, methods=["GET"]),
    Route("/{company}/errors/delete", delete, methods=["POST"]),
)
