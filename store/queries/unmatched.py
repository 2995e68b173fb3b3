"""Actuals that did not reach Finance, beside the documents of the grids (R32)."""

from typing import Final

import msgspec
from sqlalchemy import Connection, select

from engine.chains.references import ReferenceData, resolve_reference
from engine.events.facts import Evidence, row_id_of
from engine.mapping.compiler import Maps
from engine.reconciliation.evaluate import unsynced_of
from engine.reconciliation.unsynced_actuals import UnsyncedActual
from store.projection.batch_projection import BatchProjection
from store.projection.projection_cache import ProjectionCache
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.schema import tables

CHAINS_PER_PAGE: Final = 100
"""Chains on a page of actuals."""


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
