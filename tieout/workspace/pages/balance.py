"""The Balance page: account reconciliation, aging and roll-forward of the integration accounts (R37)."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine import money
from engine.errors import QueryError
from engine.reconciliation.kinds import KINDS, Kind
from store.projection.tile_totals import View
from store.queries.balance import AgeBucket, Balance
from store.queries.snapshot import Snapshot
from tieout.workspace.pages import Section
from tieout.workspace.pages.summary import amounts_context, detail_links, kind_names, next_actions
from tieout.workspace.web import charts, form_input
from tieout.workspace.web.context import Frame, locale_of, make_frame, open_snapshot
from tieout.workspace.web.grid_state import GridState, dates
from tieout.workspace.web.rendering import render

LISTED: Final = 100
"""Projects listed at most; the others are one row."""

ACCOUNTS: Final = ("", *KINDS)
"""The accounts whose ledger balance can be entered, by their name in the address; '' for both."""


def balance(request: Request) -> Response:
    """Show the page. The ledger balance is entered by a person and is part of the address."""
    query = request.query_params
    if query.get("typed"):
        return RedirectResponse(_ledger_address(request), status_code=303)
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(open_snapshot(request))
        frame = make_frame(request, snapshot, request.path_params["company"], *dates(query))
        context: dict[str, Any] = {**amounts_context(request, snapshot, frame), "section": "balance", "ledger": ""}
        if frame.company is not None and frame.window is not None:
            explained = snapshot.balance(frame.company, frame.window)
            ledger = _ledger(query["ledger"]) if query.get("ledger") else None
            account = query.get("account", "")
            if account not in ACCOUNTS:
                raise QueryError(
                    "there is no account %(name)r; there are %(names)s.", name=account, names=", ".join(ACCOUNTS[1:])
                )
            sums: dict[str, int] = {kind: one.explained for kind, one in explained.by_kind.items()}
            sums[""] = explained.explained
            ages = snapshot.ageing(frame.company, frame.window)
            context |= {
                **detail_links(frame),
                "balance": explained,
                "columns": [*explained.by_kind.items(), ("", explained.total)],
                "explained": sums,
                "before_link": _before_address(frame, explained),
                "ledger": frame.locale.amount(ledger, context["currency"]),
                "account": account,
                "accounts": _accounts(frame),
                "remainder": None if ledger is None else ledger - sums[account],
                "ages": [(charts.age_name(age, frame.texts), _age_address(frame, age), age) for age in ages],
                "series": charts.SERIES,
                "age_chart": charts.ageing(ages, frame, context["currency"]),
                # Slower queries run after the first part of the page has been sent.
                "trend": partial(snapshot.trend, frame.company, frame.window),
                "trend_chart": partial(charts.trend, frame=frame, currency=context["currency"]),
                "totals_by": partial(_totals_by, snapshot, frame),
                "causes": partial(next_actions, snapshot, frame),
            }
        return render(request, "balance.html", context, stack.pop_all())


def _accounts(frame: Frame) -> dict[str, str]:
    """Return the name of each account by its name in the address."""
    texts = frame.texts
    return {"": texts.gettext("Both accounts")} | {
        code: texts.of_code(code, kind.account) for code, kind in KINDS.items()
    }


def _before_address(frame: Frame, explained: Balance) -> str | None:
    """Return the address of the Summary of the dates before the window; None if there are no amounts."""
    assert frame.window is not None
    if explained.first is None:
        return None
    end = date.fromisoformat(frame.window.start) - timedelta(days=1)
    return f"/{quote(frame.code)}" + frame.dated({"from": explained.first, "to": end.isoformat()})


def _age_address(frame: Frame, age: AgeBucket) -> str | None:
    """Return the address of the Summary of an age bucket; None if the window has no documents of that age."""
    assert frame.window is not None
    if not age.documents:
        return None
    start, end = (date.fromisoformat(day) for day in (frame.window.start, frame.window.end))
    days = (end - start).days
    if age.start > days:
        return None
    last = (end - timedelta(days=age.start)).isoformat()
    first = (end - timedelta(days=days if age.to is None else min(age.to, days))).isoformat()
    return f"/{quote(frame.code)}" + frame.dated({"from": first, "to": last})


def _ledger_address(request: Request) -> str:
    """Return the address for a ledger balance entered in the reader's format."""
    parameters = {name: request.query_params.get(name, "").strip() for name in ("from", "to", "ledger", "account")}
    if parameters["ledger"]:
        parameters["ledger"] = form_input.amount(parameters["ledger"], locale_of(request))
    query = urlencode({name: text for name, text in parameters.items() if text}, quote_via=quote)
    return request.url.path + (f"?{query}" if query else "")


def _ledger(text: str) -> int:
    units = money.units(text)
    if units is None:
        raise QueryError('"%(text)s" isn\'t an amount. Example: 39512.50.', text=text)
    return units


class _Total(msgspec.Struct):
    """Unreconciled total of a period or a project over both kinds, with its views; or of `parts` of them."""

    value: str
    amount: int = 0
    documents: int = 0
    parts: int = 1
    views: set[tuple[Kind, View]] = set()
    links: dict[str, str] = {}


def _totals_by(snapshot: Snapshot, frame: Frame, by: Literal["month", "project"]) -> tuple[list[_Total], _Total | None]:
    """Return the unreconciled totals by period in order, or by project with the largest amount first.

    The second value sums up the projects beyond `LISTED`.
    """
    assert frame.company is not None
    assert frame.window is not None
    query = snapshot.by_month if by == "month" else snapshot.by_project
    totals: dict[str, _Total] = {}
    for row in query(frame.company, frame.window):
        part = totals.setdefault(row.value, _Total(row.value))
        part.amount += row.amount
        part.documents += row.documents
        part.views.add((row.kind, row.view))
    if by == "month":
        parts, rest = sorted(totals.values(), key=lambda part: part.value), []
    else:
        parts = sorted(totals.values(), key=lambda part: (-abs(part.amount), part.value))
        parts, rest = parts[:LISTED], parts[LISTED:]
    for part in parts:
        text = part.value if by == "month" and part.value else f"={part.value}"
        part.links = {
            title: state.filtered("date" if by == "month" else by, text).address()
            for title, state in _grids(frame, part.views)
        }
    if not rest:
        return parts, None
    amount, documents = sum(part.amount for part in rest), sum(part.documents for part in rest)
    others = _Total("", amount, documents, len(rest), set().union(*(part.views for part in rest)))
    others.links = {title: state.from_start(group=by).address() for title, state in _grids(frame, others.views)}
    return parts, others


def _grids(frame: Frame, views: Iterable[tuple[Kind, View]]) -> Iterator[tuple[str, GridState]]:
    """Yield the title and the state of each view, in the order of the tiles."""
    names, texts = kind_names(frame), frame.texts
    for kind, view in sorted(views):
        state = GridState(company=frame.code, kind=kind, start=frame.start, end=frame.end, view=view)
        if view == "missing-actuals":
            yield texts.gettext("%(kind)s, missing actuals", kind=names[kind]), state
        else:
            yield texts.gettext("%(kind)s, missing journal lines", kind=names[kind]), state


ROUTES: Final = (Route("/{company}/balance", balance),)
SECTIONS: Final = (Section(30, "balance", lambda frame: frame.texts.gettext("Balance")),)
