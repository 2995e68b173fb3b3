"""The Summary page of a company, and the context that all Dual-write pages share."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import date, timedelta
from functools import partial
from itertools import groupby
from typing import Any, Final, get_args
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.reconciliation.documents import PositionName
from engine.reconciliation.explanations import CAUSES
from engine.reconciliation.kinds import KINDS, TILES, Kind
from engine.sync.actions import SYNCED
from store.projection.tile_totals import View
from store.queries.balance import CauseTotal
from store.queries.grid_totals import TotalsByCurrency
from store.queries.snapshot import Snapshot
from store.queries.summary import Summary
from tieout.workspace.pages import Section, is_section
from tieout.workspace.web import grid_state, refresh_diff, tones
from tieout.workspace.web.context import Frame, make_frame, open_snapshot, workspace_of
from tieout.workspace.web.grid_state import GridState, sync_preview
from tieout.workspace.web.rendering import render

KIND_NAMES: Final[dict[Kind, str]] = {code: kind.label for code, kind in KINDS.items()}
"""The English name of each kind."""

ACTIONS_LISTED: Final = 10
"""Causes that the Summary lists at first."""


def home(request: Request) -> Response:
    """Redirect to the first company; without one, show how to begin."""
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, None)
    if frame.companies:
        return RedirectResponse(f"/{quote(frame.companies[0])}", status_code=303)
    return render(request, "empty.html", {"frame": frame, "section": "summary"})


def company(request: Request) -> Response:
    """Redirect to the same page and dates of the company chosen from the list."""
    code, section = (request.query_params.get(name, "") for name in ("company", "section"))
    if not code:
        return RedirectResponse("/", status_code=303)
    parameters = {name: request.query_params.get(name, "") for name in ("from", "to")}
    query = urlencode({name: value for name, value in parameters.items() if value})
    if section in ("operation", "operation/rejected"):
        return RedirectResponse(f"/{section}?{urlencode({'company': code})}", status_code=303)
    path = f"/{quote(code, safe='')}" + (f"/{section}" if is_section(section) else "")
    return RedirectResponse(path + (f"?{query}" if query else ""), status_code=303)


def summary(request: Request) -> Response:
    """Show the two unreconciled amounts, the four tiles, the next actions and the changes since yesterday."""
    code = request.path_params["company"]
    start, end = grid_state.dates(request.query_params)
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(open_snapshot(request))
        frame = make_frame(request, snapshot, code, start, end)
        context = amounts_context(request, snapshot, frame)
        if frame.company is not None and frame.window is not None:
            query = request.query_params
            who = query["who"] if query.get("who") in ("sync", "person") else ""
            every = query.get("causes") == "all"
            context |= {
                **detail_links(frame),
                "accounts": [(KINDS[kind], list(tiles)) for kind, tiles in groupby(TILES, lambda tile: tile.kind)],
                "attention": _attention(frame, context["summary"]),
                "sync_all": sync_preview(frame.code, frame.dates),
                "who": who,
                "who_links": {
                    name: f"/{quote(frame.code)}" + frame.dated({"who": name}) for name in ("", "sync", "person")
                },
                "next_actions": partial(_listed_actions, request, snapshot, frame, who, every=every),
                "news": partial(_recent_changes, snapshot, frame),
            }
        return render(request, "summary.html", {**context, "section": "summary"}, stack.pop_all())


def detail_links(frame: Frame) -> dict[str, Any]:
    """Return the addresses of the rows behind the totals of the Summary."""

    def grid(kind: Kind, view: View) -> GridState:
        return GridState(company=frame.code, kind=kind, view=view, start=frame.start, end=frame.end)

    return {
        "tile_links": {tile.name: grid(tile.kind, tile.view).address() for tile in TILES},
        "kind_names": kind_names(frame),
        "difference_links": {kind: grid(kind, "all").filtered("difference", "!0").address() for kind in KINDS},
        "not_synced_link": f"/{quote(frame.code)}/not-synced{frame.dated()}",
    }


def kind_names(frame: Frame) -> dict[Kind, str]:
    """Return the name of each kind for the reader."""
    return {kind: kind_name(frame, kind) for kind in KINDS}


def kind_name(frame: Frame, kind: Kind) -> str:
    """Return the name of a kind for the reader."""
    return frame.texts.of_code(kind, KIND_NAMES[kind])


def amounts_context(request: Request, snapshot: Snapshot, frame: Frame) -> dict[str, Any]:
    """Return the shared context of the Dual-write pages: unreconciled amounts, and their change since the last load."""
    context: dict[str, Any] = {
        "frame": frame,
        "request_path": request.url.path,
        "summary": None,
        "since": None,
        "refresh": frame.here,
    }
    if frame.company is None or frame.window is None:
        return context
    tiles = snapshot.summary(frame.company, frame.window)
    was = request.query_params.get("was", "")
    return {
        **context,
        "summary": tiles,
        "currency": tiles.currency,
        "since": refresh_diff.changes_since(was, tiles, frame.events, frame.texts),
        "refresh": _refresh_address(request, refresh_diff.encode(tiles, frame.events)),
    }


def _refresh_address(request: Request, now: str) -> str:
    """Return this address with the current amounts, against which the next load shows the changes."""
    parameters = [(name, text) for name, text in request.query_params.multi_items() if name not in ("was", "at")]
    return f"{request.url.path}?{urlencode([*parameters, ('was', now)], safe='~', quote_via=quote)}"


def _attention(frame: Frame, amounts: Summary) -> list[tuple[str, str]]:
    """Return what needs attention beside the unreconciled amounts, each with its address."""
    texts, number, links = frame.texts, frame.locale.number, detail_links(frame)
    journals, errors, base = frame.counts.journals, frame.counts.errors, f"/{quote(frame.code)}"
    found = [
        (
            journals,
            texts.ngettext(
                "%(number)s general journal needs attention",
                "%(number)s general journals need attention",
                journals,
                number=number(journals),
            ),
            f"{base}/general-journals",
        ),
        (
            errors,
            texts.ngettext("%(number)s current error", "%(number)s current errors", errors, number=number(errors)),
            f"{base}/errors",
        ),
        (
            records := amounts.not_synced.documents,
            texts.ngettext(
                "%(number)s record not synced to Finance",
                "%(number)s records not synced to Finance",
                records,
                number=number(records),
            ),
            links["not_synced_link"],
        ),
    ]
    return [(text, address) for count, text, address in found if count]


def next_actions(request: Request, snapshot: Snapshot, frame: Frame) -> list[dict[str, Any]]:
    """Return the unreconciled totals by cause, largest amount first, with recommended action and address."""
    assert frame.company is not None
    assert frame.window is not None
    tone = partial(tones.of_cause, sync_posts=workspace_of(request).settings.sync_posts)
    return [_action(frame, total, tone) for total in snapshot.causes(frame.company, frame.window)]


def _action(frame: Frame, total: CauseTotal, tone: Callable[[str], tones.Tone]) -> dict[str, Any]:
    texts, state = frame.texts, _cause_state(frame, total)
    words = CAUSES.get(total.cause or "")
    return {
        "kind": kind_name(frame, total.kind),
        "cause": total.cause or total.position,
        "tone": tone(total.cause or ""),
        "do": texts.of_code(total.cause or "", words.do) if words else texts.gettext("Review the documents."),
        "amount": total.amount,
        "documents": total.documents,
        "oldest": total.oldest,
        "address": state.address(),
        "sync": state.sync_address() if total.cause in SYNCED else None,
    }


def _listed_actions(request: Request, snapshot: Snapshot, frame: Frame, who: str, *, every: bool) -> dict[str, Any]:
    """Return the next actions of those who act: the first ones or every one, and their totals."""
    actions = next_actions(request, snapshot, frame)
    by_sync = [action for action in actions if action["tone"] == "info"]
    by_person = [action for action in actions if action["tone"] != "info"]
    chosen = {"sync": by_sync, "person": by_person}.get(who, actions)
    more = len(chosen) > ACTIONS_LISTED and not every
    return {
        "all": actions,
        "shown": chosen[:ACTIONS_LISTED] if more else chosen,
        "number": len(chosen),
        "amount": sum(action["amount"] for action in chosen),
        "documents": {
            name: sum(action["documents"] for action in some)
            for name, some in (("", actions), ("sync", by_sync), ("person", by_person))
        },
        "more": f"/{quote(frame.code)}" + frame.dated({"who": who, "causes": "all"}) if more else None,
    }


def _cause_state(frame: Frame, total: CauseTotal) -> GridState:
    """Return the grid state of the documents of a cause."""
    return GridState(
        company=frame.code,
        kind=total.kind,
        start=frame.start,
        end=frame.end,
        view="missing-actuals" if total.position == "missing-actual" else "missing-journal-lines",
        filters={"standing": total.cause} if total.cause else {},
    )


def _recent_changes(snapshot: Snapshot, frame: Frame) -> list[dict[str, Any]]:
    """Return the documents whose status changed since yesterday, by kind and position."""
    assert frame.window is not None
    yesterday = (date.fromisoformat(frame.today) - timedelta(days=1)).isoformat()
    changes, names = [], kind_names(frame)
    for kind in KINDS:
        state = GridState(
            company=frame.code,
            kind=kind,
            start=frame.start,
            end=frame.end,
            view="all",
            filters={"since": f">={yesterday}"},
            sort="since",
        )
        groups = snapshot.groups(state.query(frame.window, frame.zone), "position")
        parts = dict.fromkeys(get_args(PositionName), (0, 0)) | {group.value: _total(group.totals) for group in groups}
        changes.append({"kind": names[kind], "address": state.address(), "parts": parts, "day": yesterday})
    return changes


def _total(sums: TotalsByCurrency) -> tuple[int, int]:
    """Return the number of documents and their amount in accounting currency."""
    return sum(total.documents for total in sums.values()), sum(total.accounting_amount for total in sums.values())


ROUTES: Final = (
    Route("/", home),
    Route("/company", company),
    Route("/{company}", summary),
)
SECTIONS: Final = (Section(10, "dual-write", "", lambda frame: frame.texts.gettext("Summary"), "home", dated=True),)
