"""The roll-forward of an integration account: what was booked and cleared by month, and the balance of a day.

A document counts on the day on which its voucher was posted, on its own day if no entry of the ledger says that.
"""

from collections.abc import Collection, Iterator

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, select

from engine.calendar import Company
from engine.reconciliation.kinds import Kind
from store.projection.tile_totals import SUMMED
from store.queries.account import accounting_currency
from store.queries.common import materialised_totals
from store.queries.ledger_comparison import LedgerParts
from store.schema import tables


class PeriodMovement(msgspec.Struct):
    """What was booked and cleared in a period, in units of the accounting currency; `start` is '' for what has no
    date.
    """

    start: str
    opening: int = 0
    booked: int = 0
    cleared: int = 0
    other: int = 0

    @property
    def closing(self) -> int:
        """The balance at the end of the period."""
        return self.opening + self.booked - self.cleared + self.other


def roll_forward(
    connection: Connection, company: Company, kind: Kind | None = None, ledger: LedgerParts | None = None
) -> list[PeriodMovement]:
    """Return the movements of an account by month, the earliest first, then what has no date. The last closing is the
    explained balance. `ledger` is the comparison with the ledger.
    """
    movements: dict[str, PeriodMovement] = {}
    for one in _moved(connection, company, kind, ledger, func.substr(tables.totals.c.date, 1, 7)):
        month = movements.setdefault(one.start[:7], PeriodMovement(one.start[:7]))
        month.booked += one.booked
        month.cleared += one.cleared
        month.other += one.other
    ordered = sorted(movements.values(), key=lambda movement: (not movement.start, movement.start))
    opening = 0
    for movement in ordered:
        movement.opening = opening
        opening = movement.closing
    return ordered


def closings(
    connection: Connection,
    company: Company,
    days: Collection[str],
    kind: Kind | None = None,
    ledger: LedgerParts | None = None,
) -> dict[str, int]:
    """Return the explained balance of an account at the end of each of these days, without what has no date."""
    moved: dict[str, int] = {}
    for one in _moved(connection, company, kind, ledger, tables.totals.c.date):
        moved[one.start] = moved.get(one.start, 0) + one.closing
    return {day: sum(amount for start, amount in moved.items() if start and start <= day) for day in days}


def _moved(
    connection: Connection,
    company: Company,
    kind: Kind | None,
    ledger: LedgerParts | None,
    period: ColumnElement[str],
) -> Iterator[PeriodMovement]:
    """Yield what moved on the account: by day, or by the period of `totals` that is given."""
    currency = accounting_currency(connection, company) or ""
    table, posted = tables.totals.c, tables.posting_totals.c
    of_kind = [table.kind == kind] if kind is not None else []
    in_sum = and_(
        table.company == company.code, table.views.op("&")(SUMMED) != 0, table.accounting_currency == currency
    )
    for (start,), sums in materialised_totals(connection, [period], in_sum, *of_kind).items():
        yield PeriodMovement(start, booked=sums.booked)
    of_kind = [posted.kind == kind] if kind is not None else []
    query = select(posted.day, posted.amount).where(posted.company == company.code, *of_kind)
    for day, amount in connection.execute(query.where(posted.currency.in_([currency, ""]))):
        yield PeriodMovement(day, cleared=int(amount))
    if ledger is not None:
        for (of, day), amount in ledger.moved.items():
            if kind in (None, of):
                yield PeriodMovement(day, booked=amount)
        for (of, day), amount in ledger.other_by_day.items():
            if kind in (None, of):
                yield PeriodMovement(day, other=amount)
