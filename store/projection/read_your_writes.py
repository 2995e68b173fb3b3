"""Reads of the writer: committed rows, overlaid with the uncommitted writes of the previous batch (read-your-writes).

A batch is projected while the database still commits the previous one. The writes of that one are known already, so
reads include them whether the database shows them yet or not.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, false, or_, text
from sqlalchemy import select as select_of

from engine.chains import links
from engine.chains.records import Record
from engine.mapping.compiler import EntityMap
from store.projection.tile_totals import PostingKey, PostingTotal, ReconciliationKey, TotalKey, Totals
from store.schema import tables
from store.schema.bulk_sql import select, select_keys, select_limited, select_ranges
from store.schema.key_ranges import has_prefix

_decode_record: Final = msgspec.msgpack.Decoder(Record).decode

Link = tuple[str, str]
"""A token and the key of the record that has it."""


class UncommittedWrites(msgspec.Struct):
    """The writes of one batch by key; empty before the first."""

    records: Mapping[str, Record] = {}
    chains: Mapping[str, bytes] = {}
    deleted_chains: Collection[str] = ()
    links_added: Collection[Link] = frozenset()
    links_removed: Collection[Link] = frozenset()
    totals: Mapping[TotalKey, Totals] = {}
    reconciliations: Mapping[ReconciliationKey, int] = {}
    postings: Mapping[PostingKey, PostingTotal] = {}
    notices: Mapping[str, tuple[Any, ...]] = {}
    _added: dict[str, list[str]] | None = None

    def added(self, token: str) -> list[str]:
        """Return the keys of the records that gained `token`."""
        if self._added is None:
            self._added = {}
            for link, record in self.links_added:
                self._added.setdefault(link, []).append(record)
        return self._added.get(token, [])


class ReadYourWrites:
    """The rows of the store including the uncommitted writes of the previous batch (`uncommitted`)."""

    def __init__(self, connection: Connection, uncommitted: UncommittedWrites) -> None:
        self._connection = connection
        self._uncommitted = uncommitted

    def records(self, keys: Iterable[str]) -> Iterator[tuple[str, Record]]:
        """Yield the existing records among these keys."""
        missing = []
        for key in keys:
            if (record := self._uncommitted.records.get(key)) is not None:
                yield key, record
            else:
                missing.append(key)
        for key, body in select(self._connection, tables.records, ["key", "body"], "key", missing):
            yield key, _decode_record(body)

    def records_of(self, entity_maps: Iterable[EntityMap]) -> Iterator[tuple[str, Record]]:
        """Yield the committed records of these entities, for a writer that starts."""
        ranges = [has_prefix(entity_map.prefix) for entity_map in entity_maps]
        for row in self._connection.execute(select_of(tables.records).where(or_(false(), *ranges))):
            yield row.key, _decode_record(row.body)

    def chains(self, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the encoded chains that exist among these ids."""
        missing = []
        for chain in ids:
            if (body := self._uncommitted.chains.get(chain)) is not None:
                yield chain, body
            elif chain not in self._uncommitted.deleted_chains:
                missing.append(chain)
        yield from select(self._connection, tables.chains, ["id", "body"], "id", missing)

    def has_chains(self) -> bool:
        """Return True if any chain exists."""
        committed = text("SELECT 1 FROM chains LIMIT 1")
        return bool(self._uncommitted.chains) or self._connection.execute(committed).first() is not None

    def has_records(self, prefixes: Iterable[str]) -> bool:
        """Return True if a record has a key with one of these prefixes, which end in a colon."""
        for prefix in prefixes:
            if any(name.startswith(prefix) for name in self._uncommitted.records):
                return True
            query = select_of(tables.records.c.key).where(has_prefix(prefix)).limit(1)
            if self._connection.execute(query).first() is not None:
                return True
        return False

    def links(self, tokens: Collection[str]) -> Iterator[Link]:
        """Yield the links of these tokens."""
        uncommitted = self._uncommitted
        for link in select(self._connection, tables.links, ["token", "record"], "token", tokens):
            if link not in uncommitted.links_added and link not in uncommitted.links_removed:
                yield link
        if uncommitted.links_added:
            for token in tokens:
                for record in uncommitted.added(token):
                    yield token, record

    def links_in_any_company(self, heads: Collection[str]) -> Iterator[Link]:
        """Yield the links whose token is one of these ids (ending in `|`), with or without a company."""
        uncommitted = self._uncommitted
        ranges = [(head, head[:-1] + "}") for head in heads]
        for link in select_ranges(self._connection, tables.links, ["token", "record"], "token", ranges):
            if link not in uncommitted.links_added and link not in uncommitted.links_removed and _is_of(heads, link):
                yield link
        yield from (link for link in uncommitted.links_added if _is_of(heads, link))

    def records_by_token(self, tokens: Collection[str], limit: int) -> dict[str, set[str]]:
        """Return, for each token, the records that have it: all of them, or at least `limit`."""
        uncommitted = self._uncommitted
        records: dict[str, set[str]] = {token: set(uncommitted.added(token)) for token in tokens}
        # Links that the previous batch removes may still be among the committed ones.
        maximum = limit + len(uncommitted.links_removed)
        for token, record in select_limited(
            self._connection, tables.links, ["token", "record"], "token", tokens, maximum
        ):
            if (token, record) not in uncommitted.links_removed:
                records[token].add(record)
        return records

    def totals(self, keys: Collection[TotalKey]) -> dict[TotalKey, Totals]:
        """Return the materialised totals that exist under these keys."""
        totals = {key: sums for key in keys if (sums := self._uncommitted.totals.get(key)) is not None}
        missing = [msgspec.structs.astuple(key) for key in keys if key not in totals]
        for *key, sums in select_keys(self._connection, tables.totals, missing):
            totals[TotalKey(*key)] = Totals.from_text(sums)
        return totals

    def reconciliations(self, keys: Collection[ReconciliationKey]) -> dict[ReconciliationKey, int]:
        """Return the materialised reconciled amounts that exist under these keys."""
        amounts = {key: amount for key in keys if (amount := self._uncommitted.reconciliations.get(key)) is not None}
        missing = [key for key in keys if key not in amounts]
        for *key, amount in select_keys(self._connection, tables.reconciliations, missing):
            amounts[ReconciliationKey(*key)] = int(amount)
        return amounts

    def postings(self, keys: Collection[PostingKey]) -> dict[PostingKey, PostingTotal]:
        """Return the materialised totals of postings that exist under these keys."""
        totals = {key: total for key in keys if (total := self._uncommitted.postings.get(key)) is not None}
        missing = [key for key in keys if key not in totals]
        for *key, postings, unknown, amount in select_keys(self._connection, tables.posting_totals, missing):
            totals[PostingKey(*key)] = PostingTotal(postings, unknown, int(amount))
        return totals

    def notices(self, keys: Collection[str]) -> dict[str, tuple[Any, ...]]:
        """Return the rows of the table `notices` that exist under these keys."""
        rows = {key: row for key in keys if (row := self._uncommitted.notices.get(key)) is not None}
        for row in select_keys(self._connection, tables.notices, [(key,) for key in keys if key not in rows]):
            rows[row[0]] = tuple(row)
        return rows


def _is_of(heads: Collection[str], link: Link) -> bool:
    parts = links.scoped(link[0])
    return parts is not None and parts[0] in heads
