"""What surrounds a document: the rows of its chain, and a digest that changes with whatever could make a call succeed
that failed before (R44).
"""

from collections.abc import Collection, Iterable
from hashlib import blake2b

import msgspec
from sqlalchemy import Connection, select

from engine.chains.records import Record, Row
from engine.mapping.compiler import Maps
from engine.reconciliation.documents import Document
from store.projection.batch_projection import BatchProjection, ProjectionCache, load_resident
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.schema import tables
from store.schema.bulk_sql import chunks

_AT_ONCE = 500


class InputFingerprint(msgspec.Struct, frozen=True):
    """The rows of a document's chain, and the digest of them, of the rows they point to, of companies, currencies and
    calendars, and of the settings.
    """

    rows: list[Row]
    change: str


def input_fingerprints(
    connection: Connection, maps: Maps, documents: Collection[Document], settings: str
) -> dict[str, InputFingerprint]:
    """The surroundings of documents, by their keys."""
    rows = ReadYourWrites(connection, UncommittedWrites())
    state = ProjectionCache(0, 0)
    load_resident(rows, maps, state)
    told = settings.encode() + _evidence(row.record for _, row in sorted(state.resident.items()))
    found = {}
    for some in chunks([document.key for document in documents], _AT_ONCE):
        table = tables.documents.c
        chains = {
            row.key: row.chain for row in connection.execute(select(table.key, table.chain).where(table.key.in_(some)))
        }
        unit = BatchProjection(rows, maps, state)
        seen = unit.chain_inputs(set(chains.values()))
        for key, chain in chains.items():
            own, records = seen[chain]
            found[key] = InputFingerprint(own, blake2b(told + _evidence(records), digest_size=12).hexdigest())
    return found


def _evidence(records: Iterable[Record]) -> bytes:
    """The last that was heard of each record."""
    return "".join(
        f"{record.key} {last.source} {last.event};"
        for record in records
        for last in (record.latest_upsert, record.deleted)
        if last is not None
    ).encode()
