"""The Troubleshoot pages: the most recent errors, and the history of what an error is about (R52, R53)."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from engine.errorlog.known_messages import catalogued, recognise
from engine.errorlog.lifecycle import subject_of
from engine.errors import QueryError
from engine.events.facts import PROCESSES, ProcessMessage, iso
from store.errorlog.error_log import ErrorEntry, ErrorQuery
from store.queries.snapshot import Snapshot
from tieout.workspace.pages.document import event_address
from tieout.workspace.web.context import Frame, asked, frame
from tieout.workspace.web.csv_export import csv_response
from tieout.workspace.web.grid_state import dates, sync_preview
from tieout.workspace.web.rendering import render

LIMIT: Final = 100
"""Most recent errors are a hundred, as in Finance."""

LOOKED_AT: Final = 1_000
"""So many are filtered at most, and deleted at once."""

COLUMNS: Final[Mapping[str, str]] = {
    "time": "Date and time",
    "message": "Message",
    "process": "Process",
    "journal": "Journal",
    "project": "Project ID",
    "subject": "Reference",
    "count": "Count",
    "first": "First seen",
    "standing": "Status",
}
GROUPINGS: Final[Mapping[str, str]] = {
    "message": "Message",
    "process": "Process",
    "company": "Company",
    "journal": "Journal",
    "project": "Project ID",
}
STATUSES: Final[Mapping[str, str]] = {
    "current": "Current",
    "interrupted": "Current (run interrupted)",
    "history": "History",
    "deleted": "Deleted",
}
_SORTS: Final = ("time", "message", "process", "journal", "project", "subject", "count", "first", "standing")

PROCESS_NAMES: Final[Mapping[str, str]] = {
    "import-from-staging": "Import from staging",
    "integration-journal-posting": "Integration journal posting",
    "invoice-proposal": "Invoice proposal",
    "general-journal-sync": "General journal Dataverse sync",
}


class ErrorRow(msgspec.Struct, frozen=True):
    """An error as the list shows it."""

    entry: ErrorEntry
    code: str
    details: str | None
    resolution: str | None
    journal: str
    project: str
    status: str
    event: str
    history: str
    delete: str
    """The page that asks before it is deleted; '' for one that is not current."""
    retry: str
    """The preview of a retry; '' for one that is not current."""

    @property
    def message(self) -> ProcessMessage:
        return self.entry.message

    def text(self, column: str) -> str:
        """What a column says, for filters and groups."""
        match column:
            case "message":
                return f"{self.code} {self.message.text or ''}"
            case "process":
                return PROCESS_NAMES.get(self.message.process, self.message.process)
            case "company":
                return self.message.company or ""
            case "journal":
                return self.journal
            case "project":
                return self.project
            case "subject":
                return self.message.subject or ""
            case "standing":
                return STATUSES[self.status]
            case _:
                return ""

    def order(self, column: str) -> tuple[Any, ...]:
        """What to sort by."""
        if column == "time":
            return (self.message.evidence.at,)
        if column == "first":
            return (self.entry.first_seen,)
        if column == "count":
            return (self.entry.count,)
        return (self.text(column).lower(), -self.message.evidence.at)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A state of the list, as its address has it."""

    company: str
    start: str = ""
    end: str = ""
    filters: Mapping[str, str] = {}
    sort: str = "time"
    descending: bool = True
    group: str = ""
    history: bool = False
    """Whether every error is listed, not only those that are current."""

    def address(self, path: str = "errors", **changes: Any) -> str:
        """The address of this state, or of one that differs."""
        state = msgspec.structs.replace(self, **changes)
        found = {
            "from": state.start,
            "to": state.end,
            **{f"f.{name}": text for name, text in state.filters.items()},
            "sort": "" if (state.sort, state.descending) == ("time", True) else state.sorted(),
            "group": state.group,
            "show": "all" if state.history else "",
        }
        query = urlencode({name: text for name, text in found.items() if text}, quote_via=quote)
        return f"/{quote(state.company)}/{path}" + (f"?{query}" if query else "")

    def sorted(self) -> str:
        return ("-" if self.descending else "") + self.sort

    def hidden(self, *without: str) -> list[tuple[str, str]]:
        """The parts of the state that a form carries along."""
        found = {"sort": self.sorted(), "group": self.group, "show": "all" if self.history else ""}
        return [(name, text) for name, text in found.items() if text and name not in without]


def read_state(request: Request) -> State:
    query = request.query_params
    sort, group = query.get("sort", "-time"), query.get("group", "")
    if sort.removeprefix("-") not in _SORTS:
        raise QueryError(f"errors cannot be sorted by {sort!r}; they can by {', '.join(_SORTS)}.")
    if group and group not in GROUPINGS:
        raise QueryError(f"errors cannot be grouped by {group!r}; they can by {', '.join(GROUPINGS)}.")
    start, end = dates(query)
    return State(
        company=request.path_params["company"],
        start=start,
        end=end,
        filters={name[2:]: text for name, text in query.items() if name.startswith("f.") and text},
        sort=sort.removeprefix("-"),
        descending=sort.startswith("-"),
        group=group,
        history=query.get("show") == "all",
    )


def errors(request: Request) -> Response:
    """The hundred most recent errors: those that are current, or all."""
    state = read_state(request)
    if any(not value for value in request.query_params.values()):
        return RedirectResponse(state.address(), status_code=303)
    with asked(request) as snapshot:
        around = frame(request, snapshot, state.company)
        rows = rows_of(snapshot, around, state, LIMIT)
        context = {
            "frame": around,
            "tab": "troubleshoot",
            "section": "errors",
            "sections": sections(around),
            "state": state,
            "columns": COLUMNS,
            "groupings": GROUPINGS,
            "statuses": STATUSES,
            "processes": PROCESS_NAMES,
            "parts": _grouped(rows, state),
            "number": len(rows),
            "deletable": any(row.delete for row in rows),
            "full": len(rows) == LIMIT,
            "csv": state.address("errors.csv"),
        }
        return render(request, "errors.html", context)


def errors_csv(request: Request) -> Response:
    """The list as a file, complete texts."""
    state = read_state(request)
    with asked(request) as snapshot:
        around = frame(request, snapshot, state.company)
        rows = rows_of(snapshot, around, state, LIMIT)
    titles = [
        *("Date and time", "Code", "Message", "Process", "Journal", "Project ID", "Reference", "Count", "First seen"),
        "Status",
    ]
    lines = (
        [
            iso(row.message.evidence.at),
            row.code,
            row.message.text or "",
            row.text("process"),
            row.journal,
            row.project,
            row.message.subject or "",
            row.entry.count,
            iso(row.entry.first_seen),
            row.status,
        ]
        for row in rows
    )
    return csv_response(f"{around.code}-errors", titles, lines)


def sections(around: Frame) -> list[tuple[str, str, str]]:
    """The sub-tabs."""
    base = f"/{quote(around.code)}"
    return [
        ("errors", "Most recent errors", f"{base}/errors"),
        ("general-journals", "General journal Dataverse sync", f"{base}/general-journals"),
        ("invoice-proposals", "Invoice proposals", f"{base}/invoice-proposals"),
    ]


def rows_of(snapshot: Snapshot, around: Frame, state: State, limit: int = LOOKED_AT) -> list[ErrorRow]:
    """The errors of a state of the list, as it sorts them; of more than `limit` the most recent."""
    query = ErrorQuery(
        company=around.code or None,
        start=state.start or None,
        end=state.end or None,
        history=state.history,
        limit=LOOKED_AT,
    )
    entries = [(entry, _journal(entry.message)) for entry in snapshot.error_log(query)]
    projects = snapshot.projects_of_journals(around.code, {journal for _, journal in entries if journal})
    rows = [_row(entry, around, journal, ", ".join(projects.get(journal, ()))) for entry, journal in entries]
    wanted = [
        row for row in rows if all(text.lower() in row.text(name).lower() for name, text in state.filters.items())
    ]
    return sorted(wanted[:limit], key=lambda row: row.order(state.sort), reverse=state.descending)


def _journal(message: ProcessMessage) -> str:
    """The journal that a message names, or is about. Of a general journal some name the RecId."""
    if message.process == "general-journal-sync" and message.subject:
        return message.subject
    named = recognise(message.text or "").parameters.get("journal", "")
    return named or ((message.subject or "") if message.process == "integration-journal-posting" else "")


def _row(entry: ErrorEntry, around: Frame, journal: str, project: str) -> ErrorRow:
    message = entry.message
    recognised = recognise(message.text or "")
    known = catalogued(recognised.code)
    key = subject_of(message).key
    return ErrorRow(
        entry=entry,
        code=recognised.code,
        details=known.details if known else None,
        resolution=known.resolution if known else None,
        journal=journal,
        project=project,
        status=entry.status.name,
        event=event_address(message.evidence, around),
        history=_history_address(around.code, message),
        delete=f"/{quote(around.code)}/errors/delete?error={key}" if entry.current else "",
        retry=sync_preview(around.code, {"error": key}) if entry.current else "",
    )


def _history_address(company: str, message: ProcessMessage) -> str:
    about = urlencode({"process": message.process, "about": message.subject or message.text or ""}, quote_via=quote)
    return f"/{quote(company)}/errors/history?{about}"


def _grouped(rows: list[ErrorRow], state: State) -> list[tuple[str, list[ErrorRow]]]:
    if not state.group:
        return [("", rows)]
    found: dict[str, list[ErrorRow]] = {}
    for row in rows:
        value = row.code if state.group == "message" else row.text(state.group)
        found.setdefault(value, []).append(row)
    return sorted(found.items(), key=lambda part: (-len(part[1]), part[0]))


def history(request: Request) -> Response:
    """Everything that was said of one subject, newest first, with first seen, last seen and count."""
    process, about = request.query_params.get("process", ""), request.query_params.get("about", "")
    if process not in PROCESSES:
        raise QueryError(f"there is no process {process!r}; there are {', '.join(PROCESSES)}.")
    with asked(request) as snapshot:
        around = frame(request, snapshot, request.path_params["company"])
        messages = snapshot.error_history(around.code, process, about)
        if not messages:
            raise QueryError(f"there is no error of {about!r} reported by {PROCESS_NAMES[process]}.")
        reported = [message for message in messages if message.text is not None]
        newest = recognise(reported[0].text or "") if reported else None
        known = catalogued(newest.code) if newest else None
        context = {
            "frame": around,
            "tab": "troubleshoot",
            "section": "errors",
            "sections": sections(around),
            "about": about,
            "process": PROCESS_NAMES[process],
            "messages": [(message, event_address(message.evidence, around)) for message in messages],
            "count": len(reported),
            "first": reported[-1].evidence.at if reported else None,
            "last": reported[0].evidence.at if reported else None,
            "code": newest.code if newest else None,
            "known": known,
        }
        return render(request, "error_history.html", context)
