"""The rows that the projection of a batch reads: each is loaded once, from the caches or the store."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from engine.chains import counterparts, links
from engine.chains.families import Family, FamilyKeys, Lineage
from engine.chains.records import Record, Row
from engine.mapping.compiler import EntityMap, Maps
from store.projection.projection_cache import ProjectionCache
from store.projection.read_your_writes import ReadYourWrites


class _Members(msgspec.Struct, array_like=True, gc=False):
    """The first fields of a `Chain`, for decoding without the rest."""

    id: str
    members: list[str]


class ChainInputs(NamedTuple):
    """The current rows of a chain, the records that its result depends on (its own, and those they point to), and its
    family.
    """

    rows: list[Row]
    records: list[Record]
    family: Family


decode_members: Final = msgspec.msgpack.Decoder(_Members).decode


class BatchRows:
    """The records, chains and references that a batch reads, including what it has changed so far."""

    def __init__(self, rows: ReadYourWrites, maps: Maps, cache: ProjectionCache) -> None:
        self.rows = rows
        self.maps = maps
        self.cache = cache
        self.directory = cache.directory
        self.records: dict[str, Record] = {}
        self.absent: set[str] = set()
        self.links_added: set[tuple[str, str]] = set()
        self.links_removed: set[tuple[str, str]] = set()
        self.old_chains: dict[str, bytes] = {}
        self._old_members: dict[str, list[str]] = {}
        self._rows: dict[str, Row | None] = {}
        self._offers: dict[str, list[str]] = {}
        self._offers_changed: set[str] = set()
        self._ambiguous: Mapping[str, Sequence[str]] = {}

    def _map(self, record: Record) -> EntityMap:
        return self.maps.entities[record.entity]

    def _load(self, keys: set[str]) -> None:
        missing = []
        for key in keys.difference(self.records).difference(self.absent):
            cached = self.cache.records.get(key)
            if cached is not None:
                self.records[key] = cached
            else:
                missing.append(key)
        self.absent.update(missing)
        for key, record in self.rows.records(missing):
            self.records[key] = record
            self.absent.discard(key)

    def _load_chains(self, ids: Iterable[str]) -> None:
        missing = []
        loaded = {}
        for chain in set(ids) - self.old_chains.keys():
            cached = self.cache.chains.get(chain)
            if cached is not None:
                loaded[chain] = cached
            else:
                missing.append(chain)
        loaded.update(self.rows.chains(missing))
        self.old_chains.update(loaded)
        self._old_members.update((chain, decode_members(body).members) for chain, body in loaded.items())

    def _load_references(self, present: Mapping[str, Record]) -> None:
        """Load the rows that the rows of the chains point to, and the rows that those point to (such as the vendor of
        an invoice).
        """
        tokens = {token for record in present.values() for token in record.refers}
        for _ in range(2):
            keys = self._targets(tokens)
            self._load(keys)
            tokens = {token for key in keys if (record := self.records.get(key)) for token in record.refers}

    def _targets(self, tokens: Iterable[str]) -> set[str]:
        keys: set[str] = set()
        offers: set[str] = set()
        for token in tokens:
            if token[0] == "=":
                offers.add(links.offer_of(token))
            elif token[0] != "+":
                keys.add(token)
        self._load_offers(offers)
        for offer in offers:
            keys.update(self._offers[offer])
        return keys

    def _load_offers(self, offers: set[str]) -> None:
        if not offers:
            return
        missing = set()
        for offer in offers - self._offers.keys():
            cached = self.cache.offers.get(offer)
            self._offers[offer] = list(cached) if cached is not None else []
            if cached is None:
                missing.add(offer)
        for offer, key in self.rows.links(missing):
            self._offers[offer].append(key)
        if not offers.isdisjoint(self._offers_changed):
            for token, key in self.links_added:
                if token in offers and key not in self._offers[token]:
                    self._offers[token].append(key)
            for token, key in self.links_removed:
                if token in offers and key in self._offers[token]:
                    self._offers[token].remove(key)
        for offer in offers:
            self._offers[offer].sort()

    def chain_inputs(self, chains: Iterable[str]) -> dict[str, ChainInputs]:
        """Return the inputs of each of these chains."""
        self._load_chains(chains)
        members = self._old_members
        keys = {key for own in members.values() for key in own}
        self._load(keys)
        present = {key: record for key in keys if (record := self.records.get(key)) and record.exists}
        self._load_references(present)
        inputs = {}
        for chain, own in members.items():
            rows = [row for key in own if (row := self.row(key)) is not None]
            dependencies = set(own)
            for _ in range(2):
                dependencies |= self._targets(
                    {token for key in dependencies if (record := self.records.get(key)) for token in record.refers}
                )
            known = {key: self.records[key] for key in own if key in self.records}
            existing = {key: present[key] for key in own if key in present}
            groups = counterparts.join(links.components(existing, self.maps), existing, self.maps).chains
            inputs[chain] = ChainInputs(
                rows,
                [record for key in sorted(dependencies) if (record := self.records.get(key))],
                self._family_of(FamilyKeys(sorted(known), groups)),
            )
        return inputs

    def row(self, key: str) -> Row | None:
        """Return the existing row of a record key (`engine.chains.references.World`)."""
        if key not in self._rows:
            record = self.records.get(key)
            if record is None:
                self._load({key})
                record = self.records.get(key)
            exists = record is not None and record.exists
            self._rows[key] = links.row(record, self._map(record), self.directory.owner) if record and exists else None
        return self._rows[key]

    def offered(self, token: str) -> list[Row]:
        """Return the rows that offer `+link:…` (`engine.chains.references.World`)."""
        if token not in self._offers:
            self._load_offers({token})
            self._load(set(self._offers[token]))
        return [row for key in self._offers[token] if (row := self.row(key)) is not None]

    def _family_of(self, family: FamilyKeys) -> Family:
        """Return the rows of a family."""
        rows = self.row
        if len(family.groups) == 1 and len(family.members) == len(family.groups[0]):
            gone = []
            groups = [[row for key in family.members if (row := rows(key)) is not None]]
        else:
            groups = [[row for key in keys if (row := rows(key)) is not None] for keys in family.groups]
            deleted = [record for key in family.members if not (record := self.records[key]).exists]
            last = [links.last_row(record, self._map(record), self.directory.owner) for record in deleted]
            gone = [row for row in last if row is not None]
        return Family(
            tuple(family.members),
            groups,
            gone,
            any(self.records[key].trails for key in family.members),
            lambda: Lineage({key: self.records[key] for key in family.members}, self.maps, self.directory.codes),
            {key: self._ambiguous[key] for key in family.members if key in self._ambiguous} if self._ambiguous else {},
        )

    def _members(self) -> set[str]:
        """Return the records of the chains before this batch."""
        return {key for members in self._old_members.values() for key in members}
