"""The page of general journals not confirmed in Dataverse, and its CSV file (R61, R62)."""

from typing import Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.errorlog.lifecycle import Subject
from engine.events.facts import iso
from engine.sync.attempts import ATTEMPTS_MAX
from engine.sync.general_journals import PROCESS, STEP_OF
from tieout.sync.general_journals import STATE_LABELS, JournalStatus, journal_statuses
from tieout.workspace.pages import Section
from tieout.workspace.web.context import make_frame, open_snapshot
from tieout.workspace.web.csv_export import csv_response
from tieout.workspace.web.grid_state import sync_preview
from tieout.workspace.web.rendering import render, sentence

STEP_LABELS: Final = {step: sentence(step) for step in dict.fromkeys(STEP_OF.values())}
"""The label of each step that can fail, by its code."""


def journals(request: Request) -> Response:
    """Show each journal with its attempt count, last error and recommended action."""
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.path_params["company"])
        statuses = journal_statuses(snapshot, frame.code)
        context = {
            "frame": frame,
            "section": "general-journals",
            "journals": [
                (status, sync_preview(status.company, {"journal": status.journal}), *_entry(status))
                for status in statuses
            ],
            "sync_all": sync_preview(frame.code, {"journal": "all"}),
            "states": STATE_LABELS,
            "steps": STEP_LABELS,
            "of": ATTEMPTS_MAX,
            "csv": f"/{quote(frame.code)}/general-journals.csv",
        }
        return render(request, "journals.html", context)


def _entry(status: JournalStatus) -> tuple[str, str]:
    """Return the addresses of a journal's error history and of the page that deletes its log entry; '' without one."""
    if not status.error:
        return "", ""
    base = f"/{quote(status.company)}/errors"
    about = urlencode({"process": PROCESS, "about": status.about}, quote_via=quote)
    return f"{base}/history?{about}", f"{base}/delete?error={Subject(status.company, PROCESS, status.about).key}"


def journals_csv(request: Request) -> Response:
    """Return the list as a CSV file."""
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.path_params["company"])
        statuses = journal_statuses(snapshot, frame.code)
    titles = [
        *("Journal", "Company", "Posted", "Status", "Step", "Count", "Last attempt", "Next attempt"),
        *("Code", "Error message", "Reason", "Recommended action"),
    ]
    lines = (
        [
            *(
                status.journal,
                status.company,
                status.posted or "",
                sentence(STATE_LABELS[status.state]),
                status.step or "",
                status.count,
            ),
            *(iso(at) if at else "" for at in (status.last, status.next)),
            *(status.code, status.error, status.reason, status.todo),
        ]
        for status in statuses
    )
    return csv_response(f"{frame.code}-general-journals", titles, lines)


ROUTES: Final = (
    Route("/{company}/general-journals", journals),
    Route("/{company}/general-journals.csv", journals_csv),
)
SECTIONS: Final = (
    Section(60, "troubleshoot", "general-journals", lambda frame: frame.texts.gettext("General journals"), "journal"),
)
