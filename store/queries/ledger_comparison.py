"""The ledger beside the documents and postings, voucher by voucher (R87).

The sum of a voucher's entries is what its documents booked less what its lines cleared. Where no document and no line
has the voucher, the whole sum is another entry of the ledger. A voucher also tells the day on which its documents were
posted. Rules: `docs/how-it-decides.md`, "The account".
"""

from collections.abc import Iterator
from heapq import merge
from itertools import groupby
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, func, select

from engine.reconciliation.kinds import KINDS
from engine.reconciliation.ledger_accounts import LedgerAccount
from store.projection.tile_totals import SUMMED
from store.queries.common import exact_sum, joined
from store.queries.ledger import VoucherSum, voucher_sums
from store.schema import tables
from store.schema.dialects import dialect_of


class VoucherDifference(msgspec.Struct, frozen=True):
    """A voucher whose entries sum up to another amount than its documents booked less what its lines cleared.

    `computed` is None where nothing has the voucher: another entry of the ledger. Amounts are in units of 1/10000 of
    the accounting currency; `account` is that of the entries, '' if only lines of an unknown account have the voucher.
    """

    voucher: str
    account: LedgerAccount | str
    date: str
    ledger: int
    computed: int | None

    @property
    def difference(self) -> int:
        """What the ledger has beyond what was computed."""
        return self.ledger - (self.computed or 0)


_BOOKED: Final = 0
_CLEARED: Final = 1
_LEDGER: Final = 2


DIFFERENCES_MAX: Final = 1_000
"""The vouchers that are listed at most; all of them are counted."""


class LedgerParts(msgspec.Struct):
    """What the comparison found: other entries by account and by day, the vouchers that differ, and what was posted on
    another day than that of its document. Amounts are in units of 1/10000 of the accounting currency.
    """

    other: dict[str, list[int]] = {}
    """By account: the amount and the number of vouchers."""
    other_by_day: dict[tuple[str, str], int] = {}
    """By account and day (`YYYY-MM-DD`, '' if unknown): the amount."""
    moved: dict[tuple[str, str], int] = {}
    """By kind and day: what postings add to what the documents of that day booked; negative for what was posted on
    another day.
    """
    differing: list[VoucherDifference] = []
    differing_vouchers: int = 0


class _Voucher(msgspec.Struct):
    """What is known with a voucher: what its documents booked by kind and day, what its lines cleared by kind, and the
    sums of its entries.
    """

    voucher: str
    booked: dict[tuple[str, str], int] = {}
    cleared: dict[str, int] = {}
    entries: list[VoucherSum] = []

    @property
    def day(self) -> str:
        """The day on which it was posted; '' if no entry says it."""
        return min((one.date for one in self.entries if one.date), default="") if self.voucher else ""


def ledger_parts(connection: Connection, company: str) -> LedgerParts | None:
    """Compare the ledger of a company; None while no entry of it is known."""
    entries = tables.ledger_entries.c
    known = select(entries.key).where(entries.company == company, entries.account != "").limit(1)
    if connection.execute(known).first() is None:
        return None
    parts = LedgerParts()
    shared = _is_shared(connection, company)
    for voucher in _vouchers(connection, company):
        _add_moved(parts, voucher)
        for one in _differences(voucher, shared):
            _add_difference(parts, one)
    return parts


def _add_moved(parts: LedgerParts, voucher: _Voucher) -> None:
    posted = voucher.day
    for (kind, day), amount in voucher.booked.items() if posted else ():
        if day != posted:
            parts.moved[kind, day] = parts.moved.get((kind, day), 0) - amount
            parts.moved[kind, posted] = parts.moved.get((kind, posted), 0) + amount


def _add_difference(parts: LedgerParts, one: VoucherDifference) -> None:
    if one.computed is not None:
        parts.differing_vouchers += 1
        if len(parts.differing) < DIFFERENCES_MAX:
            parts.differing.append(one)
        return
    total = parts.other.setdefault(one.account, [0, 0])
    total[0] += one.ledger
    total[1] += 1
    day = one.account, one.date
    parts.other_by_day[day] = parts.other_by_day.get(day, 0) + one.ledger


def compare(connection: Connection, company: str) -> Iterator[VoucherDifference]:
    """Yield the vouchers of a company that differ, by voucher."""
    shared = _is_shared(connection, company)
    for voucher in _vouchers(connection, company):
        yield from _differences(voucher, shared)


def _is_shared(connection: Connection, company: str) -> bool:
    """Return True if one main account serves both kinds."""
    entries = tables.ledger_entries.c
    of_both = select(entries.key).where(entries.company == company, entries.account == "both").limit(1)
    return connection.execute(of_both).first() is not None


def _vouchers(connection: Connection, company: str) -> Iterator[_Voucher]:
    """Yield the vouchers of documents, postings and entries, in the order of their bytes; '' is that of entries without
    one.
    """
    streams = merge(
        _booked(connection, company),
        _cleared(connection, company),
        ((one.voucher, _LEDGER, one) for one in voucher_sums(connection, company)),
        key=lambda item: (item[0], item[1]),
    )
    for name, items in groupby(streams, key=lambda item: item[0]):
        voucher = _Voucher(name)
        for _, stream, value in items:
            if stream == _LEDGER:
                voucher.entries.append(value)
            elif stream == _BOOKED:
                kind, day, amount = value
                voucher.booked[kind, day] = amount
            else:
                kind, amount = value
                voucher.cleared[kind] = amount
        yield voucher


def _differences(voucher: _Voucher, shared: bool) -> Iterator[VoucherDifference]:
    """Yield the accounts of a voucher whose entries have another sum. An entry without a voucher has nothing to be
    compared with.
    """
    name, entries = voucher.voucher, voucher.entries
    computed = _computed(voucher, shared) if name else {}
    if "" in computed and entries:
        account = _account_of(computed[""], computed, entries)
        computed[account] = computed.get(account, 0) + computed.pop("")
    for one in entries:
        amount = computed.pop(one.account, None)
        if amount != one.amount:
            yield VoucherDifference(name, one.account, one.date, one.amount, amount)
    for account, amount in sorted(computed.items()):
        if amount:
            yield VoucherDifference(name, account, "", 0, amount)


def _computed(voucher: _Voucher, shared: bool) -> dict[str, int]:
    """Return by account what the documents booked less what the lines cleared; '' are lines of an unknown account."""
    computed: dict[str, int] = {}
    moves = [*((kind, amount) for (kind, _), amount in voucher.booked.items())]
    moves += [(kind, -amount) for kind, amount in voucher.cleared.items()]
    for kind, amount in moves:
        account = "both" if shared else kind
        computed[account] = computed.get(account, 0) + amount
    return computed


def _account_of(unknown: int, computed: dict[str, int], sums: list[VoucherSum]) -> str:
    """Return the account of what lines of an unknown account cleared with a voucher: the one whose entries it explains,
    otherwise the first that has entries.
    """
    explained = (one.account for one in sums if one.amount == computed.get(one.account, 0) + unknown)
    return next(explained, sums[0].account)


_Item = tuple[str, int, Any]
"""A voucher, the stream, and what the stream has of it."""


def _booked(connection: Connection, company: str) -> Iterator[_Item]:
    """Yield what the documents of each voucher, kind and day booked, by voucher. A document that booked 0 is left
    out.
    """
    table = tables.documents.c
    counted = (table.booked != 0, table.views.op("&")(SUMMED) != 0, table.kind.in_(list(KINDS)))
    day = func.coalesce(table.date, "")
    query = select(table.voucher, table.kind, day, *exact_sum(table.booked)).where(*counted)
    for voucher, kind, on, high, low in _by_voucher(connection, company, query, table, table.kind, day):
        yield voucher, _BOOKED, (kind, on, joined(high, low))


def _cleared(connection: Connection, company: str) -> Iterator[_Item]:
    """Yield what the postings of each voucher and kind cleared, by voucher."""
    table = tables.postings.c
    query = select(table.voucher, table.kind, *exact_sum(table.amount)).where(table.amount.is_not(None))
    for voucher, kind, high, low in _by_voucher(connection, company, query, table, table.kind):
        yield voucher, _CLEARED, (kind, joined(high, low))


def _by_voucher(
    connection: Connection, company: str, query: Select[Any], table: Any, *by: ColumnElement[str]
) -> Iterator[Any]:
    query = query.where(table.company == company, table.voucher.is_not(None)).group_by(table.voucher, *by)
    query = query.order_by(dialect_of(connection).by_bytes(table.voucher), *by)
    return iter(connection.execute(query.execution_options(yield_per=1_000)))
