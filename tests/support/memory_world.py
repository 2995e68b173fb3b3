"""
An in-memory projection: from changes in any order to decided chains, with the engine alone.

It does by brute force what the store does incrementally: merge every row, derive every link, form every chain.
Rules can therefore be tested without a database.
"""

from collections.abc import Collection, Iterable

import msgspec

from engine.chains import counterparts, links
from engine.chains.families import Family, FamilyKeys, Lineage, families
from engine.chains.records import Record, Row, merge, new_record, record_key
from engine.chains.references import Directory
from engine.events.facts import Change
from engine.mapping.compiler import Maps
from engine.reconciliation import findings
from engine.reconciliation.beginning_balances import NONE, BeginningBalances
from engine.reconciliation.documents import Chain, Document, Finding
from engine.reconciliation.evaluate import evaluate


class MemoryWorld:
    """The records, chains and decisions of a set of changes."""

    def __init__(
        self,
        changes: Iterable[Change],
        maps: Maps,
        companies: Collection[str] | None = None,
        beginning: BeginningBalances = NONE,
    ) -> None:
        self.maps = maps
        self.records = _merge(changes, maps)
        self._rows = self._read(resident=True)
        self.directory = Directory(self._rows.values())
        self._rows = self._read()
        self._offers: dict[str, list[Row]] = {}
        for key, row in self._rows.items():
            refers = links.refers(row)
            for token in refers:
                if token.startswith("+"):
                    self._offers.setdefault(token, []).append(row)
            self.records[key] = msgspec.structs.replace(self.records[key], joins=links.joins(row), refers=refers)
        for key, record in self.records.items():
            entity_map = maps.entities[record.entity]
            if entity_map.role.chained:
                trails = links.trails(record, entity_map, record.joins, self.directory.codes)
                self.records[key] = msgspec.structs.replace(record, trails=trails)
        chained = {key: self.records[key] for key, row in self._rows.items() if row.map.role.chained}
        for key, record in chained.items():
            record.joins = sorted(record.joins + counterparts.keys_of(self._rows[key], self))
        joined = counterparts.join(links.components(chained, maps), chained, maps)
        self.components = joined.chains
        self._ambiguous = joined.ambiguous
        past = {key: record for key, record in self.records.items() if record.trails or record.hidden}
        self.chains: list[Chain] = [
            evaluate(self._family(family), self, companies, beginning)
            for family in families(self.components, dict(sorted((chained | past).items())), maps)
        ]

    def _family(self, family: FamilyKeys) -> Family:
        gone = [self.records[key] for key in family.members if key not in self._rows]
        rows = (links.last_row(record, self.maps.entities[record.entity], self.directory.owner) for record in gone)
        return Family(
            tuple(family.members),
            [[self._rows[key] for key in keys] for keys in family.groups],
            [row for row in rows if row is not None],
            any(self.records[key].trails for key in family.members),
            lambda: Lineage({key: self.records[key] for key in family.members}, self.maps, self.directory.codes),
            self._ambiguous,
        )

    def _read(self, *, resident: bool = False) -> dict[str, Row]:
        """Return the existing rows by key; resident rows are read without a directory."""
        owner = (lambda _guid: None) if resident else self.directory.owner
        return {
            key: links.row(record, entity_map, owner)
            for key, record in sorted(self.records.items())
            if record.exists and (entity_map := self.maps.entities[record.entity]).role.resident >= resident
        }

    def row(self, key: str) -> Row | None:
        """Return the existing row of a record key (`engine.chains.references.ReferenceData`)."""
        return self._rows.get(key)

    def offered(self, token: str) -> list[Row]:
        """Return the rows that offer `+link:…`, by key (`engine.chains.references.ReferenceData`)."""
        return self._offers.get(token, [])

    @property
    def documents(self) -> list[Document]:
        """Every document, by key."""
        return sorted(
            (document for chain in self.chains for document in chain.documents), key=lambda document: document.key
        )

    @property
    def findings(self) -> list[Finding]:
        """Every finding, of chains and of referenced rows."""
        all_findings = [finding for chain in self.chains for finding in chain.findings]
        for key, row in self._rows.items():
            if not row.map.role.chained:
                dependents = sum(key in record.refers for record in self.records.values() if record.exists)
                all_findings += findings.of_reference(row, dependents)
        return all_findings


def _merge(changes: Iterable[Change], maps: Maps) -> dict[str, Record]:
    records: dict[str, Record] = {}
    for change in changes:
        entity_map = maps.find(change.entity)
        assert entity_map is not None, change.entity
        key = record_key(entity_map, change.id)
        records[key] = merge(records.get(key) or new_record(entity_map, key), change, entity_map)
    return records
