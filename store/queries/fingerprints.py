"""Input fingerprints: a digest that changes whenever a failed call could now succeed (R44)."""

from collections.abc import Collection, Iterable
from hashlib import blake2b

import msgspec
from sqlalchemy import Connection, select

from engine.chains.records import Record, Row
from engine.mapping.compiler import Maps
from engine.reconciliation.documents import Document
from store.projection.batch_projection import BatchProjection
from store.projection.projection_cache import ProjectionCache, load_resident
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites
from store.schema import tables
from store.schema.bulk_sql import chunks

_CHUNK = 500


class InputFingerprint(msgspec.Struct, frozen=True):
    """The rows of a document's chain, and a digest of these rows, the rows they point to, companies, currencies,
    calendars and settings. `keys` are the record keys of these rows and the rows they point to.
    """

    rows: list[Row]
    change: str
    keys: frozenset[str]


def input_fingerprints(
    connection: Connection, maps: Maps, documents: Collection[Document], settings: str
) -> dict[str, InputFingerprint]:
    """Return the input fingerprints of documents by key. `settings` are those that the calls depend on."""
    rows = ReadYourWrites(connection, UncommittedWrites())
    cache = ProjectionCache(0, 0)
    load_resident(rows, maps, cache)
    common = settings.encode() + _evidence(row.record for _, row in sorted(cache.resident.items()))
    fingerprints = {}
    for chunk in chunks([document.key for document in documents], _CHUNK):
        table = tables.documents.c
        chains = {
            row.key: row.chain for row in connection.execute(select(table.key, table.chain).where(table.key.in_(chunk)))
        }
        projection = BatchProjection(rows, maps, cache)
        inputs = projection.chain_inputs(set(chains.values()))
        for key, chain in chains.items():
            keys = frozenset(record.key for record in inputs[chain].records)
            change = blake2b(common + _evidence(inputs[chain].records), digest_size=12).hexdigest()
            fingerprints[key] = InputFingerprint(inputs[chain].rows, change, keys)
    return fingerprints


def _evidence(records: Iterable[Record]) -> bytes:
    """Return the last event of each record."""
    return "".join(
        f"{record.key} {last.source} {last.event};"
        for record in records
        for last in (record.latest_upsert, record.deleted)
        if last is not None
    ).encode()
