"""What one system has and the other has not, beside the documents of the grids: the records behind two sums.

Actuals that never reached Finance (R32), and postings that no actual stands behind (R37).
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
from engine.reconciliation.unsynced_actuals import UnsyncedActual, unsynced_actuals_of
from store.projection.batch_projection import BatchProjection, ProjectionCache
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.queries.common import decode_chain
from store.schema import tables
from store.schema.bulk_sql import chunks

CHAINS: Final = 100
"""So many chains are on a page of actuals."""

_AT_ONCE: Final = 500

_decode_finding: Final = msgspec.msgpack.Decoder(Finding).decode


class NotSynced(msgspec.Struct, frozen=True):
    """An actual that is meant for Finance and has no row in its staging table.

    `amount` is in its own currency, `accounting_amount` in that of its company. `document` is the one it belongs to,
    `evidence` the event that says that it is there.
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
    """Some actuals, those of the newest events first; and where the next page goes on, None where there is none."""

    rows: list[NotSynced]
    after: str | None


class UnmatchedPosting(msgspec.Struct, frozen=True):
    """A posted integration journal line that no staging row names; `evidence` is the event that says so."""

    id: str
    journal: str | None
    voucher: str | None
    date: str | None
    amount: int | None
    currency: str | None
    project: str | None
    evidence: Evidence


def not_synced(
    connection: Connection, maps: Maps, state: ProjectionCache, company: str, after: str | None, limit: int
) -> NotSyncedPage:
    """The actuals of a company that are not synced: those of `limit` chains, which follow each other by their keys."""
    table = tables.unsynced.c
    wanted = select(table.chain).where(table.company == company).order_by(table.chain.desc()).limit(limit + 1)
    if after is not None:
        wanted = wanted.where(table.chain < after)
    chains = connection.execute(wanted).scalars().all()
    rows = ReadYourWrites(connection, UncommittedWrites())
    unit = BatchProjection(rows, maps, state)
    told = unit.chain_inputs(chains[:limit])
    found = [
        _not_synced(one, unit)
        for chain, body in rows.chains(chains[:limit])
        for one in unsynced_actuals_of(decode_chain(body), told[chain][0], unit)
        if one.company == company
    ]
    found.sort(key=lambda one: (-one.evidence.at, one.id))
    return NotSyncedPage(found, chains[limit - 1] if len(chains) > limit else None)


def _not_synced(actual: UnsyncedActual, world: ReferenceData) -> NotSynced:
    row, document = actual.row, actual.document
    project = resolve_reference(world, row, "project")
    own = world.directory.currency(row["currency"]) or (document.currency if document is not None else None)
    return NotSynced(
        entity=row.record.entity,
        id=row_id_of(row.id),
        type=row["type"],
        date=row["document_date"] or row["accounting_date"],
        project=project["number"] if project is not None else None,
        amount=row["amount"],
        currency=own,
        accounting_amount=actual.amount,
        accounting_currency=actual.currency,
        document=document.name if document is not None else None,
        evidence=row.existence,
    )


def orphan_lines(connection: Connection, maps: Maps, state: ProjectionCache, company: str) -> Iterator[Row]:
    """The posted journal lines of a company that no staging row names, by key, the last one first."""
    table = tables.findings.c
    found = connection.execute(select(table.body).where(table.code == "orphan-journal-line")).scalars()
    rows = ReadYourWrites(connection, UncommittedWrites())
    for keys in chunks(sorted({_decode_finding(body).subject for body in found}, reverse=True), _AT_ONCE):
        records = dict(rows.records(keys))
        lines = []
        for record in (records[key] for key in keys if key in records):
            entity_map = maps.entities.get(record.entity)
            if entity_map is not None and record.exists and record.values.get(COMPANY) == company:
                lines.append(Row(record, entity_map, None))
        of_journal = [line for line in lines if journal_decides(line)]
        journals = _journals(connection, maps, state, of_journal) if of_journal else {}
        yield from (line for line in lines if line_state(line, journals.get(line.record.key)) == "posted")


def _journals(
    connection: Connection, maps: Maps, state: ProjectionCache, lines: Sequence[Row]
) -> dict[str, Row | None]:
    """The journals of lines, by the lines' keys: read with their chains, all at once."""
    unit = BatchProjection(ReadYourWrites(connection, UncommittedWrites()), maps, state)
    unit.chain_inputs({line.record.chain for line in lines if line.record.chain is not None})
    return {line.record.key: resolve_reference(unit, line, "journal") for line in lines}


def unmatched_postings(
    connection: Connection, maps: Maps, state: ProjectionCache, company: str
) -> Iterator[UnmatchedPosting]:
    """The same with their journals."""
    for some in chunks(orphan_lines(connection, maps, state, company), _AT_ONCE):
        yield from _with_journals(some, _journals(connection, maps, state, some))


def _with_journals(lines: Sequence[Row], journals: Mapping[str, Row | None]) -> Iterator[UnmatchedPosting]:
    for line in lines:
        journal = journals[line.record.key]
        says = journal if journal is not None and journal_decides(line) else line
        yield UnmatchedPosting(
            id=row_id_of(line.id),
            journal=journal["number"] if journal is not None else None,
            voucher=line["voucher"],
            date=line["accounting_date"],
            amount=line["amount"],
            currency=line["currency"],
            project=line["project"],
            evidence=says.evidence("status"),
        )
