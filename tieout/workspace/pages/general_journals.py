"""The page of general journals that are not through to Dataverse (R61, R62), and its file."""

from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from engine.errorlog.lifecycle import Subject
from engine.events.facts import iso
from engine.sync.attempts import ATTEMPTS_MAX
from engine.sync.general_journals import PROCESS
from tieout.sync.general_journals import STATE_LABELS, JournalStatus, journal_statuses
from tieout.workspace.pages.troubleshoot import sections
from tieout.workspace.web.context import asked, frame
from tieout.workspace.web.csv_export import csv_response
from tieout.workspace.web.grid_state import sync_preview
from tieout.workspace.web.rendering import render, sentence


def journals(request: Request) -> Response:
    """The journals, each with its count, what failed last, what to do, and how a new round begins."""
    with asked(request) as snapshot:
        around = frame(request, snapshot, request.path_params["company"])
        found = journal_statuses(snapshot, around.code)
        context = {
            "frame": around,
            "tab": "troubleshoot",
            "section": "general-journals",
            "sections": sections(around),
            "journals": [(one, sync_preview(one.company, {"journal": one.journal}), *_entry(one)) for one in found],
            "sync_all": sync_preview(around.code, {"journal": "all"}),
            "states": STATE_LABELS,
            "of": ATTEMPTS_MAX,
            "csv": f"/{quote(around.code)}/general-journals.csv",
        }
        return render(request, "journals.html", context)


def _entry(one: JournalStatus) -> tuple[str, str]:
    """The addresses of the history of what was logged, and of the page that deletes it; '' where nothing was."""
    if not one.error:
        return "", ""
    base = f"/{quote(one.company)}/errors"
    about = urlencode({"process": PROCESS, "about": one.about}, quote_via=quote)
    return f"{base}/history?{about}", f"{base}/delete?error={Subject(one.company, PROCESS, one.about).key}"


def journals_csv(request: Request) -> Response:
    """The list as a file."""
    with asked(request) as snapshot:
        around = frame(request, snapshot, request.path_params["company"])
        found = journal_statuses(snapshot, around.code)
    titles = [
        *("Journal", "Company", "Posted", "Status", "Step", "Count", "Last attempt", "Next attempt"),
        *("Code", "Error message", "Reason", "Recommended action"),
    ]
    lines = (
        [
            *(one.journal, one.company, one.posted or "", sentence(STATE_LABELS[one.state]), one.step or "", one.count),
            *(iso(at) if at else "" for at in (one.last, one.next)),
            *(one.code, one.error, one.reason, one.todo),
        ]
        for one in found
    )
    return csv_response(f"{around.code}-general-journals", titles, lines)
