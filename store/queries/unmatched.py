"""Records that only one of the systems has, beside the documents of the grids.

Actuals that did not reach Finance (R32), and postings without an actual (R37).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from engine.chains.records import Row
from engine.chains.references import ReferenceData, resolve_reference
from engine.events.facts import Evidence, row_id_of
from engine.mapping.compiler import COMPANY, Maps
from engine.reconciliation.chain_facts import journal_decides, line_state
from engine.reconciliation.documents import Finding
from engine.reconciliation.evaluate import unsynced_of
from engine.reconciliation.unsynced_actuals import UnsyncedActual
from store.projection.batch_projection import BatchProjection
from store.projection.projection_cache import ProjectionCache
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.schema import tables
from store.schema.bulk_sql import chunks

CHAINS_PER_PAGE: Final = 100
"""Chains on a page of actuals."""

_CHUNK: Final = 500

_decode_finding: Final = msgspec.msgpack.Decoder(Finding).decode


class NotSynced(msgspec.Struct, frozen=True):
    """An actual for Finance without a row in the staging table.

    `amount` is in its own currency, `accounting_amount` in that of its company. `document` is its document, `evidence`
    the event that created it.
    """

    entity: str
    id: str
    type: str
    date: str | None
    project: str | None
    amount: int | None
    currency: str | None
    accounting_amount: int | None
    accounting_currency: str | None
    document: str | None
    evidence: Evidence


class NotSyncedPage(msgspec.Struct, frozen=True):
    """Actuals, those of the newest events first, and the key of the next page (None on the last)."""

    rows: list[NotSynced]
    after: str | None


class UnmatchedPosting(msgspec.Struct, frozen=True):
    """A posted integration journal line that no staging row names; `evidence` is the event of the posting."""

    id: str
    journal: str | None
    voucher: str | None
    date: str | None
    amount: int | None
    currency: str | None
    project: str | None
    evidence: Evidence


def not_synced(
    connection: Connection, maps: Maps, cache: ProjectionCache, company: str, after: str | None, limit: int
) -> NotSyncedPage:
    """Return the unsynced actuals of `limit` chains of a company, by descending chain."""
    table = tables.unsynced.c
    query = select(table.chain).where(table.company == company).order_by(table.chain.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(table.chain < after)
    chains = connection.execute(query).scalars().all()
    rows = ReadYourWrites(connection, UncommittedWrites())
    projection = BatchProjection(rows, maps, cache)
    inputs = projection.chain_inputs(chains[:limit])
    actuals = [
        _not_synced(actual, projection)
        for chain in chains[:limit]
        for actual in unsynced_of(inputs[chain].family, projection)
        if actual.company == company
    ]
    actuals.sort(key=lambda actual: (-actual.evidence.at, actual.id))
    return NotSyncedPage(actuals, chains[limit - 1] if len(chains) > limit else None)


def _not_synced(actual: UnsyncedActual, world: ReferenceData) -> NotSynced:
    row, document = actual.row, actual.document
    project = resolve_reference(world, row, "project")
    currency = world.directory.currency(row["currency"]) or (document.currency if document is not None else None)
    return NotSynced(
        entity=row.record.entity,
        id=row_id_of(row.id),
        type=row["type"],
        date=row["document_date"] or row["accounting_date"],
        project=project["number"] if project is not None else None,
        amount=row["amount"],
        currency=currency,
        accounting_amount=actual.amount,
        accounting_currency=actual.currency,
        document=document.name if document is not None else None,
        evidence=row.existence,
    )


def orphan_lines(connection: Connection, maps: Maps, cache: ProjectionCache, company: str) -> Iterator[Row]:
    """Yield the posted journal lines of a company that no staging row names, by descending key."""
    table = tables.findings.c
    bodies = connection.execute(select(table.body).where(table.code == "orphan-journal-line")).scalars()
    rows = ReadYourWrites(connection, UncommittedWrites())
    for keys in chunks(sorted({_decode_finding(body).subject for body in bodies}, reverse=True), _CHUNK):
        records = dict(rows.records(keys))
        lines = []
        for record in (records[key] for key in keys if key in records):
            entity_map = maps.entities.get(record.entity)
            if entity_map is not None and record.exists and record.values.get(COMPANY) == company:
                lines.append(Row(record, entity_map, None))
        of_journal = [line for line in lines if journal_decides(line)]
        journals = _journals(connection, maps, cache, of_journal) if of_journal else {}
        yield from (line for line in lines if line_state(line, journals.get(line.record.key)) == "posted")


def _journals(
    connection: Connection, maps: Maps, cache: ProjectionCache, lines: Sequence[Row]
) -> dict[str, Row | None]:
    """Return the journals of lines by line key, read together with their chains."""
    projection = BatchProjection(ReadYourWrites(connection, UncommittedWrites()), maps, cache)
    projection.chain_inputs({line.record.chain for line in lines if line.record.chain is not None})
    return {line.record.key: resolve_reference(projection, line, "journal") for line in lines}


def unmatched_postings(
    connection: Connection, maps: Maps, cache: ProjectionCache, company: str
) -> Iterator[UnmatchedPosting]:
    """Yield the postings of `orphan_lines` with their journals."""
    for chunk in chunks(orphan_lines(connection, maps, cache, company), _CHUNK):
        yield from _with_journals(chunk, _journals(connection, maps, cache, chunk))


def _with_journals(lines: Sequence[Row], journals: Mapping[str, Row | None]) -> Iterator[UnmatchedPosting]:
    for line in lines:
        journal = journals[line.record.key]
        decisive = journal if journal is not None and journal_decides(line) else line
        yield UnmatchedPosting(
            id=row_id_of(line.id),
            journal=journal["number"] if journal is not None else None,
            voucher=line["voucher"],
            date=line["accounting_date"],
            amount=line["amount"],
            currency=line["currency"],
            project=line["project"],
            evidence=decisive.evidence("status"),
        )
