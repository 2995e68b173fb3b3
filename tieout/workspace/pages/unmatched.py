"""The page of the actuals that did not reach Finance, and its CSV file (R32)."""

from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.events.facts import iso
from engine.mapping.roles import CHOICES
from engine.reconciliation.explanations import CAUSES
from store.queries.snapshot import Snapshot
from store.queries.unmatched import CHAINS_PER_PAGE, NotSynced
from tieout.workspace.pages import Section, document
from tieout.workspace.pages.summary import amounts_context
from tieout.workspace.web.context import Frame, make_frame, open_snapshot, workspace_of
from tieout.workspace.web.csv_export import csv_response
from tieout.workspace.web.deep_links import form_of
from tieout.workspace.web.grid_columns import digits
from tieout.workspace.web.grid_state import dates
from tieout.workspace.web.rendering import render

ACTUAL_TYPES: Final = {kind: kind.replace("-", " ").capitalize() for kind in CHOICES["actual", "type"]}
"""The label of the type of an actual, by its code."""


def not_synced(request: Request) -> Response:
    """Show the actuals that are due in Finance and missing there, page by page."""
    after = request.query_params.get("after") or None
    with open_snapshot(request) as snapshot:
        frame = _frame(request, snapshot)
        context: dict[str, Any] = {**amounts_context(request, snapshot, frame), "section": "not-synced"}
        if frame.company is not None and frame.window is not None:
            page = snapshot.not_synced(frame.company, after, CHAINS_PER_PAGE)
            here = f"/{quote(frame.code)}/not-synced"
            context |= {
                "rows": [_row(request, frame, actual) for actual in page.rows],
                "do": frame.texts.of_code("actual-not-synced-back", CAUSES["actual-not-synced-back"].do),
                "actual_types": ACTUAL_TYPES,
                "first": here + frame.dated() if after is not None else None,
                "next": here + frame.dated({"after": page.after}) if page.after is not None else None,
                "csv": f"{here}.csv",
            }
        return render(request, "not_synced.html", context)


def _frame(request: Request, snapshot: Snapshot) -> Frame:
    return make_frame(request, snapshot, request.path_params["company"], *dates(request.query_params))


def _row(request: Request, frame: Frame, actual: NotSynced) -> dict[str, Any]:
    return {
        "actual": actual,
        "form": form_of(workspace_of(request).settings, "dataverse", actual.entity, actual.id, frame.code),
        "event": document.event_address(actual.evidence, frame),
        "document": document.address(actual.document, frame.dated()) if actual.document is not None else None,
    }


def not_synced_csv(request: Request) -> Response:
    """Return all of them as a CSV file."""
    titles = [
        *("Document", "Type", "Date", "Project ID", "Amount", "Currency", "Accounting amount"),
        *("Accounting currency", "Since", "Actual", "Event"),
    ]
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(open_snapshot(request))
        company = snapshot.company(request.path_params["company"])
        lines = (
            [
                *(actual.document, actual.type, actual.date, actual.project),
                *(digits(actual.amount, actual.currency), actual.currency),
                *(digits(actual.accounting_amount, actual.accounting_currency), actual.accounting_currency),
                *(iso(actual.evidence.at), actual.id, actual.evidence.event),
            ]
            for actual in snapshot.all_not_synced(company)
        )
        return csv_response(f"{company.code}-not-synced", titles, lines, stack.pop_all())


ROUTES: Final = (
    Route("/{company}/not-synced", not_synced),
    Route("/{company}/not-synced.csv", not_synced_csv),
)
SECTIONS: Final = (
    Section(
        40,
        "dual-write",
        "not-synced",
        lambda frame: frame.texts.gettext("Not synced to Finance"),
        "unmatched",
        dated=True,
    ),
)
