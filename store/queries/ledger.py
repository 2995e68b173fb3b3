"""The ledger of the integration accounts: balances, and sums of entries by voucher (R87).

An account is `expense` or `vendor_invoice`, or `together` for both. Where one main account serves both kinds, its
entries are in `together` alone. Amounts are exact, in units of 1/10000 of the accounting currency; debits are positive.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, func, or_, select, text, true

from engine.mapping.compiler import Maps
from engine.reconciliation.account import UnknownBalance
from engine.reconciliation.ledger_accounts import LedgerAccount, LedgerAccounts
from store.notices import waiting_rows
from store.operational.cursors import cursors
from store.operational.ledger_balances import BalanceAccount, KeptBalance, latest
from store.projection.projection_cache import ProjectionCache, load_resident
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.queries.common import exact_sum, joined
from store.schema import tables
from store.schema.key_ranges import has_prefix

LedgerAccountName = Literal["expense", "vendor_invoice", "together"]
STORED: Final[dict[LedgerAccountName, tuple[LedgerAccount, ...]]] = {
    "expense": ("expense",),
    "vendor_invoice": ("vendor-invoice-line",),
    "together": ("expense", "vendor-invoice-line", "both"),
}
"""The values of the column `account` of each account."""

KEPT: Final[dict[LedgerAccountName, BalanceAccount]] = {
    "expense": "expense",
    "vendor_invoice": "vendor_invoice",
    "together": "both",
}
"""The account of a balance that a person entered, by the name of the account."""
_table: Final = tables.ledger_entries.c
_COUNTED: Final = _table.lacks == ""


class LedgerBalance(msgspec.Struct, frozen=True):
    """The balance of an account in the ledger: `amount`, or None with the reason.

    `known_from` is the date of the first known entry; None without any. `opening` is the balance that a person entered,
    if the amount is that one and the entries of later days. `entries` are the counted entries, `without_period` those
    of them whose period no event names: entries of a year-end close cannot be told from others among them.
    """

    amount: int | None
    unknown: UnknownBalance | None
    known_from: str | None
    opening: KeptBalance | None
    entries: int
    without_period: int


class VoucherSum(msgspec.Struct, frozen=True):
    """The entries of a voucher on an account: their number, and their sum by accounting date ('' if unknown)."""

    voucher: str
    account: LedgerAccount
    entries: int
    days: dict[str, int]

    @property
    def date(self) -> str:
        """The earliest known date; '' without one."""
        return min((day for day in self.days if day), default="")

    @property
    def amount(self) -> int:
        """Their sum."""
        return sum(self.days.values())


class WaitingEntries(msgspec.Struct, frozen=True):
    """Entries that cannot be counted, by what they lack (`engine.reconciliation.ledger_entries.Lacking`)."""

    lacks: str
    entries: int


def entered(amount: int) -> LedgerBalance:
    """Return the balance of an account that a person entered for today."""
    return LedgerBalance(amount, None, None, None, 0, 0)


def named_accounts(connection: Connection, maps: Maps, accounts: LedgerAccounts) -> LedgerAccounts:
    """Return the accounts of the settings, completed by those of Finance's posting set-up as the store knows it."""
    cache = ProjectionCache(0, 0)
    load_resident(ReadYourWrites(connection, UncommittedWrites()), maps, cache)
    return accounts.with_posting_setup(cache.directory.posting_setup)


def balances(
    connection: Connection, company: str, accounts: LedgerAccounts, maps: Maps, currency: str | None = None
) -> dict[LedgerAccountName, LedgerBalance]:
    """Return the balance of each account of a company. `accounts` are those of `named_accounts`, `currency` is the
    accounting currency of the company, None if unknown.
    """
    sums = _sums(connection, company)
    reading = _reading(connection, accounts, maps)
    nobody_has = set(unknown_numbers(connection, accounts))
    unknown = {account: _hindrance(connection, company, account, accounts, nobody_has, currency) for account in STORED}
    found = {
        account: _balance(connection, company, account, unknown[account], sums[account], reading) for account in STORED
    }
    both = [found[account] for account in ("expense", "vendor_invoice")]
    if found["together"].unknown == "not-from-start" and all(one.amount is not None for one in both):
        amount = sum(one.amount or 0 for one in both)
        found["together"] = msgspec.structs.replace(found["together"], amount=amount, unknown=None)
    return found


def _hindrance(
    connection: Connection,
    company: str,
    account: LedgerAccountName,
    accounts: LedgerAccounts,
    nobody_has: Collection[str],
    currency: str | None,
) -> UnknownBalance | None:
    """Return why the entries of an account cannot be its balance, whatever was read of them. `nobody_has` are the
    numbers that no main account has, and no entry.
    """
    numbers = _numbers(company, account, accounts)
    if not numbers:
        return "no-account"
    if account != "together" and accounts.is_shared(company):
        return "shared"
    if numbers.intersection(nobody_has):
        return "not-in-chart"
    if currency is not None and _others(connection, company, account, currency):
        return "several-currencies"
    return "waiting" if _waiting(connection, company, numbers) else None


def _others(connection: Connection, company: str, account: LedgerAccountName, currency: str) -> bool:
    """Return True if an entry of an account is of a ledger in another currency."""
    query = select(_table.key).where(_table.company == company, _COUNTED, _table.account.in_(STORED[account]))
    return connection.execute(query.where(_table.currency.not_in([currency, ""])).limit(1)).first() is not None


def voucher_sums(
    connection: Connection, company: str, currency: str | None = None, vouchers: Collection[str] | None = None
) -> Iterator[VoucherSum]:
    """Yield the sums of the counted entries of a company by voucher and account, by voucher ('' first: none); with a
    currency, those of ledgers in that currency; with vouchers, those alone.
    """
    of_ledger = true() if currency is None else _table.currency.in_([currency, ""])
    named = true() if vouchers is None else _table.voucher.in_(vouchers)
    query = (
        select(_table.voucher, _table.account, _table.date, *exact_sum(_table.amount), func.count())
        .where(_table.company == company, _COUNTED, of_ledger, named)
        .group_by(_table.voucher, _table.account, _table.date)
        .order_by(_table.voucher, _table.account)
    )
    for (voucher, account), rows in groupby(_streamed(connection, query), key=lambda row: tuple(row[:2])):
        days, entries = {}, 0
        for _, _, day, high, low, number in rows:
            days[day] = joined(high, low)
            entries += number
        yield VoucherSum(voucher, account, entries, days)


def waiting(connection: Connection, company: str | None, accounts: LedgerAccounts) -> list[WaitingEntries]:
    """Return the entries that cannot be counted and are or may be of an account of a company, None for any."""
    return _waiting(
        connection, company, accounts.numbers if company is None else frozenset().union(*accounts.of(company))
    )


def unknown_numbers(connection: Connection, accounts: LedgerAccounts) -> list[str]:
    """Return the named numbers that no main account has, and no entry."""
    offers = {f"+main-account:{number}": number for number in sorted(accounts.numbers)}
    tokens = tables.links.c.token
    known = {offers[token] for token in connection.scalars(select(tokens).distinct().where(tokens.in_(offers)))}
    return [
        number
        for number in offers.values()
        if number not in known
        and connection.execute(select(_table.key).where(_table.number == number).limit(1)).first() is None
    ]


# --- balances --------------------------------------------------------------------------------------------------------


Reading = Literal["whole", "part", "behind", "not-read-yet"]
"""What of the ledger was read: every entry of the named accounts; those that happened to be sent; every entry, but not
all are applied; not all that is known to have changed.
"""


class _Sums(msgspec.Struct, frozen=True):
    amount: int = 0
    entries: int = 0
    without_period: int = 0
    undated: int = 0
    first: str | None = None

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(
            self.amount + other.amount,
            self.entries + other.entries,
            self.without_period + other.without_period,
            self.undated + other.undated,
            min(filter(None, (self.first, other.first)), default=None),
        )


def _sums(connection: Connection, company: str, after: str | None = None) -> dict[LedgerAccountName, _Sums]:
    """Return the sums of the counted entries of each account, of all days or of those after one."""
    dated = _table.date != ""
    query = select(
        _table.account,
        *exact_sum(_table.amount),
        func.count(),
        func.count().filter(_table.operating == 0),
        func.count().filter(~dated),
        func.min(_table.date).filter(dated),
    ).where(_table.company == company, _COUNTED)
    if after is not None:
        query = query.where(_table.date > after)
    stored = {
        account: _Sums(joined(high, low), *others)
        for account, high, low, *others in connection.execute(query.group_by(_table.account))
    }
    return {
        account: sum((stored.get(name, _Sums()) for name in names), start=_Sums()) for account, names in STORED.items()
    }


def _balance(
    connection: Connection,
    company: str,
    account: LedgerAccountName,
    unknown: UnknownBalance | None,
    sums: _Sums,
    reading: Reading,
) -> LedgerBalance:
    opening: KeptBalance | None = None
    if unknown is not None:
        pass
    elif reading == "not-read-yet" or reading == "behind":
        unknown = reading
    elif reading == "part":
        opening = latest(connection, company, KEPT[account])
        if opening is None or sums.first is None or opening.date < sums.first:
            unknown = "not-from-start"
        elif sums.undated:
            unknown = "undated"
    first, amount = sums.first, None
    if unknown is not None:
        opening = None
    elif opening is None:
        amount = sums.amount
    else:
        sums = _sums(connection, company, after=opening.date)[account]
        amount = opening.amount + sums.amount
    return LedgerBalance(amount, unknown, first, opening, sums.entries, sums.without_period)


def _numbers(company: str, account: LedgerAccountName, accounts: LedgerAccounts) -> frozenset[str]:
    """Return the main accounts of an account. Both must be named for them to be known together."""
    expense, vendor_invoice = accounts.of(company)
    if account == "together":
        return expense | vendor_invoice if expense and vendor_invoice else frozenset()
    return expense if account == "expense" else vendor_invoice


def _waiting(connection: Connection, company: str | None, numbers: Iterable[str]) -> list[WaitingEntries]:
    # Literal, as in the partial index, so that the planner recognises it.
    query = select(_table.lacks, func.count()).where(
        text("lacks <> ''"), or_(_table.number.in_(list(numbers)), _table.number == "")
    )
    if company is not None:
        query = query.where(or_(_table.company == company, _table.company == ""))
    query = query.group_by(_table.lacks).order_by(_table.lacks)
    return [WaitingEntries(lacks, entries) for lacks, entries in connection.execute(query)]


def _reading(connection: Connection, accounts: LedgerAccounts, maps: Maps) -> Reading:
    """Return how much of the ledger was read and applied.

    A pass of the poller reads the entries of the named main accounts completely; its cursor names them. Records outlive
    rows, so there are at least as many as a pass has read.
    """
    ledger = {entity_map.entity for entity_map in maps.of_role("ledger-entry", "ledger-header", "main-account")}
    if any(waiting.entity in ledger for waiting in waiting_rows(connection)):
        return "not-read-yet"
    entities = {f"{item.source}/{item.entity}?{accounts.selection}": item for item in maps.of_role("ledger-entry")}
    passes = [
        _count(connection, entities[cursor.table].prefix) >= cursor.rows
        for cursor in cursors(connection)
        if cursor.table in entities and cursor.passes
    ]
    if not passes:
        return "part"
    return "whole" if all(passes) else "behind"


def _count(connection: Connection, prefix: str) -> int:
    return connection.scalar(select(func.count()).where(has_prefix(prefix))) or 0


def _streamed(connection: Connection, query: Any) -> Iterator[Any]:
    return iter(connection.execute(query.execution_options(yield_per=5_000)))
