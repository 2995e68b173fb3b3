"""Self-checks of a store: whether materialised totals match the documents, and the backlog of the outbox."""

from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, func, or_, select, text

from store.projection.tile_totals import (
    AMOUNTS,
    BITS,
    COUNTS,
    NOT_COMPUTABLE,
    SUMMED,
    PostingKey,
    PostingTotal,
    ReconciliationKey,
    TotalKey,
    Totals,
    reconciliation_key,
)
from store.queries.common import NUMBERS, exact_sum, joined
from store.schema import tables

_KEY: Final = TotalKey.__struct_fields__
_WIDTH: Final = len(_KEY)
_MICROSECONDS_A_DAY: Final = 86_400 * 1_000_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def totals_mismatches(connection: Connection) -> Iterator[str]:
    """Yield where the materialised totals, the source of tiles and trend, differ from totals over all documents: the
    key and both values.

    Exact, in two statements over every document: seconds for millions.
    """
    for key, stored, computed in _differing(_stored(connection), _computed(connection), Totals()):
        location = " ".join(str(value) for value in (*msgspec.structs.astuple(key)[:3], key.currency))
        members = [
            f"{name} {getattr(stored, name)} unlike {getattr(computed, name)}"
            for name in Totals.__struct_fields__
            if getattr(stored, name) != getattr(computed, name)
        ]
        yield f"{location}: {', '.join(members)}"
    reconciled = _differing(_stored_reconciliations(connection), _computed_reconciliations(connection).items(), 0)
    for day, before, amount in reconciled:
        yield f"{day.company} {day.date}, reconciled on {day.day}: {before} unlike {amount}"
    posted = _differing(_stored_postings(connection), _computed_postings(connection), PostingTotal())
    for posting, total, sums in posted:
        yield f"postings of {' '.join(posting)}: {tuple(total)} unlike {tuple(sums)}"


def account_mismatches(connection: Connection) -> Iterator[str]:
    """Yield where the integration account breaks its law: a document whose cleared amount is not the sum of the
    postings that it counts, and a company whose parts do not add up to what was booked less what was cleared.

    Exact, in three statements over every document and posting.
    """
    for document, cleared, total in _miscounted(connection):
        yield f"{document}: cleared {cleared} unlike {total} of its postings"
    stored: dict[tuple[str, str], int] = {}
    for key, totals in _stored(connection):
        if key.views & SUMMED:
            place = key.company, key.accounting_currency
            stored[place] = stored.get(place, 0) + _left(key, totals)
    for posting, amount in _stored_postings(connection):
        if posting.part:
            place = posting.company, posting.currency
            stored[place] = stored.get(place, 0) - amount.amount
    for place, explained, balance in _differing(stored.items(), _balances(connection).items(), 0):
        yield f"{' '.join(place)}: the parts come to {explained}, booked less cleared is {balance}"


def _left(key: TotalKey, totals: Totals) -> int:
    """Return what the parts of documents with these totals leave on the account."""
    if key.views & NOT_COMPUTABLE:
        return totals.booked - totals.cleared
    return totals.accounting_unreconciled + totals.accounting_difference + totals.exchange_difference


def _miscounted(connection: Connection) -> Iterator[tuple[str, int, int]]:
    documents, postings = tables.documents.c, tables.postings.c
    high, low = exact_sum(postings.amount)
    counted = (
        select(postings.document, high.label("high"), low.label("low"))
        .where(postings.document != "")
        .group_by(postings.document)
        .subquery()
    )
    query = (
        select(documents.document, documents.cleared, counted.c.high, counted.c.low)
        .select_from(tables.documents.outerjoin(counted, counted.c.document == documents.key))
        .where(documents.views.op("&")(SUMMED) != 0, or_(documents.cleared != 0, counted.c.document.is_not(None)))
    )
    for document, cleared, *halves in connection.execute(query.execution_options(yield_per=1_000)):
        total = joined(*(half or 0 for half in halves))
        if total != (cleared or 0):
            yield document, cleared or 0, total


def _balances(connection: Connection) -> dict[tuple[str, str], int]:
    """Return what the documents of each company booked less what its postings cleared, by accounting currency."""
    balances: dict[tuple[str, str], int] = {}
    documents, postings = tables.documents.c, tables.postings.c
    currency = func.coalesce(documents.accounting_currency, "")
    booked = select(documents.company, currency, *exact_sum(documents.booked)).where(
        documents.views.op("&")(SUMMED) != 0
    )
    cleared = select(postings.company, postings.currency, *exact_sum(postings.amount))
    for sign, query in (
        (1, booked.group_by(documents.company, currency)),
        (-1, cleared.group_by(postings.company, postings.currency)),
    ):
        for company, code, high, low in connection.execute(query):
            balances[company, code] = balances.get((company, code), 0) + sign * joined(high, low)
    return balances


def _differing(stored: Iterable[tuple[K, V]], computed: Iterable[tuple[K, V]], nothing: V) -> Iterator[tuple[K, V, V]]:
    remaining = dict(stored)
    for key, amount in computed:
        if (before := remaining.pop(key, nothing)) != amount:
            yield key, before, amount
    for key, before in remaining.items():
        yield key, before, nothing


def _stored(connection: Connection) -> Iterator[tuple[TotalKey, Totals]]:
    for row in connection.execute(select(tables.totals)):
        yield TotalKey(*(getattr(row, name) for name in _KEY)), Totals.from_text(row.sums)


def _computed(connection: Connection) -> Iterator[tuple[TotalKey, Totals]]:
    table = tables.documents
    by: list[ColumnElement[Any]] = [
        func.coalesce(table.c[name], "") if table.c[name].nullable else table.c[name] for name in _KEY[:-1]
    ]
    by.append(func.coalesce(table.c.cause, table.c.excluded, "").label("cause"))
    halves = [half for name in AMOUNTS for half in exact_sum(table.c[name])]
    for row in connection.execute(select(*by, *NUMBERS, *halves).group_by(*by)):
        key, numbers, sums = row[:_WIDTH], row[_WIDTH : _WIDTH + len(COUNTS)], row[_WIDTH + len(COUNTS) :]
        amounts = [joined(high, low) for high, low in zip(sums[::2], sums[1::2], strict=True)]
        fields: dict[str, int] = {
            **dict(zip(COUNTS, numbers, strict=True)),
            **dict(zip(AMOUNTS, amounts, strict=True)),
        }
        yield TotalKey(*key), Totals(**fields)


def _stored_reconciliations(connection: Connection) -> Iterator[tuple[ReconciliationKey, int]]:
    for *key, amount in connection.execute(select(tables.reconciliations)):
        yield ReconciliationKey(*key), int(amount)


def _computed_reconciliations(connection: Connection) -> dict[ReconciliationKey, int]:
    table = tables.documents.c
    day = (table.since // _MICROSECONDS_A_DAY).label("day")
    rows = connection.execute(
        select(table.company, table.date, day, *exact_sum(table.accounting_reconciled))
        .where(table.views.op("&")(SUMMED) != 0)
        .group_by(table.company, table.date, text("day"))
    )
    amounts: dict[ReconciliationKey, int] = {}
    for company, date, number, high, low in rows:
        key = reconciliation_key(company, date, number * _MICROSECONDS_A_DAY)
        amounts[key] = amounts.get(key, 0) + joined(high, low)
    return {key: amount for key, amount in amounts.items() if amount}


def _stored_postings(connection: Connection) -> Iterator[tuple[PostingKey, PostingTotal]]:
    for *key, postings, unknown, amount in connection.execute(select(tables.posting_totals)):
        yield PostingKey(*key), PostingTotal(postings, unknown, int(amount))


def _computed_postings(connection: Connection) -> Iterator[tuple[PostingKey, PostingTotal]]:
    table = tables.postings.c
    by = (table.company, table.kind, table.part, table.currency, table.date)
    unknown = func.count().filter(table.amount.is_(None))
    query = select(*by, func.count(), unknown, *exact_sum(table.amount)).group_by(*by)
    for *key, postings, without_amount, high, low in connection.execute(query):
        yield PostingKey(*key), PostingTotal(postings, without_amount, joined(high, low))


def outbox_backlog(connection: Connection) -> tuple[int, int | None]:
    """Return the number of records in the outbox and the time of the oldest (microseconds since 1970 UTC)."""
    table = tables.outbox
    waiting, oldest = connection.execute(select(func.count(), func.min(table.c.at))).one()
    return waiting, oldest


def attempts_by_outcome(connection: Connection) -> dict[tuple[str, str], int]:
    """Count the completed attempts by action and outcome; one for each document of a call."""
    table = tables.attempts.c
    query = select(table.action, table.outcome, func.count().label("number")).where(table.ended.is_not(None))
    return {
        (row.action, row.outcome): row.number for row in connection.execute(query.group_by(table.action, table.outcome))
    }


def documents_by_view(connection: Connection) -> dict[tuple[str, str, str], int]:
    """Count the documents by company, kind and view."""
    counts: dict[tuple[str, str, str], int] = {}
    for total_key, totals in _stored(connection):
        for view, bit in BITS.items():
            if total_key.views & bit or not bit:
                key = (total_key.company, total_key.kind, view)
                counts[key] = counts.get(key, 0) + totals.documents
    return counts
