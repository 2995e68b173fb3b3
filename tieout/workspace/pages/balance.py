"""The Balance page: what the balance of the integration accounts is made of, its age, and how it came about (R37)."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from engine import money
from engine.errors import QueryError
from engine.reconciliation.documents import Kind
from store.projection.tile_totals import View
from store.queries.balance import AgeBucket, Balance
from store.queries.snapshot import Snapshot
from tieout.workspace.pages.summary import KIND_NAMES, amounts, behind, work
from tieout.workspace.web import charts, form_input
from tieout.workspace.web.context import Frame, asked, frame, locale_of
from tieout.workspace.web.grid_state import VIEWS, GridState, dates
from tieout.workspace.web.rendering import render

LISTED: Final = 100
"""So many projects are listed; the rest is one row."""

ACCOUNTS: Final = {"": "Both accounts", "expense": "Expense", "vendor-invoice-line": "Vendor invoices"}
"""Of which account somebody types the balance, as the address names it."""


def balance(request: Request) -> Response:
    """The balance explained. What the ledger says is typed by a person, and stands in the address."""
    query = request.query_params
    if query.get("typed"):
        return RedirectResponse(_compared(request), status_code=303)
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(asked(request))
        around = frame(request, snapshot, request.path_params["company"], *dates(query))
        context: dict[str, Any] = {**amounts(request, snapshot, around), "section": "balance", "ledger": ""}
        if around.company is not None and around.window is not None:
            explained = snapshot.balance(around.company, around.window)
            ledger = _ledger(query["ledger"]) if query.get("ledger") else None
            account = query.get("account", "")
            if account not in ACCOUNTS:
                raise QueryError(f"there is no account {account!r}; there are {', '.join(filter(None, ACCOUNTS))}.")
            sums: dict[str, int] = {kind: one.explained for kind, one in explained.by_kind.items()}
            sums[""] = explained.explained
            ages = snapshot.ageing(around.company, around.window)
            context |= {
                **behind(around),
                "balance": explained,
                "columns": [*explained.by_kind.items(), ("", explained.total)],
                "explained": sums,
                "before_link": _before(around, explained),
                "ledger": around.locale.amount(ledger, context["currency"]),
                "account": account,
                "accounts": ACCOUNTS,
                "remainder": None if ledger is None else ledger - sums[account],
                "ages": [(charts.age_name(age), _of_age(around, age), age) for age in ages],
                "age_chart": charts.ageing(ages, around.locale, context["currency"]),
                # What takes longer with each document is asked for once the first part is on its way.
                "trend": partial(snapshot.trend, around.company, around.window),
                "trend_chart": partial(charts.trend, locale=around.locale, currency=context["currency"]),
                "parted": partial(_parted, snapshot, around),
                "causes": partial(work, snapshot, around),
            }
        return render(request, "balance.html", context, stack.pop_all())


def _before(around: Frame, explained: Balance) -> str | None:
    """The Summary of what is dated before the window; None where nothing counts."""
    assert around.window is not None
    if explained.first is None:
        return None
    end = date.fromisoformat(around.window.start) - timedelta(days=1)
    return f"/{quote(around.code)}" + around.dated({"from": explained.first, "to": end.isoformat()})


def _of_age(around: Frame, age: AgeBucket) -> str | None:
    """The Summary of the documents of an age; None where there is none in the window."""
    assert around.window is not None
    if not age.expense.documents + age.vendor_invoice.documents:
        return None
    start, end = (date.fromisoformat(day) for day in (around.window.start, around.window.end))
    days = (end - start).days
    if age.start > days:
        return None
    last = (end - timedelta(days=age.start)).isoformat()
    first = (end - timedelta(days=days if age.to is None else min(age.to, days))).isoformat()
    return f"/{quote(around.code)}" + around.dated({"from": first, "to": last})


def _compared(request: Request) -> str:
    """The address of what somebody typed in their language."""
    kept = {name: request.query_params.get(name, "").strip() for name in ("from", "to", "ledger", "account")}
    if kept["ledger"]:
        kept["ledger"] = form_input.amount(kept["ledger"], locale_of(request))
    query = urlencode({name: text for name, text in kept.items() if text}, quote_via=quote)
    return request.url.path + (f"?{query}" if query else "")


def _ledger(text: str) -> int:
    found = money.units(text)
    if found is None:
        raise QueryError(f'"{text}" isn\'t an amount. Example: 39512.50.')
    return found


class _Part(msgspec.Struct):
    """What is unreconciled of a period or a project, both kinds together, and of which views; or of `parts` of them."""

    value: str
    amount: int = 0
    documents: int = 0
    parts: int = 1
    views: set[tuple[Kind, View]] = set()
    links: dict[str, str] = {}


def _parted(snapshot: Snapshot, around: Frame, by: Literal["month", "project"]) -> tuple[list[_Part], _Part | None]:
    """What is unreconciled by period in their order, or by project, the largest amount first; and all those together
    that are too many to list.
    """
    assert around.company is not None
    assert around.window is not None
    ask = snapshot.by_month if by == "month" else snapshot.by_project
    found: dict[str, _Part] = {}
    for one in ask(around.company, around.window):
        part = found.setdefault(one.value, _Part(one.value))
        part.amount += one.amount
        part.documents += one.documents
        part.views.add((one.kind, one.view))
    if by == "month":
        parts, rest = sorted(found.values(), key=lambda part: part.value), []
    else:
        parts = sorted(found.values(), key=lambda part: (-abs(part.amount), part.value))
        parts, rest = parts[:LISTED], parts[LISTED:]
    for part in parts:
        text = part.value if by == "month" and part.value else f"={part.value}"
        part.links = {
            title: state.filtered("date" if by == "month" else by, text).address()
            for title, state in _grids(around, part.views)
        }
    if not rest:
        return parts, None
    amount, documents = sum(part.amount for part in rest), sum(part.documents for part in rest)
    others = _Part("", amount, documents, len(rest), set().union(*(part.views for part in rest)))
    others.links = {title: state.from_start(group=by).address() for title, state in _grids(around, others.views)}
    return parts, others


def _grids(around: Frame, views: Iterable[tuple[Kind, View]]) -> Iterator[tuple[str, GridState]]:
    """Views of the grids by what they are called, in the order of the tiles."""
    for kind, view in sorted(views):
        state = GridState(company=around.code, kind=kind, start=around.start, end=around.end, view=view)
        yield f"{KIND_NAMES[kind]}, {VIEWS[kind][view].lower()}", state
