"""Possible matches: documents without an actual, and the costs without a document that may be theirs."""

from collections.abc import Iterable

from sqlalchemy import Connection

from engine.reconciliation.documents import Document, UnlinkedActual
from engine.reconciliation.unlinked_actuals import matches_of, tokens_of_document
from store.queries.common import decode_chain
from store.schema import tables
from store.schema.bulk_sql import select

_COLUMNS = ("token", "actual", "chain")


def possible_matches(connection: Connection, documents: Iterable[Document]) -> dict[str, frozenset[str]]:
    """Return the costs, by record key, that each document may belong to; nothing for a document without.

    Two queries for all documents of a page: the costs with a token in common, and their chains.
    """
    waiting: dict[str, list[Document]] = {}
    for document in documents:
        for token in tokens_of_document(document):
            waiting.setdefault(token, []).append(document)
    if not waiting:
        return {}
    found = list(select(connection, tables.unlinked_actuals, _COLUMNS, "token", sorted(waiting)))
    chains = sorted({chain for _, _, chain in found})
    costs = {
        cost.key: cost
        for _, body in select(connection, tables.chains, ("id", "body"), "id", chains)
        for cost in decode_chain(body).unlinked
    }
    candidates: dict[str, tuple[Document, dict[str, UnlinkedActual]]] = {}
    for token, actual, _ in found:
        for document in waiting[token]:
            candidates.setdefault(document.key, (document, {}))[1][actual] = costs[actual]
    matches = {key: matches_of(document, own.values()) for key, (document, own) in candidates.items()}
    return {key: costs_of for key, costs_of in matches.items() if costs_of}
