"""The page of invoice proposals that wait for postings, and its CSV file (R56)."""

from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.reconciliation.invoice_proposals import Proposal
from tieout.workspace.pages import Section, document
from tieout.workspace.web.context import make_frame, open_snapshot
from tieout.workspace.web.csv_export import csv_response
from tieout.workspace.web.rendering import render


def proposals(request: Request) -> Response:
    """Show the proposals with amount 0.00, each with the dates and amounts to post."""
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.path_params["company"])
        context = {
            "frame": frame,
            "section": "invoice-proposals",
            "proposals": [(proposal, _documents(proposal)) for proposal in snapshot.proposals(frame.code)],
            "csv": f"/{quote(frame.code)}/invoice-proposals.csv",
        }
        return render(request, "proposals.html", context)


def _documents(proposal: Proposal) -> list[tuple[str, str]]:
    """Return name and address of the documents whose transactions are to be posted."""
    return [(name, document.address(name)) for name in proposal.documents]


def proposals_csv(request: Request) -> Response:
    """Return the list as a CSV file."""
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.path_params["company"])
        rows = [proposal.as_json() for proposal in snapshot.proposals(frame.code)]
    titles = ["Proposal", "Contract", "Invoice date", "Amount", "Currency", "Error message", "Recommended action"]
    names = ("proposal", "contract", "date", "amount", "currency", "message", "resolution")
    lines = ([row[name] or "" for name in names] for row in rows)
    return csv_response(f"{frame.code}-invoice-proposals", titles, lines)


ROUTES: Final = (
    Route("/{company}/invoice-proposals", proposals),
    Route("/{company}/invoice-proposals.csv", proposals_csv),
)
SECTIONS: Final = (
    Section(
        70, "troubleshoot", "invoice-proposals", lambda frame: frame.texts.gettext("Invoice proposals"), "proposal"
    ),
)
