"""What each number of the account reconciliation consists of: the documents and postings of a part of an account, of a
reason of exclusion, and of a month of the roll-forward, with their CSV files (R37).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import Any, Final, cast, get_args
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.calendar import Company
from engine.errors import NotFound, QueryError
from engine.reconciliation.account import BESIDE, PARTS, PartName
from engine.reconciliation.documents import Excluded
from engine.reconciliation.explanations import LABELS
from engine.reconciliation.kinds import KINDS, Kind
from store.projection.tile_totals import View
from store.queries.account import TOGETHER, PartRow
from store.queries.roll_forward import PeriodMovement
from store.queries.snapshot import Snapshot
from tieout.workspace.pages import document
from tieout.workspace.pages.summary import amounts_context, kind_names
from tieout.workspace.web.context import Frame, make_frame, open_snapshot
from tieout.workspace.web.csv_export import csv_response
from tieout.workspace.web.grid_columns import digits
from tieout.workspace.web.grid_state import GridState, dates
from tieout.workspace.web.rendering import render

ROWS: Final = 100
"""Rows of a page; the file has all."""

EXCLUDED: Final = "excluded-"
"""Before a reason of exclusion, in the address of its documents."""

MOVEMENTS: Final = {"booked": "Booked", "cleared": "Cleared"}
"""The movements of the roll-forward that have rows, with their titles."""

NO_DATE: Final = "none"
"""In place of a month, in the address of what has no date."""

MEANINGS: Final = {
    EXCLUDED: "Posted documents that are excluded for this reason, of all dates: not in the sum, maybe in the account.",
    "booked": "What the documents of this month put into the account.",
    "cleared": "What the postings of this month took out of the account.",
}
"""What a list that is no part is, in English."""

_GRIDS: Final[Mapping[str, tuple[View, dict[str, str]]]] = {
    "missing-actual": ("missing-actuals", {}),
    "missing-journal-line": ("missing-journal-lines", {}),
    "amount-difference": ("all", {"difference": "!0"}),
    "exchange-difference": ("all", {"exchange_difference": "!0"}),
}
"""The view and the filters of a grid that has the documents of a part."""


def account_of(query: Mapping[str, str]) -> str:
    """Return the account that an address names: the code of a kind, or `TOGETHER`. Raises `QueryError` for another."""
    account = query.get("account", TOGETHER)
    if account not in (TOGETHER, *KINDS):
        names = ", ".join(KINDS)
        raise QueryError("there is no account %(name)r; there are %(names)s.", name=account, names=names)
    return account


def account_names(frame: Frame) -> dict[str, str]:
    """Return the name of each account by its name in the address, all together last."""
    names: dict[str, str] = {code: frame.texts.of_code(code, kind.account) for code, kind in KINDS.items()}
    return {**names, TOGETHER: frame.texts.gettext("Together")}


def address(frame: Frame, part: str, *, account: str = TOGETHER, month: str = "", **more: str) -> str:
    """Return the address of the rows of a part, of a reason of exclusion or of a movement, for the dates of a page."""
    return f"/{quote(frame.code)}/account/{quote(part)}" + frame.dated({"account": account, "month": month, **more})


class _Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A list: its title, what it is and what to do, its total and number of items, how many of them have no amount, and
    its rows beyond a place.
    """

    title: str
    meaning: str
    do: str = ""
    amount: int
    count: int | None
    unknown: int = 0
    rows: Any
    grids: dict[str, str] = {}


def account_part(request: Request) -> Response:
    """Show a page of the rows of a part."""
    query = request.query_params
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(open_snapshot(request))
        frame = _frame(request, snapshot)
        context: dict[str, Any] = {**amounts_context(request, snapshot, frame), "section": "balance", "shown": None}
        if frame.company is not None and frame.window is not None:
            shown, account = _shown(request, snapshot, frame, frame.company), account_of(query)
            context |= {
                "shown": shown,
                "name": request.path_params["part"],
                "month": query.get("month", ""),
                "account": account,
                "account_names": account_names(frame),
                "rows": partial(_page, frame, shown, query.get("after") or None, request),
                "csv": f"/{quote(frame.code)}/account/{quote(request.path_params['part'])}.csv"
                + frame.dated({"account": account, "month": query.get("month", "")}),
                "back": f"/{quote(frame.code)}/balance{frame.dated()}",
            }
        return render(request, "account_part.html", context, stack.pop_all())


def _frame(request: Request, snapshot: Snapshot) -> Frame:
    return make_frame(request, snapshot, request.path_params["company"], *dates(request.query_params))


def _page(frame: Frame, shown: _Shown, after: str | None, request: Request) -> dict[str, Any]:
    """Return the rows of a page, and the addresses of the first and the next one."""
    rows: list[PartRow] = list(islice(shown.rows(after), ROWS + 1))
    part, account = request.path_params["part"], account_of(request.query_params)
    here = partial(address, frame, part, account=account, month=request.query_params.get("month", ""))
    return {
        "rows": [(row, document.address(row.document, frame.dated()) if row.document else None) for row in rows[:ROWS]],
        "first": here() if after is not None else None,
        "next": here(after=rows[ROWS - 1].place) if len(rows) > ROWS else None,
    }


def _shown(request: Request, snapshot: Snapshot, frame: Frame, company: Company) -> _Shown:
    """Return the list that an address names. Raises `NotFound` if there is none."""
    name, account = request.path_params["part"], account_of(request.query_params)
    kind = cast("Kind | None", account or None)
    if name in PARTS:
        return _part(snapshot, frame, company, cast(PartName, name), kind)
    reason = name.removeprefix(EXCLUDED)
    if name.startswith(EXCLUDED) and reason in get_args(Excluded) and reason != BESIDE:
        found = [one for one in snapshot.account_parts(company, frame.window).excluded if one.reason == reason]
        return _Shown(
            title=frame.texts.of_code(reason, LABELS[reason]),
            meaning=frame.texts.of_code("list", MEANINGS[EXCLUDED]),
            amount=sum(one.amount for one in found),
            count=sum(one.documents for one in found),
            rows=lambda after=None: snapshot.excluded_rows(company, reason, None, after),
        )
    if name in MOVEMENTS:
        return _movement(snapshot, frame, company, name, kind, request.query_params.get("month", ""))
    names = ", ".join((*PARTS, *MOVEMENTS, *(f"{EXCLUDED}{reason}" for reason in get_args(Excluded))))
    raise NotFound("there is no part %(name)r of an account; there are %(names)s.", name=name, names=names)


def _part(snapshot: Snapshot, frame: Frame, company: Company, name: PartName, kind: Kind | None) -> _Shown:
    texts, translate = PARTS[name], partial(frame.texts.of_code, name)
    total = snapshot.account_parts(company, frame.window).accounts[kind or TOGETHER].parts[name]
    grids = {}
    if name in _GRIDS:
        view, filters = _GRIDS[name]
        for code, title in kind_names(frame).items():
            if kind in (None, code):
                grids[title] = GridState(
                    company=frame.code, kind=code, view=view, filters=filters, start=frame.start, end=frame.end
                ).address()
    return _Shown(
        title=translate(texts.title),
        meaning=translate(texts.meaning),
        do=translate(texts.do),
        amount=total.amount,
        count=total.count,
        unknown=total.unknown,
        rows=lambda after=None: snapshot.part_rows(company, frame.window, name, kind, after),
        grids=grids,
    )


def _movement(snapshot: Snapshot, frame: Frame, company: Company, name: str, kind: Kind | None, month: str) -> _Shown:
    if month != NO_DATE and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month, re.ASCII):
        raise QueryError('"%(text)s" isn\'t a month. Example: 2024-12.', text=month)
    start = "" if month == NO_DATE else month
    found = [one for one in snapshot.roll_forward(company, kind) if one.start == start] or [PeriodMovement(start)]
    query = snapshot.booked_rows if name == "booked" else snapshot.cleared_rows
    texts = frame.texts
    of_month = texts.month(start) or texts.gettext("without a date")
    return _Shown(
        title=texts.gettext(
            "%(movement)s, %(month)s", movement=texts.of_code("movement", MOVEMENTS[name]), month=of_month
        ),
        meaning=texts.of_code("list", MEANINGS[name]),
        amount=getattr(found[0], name),
        count=None,
        rows=lambda after=None: query(company, start, kind, after),
    )


def account_part_csv(request: Request) -> Response:
    """Return all rows of a part as a CSV file."""
    titles = [
        *("Document or row", "Document", "Account", "Date", "Voucher", "Project ID"),
        *("Accounting amount", "Accounting currency"),
    ]
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(open_snapshot(request))
        frame = _frame(request, snapshot)
        if frame.company is None or frame.window is None:
            raise QueryError(frame.problem or "there is no window.")
        shown = _shown(request, snapshot, frame, frame.company)
        name = f"{frame.code}-{request.path_params['part']}-{frame.window.start}-{frame.window.end}"
        return csv_response(name, titles, _lines(shown.rows()), stack.pop_all())


def _lines(rows: Iterator[PartRow]) -> Iterator[list[Any]]:
    for row in rows:
        account = KINDS[row.kind].account if row.kind else ""
        yield [
            *(row.id, row.document, account, row.date, row.voucher, row.project),
            *(digits(row.amount, row.currency), row.currency),
        ]


def former(request: Request) -> Response:
    """Redirect from the address of the former page Unmatched postings, and its file, to its part of the account."""
    suffix = ".csv" if request.url.path.endswith(".csv") else ""
    query = f"?{request.url.query}" if request.url.query else ""
    code = quote(request.path_params["company"], safe="")
    return RedirectResponse(f"/{code}/account/posting-without-document{suffix}{query}", status_code=301)


ROUTES: Final = (
    # The file comes first: the page's address matches that of the file, too.
    Route("/{company}/account/{part}.csv", account_part_csv, methods=["GET"]),
    Route("/{company}/account/{part}", account_part, methods=["GET"]),
    Route("/{company}/postings-without-document", former, methods=["GET"]),
    Route("/{company}/postings-without-document.csv", former, methods=["GET"]),
)
