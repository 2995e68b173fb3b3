"""Parts of queries that several modules share: the window, decoding of documents, totals."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, func, literal_column, or_, select

from engine.calendar import Company, Window
from engine.errors import QueryError
from engine.reconciliation.documents import Chain, Document
from engine.reconciliation.kinds import Kind
from store.projection.tile_totals import NOT_COMPUTABLE, Totals
from store.schema import tables

decode_chain: Final = msgspec.msgpack.Decoder(Chain).decode


def within(column: ColumnElement[str], window: Window) -> ColumnElement[bool]:
    """Return the condition of a window. It includes documents without a date, so that none is lost."""
    return or_(column.between(window.start, window.end), column == "")


def document_of(body: bytes, key: str) -> Document:
    """Return the document with this key from an encoded chain."""
    return next(document for document in decode_chain(body).documents if document.key == key)


def one_currency(company: Company, currencies: Collection[str]) -> str | None:
    """Return the accounting currency of a company: that of its ledger, or without a ledger the only one of its amounts.

    Raises `QueryError` if its ledger is unknown and its amounts are in several currencies.
    """
    if company.currency is not None:
        return company.currency
    named = {currency for currency in currencies if currency}
    if len(named) > 1:
        raise QueryError(
            "%(company)s: the ledger's currency is not known and its amounts are in %(currencies)s; sums never mix "
            "currencies. Send the rows of CompanyInfo and Ledger for this company.",
            company=company.code,
            currencies=", ".join(sorted(named)),
        )
    return next(iter(named), None)


def materialised_totals(
    connection: Connection, by: Sequence[ColumnElement[Any]], *conditions: ColumnElement[bool]
) -> dict[tuple[Any, ...], Totals]:
    """Return the sums of the materialised totals that meet the conditions, grouped by `by`."""
    # The database concatenates the texts of thousands of rows into a few, and each is decoded at once.
    texts = func.aggregate_strings(tables.totals.c.sums, " ")
    rows = connection.execute(select(*by, func.count(), texts).where(*conditions).group_by(*by))
    return {tuple(key): Totals.sum_texts(number, text) for *key, number, text in rows if number}


_DOCUMENTS: Final = tables.documents.c
_LEFT: Final = ("missing_actual", "missing_journal_line", "difference")

NUMBERS: Final[list[ColumnElement[int]]] = [
    func.count(),
    func.count().filter(_DOCUMENTS.difference != 0),
    func.count().filter(_DOCUMENTS.exchange_difference != 0),
    func.count().filter(
        or_(
            _DOCUMENTS.views.op("&")(NOT_COMPUTABLE) != 0,
            *(_DOCUMENTS[f"accounting_{name}"] != 0 for name in _LEFT),
            _DOCUMENTS.exchange_difference != 0,
        )
    ),
]
"""The numbers of documents of `Totals` (`store.projection.tile_totals.COUNTS`), computed from their rows."""

TotalsByView = dict[tuple[Kind, int, str, str], Totals]
"""Totals of a company in a window by kind, views, transaction and accounting currency ('' for none)."""


def totals_within(connection: Connection, company: str, window: Window) -> TotalsByView:
    """Return the totals of a window: those of its tiles and of each grid without filters."""
    table = tables.totals.c
    by = [table.kind, table.views, table.currency, table.accounting_currency]
    totals = materialised_totals(connection, by, table.company == company, within(table.date, window))
    return {(kind, views, currency, accounting): one for (kind, views, currency, accounting), one in totals.items()}


_LOW_BITS: Final = 20
_LOW_MASK: Final = (1 << _LOW_BITS) - 1


def exact_sum(column: ColumnElement[int]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Return a sum as the sums of its high and low bits. Neither exceeds 64 bits, so neither becomes a float or
    fails.
    """
    # Literal: PostgreSQL shifts by an integer, and a bound number would be a bigint.
    high, low = column.op(">>")(literal_column(str(_LOW_BITS))), column.op("&")(literal_column(str(_LOW_MASK)))
    return func.coalesce(func.sum(high), 0), func.coalesce(func.sum(low), 0)


def joined(high: int, low: int) -> int:
    """Return the sum from the two results of `exact_sum`."""
    return (int(high) << _LOW_BITS) + int(low)
