"""The Balance page: what the balance of the integration accounts is made of, its age, and how it came about (R37)."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from engine import money
from engine.errors import QuestionError
from store.grids import GridQuery, GroupBy
from store.queries import Snapshot
from store.summary import KINDS
from tieout.workspace import charts
from tieout.workspace.addresses import GridState, day
from tieout.workspace.context import Frame, asked, frame
from tieout.workspace.dual_write import KIND_NAMES, amounts
from tieout.workspace.rendering import render


def balance(request: Request) -> Response:
    """The balance explained. What the ledger says is typed by a person, and stands in the address."""
    query = request.query_params
    with asked(request) as snapshot:
        around = frame(
            request, snapshot, request.path_params["company"], day(query.get("from", "")), day(query.get("to", ""))
        )
        context: dict[str, Any] = {**amounts(request, snapshot, around), "section": "balance", "ledger": ""}
        if around.company is not None and around.window is not None:
            explained = snapshot.balance(around.company, around.window)
            typed = query.get("ledger", "").strip()
            ledger = _typed(typed) if typed else None
            ages = snapshot.ageing(around.company, around.window)
            days = snapshot.trend(around.company, around.window)
            context |= {
                "balance": explained,
                "ledger": typed,
                "remainder": None if ledger is None else ledger - explained.explained,
                "ages": [(charts.age_name(age), age) for age in ages],
                "age_chart": charts.ageing(ages, around.locale, context["currency"]),
                "months": [one for one in days if one.date[8:] == "01" or one is days[-1]],
                "trend_chart": charts.trend(days, around.locale, context["currency"]),
                "by_month": _by(snapshot, around, "month"),
                "by_project": _by(snapshot, around, "project"),
            }
        return render(request, "balance.html", context)


def _typed(text: str) -> int:
    plain = text.replace("\u2212", "-")
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", plain):
        plain = plain.replace(",", "")
    found = money.units(plain)
    if found is None:
        raise QuestionError(f"{text!r} is no amount. Write the ledger's balance as 39512.50.")
    return found


def _by(snapshot: Snapshot, around: Frame, by: GroupBy) -> list[dict[str, Any]]:
    """What is unreconciled by period or project, both kinds together, the largest amount first."""
    assert around.window is not None
    found: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        for view in ("missing-actuals", "missing-journal-lines"):
            query = GridQuery(company=around.code, kind=kind, window=around.window, view=view)
            for group in snapshot.groups(query, by):
                part = found.setdefault(group.value, {"value": group.value, "amount": 0, "documents": 0, "links": {}})
                for sums in group.sums.values():
                    part["amount"] += (
                        sums.accounting_missing_actual
                        if view == "missing-actuals"
                        else sums.accounting_missing_journal_line
                    )
                    part["documents"] += sums.documents
                state = GridState(company=around.code, kind=kind, start=around.start, end=around.end, view=view)
                text = group.value if by == "month" and group.value else f"={group.value}"
                title = f"{KIND_NAMES[kind]}, {view.replace('-', ' ')}"
                part["links"][title] = state.filtered("date" if by == "month" else by, text).address()
    if by == "month":
        return [found[value] for value in sorted(found)]
    return sorted(found.values(), key=lambda part: (-abs(part["amount"]), part["value"]))
