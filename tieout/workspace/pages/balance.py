"""Account reconciliation: the parts, the roll-forward and the aging of the integration accounts (R37)."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import date, timedelta
from functools import partial
from typing import Any, Final, Literal, cast
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.reconciliation.account import BESIDE, PARTS, UNKNOWN_BALANCES, PartName, UnknownBalance
from engine.reconciliation.kinds import KINDS, Kind
from store.projection.tile_totals import View
from store.queries.account import TOGETHER, AccountParts, ExcludedTotal, Part
from store.queries.balance import AgeBucket
from store.queries.ledger import LedgerBalance
from store.queries.roll_forward import PeriodMovement
from store.queries.snapshot import Snapshot
from tieout.workspace.pages import Section, account_part, kept_balances
from tieout.workspace.pages.summary import amounts_context, kind_names, next_actions
from tieout.workspace.web import charts
from tieout.workspace.web.context import Frame, make_frame, open_snapshot
from tieout.workspace.web.grid_state import GridState, dates
from tieout.workspace.web.rendering import render

_FORM_BYTES_MAX: Final = 64 * 1024

LISTED: Final = 100
"""Projects listed at most; the others are one row."""

MONTHS_LISTED: Final = 36
"""Months of the roll-forward listed at most; earlier ones are one row."""


def balance(request: Request) -> Response:
    """Show the page. A ledger balance that a person enters is part of the address, and compared; `keep` keeps it."""
    query = request.query_params
    if query.get("typed"):
        return RedirectResponse(kept_balances.entered_address(request), status_code=303)
    stack = ExitStack()
    with stack:
        snapshot = stack.enter_context(open_snapshot(request))
        frame = make_frame(request, snapshot, request.path_params["company"], *dates(query))
        context: dict[str, Any] = {**amounts_context(request, snapshot, frame), "section": "balance"}
        if frame.company is not None and frame.window is not None:
            account = account_part.account_of(query)
            typed = kept_balances.typed(frame, query, account)
            parts = snapshot.account_parts(frame.company, frame.window)
            ages = snapshot.ageing(frame.company, frame.window)
            context |= {
                "kind_names": kind_names(frame),
                **_accounts(frame, parts, kept_balances.balances(snapshot, frame, typed)),
                "account": account,
                "typed": typed,
                "query_ledger": query.get("ledger", ""),
                "on": query.get("on", ""),
                "compared": partial(kept_balances.compared, snapshot, frame, typed),
                "excluded": [_excluded(frame, parts, one) for one in parts.excluded],
                "ages": [
                    (charts.age_name(age, frame.texts), _age_address(frame, age), age, bar)
                    for age, bar in zip(ages, charts.age_bars(ages, frame.texts), strict=True)
                ],
                "undated": ages[-1].undated,
                "series": charts.SERIES,
                # Slower queries run after the first part of the page has been sent.
                "roll_forward": partial(_roll_forward, snapshot, frame, account),
                "trend": partial(snapshot.trend, frame.company, frame.window),
                "trend_chart": partial(charts.trend, frame=frame, currency=context["currency"]),
                "totals_by": partial(_totals_by, snapshot, frame),
                "causes": partial(next_actions, request, snapshot, frame),
            }
        return render(request, "balance.html", context, stack.pop_all())


class _PartRow(msgspec.Struct, frozen=True):
    """A part of the accounts: its texts, its address, and by account its address, amount, number of items, and how
    many of them have no amount.
    """

    title: str
    meaning: str
    do: str
    address: str
    accounts: dict[str, tuple[str, Part]]

    @property
    def together(self) -> Part:
        """The part of all accounts."""
        return self.accounts[TOGETHER][1]

    @property
    def is_empty(self) -> bool:
        """Return True if nothing is in the part of any account."""
        return not any(part.count or part.amount for _, part in self.accounts.values())


def _accounts(frame: Frame, parts: AccountParts, ledgers: Mapping[str, LedgerBalance]) -> dict[str, Any]:
    """Return the context of the table of parts. `ledgers` are the ledger balances by account."""
    rows = {name: _part_row(frame, parts, name) for name in PARTS}
    beside = rows.pop(BESIDE)
    explained = {name: account.explained for name, account in parts.accounts.items()}
    together = parts.accounts[TOGETHER]
    known = {name: one.amount for name, one in ledgers.items() if one.amount is not None}
    titles = account_part.account_names(frame)
    return {
        "account_names": titles,
        "parts": [row for row in rows.values() if not row.is_empty],
        "empty_parts": [row for row in rows.values() if row.is_empty],
        "beside": beside,
        "explained": explained,
        "without_amount": sum(part.unknown for name, part in together.parts.items() if name != BESIDE),
        "ledgers": known,
        "unknown_balances": _unknown_balances(frame, ledgers, titles),
        "unexplained": {name: balance - explained[name] for name, balance in known.items()},
        "differing": parts.ledger.differing[:LISTED] if parts.ledger is not None else [],
        "differing_vouchers": parts.ledger.differing_vouchers if parts.ledger is not None else 0,
        "in_no_account": explained[TOGETHER] - sum(explained[kind] for kind in KINDS),
    }


def _unknown_balances(
    frame: Frame, ledgers: Mapping[str, LedgerBalance], titles: Mapping[str, str]
) -> list[tuple[str, list[str], str | None]]:
    """Return why balances are not known: the reason, the accounts, and the day from which their entries are known."""
    found: dict[tuple[UnknownBalance, str | None], list[str]] = {}
    for name, one in ledgers.items():
        if one.unknown is not None:
            since = one.known_from if one.unknown == "not-from-start" else None
            found.setdefault((one.unknown, since), []).append(titles[name])
    return [
        (frame.texts.of_code(reason, UNKNOWN_BALANCES[reason]), names, since)
        for (reason, since), names in found.items()
    ]


def _part_row(frame: Frame, parts: AccountParts, name: PartName) -> _PartRow:
    translate = partial(frame.texts.of_code, name)
    texts = PARTS[name]
    return _PartRow(
        translate(texts.title),
        translate(texts.meaning),
        translate(texts.do),
        account_part.address(frame, name),
        {
            account: (account_part.address(frame, name, account=account), one.parts[name])
            for account, one in parts.accounts.items()
        },
    )


def _excluded(frame: Frame, parts: AccountParts, excluded: ExcludedTotal) -> dict[str, Any]:
    return {
        "reason": excluded.reason,
        "documents": excluded.documents,
        "amount": frame.locale.amount(excluded.amount, parts.currency),
        "address": account_part.address(frame, f"{account_part.EXCLUDED}{excluded.reason}"),
    }


def _roll_forward(snapshot: Snapshot, frame: Frame, account: str) -> list[dict[str, Any]]:
    """Return the months of the roll-forward of an account, the last `MONTHS_LISTED` of them one by one, then what has
    no date.
    """
    assert frame.company is not None
    movements = snapshot.roll_forward(frame.company, cast("Kind | None", account or None))
    dated = [movement for movement in movements if movement.start]
    earlier, listed = dated[:-MONTHS_LISTED], dated[-MONTHS_LISTED:]
    rows = []
    if earlier:
        before = PeriodMovement(
            "",
            earlier[0].opening,
            *(sum(getattr(movement, name) for movement in earlier) for name in ("booked", "cleared", "other")),
        )
        until = frame.texts.month(earlier[-1].start)
        rows.append({"title": frame.texts.gettext("Until %(month)s", month=until), "movement": before, "links": {}})
    for movement in (*listed, *(movement for movement in movements if not movement.start)):
        month = movement.start or account_part.NO_DATE
        rows.append(
            {
                "title": frame.texts.month(movement.start) or frame.texts.gettext("Without a date"),
                "movement": movement,
                "links": {
                    name: account_part.address(frame, name, account=account, month=month)
                    for name in account_part.MOVEMENTS
                },
            }
        )
    return rows


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


ROUTES: Final = (Route("/{company}/balance", balance, methods=["GET"]),)
SECTIONS: Final = (
    Section(
        30, "dual-write", "balance", lambda frame: frame.texts.gettext("Account reconciliation"), "scale", dated=True
    ),
)
