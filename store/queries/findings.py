"""Findings that belong to no document: of chains without one, and of referenced rows."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection, select

from engine.chains import links
from engine.mapping.compiler import Maps
from engine.reconciliation.documents import Finding
from engine.reconciliation.grace import Moment, is_reportable
from store.projection.projection_cache import ProjectionCache
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
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
