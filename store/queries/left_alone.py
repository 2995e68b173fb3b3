"""Documents that Sync leaves alone, with what has to be read to know it (`engine.sync.refusals`)."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from sqlalchemy import Connection, literal, select

from engine.reconciliation.documents import Chain, Document
from engine.reconciliation.grace import Moment
from engine.reconciliation.kinds import KINDS, VENDOR_INVOICE_LINE
from engine.sync.refusals import REPEATED, Reason, has_cost, refusal
from store.notices import tables_with_unnamed, waiting_among
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.queries.common import decode_chain
from store.queries.possible_matches import possible_matches
from store.queries.rows import GridRow
from store.schema import tables
from store.schema.bulk_sql import chunks
from store.schema.case_folding import folded

_CHUNK: Final = 200
_ACTUAL: Final = "msdyn_actual"

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
    found.update(_of_invoices(connection, sent_whole, unread, moment))
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
    connection: Connection, documents: Collection[Document], unread: Collection[str], moment: Moment
) -> Iterable[tuple[str, Reason]]:
    """Yield the documents that another line of their invoice keeps from being sent."""
    chains = _chains(connection, documents)
    unread = {*unread, *_unread_lines(connection, chains, moment)}
    lines = [line for chain in chains for line in chain.documents if line.invoice is not None]
    matches = possible_matches(connection, lines)
    refused = {
        _invoice(line)
        for line in lines
        if has_cost(line) or refusal(line, matched=line.key in matches, unread=line.key in unread) is not None
    }
    refused |= _with_cost_in_dataverse(connection, chains)
    for document in documents:
        if _invoice(document) in refused:
            yield document.key, "invoice-left-alone"


def _unread_lines(connection: Connection, chains: Collection[Chain], moment: Moment) -> set[str]:
    """Return the lines of which a row has changed and was not read yet, whether or not they are asked for."""
    if not moment.unread:
        return set()
    unnamed = tables_with_unnamed(connection)
    waiting = waiting_among(connection, {key for chain in chains for key in chain.members})
    return {
        line.key
        for chain in chains
        if any(key in waiting or key.split(":", 2)[1] in unnamed for key in chain.members)
        for line in chain.documents
    }


def _invoice(document: Document) -> _Invoice:
    return document.kind, document.company, document.invoice, document.voucher


def _chains(connection: Connection, documents: Collection[Document]) -> list[Chain]:
    """Return the chains of every line of the invoices of these documents."""
    table = tables.documents
    by_company: dict[tuple[str, str], set[str]] = {}
    for document in documents:
        by_company.setdefault((document.company or "", document.kind), set()).add(document.invoice or "")
    chains: dict[str, Chain] = {}
    for (company, kind), invoices in by_company.items():
        for chunk in chunks(sorted(invoices), _CHUNK):
            rows = connection.execute(
                select(table.c.chain, tables.chains.c.body)
                .join(tables.chains, tables.chains.c.id == table.c.chain)
                .where(
                    table.c.company == company,
                    table.c.kind == kind,
                    # The index of invoices serves folded values alone.
                    folded(table.c.invoice).in_([folded(literal(invoice)) for invoice in chunk]),
                    table.c.invoice.is_not(None),
                )
            )
            chains.update((row.chain, decode_chain(row.body)) for row in rows)
    return list(chains.values())


def _with_cost_in_dataverse(connection: Connection, chains: Collection[Chain]) -> set[_Invoice]:
    """Return the invoices of which Dataverse has a line with its cost that is no line of the invoice in Finance: its
    Finance line was deleted, or has another number.
    """
    rows = ReadYourWrites(connection, UncommittedWrites())
    own = {chain.id for chain in chains}
    invoices_of: dict[str, set[_Invoice]] = {}
    for chain in chains:
        invoices = {_invoice(line) for line in chain.documents if line.invoice is not None}
        for _, record in rows.records(_of_entity(chain.members, VENDOR_INVOICE_LINE.record_entity)):
            for header in _of_entity(record.refers, VENDOR_INVOICE_LINE.approved_entity):
                invoices_of.setdefault(header, set()).update(invoices)
    headers_of: dict[str, set[str]] = {}
    named = [(header, line) for header, line in rows.links(sorted(invoices_of))]
    for line, record in rows.records(sorted({line for _, line in named})):
        if record.chain is not None and record.chain not in own:
            headers_of.setdefault(record.chain, set()).update(header for header, other in named if other == line)
    found: set[_Invoice] = set()
    for chain_id, body in rows.chains(sorted(headers_of)):
        chain = decode_chain(body)
        actuals = rows.records(_of_entity(chain.members, _ACTUAL))
        if chain.postings or chain.unlinked or any(record.exists for _, record in actuals):
            found.update(invoice for header in headers_of[chain_id] for invoice in invoices_of[header])
    return found


def _of_entity(keys: Iterable[str], entity: str) -> list[str]:
    """Return the record keys of an entity among these tokens."""
    return [key for key in keys if key.split(":", 2)[1:2] == [entity]]
