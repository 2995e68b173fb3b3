"""The ledger beside the documents and postings, voucher by voucher (R87).

The sum of a voucher's entries is what its documents booked less what its lines cleared. Where no document and no line
has the voucher, the whole sum is another entry of the ledger. A voucher also tells the day on which its documents were
posted. Rules: `docs/how-it-decides.md`, "The account".
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import merge
from itertools import groupby
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, func, literal, literal_column, select

from engine.reconciliation.kinds import KINDS
from engine.reconciliation.ledger_accounts import LedgerAccount
from store.projection.tile_totals import SUMMED
from store.queries.common import exact_sum, joined
from store.queries.ledger import VoucherSum, voucher_sums
from store.schema import tables
from store.schema.case_folding import folded
from store.schema.dialects import dialect_of


class VoucherDifference(msgspec.Struct, frozen=True):
    """A voucher whose entries sum up to another amount than its documents booked less what its lines cleared.

    `computed` is None where nothing has the voucher: another entry of the ledger. The voucher '' is what has none, so
    that no entry can be compared with it. Amounts are in units of 1/10000 of the accounting currency; `account` is that
    of the entries, '' if only lines of an unknown account have the voucher.
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
    """By account and day (`YYYY-MM-DD`, '' if unknown): the amount; also what a voucher has on later days than its
    first, negative on that.
    """
    moved: dict[tuple[str, str], int] = {}
    """By kind and day: what postings add to what the documents of that day booked; negative for what was posted on
    another day.
    """
    differing: list[VoucherDifference] = []
    differing_vouchers: int = 0


class Scope(msgspec.Struct, frozen=True):
    """What of the ledger is known: by account, the first day of which every entry is ('' for any day); an account that
    is not read is left out. `currency` is that of the company's ledger.
    """

    since: Mapping[str, str] = {}
    currency: str | None = None


class _Voucher(msgspec.Struct):
    """What is known with a voucher: what its documents booked and what its lines cleared, by kind and day, and the sums
    of its entries.
    """

    voucher: str
    booked: dict[tuple[str, str], int] = {}
    cleared: dict[tuple[str, str], int] = {}
    entries: list[VoucherSum] = []

    @property
    def day(self) -> str:
        """The day on which it was posted; '' if no entry says it."""
        return min((one.date for one in self.entries if one.date), default="") if self.voucher else ""


def ledger_parts(connection: Connection, company: str, scope: Scope) -> LedgerParts | None:
    """Compare the ledger of a company; None while no entry of it is known."""
    if not has_entries(connection, company):
        return None
    parts = LedgerParts()
    shared = _is_shared(connection, company)
    for voucher in _vouchers(connection, company, scope.currency):
        _add_moved(parts, voucher)
        _add_later_days(parts, voucher, shared)
        for one in _differences(voucher, shared, scope.since):
            _add_difference(parts, one)
    return parts


def has_entries(connection: Connection, company: str) -> bool:
    """Return True if an entry of an integration account of a company is known."""
    entries = tables.ledger_entries.c
    known = select(entries.key).where(entries.company == company, entries.account != "").limit(1)
    return connection.execute(known).first() is not None


def _add_moved(parts: LedgerParts, voucher: _Voucher) -> None:
    posted = voucher.day
    for (kind, day), amount in voucher.booked.items() if posted else ():
        if day != posted:
            parts.moved[kind, day] = parts.moved.get((kind, day), 0) - amount
            parts.moved[kind, posted] = parts.moved.get((kind, posted), 0) + amount


def _add_later_days(parts: LedgerParts, voucher: _Voucher, shared: bool) -> None:
    """Move the entries of later days, as other movements, from the first day of their voucher to their own.

    What documents booked is moved only if the entries add up to it. A posting counts on its own day.
    """
    if voucher.cleared and voucher.voucher:
        return
    computed = _computed(voucher, shared) if voucher.voucher else {}
    for one in _of_both(voucher.entries) if shared else voucher.entries:
        booked = computed.get(one.account)
        if booked is not None and sum(booked.values()) != one.amount:
            continue
        first = one.date if booked is None else voucher.day
        for day, amount in one.days.items():
            if day and day != first:
                for on, moved in ((first, -amount), (day, amount)):
                    parts.other_by_day[one.account, on] = parts.other_by_day.get((one.account, on), 0) + moved


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


def compare(
    connection: Connection, company: str, scope: Scope, vouchers: Collection[str] | None = None
) -> Iterator[VoucherDifference]:
    """Yield the vouchers of a company that differ, of all or of these, by voucher."""
    shared = _is_shared(connection, company)
    for voucher in _vouchers(connection, company, scope.currency, vouchers):
        yield from _differences(voucher, shared, scope.since)


def _is_shared(connection: Connection, company: str) -> bool:
    """Return True if a main account serves both kinds."""
    entries = tables.ledger_entries.c
    of_both = select(entries.key).where(entries.company == company, entries.account == "both").limit(1)
    return connection.execute(of_both).first() is not None


def _vouchers(
    connection: Connection, company: str, currency: str | None, of: Collection[str] | None = None
) -> Iterator[_Voucher]:
    """Yield the vouchers of documents, postings and entries, in the order of their bytes; '' is what has none."""
    streams: Iterator[tuple[str, int, Any]] = merge(
        _moves(connection, company, _BOOKED, of),
        _moves(connection, company, _CLEARED, of),
        ((one.voucher, _LEDGER, one) for one in voucher_sums(connection, company, currency, of)),
        key=lambda item: (item[0], item[1]),
    )
    for name, items in groupby(streams, key=lambda item: item[0]):
        voucher = _Voucher(name)
        for _, stream, value in items:
            if stream == _LEDGER:
                voucher.entries.append(value)
            else:
                kind, day, amount = value
                moves = voucher.booked if stream == _BOOKED else voucher.cleared
                moves[kind, day] = amount
        yield voucher


def _differences(voucher: _Voucher, shared: bool, since: Mapping[str, str]) -> Iterator[VoucherDifference]:
    """Yield the accounts of a voucher whose entries have another sum. What no entry has is missing in the ledger if the
    ledger of that account and day is known.
    """
    name, entries = voucher.voucher, _of_both(voucher.entries) if shared else voucher.entries
    computed = _computed(voucher, shared)
    if "" in computed and entries and name:
        account = _account_of(computed, entries)
        for day, amount in computed.pop("").items():
            days = computed.setdefault(account, {})
            days[day] = days.get(day, 0) + amount
    for one in entries:
        compared = computed.pop(one.account, None) if name else None
        total = None if compared is None else sum(compared.values())
        if total != one.amount:
            yield VoucherDifference(name, one.account, one.date, one.amount, total)
    for account, days in sorted(computed.items()):
        first = since.get(account) if account or not since else min(since.values())
        amount = sum(amount for day, amount in days.items() if day >= first) if first is not None else 0
        if amount:
            yield VoucherDifference(name, account, "", 0, amount)


def _of_both(entries: Sequence[VoucherSum]) -> list[VoucherSum]:
    """Return the entries of a voucher as one sum: where an account serves both kinds, no entry is of one kind alone."""
    if not entries:
        return []
    days: dict[str, int] = {}
    for one in entries:
        for day, amount in one.days.items():
            days[day] = days.get(day, 0) + amount
    return [VoucherSum(entries[0].voucher, "both", sum(one.entries for one in entries), days)]


def _computed(voucher: _Voucher, shared: bool) -> dict[str, dict[str, int]]:
    """Return by account and day what the documents booked less what the lines cleared; '' are lines of an unknown
    account.
    """
    computed: dict[str, dict[str, int]] = {}
    for moves, sign in ((voucher.booked, 1), (voucher.cleared, -1)):
        for (kind, day), amount in moves.items():
            days = computed.setdefault("both" if shared else kind, {})
            days[day] = days.get(day, 0) + sign * amount
    return computed


def _account_of(computed: Mapping[str, Mapping[str, int]], entries: Sequence[VoucherSum]) -> str:
    """Return the account of what lines of an unknown account cleared with a voucher: the one whose entries it explains,
    otherwise the first that has entries.
    """
    unknown = sum(computed[""].values())
    explained = (one.account for one in entries if one.amount == sum(computed.get(one.account, {}).values()) + unknown)
    return next(explained, entries[0].account)


def _moves(
    connection: Connection, company: str, stream: int, of: Collection[str] | None
) -> Iterator[tuple[str, int, tuple[str, str, int]]]:
    """Yield what the documents of each voucher, kind and day booked, or what its postings cleared, by voucher."""
    table: Any = tables.documents.c if stream == _BOOKED else tables.postings.c
    amount = table.booked if stream == _BOOKED else table.amount
    conditions: list[ColumnElement[bool]] = [table.company == company, amount.is_not(None)]
    if stream == _BOOKED:
        # A document that booked 0 is left out.
        conditions += [amount != 0, table.views.op("&")(SUMMED) != 0, table.kind.in_(list(KINDS))]
    if of is not None:
        conditions.append(table.voucher.in_(of))
    if of is not None and stream == _BOOKED:
        # As their index has it.
        conditions.append(folded(table.voucher).in_([folded(literal(one)) for one in of]))
    # Literal, so that what is grouped by is what is selected.
    none: ColumnElement[str] = literal_column("''")
    voucher, day = func.coalesce(table.voucher, none), func.coalesce(table.date, none)
    query = select(voucher.label("voucher"), table.kind, day.label("day"), *exact_sum(amount)).where(*conditions)
    query = query.group_by(voucher, table.kind, day)
    query = query.order_by(dialect_of(connection).by_bytes(voucher), table.kind, day)
    for name, kind, on, high, low in connection.execute(query.execution_options(yield_per=1_000)):
        yield name, stream, (kind, on, joined(high, low))
