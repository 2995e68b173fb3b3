"""Actuals, cost and sales, that are to be sent to Finance and have no staging row (R32)."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from engine import money
from engine.chains.records import Row
from engine.reconciliation.chain_facts import ChainFacts, DocumentFacts


class UnsyncedActual(NamedTuple):
    """An actual without a staging row, with the document it belongs to.

    `company` is the company it counts in, `currency` the accounting currency of that company, `amount` the amount in
    that currency; None if unknown.
    """

    row: Row
    document: DocumentFacts | None
    company: str
    currency: str | None
    amount: int | None


def unsynced_actuals(chain: ChainFacts, documents: Sequence[DocumentFacts]) -> Iterator[UnsyncedActual]:
    """Yield the unsynced actuals of a chain, by key, each with its document: of several `documents` the one that has
    it, otherwise the first.
    """
    for row in chain.of("actual"):
        if row.gone is not None or row["skip_sync"] or row["type"] is None or chain.staging.get(row.id):
            continue
        document = next(
            (document for document in documents if _has(document, row)), documents[0] if documents else None
        )
        company = row.company or (document.line.company if document is not None else None)
        if company is None:
            continue
        ledger = chain.reference_data.directory.company(company)
        currency = ledger.currency if ledger is not None else None
        yield UnsyncedActual(row, document, company, currency, _accounting_amount(chain, row, currency, document))


def _has(document: DocumentFacts, actual: Row) -> bool:
    return any(own.key == actual.key for own in document.cost_actuals)


def _accounting_amount(chain: ChainFacts, row: Row, currency: str | None, document: DocumentFacts | None) -> int | None:
    if row["accounting_amount"] is not None or row["amount"] is None:
        return cast("int | None", row["accounting_amount"])
    own = chain.reference_data.directory.currency(row["currency"]) or (
        document.currency if document is not None else None
    )
    if own is not None and own == currency:
        return cast(int, row["amount"])
    if document is not None and own == document.currency:
        return money.converted(row["amount"], document.rate, currency)
    return None
