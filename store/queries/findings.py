"""Findings that belong to no document: of chains without one, of referenced rows, and of vouchers of the ledger."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection, func, select, text

from engine import money
from engine.chains import links
from engine.chains.records import Record
from engine.mapping.compiler import Maps
from engine.reconciliation.documents import Document, Finding
from engine.reconciliation.grace import Moment, is_reportable
from store.projection.projection_cache import ProjectionCache
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.queries.ledger_comparison import VoucherDifference
from store.schema import tables
from store.schema.bulk_sql import chunks

_CHUNK: Final = 500

_decode: Final = msgspec.msgpack.Decoder(Finding).decode


class LooseFinding(msgspec.Struct, frozen=True):
    """A finding without a document, with the row that it is about: its entity, and its company if known."""

    finding: Finding
    entity: str | None
    company: str | None


class Invoice(NamedTuple):
    """What the lines of one posted vendor invoice have in common."""

    company: str | None
    number: str | None
    voucher: str | None


LEDGER_DIFFERS: Final = "ledger-differs"


def ledger_findings(
    connection: Connection, company: str, currency: str | None, differing: Iterable[VoucherDifference]
) -> Iterator[LooseFinding]:
    """Yield a finding for each voucher of a company that differs from the ledger, with the newest event of one of its
    rows. What has no voucher is listed with the balance alone.
    """
    rows = ReadYourWrites(connection, UncommittedWrites())
    for some in chunks((one for one in differing if one.voucher), _CHUNK):
        keys = {one: _row_of(connection, company, one.voucher) for one in some}
        records = dict(rows.records({key for key in keys.values() if key is not None}))
        for one, key in keys.items():
            record = records.get(key or "")
            if record is not None:
                yield LooseFinding(_differs(one, record, currency), record.entity, company)


def _differs(one: VoucherDifference, record: Record, currency: str | None) -> Finding:
    evidence = record.latest_upsert or record.deleted
    assert evidence is not None, record.key
    return Finding(LEDGER_DIFFERS, record.key, None, _compared(one, currency), evidence)


def voucher_finding(document: Document, one: VoucherDifference) -> Finding:
    """Return the finding of a document one of whose vouchers differs from the ledger."""
    parameters = _compared(one, document.accounting_currency)
    return Finding(LEDGER_DIFFERS, document.key, document.document, parameters, document.evidence)


def _compared(one: VoucherDifference, currency: str | None) -> dict[str, str]:
    return {
        "voucher": one.voucher,
        "account": one.account,
        "computed_amount": money.text(one.computed or 0, currency),
        "ledger_amount": money.text(one.ledger, currency),
        "difference": money.text(one.difference, currency),
        "currency": currency or "",
    }


def _row_of(connection: Connection, company: str, voucher: str) -> str | None:
    """Return the key of a row of a voucher: the first entry of the ledger, otherwise a posting or a document."""
    for table in (tables.ledger_entries, tables.postings, tables.documents):
        of_voucher = (table.c.company == company, table.c.voucher == voucher)
        key: str | None = connection.scalar(select(table.c.key).where(*of_voucher).order_by(table.c.key).limit(1))
        if key is not None:
            return key
    return None


def numbers(connection: Connection) -> dict[str, int]:
    """Return the number of findings without a document in the store, by code."""
    table = tables.findings.c
    # Literal, as in the partial index, so that the planner recognises it.
    query = select(table.code, func.count().label("number")).where(text("document IS NULL")).group_by(table.code)
    return {row.code: row.number for row in connection.execute(query)}


def invoices_with(connection: Connection, code: str) -> set[Invoice]:
    """Return the vendor invoices that have a line with this finding."""
    found, document = tables.findings.c, tables.documents.c
    query = (
        select(document.company, document.invoice, document.voucher)
        .join(tables.documents, document.document == found.document)
        .select_from(tables.findings)
        .where(found.code == code, document.invoice.is_not(None))
        .distinct()
    )
    return {Invoice(*row) for row in connection.execute(query)}


def loose_findings(
    connection: Connection,
    maps: Maps,
    cache: ProjectionCache,
    moment: Moment,
    company: str | None = None,
    code: str | None = None,
) -> Iterator[LooseFinding]:
    """Yield the findings without a document that may be reported at `moment`, by code and subject.

    With a company, those of its rows, and those of rows whose company is unknown: they may be its own.
    """
    table = tables.findings.c
    query = select(table.body).where(table.document.is_(None)).order_by(table.code, table.owner, table.number)
    if code is not None:
        query = query.where(table.code == code)
    rows = ReadYourWrites(connection, UncommittedWrites())
    for bodies in chunks(connection.execute(query).scalars(), _CHUNK):
        findings = [_decode(body) for body in bodies]
        records = dict(rows.records({finding.subject for finding in findings}))
        for finding in findings:
            record = records.get(finding.subject)
            entity_map = maps.entities.get(record.entity) if record is not None else None
            owner = None
            if record is not None and entity_map is not None:
                owner = links.row(record, entity_map, cache.directory.owner).company
            if company not in (None, owner) and owner is not None:
                continue
            if is_reportable(finding, moment):
                yield LooseFinding(finding, record.entity if record is not None else None, owner)
