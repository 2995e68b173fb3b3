"""Documents that Sync leaves alone, with what has to be read to know it (`engine.sync.refusals`)."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from sqlalchemy import Connection, literal, select

from engine.reconciliation.documents import Document
from engine.reconciliation.grace import Moment
from engine.reconciliation.kinds import KINDS
from engine.sync.refusals import REPEATED, Reason, refusal
from store.notices import tables_with_unnamed, waiting_among
from store.queries.common import document_of
from store.queries.possible_matches import possible_matches
from store.queries.rows import GridRow
from store.schema import tables
from store.schema.bulk_sql import chunks
from store.schema.case_folding import folded

_CHUNK: Final = 200

_Invoice = tuple[str | None, str | None, str | None, str | None]


def refusals(
    connection: Connection, rows: Collection[GridRow], keys: Mapping[str, Collection[str]], moment: Moment
) -> dict[str, Reason]:
    """Return why Sync leaves documents alone, by key; nothing for the others.

    `keys` are, by document, the record keys of the rows that it rests on. The documents of an invoice that is sent as a
    whole share their reason, whether or not they are among `rows`.
    """
    unread = _unread(connection, rows, keys, moment)
    found: dict[str, Reason] = {}
    for row in rows:
        reason = refusal(row.document, matched=bool(row.matches), unread=row.document.key in unread)
        if reason is not None:
            found[row.document.key] = reason
    sent_whole = [
        row.document
        for row in rows
        if row.document.invoice is not None and row.cause in REPEATED and row.document.key not in found
    ]
    found.update(_of_invoices(connection, sent_whole, unread))
    return found


def _unread(
    connection: Connection, rows: Collection[GridRow], keys: Mapping[str, Collection[str]], moment: Moment
) -> set[str]:
    """Return the documents that rest on a row that has changed and was not read yet.

    A row that waits may be a record or an actual that the document seems to lack.
    """
    if not moment.unread:
        return set()
    unnamed = tables_with_unnamed(connection)
    waiting = waiting_among(connection, {key for row in rows for key in keys[row.document.key]})
    unread = set()
    for row in rows:
        own = keys[row.document.key]
        absent = ("msdyn_actual", KINDS[row.document.kind].record_entity)
        if (
            not waiting.isdisjoint(own)
            or any(entity in moment.unread for entity in absent)
            or any(key.split(":", 2)[1] in unnamed for key in own)
        ):
            unread.add(row.document.key)
    return unread


def _of_invoices(
    connection: Connection, documents: Collection[Document], unread: Collection[str]
) -> Iterable[tuple[str, Reason]]:
    """Yield the documents that another line of their invoice keeps from being sent."""
    lines = _lines(connection, documents)
    matches = possible_matches(connection, lines)
    refused = {
        _invoice(line)
        for line in lines
        if refusal(line, matched=line.key in matches, unread=line.key in unread) is not None
    }
    for document in documents:
        if _invoice(document) in refused:
            yield document.key, "invoice-left-alone"


def _invoice(document: Document) -> _Invoice:
    return document.kind, document.company, document.invoice, document.voucher


def _lines(connection: Connection, documents: Collection[Document]) -> list[Document]:
    """Return every line of the invoices of these documents."""
    table = tables.documents
    by_company: dict[tuple[str, str], set[str]] = {}
    for document in documents:
        by_company.setdefault((document.company or "", document.kind), set()).add(document.invoice or "")
    lines: dict[str, Document] = {}
    for (company, kind), invoices in by_company.items():
        for chunk in chunks(sorted(invoices), _CHUNK):
            rows = connection.execute(
                select(table.c.key, tables.chains.c.body)
                .join(tables.chains, tables.chains.c.id == table.c.chain)
                .where(
                    table.c.company == company,
                    table.c.kind == kind,
                    # The index of invoices serves folded values alone.
                    folded(table.c.invoice).in_([folded(literal(invoice)) for invoice in chunk]),
                    table.c.invoice.is_not(None),
                )
            )
            lines.update((row.key, document_of(row.body, row.key)) for row in rows)
    return list(lines.values())
