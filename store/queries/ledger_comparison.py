"""The ledger beside the documents and postings, voucher by voucher (R87).

The sum of a voucher's entries is what its documents booked less what its lines cleared. Where no document and no line
has the voucher, the whole sum is another entry of the ledger. Rules: `docs/how-it-decides.md`, "The account".
"""

from collections.abc import Iterator
from heapq import merge
from itertools import groupby
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, select

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
    """What the comparison found: other entries by account and by month of their date, and the vouchers that differ."""

    other: dict[str, list[int]] = {}
    """By account: the amount and the number of vouchers."""
    by_month: dict[tuple[str, str], int] = {}
    """By account and month (`YYYY-MM`, '' if unknown): the amount."""
    differing: list[VoucherDifference] = []
    differing_vouchers: int = 0


def ledger_parts(connection: Connection, company: str) -> LedgerParts | None:
    """Compare the ledger of a company; None while no entry of it is known."""
    entries = tables.ledger_entries.c
    known = select(entries.key).where(entries.company == company, entries.account != "").limit(1)
    if connection.execute(known).first() is None:
        return None
    parts = LedgerParts()
    for one in compare(connection, company):
        if one.computed is None:
            total = parts.other.setdefault(one.account, [0, 0])
            total[0] += one.ledger
            total[1] += 1
            month = one.account, one.date[:7]
            parts.by_month[month] = parts.by_month.get(month, 0) + one.ledger
        else:
            parts.differing_vouchers += 1
            if len(parts.differing) < DIFFERENCES_MAX:
                parts.differing.append(one)
    return parts


def compare(connection: Connection, company: str) -> Iterator[VoucherDifference]:
    """Yield the vouchers of a company that differ, by voucher."""
    entries = tables.ledger_entries.c
    # One main account serves both kinds.
    of_both = select(entries.key).where(entries.company == company, entries.account == "both").limit(1)
    shared = connection.execute(of_both).first() is not None
    streams = merge(
        _computed(connection, company, _BOOKED),
        _computed(connection, company, _CLEARED),
        ((one.voucher, _LEDGER, one) for one in voucher_sums(connection, company)),
        key=lambda item: (item[0], item[1]),
    )
    for voucher, items in groupby(streams, key=lambda item: item[0]):
        yield from _of_voucher(voucher, list(items), shared)


def _of_voucher(voucher: str, items: list[tuple[str, int, Any]], shared: bool) -> Iterator[VoucherDifference]:
    computed: dict[str, int] = {}
    sums: list[VoucherSum] = []
    for _, stream, value in items:
        if stream == _LEDGER:
            sums.append(value)
            continue
        kind, amount = value
        account = "both" if shared else kind
        computed[account] = computed.get(account, 0) + (amount if stream == _BOOKED else -amount)
    if voucher and sums and "" in computed:
        account = _account_of(computed[""], computed, sums)
        computed[account] = computed.get(account, 0) + computed.pop("")
    for one in sums:
        amount = computed.pop(one.account, None) if voucher else None
        if amount != one.amount:
            yield VoucherDifference(voucher, one.account, one.date, one.amount, amount)
    for account, amount in sorted(computed.items()):
        if amount and voucher:
            yield VoucherDifference(voucher, account, "", 0, amount)


def _account_of(unknown: int, computed: dict[str, int], sums: list[VoucherSum]) -> str:
    """Return the account of what lines of an unknown account cleared with a voucher: the one whose entries it explains,
    otherwise the first that has entries.
    """
    explained = (one.account for one in sums if one.amount == computed.get(one.account, 0) + unknown)
    return next(explained, sums[0].account)


def _computed(connection: Connection, company: str, stream: int) -> Iterator[tuple[str, int, tuple[str, int]]]:
    """Yield what the documents of each voucher and kind booked, or what its postings cleared, by voucher."""
    table: Any = tables.documents.c if stream == _BOOKED else tables.postings.c
    amount = table.booked if stream == _BOOKED else table.amount
    conditions: list[ColumnElement[bool]] = [table.company == company, table.voucher.is_not(None)]
    if stream == _BOOKED:
        # A document that booked 0 is left out.
        conditions += [amount != 0, table.views.op("&")(SUMMED) != 0, table.kind.in_(list(KINDS))]
    else:
        conditions.append(amount.is_not(None))
    voucher = dialect_of(connection).by_bytes(table.voucher)
    query = select(table.voucher, table.kind, *exact_sum(amount)).where(*conditions)
    query = query.group_by(table.voucher, table.kind).order_by(voucher, table.kind)
    rows = connection.execute(query.execution_options(yield_per=1_000))
    for name, kind, high, low in rows:
        yield name, stream, (kind, joined(high, low))
