"""The pages of what one system has and the other has not: the records behind two sums, and their files (R32, R37)."""

from contextlib import ExitStack
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from engine.events.facts import iso
from engine.reconciliation.explanations import CAUSES, FINDINGS
from store.queries.snapshot import Snapshot
from store.queries.unmatched import CHAINS_PER_PAGE, NotSynced
from tieout.workspace.pages import document
from tieout.workspace.pages.summary import amounts
from tieout.workspace.web.context import Frame, asked, frame, workspace_of
from tieout.workspace.web.csv_export import csv_response
from tieout.workspace.web.deep_links import form_of
from tieout.workspace.web.grid_columns import digits
from tieout.workspace.web.grid_state import dates
from tieout.workspace.web.rendering import render

LISTED: Final = 500
"""So many postings are listed; the file has all."""


def not_synced(request: Request) -> Response:
    """The actuals that are meant for Finance and never reached it, page by page."""
    after = request.query_params.get("after") or None
    with asked(request) as snapshot:
        around = _frame(request, snapshot)
        context: dict[str, Any] = {**amounts(request, snapshot, around), "section": "not-synced"}
        if around.company is not None and around.window is not None:
            page = snapshot.not_synced(around.company, after, CHAINS_PER_PAGE)
            here = f"/{quote(around.code)}/not-synced"
            context |= {
                "rows": [_row(request, around, one) for one in page.rows],
                "do": CAUSES["actual-not-synced-back"].do,
                "first": here + around.dated() if after is not None else None,
                "next": here + around.dated({"after": page.after}) if page.after is not None else None,
                "csv": f"{here}.csv",
            }
        return render(request, "not_synced.html", context)


def _frame(request: Request, snapshot: Snapshot) -> Frame:
    return frame(request, snapshot, request.path_params["company"], *dates(request.query_params))


def _row(request: Request, around: Frame, one: NotSynced) -> dict[str, Any]:
    return {
        "actual": one,
        "form": form_of(workspace_of(request).settings, "dataverse", one.entity, one.id, around.code),
        "event": document.event_address(one.evidence, around),
        "document": document.address(one.document, around.dated()) if one.document is not None else None,
    }


def not_synced_csv(request: Request) -> Response:
    """All of them as a file."""
    titles = [
        *("Document", "Type", "Date", "Project ID", "Amount", "Currency", "Accounting amount"),
        *("Accounting currency", "Since", "Actual", "Event"),
    ]
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(asked(request))
        company = snapshot.company(request.path_params["company"])
        lines = (
            [
                *(one.document, one.type, one.date, one.project),
                *(digits(one.amount, one.currency), one.currency),
                *(digits(one.accounting_amount, one.accounting_currency), one.accounting_currency),
                *(iso(one.evidence.at), one.id, one.evidence.event),
            ]
            for one in snapshot.all_not_synced(company)
        )
        return csv_response(f"{company.code}-not-synced", titles, lines, stack.pop_all())


def postings(request: Request) -> Response:
    """The postings of the integration journal that no staging row names, the last ones."""
    with asked(request) as snapshot:
        around = _frame(request, snapshot)
        context: dict[str, Any] = {**amounts(request, snapshot, around), "section": "postings-without-document"}
        if around.company is not None and around.window is not None:
            found = islice(snapshot.unmatched_postings(around.company), LISTED)
            words = FINDINGS["orphan-journal-line"]
            context |= {
                "balance": snapshot.balance(around.company, around.window),
                "postings": [(one, document.event_address(one.evidence, around)) for one in found],
                "missing": words.missing,
                "do": words.do,
                "csv": f"/{quote(around.code)}/postings-without-document.csv",
            }
        return render(request, "postings.html", context)


def postings_csv(request: Request) -> Response:
    """All of them as a file."""
    titles = ["Line", "Journal", "Voucher", "Date", "Amount", "Currency", "Project ID", "Posted", "Event"]
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(asked(request))
        company = snapshot.company(request.path_params["company"])
        lines = (
            [
                *(one.id, one.journal, one.voucher, one.date, digits(one.amount, one.currency), one.currency),
                *(one.project, iso(one.evidence.at), one.evidence.event),
            ]
            for one in snapshot.unmatched_postings(company)
        )
        return csv_response(f"{company.code}-postings-without-document", titles, lines, stack.pop_all())
