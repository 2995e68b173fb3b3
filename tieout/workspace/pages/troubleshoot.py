"""The Troubleshoot pages: the most recent errors, and the history of an error's reference (R52, R53)."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.errorlog.known_messages import catalogued, recognise
from engine.errorlog.lifecycle import subject_of
from engine.errors import NotFound, QueryError
from engine.events.facts import PROCESSES, ProcessMessage, iso
from store.errorlog.error_log import ErrorEntry, ErrorQuery
from store.queries.snapshot import Snapshot
from tieout.workspace.pages import Section
from tieout.workspace.pages.document import event_address
from tieout.workspace.web.context import Frame, make_frame, open_snapshot
from tieout.workspace.web.csv_export import csv_response
from tieout.workspace.web.error_texts import PROCESS_NAMES, code_and_remedy, history_address, process_name
from tieout.workspace.web.grid_state import dates, sync_preview
from tieout.workspace.web.rendering import render

LIMIT: Final = 100
"""Errors listed at most, as in Finance."""

ROWS_MAX: Final = 1_000
"""Errors that are filtered, and deleted at once, at most."""

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


class ErrorRow(msgspec.Struct, frozen=True):
    """An error as a row of the list."""

    entry: ErrorEntry
    code: str
    process: str
    """The name of the process for the reader."""
    shown_status: str
    details: str | None
    resolution: str | None
    journal: str
    project: str
    status: str
    event: str
    history: str
    delete: str
    """Address of the confirmation page; '' if the error is not current."""
    retry: str
    """Address of the preview of a retry; '' if the error is not current."""

    @property
    def message(self) -> ProcessMessage:
        return self.entry.message

    def matches(self, column: str, text: str) -> bool:
        """Return True if a column contains a text, in English or as the reader sees it."""
        shown = {"process": self.process, "standing": self.shown_status}.get(column, "")
        return text.lower() in self.text(column).lower() or text.lower() in shown.lower()

    def text(self, column: str) -> str:
        """Return the English text of a column, for filters and groups."""
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
        """Return the sort key of a column."""
        if column == "time":
            return (self.message.evidence.at,)
        if column == "first":
            return (self.entry.first_seen,)
        if column == "count":
            return (self.entry.count,)
        return (self.text(column).lower(), -self.message.evidence.at)


class ErrorListState(msgspec.Struct, frozen=True, kw_only=True):
    """ErrorListState of the error list, as its address has it."""

    company: str
    start: str = ""
    end: str = ""
    filters: Mapping[str, str] = {}
    sort: str = "time"
    descending: bool = True
    group: str = ""
    history: bool = False
    """Whether all errors are listed, not only current ones."""

    def address(self, path: str = "errors", **changes: Any) -> str:
        """Return the address of this state with changes."""
        state = msgspec.structs.replace(self, **changes)
        parameters = {
            "from": state.start,
            "to": state.end,
            **{f"f.{name}": text for name, text in state.filters.items()},
            "sort": "" if (state.sort, state.descending) == ("time", True) else state.sorted(),
            "group": state.group,
            "show": "all" if state.history else "",
        }
        query = urlencode({name: text for name, text in parameters.items() if text}, quote_via=quote)
        return f"/{quote(state.company)}/{path}" + (f"?{query}" if query else "")

    def sorted(self) -> str:
        return ("-" if self.descending else "") + self.sort

    def hidden(self, *without: str) -> list[tuple[str, str]]:
        """Return the state as hidden fields of a form."""
        parameters = {"sort": self.sorted(), "group": self.group, "show": "all" if self.history else ""}
        return [(name, text) for name, text in parameters.items() if text and name not in without]


def read_state(request: Request) -> ErrorListState:
    query = request.query_params
    sort, group = query.get("sort", "-time"), query.get("group", "")
    if sort.removeprefix("-") not in _SORTS:
        raise QueryError(
            "errors cannot be sorted by %(name)r; they can by %(names)s.", name=sort, names=", ".join(_SORTS)
        )
    if group and group not in GROUPINGS:
        raise QueryError(
            "errors cannot be grouped by %(name)r; they can by %(names)s.", name=group, names=", ".join(GROUPINGS)
        )
    start, end = dates(query)
    return ErrorListState(
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
    """Show the hundred most recent errors: current ones, or all."""
    state = read_state(request)
    if any(not value for value in request.query_params.values()):
        return RedirectResponse(state.address(), status_code=303)
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, state.company)
        rows = error_rows(snapshot, frame, state, LIMIT)
        context = {
            "frame": frame,
            "section": "errors",
            "state": state,
            "columns": COLUMNS,
            "groupings": GROUPINGS,
            "processes": PROCESS_NAMES,
            "parts": _grouped(rows, state),
            "number": len(rows),
            "deletable": any(row.delete for row in rows),
            "full": len(rows) == LIMIT,
            "prevention": snapshot.prevention(frame.code),
            "csv": state.address("errors.csv"),
        }
        return render(request, "errors.html", context)


def errors_csv(request: Request) -> Response:
    """Return the list as a CSV file with complete texts."""
    state = read_state(request)
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, state.company)
        rows = error_rows(snapshot, frame, state, LIMIT)
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
    return csv_response(f"{frame.code}-errors", titles, lines)


def error_rows(snapshot: Snapshot, frame: Frame, state: ErrorListState, limit: int = ROWS_MAX) -> list[ErrorRow]:
    """Return the errors of a state in its order; of more than `limit` the most recent ones."""
    query = ErrorQuery(
        company=frame.code or None,
        start=state.start or None,
        end=state.end or None,
        history=state.history,
        limit=ROWS_MAX,
    )
    entries = [(entry, _journal(entry.message)) for entry in snapshot.error_log(query, frame.texts.of_code)]
    projects = snapshot.projects_of_journals(frame.code, {journal for _, journal in entries if journal})
    rows = [_row(entry, frame, journal, ", ".join(projects.get(journal, ()))) for entry, journal in entries]
    matching = [row for row in rows if all(row.matches(name, text) for name, text in state.filters.items())]
    return sorted(matching[:limit], key=lambda row: row.order(state.sort), reverse=state.descending)


def _journal(message: ProcessMessage) -> str:
    """Return the journal that a message names or is about; some messages of general journals name a RecId."""
    if message.process == "general-journal-sync" and message.subject:
        return message.subject
    named = recognise(message.text or "").parameters.get("journal", "")
    return named or ((message.subject or "") if message.process == "integration-journal-posting" else "")


def _row(entry: ErrorEntry, frame: Frame, journal: str, project: str) -> ErrorRow:
    message = entry.message
    key, texts, status = subject_of(message).key, frame.texts, entry.status.name
    code, details, resolution = code_and_remedy(message, texts)
    return ErrorRow(
        entry=entry,
        code=code,
        process=process_name(message.process, texts),
        shown_status=texts.of_code(status, STATUSES[status]),
        details=details,
        resolution=resolution,
        journal=journal,
        project=project,
        status=status,
        event=event_address(message.evidence, frame),
        history=history_address(frame.code, message),
        delete=f"/{quote(frame.code)}/errors/delete?error={key}" if entry.current else "",
        retry=sync_preview(frame.code, {"error": key}) if entry.current else "",
    )


def _grouped(rows: list[ErrorRow], state: ErrorListState) -> list[tuple[str, list[ErrorRow]]]:
    if not state.group:
        return [("", rows)]
    groups: dict[str, list[ErrorRow]] = {}
    for row in rows:
        value = row.code if state.group == "message" else row.process if state.group == "process" else ""
        value = value or row.text(state.group)
        groups.setdefault(value, []).append(row)
    return sorted(groups.items(), key=lambda part: (-len(part[1]), part[0]))


def history(request: Request) -> Response:
    """Show all messages of a reference, newest first, with first seen, last seen and count."""
    process, about = request.query_params.get("process", ""), request.query_params.get("about", "")
    if process not in PROCESSES:
        names = ", ".join(PROCESSES)
        raise QueryError("there is no process %(name)r; there are %(names)s.", name=process, names=names)
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.path_params["company"])
        messages = snapshot.error_history(frame.code, process, about)
        if not messages:
            raise NotFound(
                "there is no error of %(name)r reported by %(process)s.", name=about, process=PROCESS_NAMES[process]
            )
        reported = [message for message in messages if message.text is not None]
        newest = recognise(reported[0].text or "") if reported else None
        known = catalogued(newest.code) if newest else None
        context = {
            "frame": frame,
            "section": "errors",
            "about": about,
            "process": process_name(process, frame.texts),
            "messages": [(message, event_address(message.evidence, frame)) for message in messages],
            "count": len(reported),
            "first": reported[-1].evidence.at if reported else None,
            "last": reported[0].evidence.at if reported else None,
            "code": newest.code if newest else None,
            "known": known,
        }
        return render(request, "error_history.html", context)


ROUTES: Final = (
    Route("/{company}/errors", errors),
    Route("/{company}/errors.csv", errors_csv),
    Route("/{company}/errors/history", history),
)
SECTIONS: Final = (
    Section(50, "troubleshoot", "errors", lambda frame: frame.texts.gettext("Most recent errors"), "error"),
)
