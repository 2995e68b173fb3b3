"""Possible matches: documents without an actual, and the actuals without a document that may be their cost."""

from collections.abc import Iterable

from sqlalchemy import Connection

from engine.reconciliation.documents import Document
from engine.reconciliation.unlinked_actuals import is_possible_match, tokens_of_document
from store.schema import tables
from store.schema.bulk_sql import select

_COLUMNS = ("token", "actual", "currency", "category")


def possible_matches(connection: Connection, documents: Iterable[Document]) -> dict[str, frozenset[str]]:
    """Return the actuals, by record key, that each document may belong to; nothing for a document without.

    One query for all documents of a page.
    """
    waiting: dict[str, list[Document]] = {}
    for document in documents:
        for token in tokens_of_document(document):
            waiting.setdefault(token, []).append(document)
    if not waiting:
        return {}
    matches: dict[str, set[str]] = {}
    for token, actual, currency, category in select(
        connection, tables.unlinked_actuals, _COLUMNS, "token", sorted(waiting)
    ):
        for document in waiting[token]:
            if is_possible_match(document, currency, category):
                matches.setdefault(document.key, set()).add(actual)
    return {key: frozenset(actuals) for key, actuals in matches.items()}
