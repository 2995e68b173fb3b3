"""The page of invoice proposals that wait for postings (R56), and its file."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from engine.reconciliation.invoice_proposals import Proposal
from tieout.workspace.pages import document
from tieout.workspace.pages.troubleshoot import sections
from tieout.workspace.web.context import asked, frame
from tieout.workspace.web.csv_export import csv_response
from tieout.workspace.web.rendering import render


def proposals(request: Request) -> Response:
    """The proposals of amount 0.00, each with the dates and amounts of what is to be posted."""
    with asked(request) as snapshot:
        around = frame(request, snapshot, request.path_params["company"])
        context = {
            "frame": around,
            "tab": "troubleshoot",
            "section": "invoice-proposals",
            "sections": sections(around),
            "proposals": [(one, _documents(one)) for one in snapshot.proposals(around.code)],
            "csv": f"/{quote(around.code)}/invoice-proposals.csv",
        }
        return render(request, "proposals.html", context)


def _documents(proposal: Proposal) -> list[tuple[str, str]]:
    """The documents that the transactions to post are of, with their addresses."""
    return [(name, document.address(name)) for name in proposal.documents]


def proposals_csv(request: Request) -> Response:
    """The list as a file."""
    with asked(request) as snapshot:
        around = frame(request, snapshot, request.path_params["company"])
        found = [one.as_json() for one in snapshot.proposals(around.code)]
    titles = ["Proposal", "Contract", "Invoice date", "Amount", "Currency", "Error message", "Recommended action"]
    names = ("proposal", "contract", "date", "amount", "currency", "message", "resolution")
    lines = ([one[name] or "" for name in names] for one in found)
    return csv_response(f"{around.code}-invoice-proposals", titles, lines)
