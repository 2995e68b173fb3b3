"""The tiles of a company (R31, R32): each the total of its part over the rows of its view."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, func, select, text

from engine import money
from engine.calendar import Company, Window
from engine.events.facts import iso, microseconds
from engine.reconciliation.grace import Moment, in_flight
from engine.reconciliation.kinds import KINDS, TILES, Kind
from store.projection.tile_totals import MISSING_ACTUALS, MISSING_JOURNAL_LINES, SUMMED, Totals
from store.queries.common import TotalsByView, document_of, exact_sum, joined, one_currency, within
from store.schema import tables


class Amount(msgspec.Struct, frozen=True):
    """A total in units of 1/10000, and its number of documents."""

    amount: int
    documents: int


class Summary(msgspec.Struct, frozen=True):
    """The tiles of a company and a window (R31, R32), in the accounting currency and from one snapshot."""

    company: str
    window: Window
    currency: str | None
    as_of: datetime
    unreconciled: dict[str, Amount]
    tiles: dict[str, Amount]
    difference: Amount
    in_flight: Amount
    not_synced: Amount

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of `tieout summary`, whose members are stable."""
        return {
            "company": self.company,
            "from": self.window.start,
            "to": self.window.end,
            "currency": self.currency,
            "as_of": iso(microseconds(self.as_of.replace(microsecond=0))),
            "unreconciled": {name: self._amount(value) for name, value in self.unreconciled.items()},
            "tiles": {name: self._amount(value) for name, value in self.tiles.items()},
            "difference": self._amount(self.difference),
            "in_flight": self._amount(self.in_flight),
            "not_synced_to_finance": {
                "amount": money.text(self.not_synced.amount, self.currency),
                "records": self.not_synced.documents,
            },
        }

    def _amount(self, value: Amount) -> dict[str, Any]:
        return {"amount": money.text(value.amount, self.currency), "documents": value.documents}


def summarise(
    connection: Connection,
    company: Company,
    window: Window,
    by_view: TotalsByView,
    moment: Moment,
    as_of: datetime,
) -> Summary:
    """Compute the tiles from the totals of the window."""
    by_kind = {kind: _Tiles() for kind in KINDS}
    currencies: set[str] = set()
    for (kind, views, _, accounting), sums in by_view.items():
        by_kind[kind].add(views, sums)
        if views & SUMMED:
            currencies.add(accounting)
    currency = one_currency(company, currencies)
    return Summary(
        company=company.code,
        window=window,
        currency=currency,
        as_of=as_of,
        unreconciled={kind.summary_name: by_kind[code].unreconciled for code, kind in KINDS.items()},
        tiles={tile.name: by_kind[tile.kind].of_view(tile.view) for tile in TILES},
        difference=_sum(totals.difference for totals in by_kind.values()),
        in_flight=_in_flight(connection, company.code, window, moment),
        not_synced=_not_synced(connection, company.code, currency),
    )


def unreconciled_documents(by_view: TotalsByView) -> dict[Kind, int]:
    """Return the number of unreconciled documents by kind; a document in both views counts once."""
    numbers = dict.fromkeys(KINDS, 0)
    for (kind, views, *_), sums in by_view.items():
        if views & SUMMED and views & (MISSING_ACTUALS | MISSING_JOURNAL_LINES):
            numbers[kind] += sums.documents
    return numbers


def _sum(amounts: Iterable[Amount]) -> Amount:
    amounts = list(amounts)
    return Amount(sum(amount.amount for amount in amounts), sum(amount.documents for amount in amounts))


def _in_flight(connection: Connection, company: str, window: Window, moment: Moment) -> Amount:
    if moment.now is None:
        return Amount(0, 0)
    table = tables.documents
    rows = connection.execute(
        select(table.c.key, tables.chains.c.body)
        .join(tables.chains, tables.chains.c.id == table.c.chain)
        .where(
            table.c.company == company,
            within(table.c.date, window),
            text("views & 3 <> 0"),
            table.c.since > moment.now - timedelta(days=1) // timedelta(microseconds=1),
        )
    )
    amount = documents = 0
    for key, body in rows:
        document = document_of(body, key)
        if in_flight(document, moment):
            documents += 1
            parts = document.accounting
            amount += parts.unreconciled if parts else 0
    return Amount(amount, documents)


def _not_synced(connection: Connection, company: str, currency: str | None) -> Amount:
    table = tables.unsynced.c
    rows = connection.execute(
        select(table.currency, func.sum(table.records), *exact_sum(table.amount))
        .where(table.company == company)
        .group_by(table.currency)
    )
    records = amount = 0
    for row_currency, number, high, low in rows:
        records += number
        amount += joined(high, low) if row_currency == (currency or "") else 0
    return Amount(amount, records)


class _Tiles:
    """The totals of one kind that the summary shows."""

    def __init__(self) -> None:
        self._all = Totals()
        self._actuals = 0
        self._lines = 0
        self._open = 0
        self._different = 0

    def add(self, views: int, sums: Totals) -> None:
        if not views & SUMMED:
            return
        self._all = self._all + sums
        self._different += sums.with_difference
        self._actuals += sums.documents if views & MISSING_ACTUALS else 0
        self._lines += sums.documents if views & MISSING_JOURNAL_LINES else 0
        self._open += sums.documents if views & (MISSING_ACTUALS | MISSING_JOURNAL_LINES) else 0

    def of_view(self, view: Literal["missing-actuals", "missing-journal-lines"]) -> Amount:
        """The tile that leads to a view."""
        if view == "missing-actuals":
            return Amount(self._all.accounting_missing_actual, self._actuals)
        return Amount(self._all.accounting_missing_journal_line, self._lines)

    @property
    def unreconciled(self) -> Amount:
        """Total of both tiles; a document in both views counts once."""
        return Amount(self._all.accounting_unreconciled, self._open)

    @property
    def difference(self) -> Amount:
        return Amount(self._all.accounting_difference, self._different)
