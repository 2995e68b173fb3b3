"""The two document grids: a page of rows or groups, the document drawer, and the CSV file."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine import money
from engine.errors import QueryError
from engine.events.facts import iso
from engine.reconciliation.documents import PART_NAMES, Cause, Document, Excluded
from engine.reconciliation.explanations import explain, status_label
from engine.reconciliation.fields import FIELD
from engine.reconciliation.grace import Moment
from engine.reconciliation.kinds import ACCOUNTING_PARTS, KINDS, VIEW_PARTS, Kind
from engine.reconciliation.settlement import SETTLED
from store.projection.tile_totals import Totals
from store.queries.grid_query import GridQuery
from store.queries.grid_totals import GROUPS, GroupBy, TotalsByCurrency
from store.queries.rows import GridRow, Page
from store.queries.snapshot import Snapshot
from tieout.texts import COLUMN, Texts
from tieout.workspace.pages import Section
from tieout.workspace.pages.document import chain_context
from tieout.workspace.pages.summary import KIND_NAMES, amounts_context, kind_name
from tieout.workspace.web import form_input, grid_state, tones
from tieout.workspace.web.context import Frame, locale_of, make_frame, open_snapshot, workspace_of
from tieout.workspace.web.csv_export import csv_response
from tieout.workspace.web.grid_columns import GRIDS, Column, display_text, export_value
from tieout.workspace.web.grid_state import PATHS, VIEWS, GridState, VisibleColumn
from tieout.workspace.web.locales import Locale
from tieout.workspace.web.rendering import render

STATUSES: Final[dict[str, tuple[str, ...]]] = {
    "Missing": get_args(Cause),
    "Other": (SETTLED, "reconciled", "not-posted"),
    "Excluded": get_args(Excluded),
}
"""The codes that the filter of the column Status offers, by group."""

GROUP_NAMES: Final[dict[GroupBy, str]] = {
    name: FIELD[name].title if name in FIELD else name.capitalize() for name in GROUPS
}
"""The titles of the groupings: those of their fields, and the month."""

TRANSACTION_PARTS: Final = ("amount", *PART_NAMES)
"""The amounts of a document in transaction currency, in the order of totals."""

GROUPS_LISTED: Final = 200
"""Groups on a page."""

_COOKIE_AGE: Final = 400 * 86_400  # what browsers allow


def grid(request: Request, kind: Kind) -> Response:
    """Show a page of a grid, with the drawer of the document that the address opens."""
    query = request.query_params
    state = grid_state.read(request.path_params["company"], kind, query)
    if query.get("keep") or query.get("column"):
        return _save_columns(request, state)
    locale = locale_of(request)
    wrong: dict[str, QueryError] = {}
    if query.get("typed"):
        filters, wrong = form_input.filters(state.filters, locale)
        state = msgspec.structs.replace(state, filters=filters)
    elif query.get("at"):
        try:
            return RedirectResponse(
                grid_state.jump_to(state, form_input.jump_target(query["at"], locale)).address(), status_code=303
            )
        except QueryError as error:
            wrong = {"at": error}
    if not wrong and (clean := _canonical_address(request, state)):
        return RedirectResponse(clean, status_code=303)
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(open_snapshot(request))
        frame = make_frame(request, snapshot, state.company, state.start, state.end)
        state = msgspec.structs.replace(state, company=frame.code)
        context = amounts_context(request, snapshot, frame)
        context |= {"section": PATHS[kind], "state": state, "grid": None, "drawer": None, "neighbours": {}}
        if frame.window is not None:
            context["grid"] = _grid(request, snapshot, frame, state, wrong)
            context["unreconciled"] = context["summary"].unreconciled[KINDS[kind].summary_name]
            if state.opened:
                context["drawer"] = _drawer(request, snapshot, frame, state)
                context["neighbours"] = _neighbours(state, context["grid"]["rows"])
        response = render(request, "grid.html", context, stack.pop_all())
    response.status_code = 400 if context["grid"] and context["grid"]["wrong"] else 200
    return response


def grid_csv(request: Request, kind: Kind) -> Response:
    """Return all rows or groups of a grid's state as a CSV file, with the visible columns in their order."""
    state = grid_state.read(request.path_params["company"], kind, request.query_params)
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(open_snapshot(request))
        frame = make_frame(request, snapshot, state.company, state.start, state.end)
        if frame.window is None:
            raise QueryError(frame.problem or "there is no window.")
        state = msgspec.structs.replace(state.from_start(), company=frame.code)
        query = msgspec.structs.replace(state.query(frame.window, frame.zone), limit=1_000)
        name = f"{frame.code}-{PATHS[kind]}-{frame.window.start}-{frame.window.end}"
        if state.group is not None:
            amounts = [FIELD[part].title for part in (*TRANSACTION_PARTS, *ACCOUNTING_PARTS)]
            titles = [GROUP_NAMES[state.group], "Documents", "Currency", "Accounting currency", *amounts]
            return csv_response(name, titles, _group_lines(snapshot, query, state.group), stack.pop_all())
        columns = [one.column for one in state.visible_columns(request.cookies.get(_cookie(kind), ""))]
        rows = ([_export_cell(column, row) for column in columns] for row in snapshot.rows(query))
        return csv_response(name, [column.title for column in columns], rows, stack.pop_all())


def _export_cell(column: Column, row: GridRow) -> Any:
    value = export_value(column, row)
    return iso(value) if column.shape == "time" and value != "" else value


def _group_lines(snapshot: Snapshot, query: GridQuery, by: GroupBy) -> Iterator[list[Any]]:
    for group in snapshot.groups(query, by):
        for (currency, accounting), sums in sorted(group.totals.items()):
            yield [
                *(group.value, sums.documents, currency, accounting),
                *(money.text(getattr(sums, part), currency) for part in TRANSACTION_PARTS),
                *(money.text(getattr(sums, part), accounting) for part in ACCOUNTING_PARTS),
            ]


def _canonical_address(request: Request, state: GridState) -> str | None:
    """Return the canonical address if a form made this one (empty fields, values as typed); else None."""
    made = "typed" in request.query_params or any(not value for value in request.query_params.values())
    return state.address() if made else None


def _save_columns(request: Request, state: GridState) -> Response:
    """Save the chosen columns in a cookie for the next visit, and show the grid with them."""
    query = request.query_params
    chosen = query.getlist("column")
    if chosen:
        parts = []
        for column in GRIDS[state.kind]:
            if column.name in chosen:
                width = query.get(f"width.{column.name}", "")
                parts.append(column.name + (f"-{width}" if width and width != str(column.width) else ""))
        state = msgspec.structs.replace(state, columns=".".join(parts))
    response = RedirectResponse(state.address(), status_code=303)
    if query.get("keep") == "reset":
        response = RedirectResponse(msgspec.structs.replace(state, columns="").address(), status_code=303)
        response.delete_cookie(_cookie(state.kind), httponly=True, samesite="strict")
    else:
        response.set_cookie(_cookie(state.kind), state.columns, max_age=_COOKIE_AGE, httponly=True, samesite="strict")
    return response


def _cookie(kind: Kind) -> str:
    return f"columns-{PATHS[kind]}"


SUMMED_PARTS: Final = (*TRANSACTION_PARTS, *ACCOUNTING_PARTS[len(TRANSACTION_PARTS) :])
"""The parts whose sums a grid shows."""


def _grid(
    request: Request, snapshot: Snapshot, frame: Frame, state: GridState, errors: dict[str, QueryError]
) -> dict[str, Any]:
    """Return the context of a page of rows or groups; without rows, and with their messages, if there are errors."""
    assert frame.window is not None
    columns = state.visible_columns(request.cookies.get(_cookie(state.kind), ""))
    texts, tone_of = frame.texts, _tones(request)
    wrong = {name: error.translated(texts.of_code) for name, error in errors.items()}
    titles = {column.name: texts.of_code(COLUMN, column.title) for column in GRIDS[state.kind]}
    common: dict[str, Any] = {
        "title": texts.of_code(state.kind, KIND_NAMES[state.kind]),
        "unreconciled_title": texts.of_code(state.kind, KINDS[state.kind].unreconciled),
        "columns": columns,
        "every": GRIDS[state.kind],
        "titles": titles,
        "long_titles": _long_titles(titles, texts),
        "chosen": {one.column.name: one.width for one in columns},
        "views": {view: texts.of_code(view, title) for view, title in VIEWS[state.kind].items()},
        "groupings": {name: texts.of_code(COLUMN, GROUP_NAMES[name]) for name in _groupings(state.kind)},
        "statuses": {texts.of_code("status", title): codes for title, codes in STATUSES.items()},
        "csv": f"{state.path}.csv" + state.address().removeprefix(state.path),
        "sync": None if state.view == "reconciled" or wrong else state.sync_address(),
        "hidden": partial(_hidden, state),
        "hints": _hints(frame),
        "texts": _texts(request, state, frame.locale, wrong),
        "wrong": wrong,
        "groups": None,
        "rows": [],
        # The sums in accounting currency have their own rows, below the same heads.
        "amount_titles": [texts.of_code(COLUMN, FIELD[part].title) for part in SUMMED_PARTS],
        "widths": _widths(columns, []),
        "pages": dict.fromkeys(("first", "before", "after", "last")),
        "first": None,
    }
    try:
        query = state.query(frame.window, frame.zone)
    except QueryError as error:
        common["wrong"] = wrong or {"": error.translated(texts.of_code)}
    if common["wrong"]:
        return common
    common["totals"] = _cached_query(lambda: _totals(snapshot, query))
    common["foot"] = lambda: _foot(columns, common["totals"]()["sums"], frame)
    if state.group is not None:
        return {**common, **_groups(snapshot, query, state, state.group)}
    page = snapshot.page(query)
    marked = list(zip(columns, _marks(state, columns), strict=True))
    rows = [_row(row, marked, frame, snapshot.moment, tone_of(row)) for row in page.rows]
    shown = {"rows": rows, "widths": _widths(columns, rows), "pages": _pages(state, page), "first": state.first}
    return {**common, **shown}


def _long_titles(titles: dict[str, str], texts: Texts) -> dict[str, str]:
    """Return the titles of columns, each different from the others, for lists and labels."""
    currency = titles["journal_line_currency"]
    return titles | {"journal_line_currency": texts.gettext("%(column)s (journal line)", column=currency)}


def _texts(request: Request, state: GridState, locale: Locale, wrong: dict[str, str]) -> dict[str, str]:
    """Return the texts of the filter fields: valid filters in the reader's format, invalid ones as they were typed."""
    read = {name: form_input.filter_text(name, text, locale) for name, text in state.filters.items()}
    return read | {name: request.query_params.get(name if name == "at" else f"f.{name}", "") for name in wrong}


def _groupings(kind: Kind) -> list[GroupBy]:
    return [name for name in GROUPS if name not in KINDS[kind].ungrouped]


def _cached_query(query: Callable[[], Any]) -> Callable[[], Any]:
    """Cache the result of a query that runs when the template first needs it."""
    results: list[Any] = []

    def answer() -> Any:
        if not results:
            results.append(query())
        return results[0]

    return answer


class _Sums(msgspec.Struct, frozen=True):
    """Sums of documents in one currency: by transaction currency, or all in accounting currency. An amount is None
    where it is in accounting currency alone.
    """

    currency: str
    is_accounting: bool
    documents: int
    amounts: list[int | None]


def _sums(totals: TotalsByCurrency) -> list[_Sums]:
    """Return the sums by transaction currency, then those in accounting currency."""
    found = []
    for is_accounting in (False, True):
        by_currency: dict[str, Totals] = {}
        for currencies, one in totals.items():
            currency = currencies[is_accounting]
            by_currency[currency] = by_currency.get(currency, Totals()) + one
        for currency, one in sorted(by_currency.items()):
            amounts: list[int | None] = [
                getattr(one, part) for part in (ACCOUNTING_PARTS if is_accounting else TRANSACTION_PARTS)
            ]
            amounts += [None] * (len(ACCOUNTING_PARTS) - len(amounts))
            found.append(_Sums(currency, is_accounting, one.documents, amounts))
    return found


class _FootRow(msgspec.Struct, frozen=True):
    """Sums below their columns, '' where a column has none. The currency is '' if one row has all sums."""

    currency: str
    is_accounting: bool
    documents: int
    cells: list[str]


def _foot(columns: list[VisibleColumn], sums: list[_Sums], frame: Frame) -> list[_FootRow]:
    """Return the sums of the visible columns: a row for each transaction currency, and one in accounting currency; a
    single row where both are the same currency.
    """
    names = [shown.column.name for shown in columns]
    rows = []
    for one in sums:
        parts = ACCOUNTING_PARTS if one.is_accounting else TRANSACTION_PARTS
        by_column = {
            part: frame.locale.amount(amount, one.currency) for part, amount in zip(parts, one.amounts, strict=False)
        }
        if not one.is_accounting:
            by_column["currency"] = one.currency
        rows.append((one, by_column))
    if len(rows) == 2 and rows[0][0].currency == rows[1][0].currency:
        (one, by_column), (_, accounting) = rows
        rows = [(msgspec.structs.replace(one, currency=""), by_column | accounting)]
    return [
        _FootRow(one.currency, one.is_accounting, one.documents, [by_column.get(name, "") for name in names])
        for one, by_column in rows
    ]


def _marks(state: GridState, columns: list[VisibleColumn]) -> list[str]:
    """Return the part that each column has in a card, which is what a row becomes on a phone."""
    names = [shown.column.name for shown in columns]
    total = VIEW_PARTS[state.view] if VIEW_PARTS[state.view] in names else "amount"
    marks = {"document": "doc", "standing": "status", total: "sum"}
    marks |= dict.fromkeys(("date", "category", "vendor_name", "project"), "meta")
    return [marks.get(name, "") for name in names]


def _tones(request: Request) -> Callable[[GridRow], tones.Tone]:
    sync_posts = workspace_of(request).settings.sync_posts
    return lambda row: tones.of_status(row.document, row.status, in_flight=row.in_flight, sync_posts=sync_posts)


def _totals(snapshot: Snapshot, query: GridQuery) -> dict[str, Any]:
    sums = snapshot.totals(query)
    return {"documents": sum(one.documents for one in sums.values()), "sums": _sums(sums)}


def _groups(snapshot: Snapshot, query: GridQuery, state: GridState, by: GroupBy) -> dict[str, Any]:
    """Return a page of groups ordered by value. All groups are counted anyway, so pages have numbers."""
    all_groups = snapshot.groups(query, by)
    start = min((state.first or 1) - 1, max(len(all_groups) - 1, 0)) // GROUPS_LISTED * GROUPS_LISTED
    groups = [
        {
            "value": group.value,
            "documents": sum(one.documents for one in group.totals.values()),
            "sums": _sums(group.totals),
            "address": _group_address(state, by, group.value),
        }
        for group in all_groups[start : start + GROUPS_LISTED]
    ]
    last = (len(all_groups) - 1) // GROUPS_LISTED * GROUPS_LISTED
    starts = {"first": 0, "before": start - GROUPS_LISTED, "after": start + GROUPS_LISTED, "last": last}
    return {
        "groups": groups,
        "number": len(all_groups),
        "first": start + 1,
        "pages": {
            name: state.from_start().address(first=at + 1) if 0 <= at <= last and at != start else None
            for name, at in starts.items()
        },
    }


def _group_address(state: GridState, by: GroupBy, value: str) -> str | None:
    """Return the address of a group's rows; None if a date filter selects fewer rows than the whole month."""
    if by != "month":
        return state.filtered(by, f"={value}").address(group=None)
    return None if "date" in state.filters else state.filtered("date", value or "=").address(group=None)


def _row(
    row: GridRow, columns: list[tuple[VisibleColumn, str]], frame: Frame, moment: Moment, tone: tones.Tone
) -> dict[str, Any]:
    document, translate = row.document, frame.texts.of_code
    unsettled = row.status == "reconciled"
    return {
        "document": row.document.document,
        "cells": [
            (shown.column.shape, mark, display_text(shown.column, row, frame.locale, frame.zone))
            for shown, mark in columns
        ],
        "tone": tone,
        "status": status_label(row.status, document, partial(_left, document, frame), translate),
        "do": explain(document, moment, translate).do if unsettled else "",
        "in_flight": row.in_flight,
    }


def _left(document: Document, frame: Frame, units: int) -> str:
    return frame.locale.amount(units, document.accounting_currency)


def _hints(frame: Frame) -> dict[str, str]:
    """Return examples of filters by column type."""
    texts, amount = frame.texts, frame.locale.digits("1000.50")
    days = "2024-12-24, 2024-12, 2024-12-01..2024-12-15, >=2024-12-01"
    return {
        "text": texts.gettext("abc: begins with, *abc: contains, =abc: equals, !abc: not equal, =: empty"),
        "amount": texts.gettext("%(amount)s, 100..500, >100, <=500, !0: not equal", amount=amount),
        "number": texts.gettext("3, 1..4, >=5, =: empty"),
        "date": days,
        "time": days,
    }


_PIXELS_A_CHARACTER: Final = 7.5
_PADDING: Final = 22


def _widths(columns: list[VisibleColumn], rows: list[dict[str, Any]]) -> list[int]:
    """Return the column widths in pixels. Text may be truncated (its title has all); names of documents, amounts, dates
    and times never.
    """
    widths = []
    for number, shown in enumerate(columns):
        width = shown.width
        if shown.column.shape in ("link", "amount", "number", "date", "time"):
            width = max([width, *(len(row["cells"][number][2]) for row in rows)])
        widths.append(round(width * _PIXELS_A_CHARACTER) + _PADDING)
    return widths


def _pages(state: GridState, page: Page) -> dict[str, str | None]:
    """Return the addresses of the first, previous, next and last page; None where there is none."""
    rows = len(page.rows)
    first, turned = state.first, {"opened": "", "was": ""}
    before = after = None
    if page.before is not None:
        number = max(1, first - grid_state.ROWS) if first else None
        before = state.address(after=grid_state.page_key_text(page.before), backwards=True, first=number, **turned)
    if page.after is not None:
        number = first + rows if first else None
        after = state.address(after=grid_state.page_key_text(page.after), backwards=False, first=number, **turned)
    return {
        "first": state.address(after="", backwards=False, first=1, **turned) if page.before is not None else None,
        "before": before,
        "after": after,
        "last": state.address(after="", backwards=True, first=None, **turned) if page.after is not None else None,
    }


def _hidden(state: GridState, *without: str) -> list[tuple[str, str]]:
    """Return the state as hidden fields of a form, without those that the form sets itself (`f.`: all filters)."""
    parameters = state.from_start().parameters()
    return [
        (name, text)
        for name, text in parameters.items()
        if name not in without and not ("f." in without and name.startswith("f."))
    ]


def _neighbours(state: GridState, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the addresses of the documents before and after the open one on the page."""
    names = [row["document"] for row in rows]
    if state.opened not in names:
        return {}
    at = names.index(state.opened)
    found = {"before": names[at - 1] if at else "", "after": names[at + 1] if at + 1 < len(names) else ""}
    return {name: state.address(opened=document) for name, document in found.items() if document}


def _drawer(request: Request, snapshot: Snapshot, frame: Frame, state: GridState) -> dict[str, Any]:
    """Return the context of the drawer; an unknown document is reported there, and the grid stays."""
    closed = state.address(opened="")
    try:
        return {**chain_context(request, snapshot, frame, state.opened), "closed": closed, "problem": None}
    except QueryError as error:
        return {"problem": error.translated(frame.texts.of_code), "closed": closed, "name": state.opened}


ROUTES: Final = tuple(
    Route(f"/{{company}}/{path}{suffix}", partial(endpoint, kind=kind), methods=["GET"])
    for kind, path in PATHS.items()
    for suffix, endpoint in (("", grid), (".csv", grid_csv))
)
SECTIONS: Final = tuple(
    Section(order, "dual-write", path, partial(kind_name, kind=kind), path, dated=True)
    for order, (kind, path) in enumerate(PATHS.items(), start=20)
)
