"""Ledger balances that people enter: compared on the page of the account reconciliation, and kept by its form (R37)."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine import money
from engine.errors import QueryError
from store import clock
from store.operational.ledger_balances import KeptBalance
from store.operational.ledger_balances import keep as keep_balance
from store.queries.account_queries import CODES, ComparedBalance
from store.queries.ledger import LedgerBalance, entered
from store.queries.snapshot import Snapshot
from tieout.bootstrap import open_store
from tieout.workspace.pages import account_part
from tieout.workspace.web import form_input
from tieout.workspace.web.context import Frame, locale_of, make_frame, open_snapshot, workspace_of
from tieout.workspace.web.grid_state import dates, day
from tieout.workspace.web.identity import identity_of
from tieout.workspace.web.posted_form import read_form

_FORM_BYTES_MAX: Final = 64 * 1024
_LISTED: Final = 100
"""Balances listed at most."""


def entered_address(request: Request) -> str:
    """Return the address for a ledger balance entered in the reader's format."""
    parameters = {
        name: request.query_params.get(name, "").strip() for name in ("from", "to", "ledger", "account", "on")
    }
    if parameters["ledger"]:
        parameters["ledger"] = form_input.amount(parameters["ledger"], locale_of(request))
    query = urlencode({name: text for name, text in parameters.items() if text}, quote_via=quote)
    return request.url.path + (f"?{query}" if query else "")


def typed(frame: Frame, query: Mapping[str, str], account: str) -> KeptBalance | None:
    """Return the ledger balance of the address, which is not kept yet. Raises `QueryError` if it is invalid."""
    text = query.get("ledger")
    if not text:
        return None
    assert frame.company is not None
    units = money.units(text)
    if units is None:
        raise QueryError('"%(text)s" isn\'t an amount. Example: 39512.50.', text=text)
    on = day(query.get("on", "")) or frame.today
    name = next(name for name, code in CODES.items() if code == account)
    return KeptBalance(frame.company.code, name, on, 0, units, frame.company.currency or "", "")


def balances(snapshot: Snapshot, frame: Frame, entry: KeptBalance | None) -> Mapping[str, LedgerBalance]:
    """Return the balances of now: the one that a person entered, otherwise those of the ledger."""
    assert frame.company is not None
    if entry is None or entry.date < frame.today:
        return snapshot.balances(frame.company)
    return {CODES[entry.account]: entered(entry.amount)}


def compared(snapshot: Snapshot, frame: Frame, entry: KeptBalance | None) -> list[tuple[str, ComparedBalance]]:
    """Return the balance of an earlier day that a person entered and those that were kept, each with its account."""
    assert frame.company is not None
    shown = snapshot.kept_balances(frame.company)
    if entry is not None and entry.date < frame.today:
        shown = [*snapshot.compared(frame.company, [entry]), *shown]
    return [(CODES[one.balance.account], one) for one in shown[:_LISTED]]


async def keep(request: Request) -> Response:
    """Keep the balance of the form, with who and when, and return to the page."""
    form = await read_form(request, _FORM_BYTES_MAX)
    return await run_in_threadpool(_keep, request, {name: "".join(texts) for name, texts in form.items()})


def _keep(request: Request, form: Mapping[str, str]) -> Response:
    workspace = workspace_of(request)
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.path_params["company"], *dates(form))
        if frame.company is None:
            raise QueryError(frame.problem or "there is no company.")
        balance = typed(frame, form, account_part.account_of(form))
        if balance is None:
            raise QueryError("there is no balance to keep.")
        address = f"/{quote(frame.code)}/balance" + frame.dated({"account": CODES[balance.account]})
    with open_store(workspace.settings, write=True) as engine:
        keep_balance(engine, msgspec.structs.replace(balance, at=clock.now(), who=identity_of(request).name))
    return RedirectResponse(address, status_code=303)


ROUTES: Final = (Route("/{company}/balance", keep, methods=["POST"]),)
