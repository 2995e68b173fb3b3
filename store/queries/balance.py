"""Unreconciled amounts of a company by cause, month, project, age and day (R37)."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select, text

from engine.calendar import Window
from engine.reconciliation.kinds import KINDS, Kind
from store.projection.tile_totals import BITS, MISSING_ACTUALS, MISSING_JOURNAL_LINES, SUMMED, Totals, View
from store.queries.common import exact_sum, joined, materialised_totals, within
from store.queries.summary import Amount
from store.schema import tables

_OPEN: Final = MISSING_ACTUALS | MISSING_JOURNAL_LINES
_MISSING: Final[tuple[View, ...]] = ("missing-actuals", "missing-journal-lines")
# Literal, as in the partial indexes, so that the planner recognises them.
_IS_OPEN: Final = text("views & 3 <> 0")


class CauseTotal(msgspec.Struct, frozen=True):
    """Unreconciled total of one cause, in units of the accounting currency, with the date of the oldest document."""

    kind: Kind
    position: str
    cause: str
    amount: int
    documents: int
    oldest: str


class UnreconciledPart(msgspec.Struct, frozen=True):
    """Unreconciled total of a month (`YYYY-MM`) or a project ('' for none) in a view, in units of the accounting
    currency.

    A document in both views contributes to two parts, with the amount missing in each.
    """

    value: str
    kind: Kind
    view: View
    amount: int
    documents: int


class AgeBucket(msgspec.Struct, frozen=True):
    """Unreconciled totals of documents between two ages, in days at the end of the window; `to` is None in the last
    bucket. `undated` of them have no date.
    """

    start: int
    to: int | None
    by_kind: dict[Kind, Amount]
    undated: int = 0

    @property
    def documents(self) -> int:
        """The number of documents of all kinds."""
        return sum(amount.documents for amount in self.by_kind.values())


class TrendDay(msgspec.Struct, frozen=True):
    """The unreconciled amount at the end of a day."""

    date: str
    amount: int


def causes(connection: Connection, company: str, window: Window) -> list[CauseTotal]:
    """Return the unreconciled totals by cause, largest amount first."""
    table = tables.totals.c
    by = [table.kind, table.position, table.cause]
    dates = select(*by, func.min(func.nullif(table.date, ""))).where(*_is_open(company, window)).group_by(*by)
    oldest = {tuple(key): day or "" for *key, day in connection.execute(dates)}
    totals = materialised_totals(connection, by, *_is_open(company, window))
    causes = [
        CauseTotal(
            *(kind, position, cause),
            sums.accounting_unreconciled,
            sums.documents,
            oldest[kind, position, cause],
        )
        for (kind, position, cause), sums in totals.items()
    ]
    return sorted(causes, key=lambda total: (-abs(total.amount), total.oldest, total.kind, total.cause))


def by_month(connection: Connection, company: str, window: Window) -> list[UnreconciledPart]:
    """Return the unreconciled totals by month, kind and view, from the materialised totals."""
    table = tables.totals.c
    by = [func.substr(table.date, 1, 7), table.kind, table.views]
    totals = materialised_totals(connection, by, *_is_open(company, window))
    return _parts(
        (month, kind, views, sums.documents, sums.accounting_missing_actual, sums.accounting_missing_journal_line)
        for (month, kind, views), sums in totals.items()
    )


_MISSING_SUMS: Final = (
    *exact_sum(tables.documents.c.accounting_missing_actual),
    *exact_sum(tables.documents.c.accounting_missing_journal_line),
)


def by_project(connection: Connection, company: str, window: Window) -> list[UnreconciledPart]:
    """Return the unreconciled totals by project, kind and view, from the index of open documents."""
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


def _parts(rows: Iterable[tuple[str, Kind, int, int, int, int]]) -> list[UnreconciledPart]:
    """Convert sums by value, kind and views to parts by kind and view."""
    parts: dict[tuple[Kind, View, str], list[int]] = {}
    for value, kind, views, documents, *amounts in rows:
        for view, amount in zip(_MISSING, amounts, strict=True):
            if views & BITS[view]:
                part = parts.setdefault((kind, view, value), [0, 0])
                part[0] += amount
                part[1] += documents
    return [UnreconciledPart(value, kind, view, *part) for (kind, view, value), part in sorted(parts.items())]


def _is_open(company: str, window: Window) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for materialised totals of open documents."""
    table = tables.totals.c
    return table.company == company, within(table.date, window), table.views.op("&")(_OPEN) != 0


_Bucket = tuple[int, int | None]
AGES: Final[tuple[_Bucket, ...]] = ((0, 7), (8, 30), (31, 60), (61, 90), (91, 180), (181, None))


def ageing(connection: Connection, company: str, window: Window) -> list[AgeBucket]:
    """Return the unreconciled totals by age, from the materialised totals. Documents without a date count as the
    oldest.
    """
    table = tables.totals.c
    end = date.fromisoformat(window.end)

    def bucket_of(day: str) -> _Bucket:
        age = (end - date.fromisoformat(day)).days if day else AGES[-1][0]
        return next(bucket for bucket in reversed(AGES) if age >= bucket[0])

    by_bucket: dict[tuple[Kind, _Bucket], Totals] = {}
    undated = 0
    for (kind, day), sums in materialised_totals(
        connection, [table.kind, table.date], *_is_open(company, window)
    ).items():
        key = (kind, bucket_of(day))
        undated += 0 if day else sums.documents
        by_bucket[key] = by_bucket.get(key, Totals()) + sums

    def amount(kind: Kind, bucket: _Bucket) -> Amount:
        sums = by_bucket.get((kind, bucket), Totals())
        return Amount(sums.accounting_unreconciled, sums.documents)

    return [
        AgeBucket(start, to, {kind: amount(kind, (start, to)) for kind in KINDS}, undated if to is None else 0)
        for start, to in AGES
    ]


def trend(connection: Connection, company: str, window: Window) -> list[TrendDay]:
    """Return the unreconciled amount (tiles and difference) at the end of each day of the window.

    A document is added on its date and removed on the day of its reconciliation, so the last day equals tiles and
    difference. A document posted in several steps is removed with the last one.
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
        # Not the amount itself: a document whose parts cannot be computed is in no tile.
        put = sums.accounting_unreconciled + sums.accounting_difference
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


def oldest_open(connection: Connection, company: str | None) -> int | None:
    """Return the time since when the oldest unreconciled document has its status; None if all are reconciled."""
    if company is None:
        # The index begins with the company: all companies at once would read every open document.
        companies = connection.execute(select(tables.totals.c.company).distinct()).scalars().all()
        times = [oldest_open(connection, code) for code in companies]
        return min((since for since in times if since is not None), default=None)
    table = tables.documents.c
    oldest: int | None = connection.execute(
        select(func.min(table.since)).where(table.company == company, _IS_OPEN)
    ).scalar()
    return oldest
