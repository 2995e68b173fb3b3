"""`tieout balance`: the integration account of a company, part by part."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from tieout.cli.common import (
    CompanyOption,
    FromOption,
    JsonOption,
    ToOption,
    day,
    examples,
    load_settings,
    open_snapshot,
)
from tieout.cli.output import emit

if TYPE_CHECKING:
    from engine.calendar import Company, Window
    from engine.reconciliation.account import PartName
    from store.operational.ledger_balances import BalanceAccount, KeptBalance
    from store.queries.snapshot import Snapshot
    from tieout.settings import Settings

AccountName = Literal["expense", "vendor-invoice", "both"]

EXAMPLES = examples(
    "tieout balance --company USPM",
    "tieout balance --company USPM --from 2024-12-01 --to 2024-12-31 --ledger 39512.50 --account both",
    "tieout balance --company USPM --ledger 39512.50 --on 2024-12-31 --keep",
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


LedgerOption = Annotated[
    int | None,
    typer.Option(metavar="AMOUNT", parser=_ledger, help="Compare with this balance of the ledger.", show_default=False),
]
OnOption = Annotated[
    str | None,
    typer.Option(
        metavar="DATE",
        parser=day,
        help="The day at whose end the account had --ledger, YYYY-MM-DD; without it, today.",
        show_default=False,
    ),
]
PartOption = Annotated[
    str | None, typer.Option(metavar="NAME", parser=_part, help="List what is in this part.", show_default=False)
]


def balance(
    company: CompanyOption,
    start: FromOption = None,
    end: ToOption = None,
    ledger: LedgerOption = None,
    account: Annotated[AccountName, typer.Option(help="The account, for --ledger and --part.")] = "both",
    on: OnOption = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the balance given with --ledger, with your name and the time.")
    ] = False,
    part: PartOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain the balance of the integration accounts: every cent that entered or left them is in one part.

    Documents outside the window are in the parts before-window and after-window. The explained balance is that of now,
    whatever the window. A balance of an earlier day is compared with what is explained at the end of that day.
    """
    from engine.reconciliation.kinds import KINDS
    from tieout.presenters import part_row_json

    for option, value in (("--keep", keep), ("--on", on)):
        if value and ledger is None:
            raise typer.BadParameter(f"{option} needs a balance: add --ledger AMOUNT.")
    if keep and part is not None:
        raise typer.BadParameter("--part lists a part and keeps nothing: leave --keep out.")
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
        given: KeptBalance | None = None
        if ledger is not None:
            given = _balance(selected, account, on or snapshot.today(selected).isoformat(), ledger)
        shown = _shown(snapshot, selected, window, given)
    if keep and given is not None:
        _keep(settings, given)
    _show(shown, as_json=as_json)


def _shown(snapshot: "Snapshot", company: "Company", window: "Window", given: "KeptBalance | None") -> dict[str, Any]:
    """Return the JSON of the balance. `given` is a balance to compare with, of today or of an earlier day."""
    from store.queries.account_queries import CODES
    from store.queries.ledger import entered
    from tieout.presenters import balance_json, compared_balance_json

    compared, balances = snapshot.kept_balances(company), snapshot.balances(company)
    if given is not None and given.date < snapshot.today(company).isoformat():
        compared = [*snapshot.compared(company, [given]), *compared]
    elif given is not None:
        balances = {CODES[given.account]: entered(given.amount)}
    shown = balance_json(company.code, window, snapshot.account_parts(company, window), snapshot.now, balances)
    return shown | {"compared": [compared_balance_json(one) for one in compared]}


def _show(shown: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit(shown)
        return
    from tieout.cli.text_tables import console, show_balance

    show_balance(console(), shown)


def _balance(company: "Company", account: AccountName, on: str, amount: int) -> "KeptBalance":
    """Return a balance that is not kept yet."""
    from store.operational.ledger_balances import KeptBalance

    name = cast("BalanceAccount", account.replace("-", "_"))
    return KeptBalance(company.code, name, on, 0, amount, company.currency or "", "")


def _keep(settings: "Settings", balance: "KeptBalance") -> None:
    import msgspec

    from store import clock
    from store.operational.ledger_balances import keep
    from tieout.access.identities import local_name
    from tieout.bootstrap import open_store

    with open_store(settings, write=True) as engine:
        keep(engine, msgspec.structs.replace(balance, at=clock.now(), who=local_name()))


def _show_part(rows: Iterator[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            emit(row)
        return
    from tieout.cli.text_tables import console, show_part

    show_part(console(), rows)
