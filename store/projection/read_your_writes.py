"""What the writer reads: the committed rows, and over them what the batch before is just writing.

A batch is worked out while the database still commits the one before it. What that one writes is known already, so it
counts as read, whether the database shows it yet or not.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, false, or_, text
from sqlalchemy import select as select_of

from engine.chains import links
from engine.chains.records import Record
from engine.mapping.compiler import EntityMap
from store.projection.tile_totals import ReconciliationKey, TotalKey, Totals
from store.schema import tables
from store.schema.bulk_sql import select, select_keys, select_limited, select_ranges

_decode_record: Final = msgspec.msgpack.Decoder(Record).decode

Link = tuple[str, str]
"""A token and the key of the record that has it."""


class UncommittedWrites(msgspec.Struct):
    """What a batch leaves behind, by key; nothing at all before the first."""

    records: Mapping[str, Record] = {}
    chains: Mapping[str, bytes] = {}
    chains_gone: Collection[str] = ()
    links_added: Collection[Link] = frozenset()
    links_removed: Collection[Link] = frozenset()
    totals: Mapping[TotalKey, Totals] = {}
    reconciliations: Mapping[ReconciliationKey, int] = {}
    notices: Mapping[str, tuple[Any, ...]] = {}
    _added: dict[str, list[str]] | None = None

    def added(self, token: str) -> list[str]:
        """The records that got `token`."""
        if self._added is None:
            self._added = {}
            for link, record in self.links_added:
                self._added.setdefault(link, []).append(record)
        return self._added.get(token, [])


class ReadYourWrites:
    """The rows of the store as the batch before leaves them (`written`)."""

    def __init__(self, connection: Connection, written: UncommittedWrites) -> None:
        self._connection = connection
        self._written = written

    def records(self, keys: Iterable[str]) -> Iterator[tuple[str, Record]]:
        """The records of these keys that there are."""
        wanted = []
        for key in keys:
            if (record := self._written.records.get(key)) is not None:
                yield key, record
            else:
                wanted.append(key)
        for key, body in select(self._connection, tables.records, ["key", "body"], "key", wanted):
            yield key, _decode_record(body)

    def records_of(self, entity_maps: Iterable[EntityMap]) -> Iterator[tuple[str, Record]]:
        """The committed records of these entities: for a writer that begins."""
        key = tables.records.c.key
        # A prefix ends in a colon, which a semicolon follows.
        ranges = [and_(key >= one.prefix, key < one.prefix[:-1] + ";") for one in entity_maps]
        for row in self._connection.execute(select_of(tables.records).where(or_(false(), *ranges))):
            yield row.key, _decode_record(row.body)

    def chains(self, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The encoded chains of these ids that there are."""
        wanted = []
        for chain in ids:
            if (body := self._written.chains.get(chain)) is not None:
                yield chain, body
            elif chain not in self._written.chains_gone:
                wanted.append(chain)
        yield from select(self._connection, tables.chains, ["id", "body"], "id", wanted)

    def any_chain(self) -> bool:
        """Whether anything was ever decided."""
        committed = text("SELECT 1 FROM chains LIMIT 1")
        return bool(self._written.chains) or self._connection.execute(committed).first() is not None

    def links(self, tokens: Collection[str]) -> Iterator[Link]:
        """The links of these tokens."""
        written = self._written
        for link in select(self._connection, tables.links, ["token", "record"], "token", tokens):
            if link not in written.links_added and link not in written.links_removed:
                yield link
        if written.links_added:
            for token in tokens:
                for record in written.added(token):
                    yield token, record

    def links_whatever_company(self, heads: Collection[str]) -> Iterator[Link]:
        """The links whose tokens are one of these ids, which end in `|`, and a company or none."""
        written = self._written
        ranges = [(head, head[:-1] + "}") for head in heads]
        for link in select_ranges(self._connection, tables.links, ["token", "record"], "token", ranges):
            if link not in written.links_added and link not in written.links_removed and _is_of(heads, link):
                yield link
        yield from (link for link in written.links_added if _is_of(heads, link))

    def linked(self, tokens: Collection[str], limit: int) -> dict[str, set[str]]:
        """For each token the records that have it: all of them, or at least `limit` of them."""
        written = self._written
        found: dict[str, set[str]] = {token: set(written.added(token)) for token in tokens}
        # What the batch before takes away may still be among the committed ones.
        most = limit + len(written.links_removed)
        for token, record in select_limited(self._connection, tables.links, ["token", "record"], "token", tokens, most):
            if (token, record) not in written.links_removed:
                found[token].add(record)
        return found

    def totals(self, keys: Collection[TotalKey]) -> dict[TotalKey, Totals]:
        """The sums kept under these keys, of those that there are."""
        found = {key: sums for key in keys if (sums := self._written.totals.get(key)) is not None}
        wanted = [msgspec.structs.astuple(key) for key in keys if key not in found]
        for *key, sums in select_keys(self._connection, tables.totals, wanted):
            found[TotalKey(*key)] = Totals.from_text(sums)
        return found

    def reconciliations(self, keys: Collection[ReconciliationKey]) -> dict[ReconciliationKey, int]:
        """The amounts kept under these keys, of those that there are."""
        found = {key: amount for key in keys if (amount := self._written.reconciliations.get(key)) is not None}
        wanted = [key for key in keys if key not in found]
        for *key, amount in select_keys(self._connection, tables.reconciliations, wanted):
            found[ReconciliationKey(*key)] = int(amount)
        return found

    def notices(self, keys: Collection[str]) -> dict[str, tuple[Any, ...]]:
        """The rows of the table of notices under these keys, of those that there are."""
        found = {key: row for key in keys if (row := self._written.notices.get(key)) is not None}
        for row in select_keys(self._connection, tables.notices, [(key,) for key in keys if key not in found]):
            found[row[0]] = tuple(row)
        return found


def _is_of(heads: Collection[str], link: Link) -> bool:
    parts = links.scoped(link[0])
    return parts is not None and parts[0] in heads
