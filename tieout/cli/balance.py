"""`tieout balance`: the integration account of a company, part by part."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from tieout.cli.common import CompanyOption, FromOption, JsonOption, ToOption, examples, load_settings, open_snapshot
from tieout.cli.output import emit

if TYPE_CHECKING:
    from engine.reconciliation.account import PartName, UnknownBalance
    from store.operational.ledger_balances import BalanceAccount, KeptBalance
    from tieout.settings import Settings

AccountName = Literal["expense", "vendor-invoice", "both"]

EXAMPLES = examples(
    "tieout balance --company USPM",
    "tieout balance --company USPM --from 2024-12-01 --to 2024-12-31 --ledger 39512.50 --account both",
    "tieout balance --company USPM --part posting-without-document",
)


def _ledger(text: str) -> int:
    from engine import money

    units = money.units(text)
    if units is None:
        raise typer.BadParameter(f"{text!r} is not an amount. Use digits with a decimal point, such as 39512.50.")
    return units


def _part(text: str) -> str:
    from engine.reconciliation.account import PARTS

    if text not in PARTS:
        raise typer.BadParameter(f"{text!r} is no part of the account. The parts are {', '.join(PARTS)}.")
    return text


def balance(
    company: CompanyOption,
    start: FromOption = None,
    end: ToOption = None,
    ledger: Annotated[
        int | None,
        typer.Option(
            metavar="AMOUNT", parser=_ledger, help="Compare with this balance of the ledger.", show_default=False
        ),
    ] = None,
    account: Annotated[AccountName, typer.Option(help="The account, for --ledger and --part.")] = "both",
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the balance given with --ledger as that of today, with your name.")
    ] = False,
    part: Annotated[
        str | None,
        typer.Option(metavar="NAME", parser=_part, help="List what is in this part.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Explain the balance of the integration accounts: every cent that entered or left them is in one part.

    Documents outside the window are in the parts before-window and after-window. The explained balance is that of now,
    whatever the window.
    """
    from engine.reconciliation.kinds import KINDS
    from tieout.presenters import balance_json, part_row_json

    if keep and ledger is None:
        raise typer.BadParameter("--keep needs the balance to keep: add --ledger AMOUNT.")
    settings = load_settings()
    by_name = {kind.summary_name.replace("_", "-"): kind.code for kind in KINDS.values()}
    kind = by_name.get(account)
    with open_snapshot(settings) as (snapshot, _):
        selected = snapshot.company(company)
        window = snapshot.window(selected, start, end)
        if part is not None:
            rows = (part_row_json(row) for row in snapshot.part_rows(selected, window, cast("PartName", part), kind))
            _show_part(rows, as_json=as_json)
            return
        parts = snapshot.account_parts(selected, window)
        typed: dict[str, int | UnknownBalance] = {} if ledger is None else {kind or "": ledger}
        today = snapshot.today(selected).isoformat()
        shown = balance_json(selected.code, window, parts, snapshot.now, typed or snapshot.balances(selected))
    if keep and ledger is not None:
        _keep(settings, _kept(selected.code, account, today, ledger, parts.currency))
    _show(shown, as_json=as_json)


def _show(shown: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit(shown)
        return
    from tieout.cli.text_tables import console, show_balance

    show_balance(console(), shown)


def _kept(company: str, account: AccountName, day: str, amount: int, currency: str | None) -> "KeptBalance":
    from store import clock
    from store.operational.ledger_balances import KeptBalance
    from tieout.access.identities import local_name

    name = cast("BalanceAccount", account.replace("-", "_"))
    return KeptBalance(company, name, day, clock.now(), amount, currency or "", local_name())


def _keep(settings: "Settings", balance: "KeptBalance") -> None:
    from store.operational.ledger_balances import keep
    from tieout.bootstrap import open_store

    with open_store(settings, write=True) as engine:
        keep(engine, balance)


def _show_part(rows: Iterator[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            emit(row)
        return
    from tieout.cli.text_tables import console, show_part

    show_part(console(), rows)
