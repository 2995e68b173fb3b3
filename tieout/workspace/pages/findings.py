"""The page of the findings that belong to no document, and its CSV file (R18)."""

from collections import Counter
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.chains.records import row_of
from engine.errors import QueryError
from engine.events.facts import iso
from engine.reconciliation.explanations import explain_finding
from engine.reconciliation.finding_texts import FINDINGS
from store.queries.findings import LooseFinding
from store.queries.snapshot import Snapshot
from tieout.workspace.pages import Section, document
from tieout.workspace.pages.summary import amounts_context
from tieout.workspace.web.context import Frame, make_frame, open_snapshot
from tieout.workspace.web.csv_export import csv_response
from tieout.workspace.web.grid_state import dates
from tieout.workspace.web.rendering import render

ROWS: Final = 100
"""Findings of a page; the file has all."""


def findings(request: Request) -> Response:
    """Show a page of the findings of a company, of one code if the address names one."""
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(open_snapshot(request))
        frame = make_frame(request, snapshot, request.path_params["company"], *dates(request.query_params))
        context: dict[str, Any] = {**amounts_context(request, snapshot, frame), "section": "findings"}
        if frame.company is not None:
            code = _code(request)
            context |= {
                "code": code,
                "csv": f"/{quote(frame.code)}/findings.csv" + (f"?code={code}" if code else ""),
                # A slower query: it runs after the first part of the page has been sent.
                "found": partial(_found, request, snapshot, frame, code),
            }
        return render(request, "findings.html", context, stack.pop_all())


def _code(request: Request) -> str | None:
    code = request.query_params.get("code") or None
    if code is not None and code not in FINDINGS:
        names = ", ".join(sorted(FINDINGS))
        raise QueryError("there is no finding %(name)r; there are %(names)s.", name=code, names=names)
    return code


def _page_number(request: Request) -> int:
    text = request.query_params.get("page", "1")
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) < 1_000_000):
        raise QueryError('"%(text)s" isn\'t a page. Example: 2.', text=text)
    return int(text)


def _found(request: Request, snapshot: Snapshot, frame: Frame, code: str | None) -> dict[str, Any]:
    """Return a page of the findings, the number of findings by code, and the numbers of the pages around it."""
    page = _page_number(request)
    rows = snapshot.loose_findings(frame.company, code)
    numbers: Counter[str] = Counter()

    def counted(one: LooseFinding) -> LooseFinding:
        numbers[one.finding.code] += 1
        return one

    every = map(counted, rows)
    shown = list(islice(every, (page - 1) * ROWS, page * ROWS))
    for _ in every:
        pass
    here = partial(_address, frame, code)
    return {
        "rows": [_row(frame, one) for one in shown],
        "numbers": sorted(numbers.items()),
        "links": {name: _address(frame, name, 1) for name in numbers},
        "every": _address(frame, None, 1),
        "previous": here(page - 1) if page > 1 else None,
        "next": here(page + 1) if numbers.total() > page * ROWS else None,
    }


def _address(frame: Frame, code: str | None, page: int) -> str:
    return f"/{quote(frame.code)}/findings" + frame.dated({"code": code or "", "page": str(page) if page > 1 else ""})


def _row(frame: Frame, one: LooseFinding) -> dict[str, Any]:
    explanation = explain_finding(one.finding, frame.texts.of_code)
    return {
        "finding": one.finding,
        "row": row_of(one.finding.subject),
        "entity": one.entity,
        "company": one.company,
        "explanation": explanation,
        "event": document.event_address(one.finding.evidence, frame),
    }


def findings_csv(request: Request) -> Response:
    """Return the findings of a company as a CSV file."""
    titles = ["Finding", "Entity", "Row", "Company", "Since", "Seen", "Missing", "Recommended action", "Event"]
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(open_snapshot(request))
        company = snapshot.company(request.path_params["company"])
        lines = (_line(one) for one in snapshot.loose_findings(company, _code(request)))
        return csv_response(f"{company.code}-findings", titles, lines, stack.pop_all())


def _line(one: LooseFinding) -> list[Any]:
    explanation = explain_finding(one.finding)
    return [
        *(one.finding.code, one.entity, row_of(one.finding.subject), one.company),
        *(iso(one.finding.evidence.at), explanation.seen, explanation.missing, explanation.do),
        one.finding.evidence.event,
    ]


ROUTES: Final = (Route("/{company}/findings", findings), Route("/{company}/findings.csv", findings_csv))
SECTIONS: Final = (Section(35, "dual-write", "findings", lambda frame: frame.texts.gettext("Findings"), "finding"),)
