"""What the pictures show of a company: causes, ageing, trend, and what the balance is made of (R37)."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, select, text

from engine.calendar import Company, Window
from engine.mapping.compiler import Maps
from engine.reconciliation.documents import Kind
from store.projection.batch_projection import ProjectionCache
from store.projection.tile_totals import BITS, MISSING_ACTUALS, MISSING_JOURNAL_LINES, SUMMED, Totals, View
from store.queries.common import exact_sum, joined, materialised_totals, within
from store.queries.summary import KINDS, Amount
from store.queries.unmatched import orphan_lines
from store.schema import tables

_OPEN: Final = MISSING_ACTUALS | MISSING_JOURNAL_LINES
_MISSING: Final[tuple[View, ...]] = ("missing-actuals", "missing-journal-lines")
# Written out as in the partial indexes, so that the planner sees that they fit.
_IS_OPEN: Final = text("views & 3 <> 0")


class CauseTotal(msgspec.Struct, frozen=True):
    """What is unreconciled for one cause: in units of the accounting currency, with the date of the oldest."""

    kind: Kind
    position: str
    cause: str
    amount: int
    documents: int
    oldest: str


class UnreconciledPart(msgspec.Struct, frozen=True):
    """What is unreconciled of a month (`YYYY-MM`) or a project, '' for none, in a view of a grid: in units of the
    accounting currency. A document in both views is in two parts, with what each misses.
    """

    value: str
    kind: Kind
    view: View
    amount: int
    documents: int


class AgeBucket(msgspec.Struct, frozen=True):
    """What is unreconciled among documents between two ages, in days at the end of the window; `to` None is open."""

    start: int
    to: int | None
    expense: Amount
    vendor_invoice: Amount


class TrendDay(msgspec.Struct, frozen=True):
    """The unreconciled amount at the end of a day."""

    date: str
    amount: int


class Account(msgspec.Struct, frozen=True):
    """What the documents of a kind leave in its integration account, in units of the accounting currency.

    `before` are documents dated before the window.
    """

    tiles: int
    difference: int
    before: Amount

    @property
    def explained(self) -> int:
        """The balance that the parts make."""
        return self.tiles + self.difference + self.before.amount


class Balance(msgspec.Struct, frozen=True):
    """What the balance of the integration accounts is made of, in units of the accounting currency.

    `orphans` are postings of the integration journal without a document: they took from an account what nobody put in,
    and from which of the two is not known. `not_convertible` of them are in another currency and count nothing.
    Documents before the window count from `first` on; None where none does. `undated` are open and without a date: they
    are in every window.
    """

    by_kind: dict[Kind, Account]
    orphans: Amount
    not_convertible: int
    first: str | None
    undated: int

    @property
    def total(self) -> Account:
        """Both accounts, without the orphans."""
        accounts = self.by_kind.values()
        return Account(
            sum(one.tiles for one in accounts),
            sum(one.difference for one in accounts),
            Amount(sum(one.before.amount for one in accounts), sum(one.before.documents for one in accounts)),
        )

    @property
    def explained(self) -> int:
        """The balance that the parts make."""
        return self.total.explained + self.orphans.amount


def causes(connection: Connection, company: str, window: Window) -> list[CauseTotal]:
    """What is unreconciled by cause, the largest amount first."""
    table = tables.totals.c
    by = [table.kind, table.position, table.cause]
    dates = select(*by, func.min(func.nullif(table.date, ""))).where(*_is_open(company, window)).group_by(*by)
    oldest = {tuple(key): day or "" for *key, day in connection.execute(dates)}
    kept = materialised_totals(connection, by, *_is_open(company, window))
    found = [
        CauseTotal(
            *(kind, position, cause),
            sums.accounting_missing_actual + sums.accounting_missing_journal_line,
            sums.documents,
            oldest[kind, position, cause],
        )
        for (kind, position, cause), sums in kept.items()
    ]
    return sorted(found, key=lambda work: (-abs(work.amount), work.oldest, work.kind, work.cause))


def by_month(connection: Connection, company: str, window: Window) -> list[UnreconciledPart]:
    """What is unreconciled by month, kind and view, from the sums kept by day."""
    table = tables.totals.c
    by = [func.substr(table.date, 1, 7), table.kind, table.views]
    found = materialised_totals(connection, by, *_is_open(company, window))
    return _parts(
        (month, kind, views, sums.documents, sums.accounting_missing_actual, sums.accounting_missing_journal_line)
        for (month, kind, views), sums in found.items()
    )


_MISSING_SUMS: Final = (
    *exact_sum(tables.documents.c.accounting_missing_actual),
    *exact_sum(tables.documents.c.accounting_missing_journal_line),
)


def by_project(connection: Connection, company: str, window: Window) -> list[UnreconciledPart]:
    """What is unreconciled by project, kind and view: of each document that is open, from its index."""
    table = tables.documents.c
    rows = connection.execute(
        select(table.project, table.kind, table.views, func.count(), *_MISSING_SUMS)
        .where(table.company == company, _IS_OPEN, within(table.date, window))
        .group_by(table.project, table.kind, table.views)
    )
    return _parts(
        (project or "", kind, views, documents, joined(high, low), joined(higher, lower))
        for project, kind, views, documents, high, low, higher, lower in rows
    )


def _parts(found: Iterable[tuple[str, Kind, int, int, int, int]]) -> list[UnreconciledPart]:
    """The parts of sums by views, by kind and view."""
    parts: dict[tuple[Kind, View, str], list[int]] = {}
    for value, kind, views, documents, *amounts in found:
        for view, amount in zip(_MISSING, amounts, strict=True):
            if views & BITS[view]:
                part = parts.setdefault((kind, view, value), [0, 0])
                part[0] += amount
                part[1] += documents
    return [UnreconciledPart(value, kind, view, *part) for (kind, view, value), part in sorted(parts.items())]


def _is_open(company: str, window: Window) -> tuple[ColumnElement[bool], ...]:
    """The kept sums of what is unreconciled."""
    table = tables.totals.c
    return table.company == company, within(table.date, window), table.views.op("&")(_OPEN) != 0


_Bucket = tuple[int, int | None]
AGES: Final[tuple[_Bucket, ...]] = ((0, 7), (8, 30), (31, 60), (61, 90), (91, 180), (181, None))


def ageing(connection: Connection, company: str, window: Window) -> list[AgeBucket]:
    """What is unreconciled by age, from the sums kept by day; a document without a date counts as the oldest."""
    table = tables.totals.c
    end = date.fromisoformat(window.end)

    def bucket_of(day: str) -> _Bucket:
        age = (end - date.fromisoformat(day)).days if day else AGES[-1][0]
        return next(one for one in reversed(AGES) if age >= one[0])

    found: dict[tuple[Kind, _Bucket], Totals] = {}
    for (kind, day), sums in materialised_totals(
        connection, [table.kind, table.date], *_is_open(company, window)
    ).items():
        key = (kind, bucket_of(day))
        found[key] = found.get(key, Totals()) + sums

    def amount(kind: Kind, bucket: _Bucket) -> Amount:
        sums = found.get((kind, bucket), Totals())
        return Amount(sums.accounting_missing_actual + sums.accounting_missing_journal_line, sums.documents)

    return [
        AgeBucket(start, to, amount("expense", (start, to)), amount("vendor-invoice-line", (start, to)))
        for start, to in AGES
    ]


def trend(connection: Connection, company: str, window: Window) -> list[TrendDay]:
    """The unreconciled amount (tiles and difference) at the end of each day of the window.

    A document enters on its date and leaves on the day of the step that reconciled it, so the last day is what the
    tiles and the difference say. What was posted in several steps leaves with the last one.
    """
    days = _days(window)
    moved = dict.fromkeys(days, 0)

    def move(day: str, amount: int) -> None:
        if amount:
            moved[min(max(day, window.start), window.end)] += amount

    totals = tables.totals.c
    in_sums = totals.views.op("&")(SUMMED) != 0
    entered = materialised_totals(
        connection, [totals.date], totals.company == company, within(totals.date, window), in_sums
    )
    for (day,), sums in entered.items():
        # Not the amounts themselves: a document whose parts cannot be computed is in no tile.
        put = sums.accounting_missing_actual + sums.accounting_missing_journal_line + sums.accounting_difference
        move(day, put + sums.accounting_reconciled)
    table = tables.reconciliations.c
    left = select(table.day, table.amount).where(table.company == company, within(table.date, window))
    for day, reconciled in connection.execute(left):
        move(day, -int(reconciled))
    amount = 0
    result = []
    for day in days:
        amount += moved[day]
        result.append(TrendDay(day, amount))
    return result


def _days(window: Window) -> list[str]:
    first, last = date.fromisoformat(window.start), date.fromisoformat(window.end)
    return [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]


def balance(connection: Connection, company: Company, window: Window, maps: Maps, state: ProjectionCache) -> Balance:
    """What the balance is made of."""
    table = tables.totals.c
    is_before = and_(table.date != "", table.date < window.start)
    in_sums = table.views.op("&")(SUMMED) != 0
    by = [is_before, table.date == "", table.kind, table.views]
    kept = materialised_totals(connection, by, table.company == company.code, table.date <= window.end, in_sums)
    inside, before = dict.fromkeys(KINDS, Totals()), dict.fromkeys(KINDS, Totals())
    earlier = dict.fromkeys(KINDS, 0)
    counted: set[int] = set()
    undated = 0
    for (earlier_than_window, without_date, kind, views), sums in kept.items():
        if not earlier_than_window:
            inside[kind] += sums
            undated += sums.documents if without_date and views & _OPEN else 0
            continue
        before[kind] += sums
        earlier[kind] += sums.documents if views & _OPEN else 0
        if views & _OPEN or sums.with_difference:
            counted.add(views)
    first = select(func.min(table.date)).where(table.company == company.code, is_before, table.views.in_(counted))
    return Balance(
        {kind: _account(inside[kind], before[kind], earlier[kind]) for kind in KINDS},
        *_orphans(connection, company, maps, state),
        first=connection.execute(first).scalar() if counted else None,
        undated=undated,
    )


def _account(inside: Totals, before: Totals, earlier: int) -> Account:
    return Account(
        tiles=inside.accounting_missing_actual + inside.accounting_missing_journal_line,
        difference=inside.accounting_difference,
        before=Amount(
            before.accounting_missing_actual + before.accounting_missing_journal_line + before.accounting_difference,
            earlier,
        ),
    )


def _orphans(connection: Connection, company: Company, maps: Maps, state: ProjectionCache) -> tuple[Amount, int]:
    """The sum of the postings without a document, and how many of them are in another currency."""
    amount = documents = not_convertible = 0
    for line in orphan_lines(connection, maps, state, company.code):
        documents += 1
        if line["currency"] == company.currency and line["amount"] is not None:
            amount -= line["amount"]
        else:
            not_convertible += 1
    return Amount(amount, documents), not_convertible


def oldest_open(connection: Connection, company: str | None) -> int | None:
    """Since when the oldest document stands that is not reconciled; None when all are."""
    if company is None:
        # The index begins with the company: all of them at once would be a look at each open document.
        companies = connection.execute(select(tables.totals.c.company).distinct()).scalars().all()
        found = [oldest_open(connection, one) for one in companies]
        return min((since for since in found if since is not None), default=None)
    table = tables.documents.c
    oldest: int | None = connection.execute(
        select(func.min(table.since)).where(table.company == company, _IS_OPEN)
    ).scalar()
    return oldest
