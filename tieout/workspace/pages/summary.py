"""The Dual-write pages: what they share, and the amounts and tiles of a company."""

from contextlib import ExitStack
from datetime import date, timedelta
from functools import partial
from typing import Any, Final, get_args
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from engine.reconciliation.documents import TILES, Kind, PositionName
from engine.reconciliation.explanations import CAUSES
from engine.sync.actions import SYNCED
from store.projection.tile_totals import View
from store.queries.balance import CauseTotal
from store.queries.grid_totals import TotalsByCurrency
from store.queries.snapshot import Snapshot
from store.queries.summary import KINDS
from tieout.workspace.web import grid_state, refresh_diff
from tieout.workspace.web.context import Frame, asked, frame
from tieout.workspace.web.grid_state import PATHS, GridState
from tieout.workspace.web.rendering import render

KIND_NAMES: Final[dict[Kind, str]] = {"expense": "Expense", "vendor-invoice-line": "Vendor invoice lines"}

_SECTIONS: Final = (
    *(*PATHS.values(), "balance", "not-synced", "postings-without-document"),
    *("errors", "general-journals", "invoice-proposals", "sync"),
)
"""The pages that every company has, beside its summary."""


def home(request: Request) -> Response:
    """To the first company; where there is none, a page that says how to begin."""
    with asked(request) as snapshot:
        around = frame(request, snapshot, None)
    if around.companies:
        return RedirectResponse(f"/{quote(around.companies[0])}", status_code=303)
    return render(request, "empty.html", {"frame": around, "tab": "dual-write"})


def company(request: Request) -> Response:
    """To the same page of a company chosen from the list, with the same window."""
    code, section = (request.query_params.get(name, "") for name in ("company", "section"))
    if not code:
        return RedirectResponse("/", status_code=303)
    kept = {name: request.query_params.get(name, "") for name in ("from", "to")}
    query = urlencode({name: value for name, value in kept.items() if value})
    path = f"/{quote(code, safe='')}" + (f"/{section}" if section in _SECTIONS else "")
    return RedirectResponse(path + (f"?{query}" if query else ""), status_code=303)


# --- summary ---------------------------------------------------------------------------------------------------------


def summary(request: Request) -> Response:
    """The two amounts and the four tiles, then what to do first and what is new."""
    code = request.path_params["company"]
    start, end = grid_state.dates(request.query_params)
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(asked(request))
        around = frame(request, snapshot, code, start, end)
        context = amounts(request, snapshot, around)
        if around.company is not None and around.window is not None:
            context |= {
                **behind(around),
                "work": partial(work, snapshot, around),
                "news": partial(_news, snapshot, around),
            }
        return render(request, "summary.html", {**context, "section": "summary"}, stack.pop_all())


def behind(around: Frame) -> dict[str, Any]:
    """The addresses of the rows behind the sums of the Summary and the Balance page."""

    def grid(kind: Kind, view: View) -> GridState:
        return GridState(company=around.code, kind=kind, view=view, start=around.start, end=around.end)

    return {
        "tile_links": {tile.name: grid(tile.kind, tile.view).address() for tile in TILES},
        "kind_names": KIND_NAMES,
        "difference_links": {kind: grid(kind, "all").filtered("difference", "!0").address() for kind in KINDS},
        "not_synced_link": f"/{quote(around.code)}/not-synced{around.dated()}",
        "postings_link": f"/{quote(around.code)}/postings-without-document{around.dated()}",
    }


def amounts(request: Request, snapshot: Snapshot, around: Frame) -> dict[str, Any]:
    """What all Dual-write pages show: the amounts of the company, and what changed since the page before."""
    context: dict[str, Any] = {
        "frame": around,
        "tab": "dual-write",
        "kinds": _sections(around),
        "request_path": request.url.path,
        "summary": None,
        "refresh": around.here,
    }
    if around.company is None or around.window is None:
        return context
    tiles = snapshot.summary(around.company, around.window)
    was = request.query_params.get("was", "")
    return {
        **context,
        "summary": tiles,
        "tiles": TILES,
        "currency": tiles.currency,
        "since": refresh_diff.since(was, tiles, around.events),
        "refresh": _refreshed(request, refresh_diff.told(tiles, around.events)),
    }


def _refreshed(request: Request, now: str) -> str:
    """This address, with the amounts as they are now: the page it leads to tells what changed since."""
    kept = [(name, text) for name, text in request.query_params.multi_items() if name not in ("was", "at")]
    return f"{request.url.path}?{urlencode([*kept, ('was', now)], safe='~', quote_via=quote)}"


def _sections(around: Frame) -> list[tuple[str, str, str]]:
    base = f"/{quote(around.code)}"
    dated = around.dated()
    return [
        ("summary", "Summary", base + dated),
        *((PATHS[kind], KIND_NAMES[kind], f"{base}/{PATHS[kind]}{dated}") for kind in KINDS),
        ("balance", "Balance", f"{base}/balance{dated}"),
        ("sync", "Sync runs", f"{base}/sync{dated}"),
    ]


def work(snapshot: Snapshot, around: Frame) -> list[dict[str, Any]]:
    """What is unreconciled by cause, the largest amount first, with what to do and a way to the documents."""
    assert around.company is not None
    assert around.window is not None
    return [
        {
            "kind": KIND_NAMES[one.kind],
            "cause": one.cause or one.position,
            "missing": CAUSES[one.cause].missing if one.cause in CAUSES else "",
            "do": CAUSES[one.cause].do if one.cause in CAUSES else "Review the documents.",
            "amount": one.amount,
            "documents": one.documents,
            "oldest": one.oldest,
            "address": (state := _of_cause(around, one)).address(),
            "sync": state.sync_address() if one.cause in SYNCED else None,
        }
        for one in snapshot.causes(around.company, around.window)
    ]


def _of_cause(around: Frame, one: CauseTotal) -> GridState:
    """The documents of a cause."""
    return GridState(
        company=around.code,
        kind=one.kind,
        start=around.start,
        end=around.end,
        view="missing-actuals" if one.position == "missing-actual" else "missing-journal-lines",
        filters={"standing": one.cause} if one.cause else {},
    )


def _news(snapshot: Snapshot, around: Frame) -> list[dict[str, Any]]:
    """What reached its standing since yesterday, by kind and position."""
    assert around.window is not None
    yesterday = (date.fromisoformat(around.today) - timedelta(days=1)).isoformat()
    found = []
    for kind in KINDS:
        state = GridState(
            company=around.code,
            kind=kind,
            start=around.start,
            end=around.end,
            view="all",
            filters={"since": f">={yesterday}"},
            sort="since",
        )
        groups = snapshot.groups(state.query(around.window, around.zone), "position")
        parts = dict.fromkeys(get_args(PositionName), (0, 0)) | {one.value: _in_total(one.totals) for one in groups}
        found.append({"kind": KIND_NAMES[kind], "address": state.address(), "parts": parts, "day": yesterday})
    return found


def _in_total(sums: TotalsByCurrency) -> tuple[int, int]:
    """Documents and their amount in accounting currency."""
    return sum(one.documents for one in sums.values()), sum(one.accounting_amount for one in sums.values())
