"""Balances of the integration accounts that people entered, each with who and when.

No event carries them, so they are on the state topic and survive a rebuild. A balance is never changed: one that is
entered again for the same day comes after the first, and both remain.
"""

from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Engine, select

from store.schema import tables
from store.schema.bulk_sql import upsert

BalanceAccount = Literal["expense", "vendor_invoice", "both"]
"""The account of a balance: one of the two, or both together."""

_table = tables.ledger_balances.c


class KeptBalance(msgspec.Struct, frozen=True):
    """A balance that a person entered: the account had `amount` (units of 1/10000 of `currency`) at the end of the day
    `date`, `YYYY-MM-DD`. `at` is the time of the entry, in microseconds since 1970 UTC.
    """

    company: str
    account: BalanceAccount
    date: str
    at: int
    amount: int
    currency: str
    who: str


def keep(engine: Engine, balance: KeptBalance) -> None:
    """Keep a balance. Keeping the same one again changes nothing."""
    with engine.begin() as connection:
        upsert(connection, tables.ledger_balances, [msgspec.structs.astuple(balance)])


def latest(
    connection: Connection, company: str, account: BalanceAccount, until: str | None = None
) -> KeptBalance | None:
    """Return the balance of the latest day, until a day if given; of several of that day, the one entered last."""
    query = select(tables.ledger_balances).where(_table.company == company, _table.account == account)
    if until is not None:
        query = query.where(_table.date <= until)
    row = connection.execute(query.order_by(_table.date.desc(), _table.at.desc()).limit(1)).first()
    return None if row is None else _balance(row)


def history(connection: Connection, company: str) -> list[KeptBalance]:
    """Return every balance of a company, the one entered last first."""
    query = select(tables.ledger_balances).where(_table.company == company)
    query = query.order_by(_table.at.desc(), _table.account, _table.date.desc())
    return [_balance(row) for row in connection.execute(query)]


def _balance(row: Any) -> KeptBalance:
    return KeptBalance(*row)
