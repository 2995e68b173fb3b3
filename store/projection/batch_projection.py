"""One batch of changes against the store: merge, link, decide, and find out what to write.

Everything happens on copies; `ProjectionCache`, which outlives the batch, takes over what changed only after the commit
(`BatchProjection.remember`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Final

import msgspec

from engine.chains import links
from engine.chains.records import Record, Row, first_record, merge, record_key
from engine.chains.references import Directory
from engine.events.facts import Change
from engine.mapping.compiler import EntityMap, Maps
from engine.reconciliation import findings as checks
from engine.reconciliation.documents import Chain, Finding
from engine.reconciliation.evaluate import evaluate
from store.projection.read_your_writes import ReadYourWrites
from store.projection.recent_cache import RecentCache
from store.projection.tile_totals import ReconciliationKey, TotalKey, Totals

FANOUT: Final = 1_000
"""Dependents of a changed reference that are decided in the same batch; more are left to `recomputations`, a chunk at
a time.
"""


class _Members(msgspec.Struct, array_like=True, gc=False):
    """The head of a `Chain`, where the rest does not matter."""

    id: str
    members: list[str]


_decode_chain = msgspec.msgpack.Decoder(Chain).decode
_decode_members = msgspec.msgpack.Decoder(_Members).decode
encode: Final[Callable[[object], bytes]] = msgspec.msgpack.Encoder().encode

# What references and offers start with; identity links start with a letter.
_REFERENCES: Final = frozenset("+=0123456789")

EVERY_CHAIN: Final = "*"
"""In place of a token in `recomputations`: a company, a currency or a calendar changed, which any chain may rest on.

They change a few times a year, so no row keeps a link to them; every chain is decided again, a chunk at a time.
"""


class ProjectionCache:
    """What the writer keeps between batches. Empty at the start of a writer's reign, except for the resident rows."""

    def __init__(self, records: int, chains: int) -> None:
        self.records: RecentCache[str, Record] = RecentCache(records)
        self.chains: RecentCache[str, bytes] = RecentCache(chains)
        self.offers: RecentCache[str, list[str]] = RecentCache(records // 4)
        self.totals: RecentCache[TotalKey, Totals] = RecentCache(records)
        self.reconciliations: RecentCache[ReconciliationKey, int] = RecentCache(records)
        self.resident: dict[str, Row] = {}
        self.directory = Directory()
        self.waiting: set[str] = set()
        """The keys of the notices whose rows were not read yet."""


def load_resident(rows: ReadYourWrites, maps: Maps, state: ProjectionCache) -> None:
    """Read the resident rows (companies, currencies, ledger calendars) into memory."""
    resident = [entity_map for entity_map in maps.entities.values() if entity_map.role.resident]
    for key, record in rows.records_of(resident):
        if record.exists:
            state.resident[key] = links.row(record, maps.entities[record.entity], lambda _guid: None)
    state.directory = Directory(state.resident.values())


class BatchProjection:
    """The work of one batch. Call `change`, then `decide`, then read what to write."""

    def __init__(
        self, rows: ReadYourWrites, maps: Maps, state: ProjectionCache, companies: Collection[str] | None = None
    ) -> None:
        self.rows = rows
        self.maps = maps
        self.state = state
        self.companies = companies
        self.directory = state.directory
        self.resident = state.resident
        self.records: dict[str, Record] = {}
        self.absent: set[str] = set()
        self.changed: set[str] = set()
        self.created: set[str] = set()
        self.links_added: set[tuple[str, str]] = set()
        self.links_removed: set[tuple[str, str]] = set()
        self.old_chains: dict[str, bytes] = {}
        self.new_chains: dict[str, Chain] = {}
        self.postponed: set[str] = set()
        self._headers = tuple(entity_map.prefix for entity_map in maps.of_role("dataverse-invoice"))
        self.references: set[str] = set()
        self._rows: dict[str, Row | None] = {}
        self._offers: dict[str, list[str]] = {}
        self._offers_changed: set[str] = set()
        self._loose: set[str] = set()
        self._dirty: set[str] = set()

    # --- changes -----------------------------------------------------------------------------------------------------

    def change(self, changes: Sequence[tuple[Change, EntityMap]]) -> None:
        """Merge changes into their records, and derive again what depends on them."""
        keyed = [(record_key(entity_map, change.id), change, entity_map) for change, entity_map in changes]
        self._load({key for key, _, _ in keyed})
        records = self.records
        before: dict[str, Record | None] = {}
        for key, change, entity_map in keyed:
            old = records.get(key)
            if old is None:
                new = first_record(entity_map, key, change)
                if not new.exists and new.deleted is None:
                    continue  # a delete that is to be ignored, of a row that was never seen
            elif (new := merge(old, change, entity_map)) is old:
                continue
            before.setdefault(key, old)
            records[key] = new
        self.absent -= before.keys()
        self.changed.update(before)
        self.created = {key for key, old in before.items() if old is None}
        self._replace_resident(before)
        moved = [key for key, old in before.items() if old is None or not self._stays(old, records[key])]
        self._derive(moved, before)

    def adopt(self, records: Iterable[Record]) -> None:
        """Take records that no event of this batch made and no store has yet; links and chains are derived anew."""
        for record in records:
            self.records[record.key] = record
        self.created = set(self.records)
        self.changed.update(self.created)
        nothing: dict[str, Record | None] = dict.fromkeys(self.created)
        self._replace_resident(nothing)
        self._derive(self.created, nothing)

    def _stays(self, old: Record, new: Record) -> bool:
        """Whether a row of a chain keeps its links, as most updates let it: its chain need only be decided again."""
        if old.chain is None or not new.exists:
            return False
        one, other = old.values, new.values
        for column in self._map(new).link_columns:
            if one.get(column) != other.get(column):
                return False
        self._loose.add(new.key)
        self._dirty.add(old.chain)
        return True

    def derive_again(self, keys: Iterable[str]) -> None:
        """Derive and decide records again whose references changed."""
        wanted = set(keys)
        self._load(wanted)
        self._derive([key for key in wanted if key in self.records], {})

    def decide_again(self, chains: Iterable[str]) -> None:
        """Derive and decide every record of these chains again."""
        self._load_chains(chains)
        self.derive_again(self._members())

    def _replace_resident(self, before: Mapping[str, Record | None]) -> None:
        """Take changed resident rows into the directory; if it decides otherwise now, every chain is decided again."""
        changed = [key for key in before if self._map(self.records[key]).role.resident]
        if not changed:
            return
        self.resident = dict(self.resident)
        for key in changed:
            record = self.records[key]
            self.resident.pop(key, None)
            if record.exists:
                self.resident[key] = links.row(record, self._map(record), lambda _guid: None)
        old, self.directory = self.directory, Directory(self.resident.values())
        if not self.directory.decides_like(old) and self.rows.any_chain():
            self.postponed.add(EVERY_CHAIN)

    def _derive(self, keys: Iterable[str], before: Mapping[str, Record | None]) -> None:
        """Bring the links of `keys` up to date, and of every row that depends on what changed."""
        done: set[str] = set()
        queue = set(keys)
        while queue:
            tokens: set[str] = set()
            for key in queue:
                pointers = self._relink(key, before.get(key))
                if pointers is None:
                    done.add(key)
                elif pointers:
                    done.add(key)
                    tokens.update(pointers)
            # A row that says the same is visited again when what it points to changed: its dependents read through it.
            before = {}
            found = self._dependents(tokens) - done
            self._load(found)
            queue = {key for key in found if key in self.records}

    def _relink(self, key: str, old: Record | None) -> set[str] | None:
        """Derive the links of one record; returns what points to it, if what it says to others changed, and None for
        one of a chain, which nothing points to.
        """
        record = self.records[key]
        entity_map = self._map(record)
        seen = links.row(record, entity_map, self.directory.owner) if record.exists else None
        self._rows[key] = seen
        joins = links.joins(seen) if seen is not None else []
        refers = links.refers(seen) if seen is not None else []
        told = record.refers
        if joins != record.joins or refers != told:
            self._note_links(key, record.joins + told, joins + refers)
            if entity_map.offers:
                self._offers_changed.update(token for token in told + refers if token[0] == "+")
            record = self._own(key)
            record.joins, record.refers = joins, refers
        if entity_map.role.chained:
            self._loose.add(key)
            if record.chain is not None:
                self._dirty.add(record.chain)
            return None
        self.references.add(key)
        if entity_map.role.resident:
            return set()
        if old is not None and self._says_the_same(old, record, entity_map):
            return set()
        return {key, *(links.pointer_to(token) for token in (*told, *refers) if token[0] == "+")}

    def _says_the_same(self, old: Record, new: Record, entity_map: EntityMap) -> bool:
        """Whether a row that others point to tells them what it told before. A header's event is itself part of what
        is told.
        """
        if entity_map.role.name == "dataverse-invoice" or not (old.exists and new.exists):
            return False
        one = links.row(old, entity_map, self.directory.owner)
        other = links.row(new, entity_map, self.directory.owner)
        return one == other and one.company == other.company

    def _note_links(self, key: str, old: list[str], new: list[str]) -> None:
        gained = [(token, key) for token in new if token not in old]
        lost = [(token, key) for token in old if token not in new]
        self.links_added.update(gained)
        self.links_added.difference_update(lost)
        self.links_removed.update(lost)
        self.links_removed.difference_update(gained)

    def _dependents(self, tokens: Iterable[str]) -> set[str]:
        """The records that point to `tokens`; those of a token that has too many are postponed."""
        found: set[str] = set()
        for token, records in self.rows.linked(set(tokens), FANOUT + 1).items():
            if len(records) > FANOUT:
                self.postponed.add(token)
            else:
                found.update(records)
        return found

    # --- chains ------------------------------------------------------------------------------------------------------

    def decide(self) -> None:
        """Form the chains anew that the changes touched, and decide each of them."""
        self._spread()
        members = self._gather()
        records = self.records
        present = {key: record for key in sorted(members) if (record := records[key]).exists}
        for key in members - present.keys():
            if records[key].chain is not None:
                self._own(key).chain = None
        groups = links.components(present, self.maps)
        for group in groups:
            chain = group[0]
            for key in group:
                if records[key].chain != chain:
                    self._own(key).chain = chain
        self._load_references(present)
        for group in groups:
            rows = [row for key in group if (row := self.row(key)) is not None]
            self.new_chains[group[0]] = evaluate(group[0], rows, self, self.companies)

    def _spread(self) -> None:
        """Find the chains that gained or lost an identity value, through the values they share."""
        touched = set()
        members = set()
        for token, key in self.links_added:
            if token[0] not in _REFERENCES:
                touched.add(token)
                members.add(key)
        touched.update(token for token, _ in self.links_removed if token[0] not in _REFERENCES)
        if not touched:
            return
        members.update(record for _, record in self.rows.links(touched))
        self._include(members | self._family(self._open_heads(touched)))

    def _gather(self) -> set[str]:
        """Every record of every chain to decide, loaded; with the whole family of each id whose company is not known.

        Whether such an id is unique shows only with all that share it, also when nothing about it changed.
        """
        families: set[str] = set()
        while True:
            self._load_chains(self._dirty)
            members = self._members() | self._loose
            self._load(members)
            heads = {token for key in members for token in self.records[key].joins if token[-1] == "|"} - families
            if not heads:
                return members
            families |= heads
            self._include(self._family(heads))

    def _include(self, members: set[str]) -> None:
        """Decide the chains of these records too."""
        self._load(members)
        self._loose |= members & self.records.keys()
        self._dirty.update(chain for key in members if (record := self.records.get(key)) and (chain := record.chain))

    def _open_heads(self, touched: set[str]) -> set[str]:
        """The ids among `touched` that some record has without knowing its company."""
        heads = {token[: token.rindex("|") + 1] for token in touched if "|" in token}
        found = heads & touched
        found.update(token for token, _ in self.rows.links(heads - found))
        return found

    def _family(self, open_heads: set[str]) -> set[str]:
        """The records that share one of these ids, whatever their company."""
        if not open_heads:
            return set()
        found = {key for token, key in self.links_added if (parts := links.scoped(token)) and parts[0] in open_heads}
        found.update(key for _, key in self.rows.links_whatever_company(open_heads))
        return found

    def _members(self) -> set[str]:
        """The records of the chains as they were before."""
        return {key for body in self.old_chains.values() for key in _decode_members(body).members}

    def _own(self, key: str) -> Record:
        """A record that may be changed in place, for it was made by this batch; it is written at the end."""
        if key not in self.changed:
            self.records[key] = copy(self.records[key])
            self.changed.add(key)
        return self.records[key]

    # --- reading -----------------------------------------------------------------------------------------------------

    def _map(self, record: Record) -> EntityMap:
        return self.maps.entities[record.entity]

    def _load(self, keys: set[str]) -> None:
        missing = []
        for key in keys.difference(self.records).difference(self.absent):
            remembered = self.state.records.get(key)
            if remembered is not None:
                self.records[key] = remembered
            else:
                missing.append(key)
        self.absent.update(missing)
        for key, record in self.rows.records(missing):
            self.records[key] = record
            self.absent.discard(key)

    def _load_chains(self, ids: Iterable[str]) -> None:
        missing = []
        for chain in ids:
            remembered = self.state.chains.get(chain)
            if remembered is not None:
                self.old_chains[chain] = remembered
            elif chain not in self.old_chains:
                missing.append(chain)
        self.old_chains.update(self.rows.chains(missing))

    def _load_references(self, present: Mapping[str, Record]) -> None:
        """Read what the chains' rows point to, and what those rows point to in turn (an invoice's vendor)."""
        tokens = {token for record in present.values() for token in record.refers}
        for _ in range(2):
            keys = self._targets(tokens)
            self._load(keys)
            tokens = {token for key in keys if (record := self.records.get(key)) for token in record.refers}

    def _targets(self, tokens: Iterable[str]) -> set[str]:
        keys: set[str] = set()
        wanted: set[str] = set()
        for token in tokens:
            if token[0] == "=":
                wanted.add(links.offer_of(token))
            elif token[0] != "+":
                keys.add(token)
        self._load_offers(wanted)
        for offer in wanted:
            keys.update(self._offers[offer])
        return keys

    def _load_offers(self, offers: set[str]) -> None:
        if not offers:
            return
        missing = set()
        for offer in offers - self._offers.keys():
            remembered = self.state.offers.get(offer)
            self._offers[offer] = list(remembered) if remembered is not None else []
            if remembered is None:
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

    def chain_inputs(self, chains: Iterable[str]) -> dict[str, tuple[list[Row], list[Record]]]:
        """The rows of chains as they are, and the records that what is done about them rests on: their own and those
        they point to.
        """
        self._load_chains(chains)
        members = {chain: _decode_members(body).members for chain, body in self.old_chains.items()}
        keys = {key for several in members.values() for key in several}
        self._load(keys)
        present = {key: record for key in keys if (record := self.records.get(key)) and record.exists}
        self._load_references(present)
        found = {}
        for chain, own in members.items():
            rows = [row for key in own if (row := self.row(key)) is not None]
            around = set(own)
            for _ in range(2):
                around |= self._targets(
                    {token for key in around if (record := self.records.get(key)) for token in record.refers}
                )
            found[chain] = rows, [record for key in sorted(around) if (record := self.records.get(key))]
        return found

    def row(self, key: str) -> Row | None:
        """The existing row of a record key that was loaded (engine.chains.references.World)."""
        if key not in self._rows:
            record = self.records.get(key)
            if record is None:
                self._load({key})
                record = self.records.get(key)
            exists = record is not None and record.exists
            self._rows[key] = links.row(record, self._map(record), self.directory.owner) if record and exists else None
        return self._rows[key]

    def offered(self, token: str) -> list[Row]:
        """The rows that offer `+link:…` (engine.chains.references.World)."""
        if token not in self._offers:
            self._load_offers({token})
            self._load(set(self._offers[token]))
        return [row for key in self._offers[token] if (row := self.row(key)) is not None]

    # --- after -------------------------------------------------------------------------------------------------------

    def reference_findings(self) -> Iterator[tuple[str, list[Finding]]]:
        """What is wrong with the rows that others point to, as far as they changed."""
        # A header that gains or loses its first line is judged again, too.
        self.references.update(token for token, _ in self.links_added if token.startswith(self._headers))
        self.references.update(token for token, _ in self.links_removed if token.startswith(self._headers))
        self._load(self.references)
        lines = self._lines_of({key for key in self.references if key.startswith(self._headers)})
        for key in sorted(self.references):
            seen = self.row(key)
            if seen is None or seen.map.role.chained:
                if key in self.records and not self._map(self.records[key]).role.chained:
                    yield key, []
                continue
            yield key, checks.of_reference(seen, len(lines.get(key, ())))

    def _lines_of(self, headers: set[str]) -> dict[str, set[str]]:
        """Lines that point to each header once this batch is written, at least one where there is one."""
        if not headers:
            return {}
        gone = {link for link in self.links_removed if link[0] in headers}
        lines = self.rows.linked(headers, 1 + len(gone))
        for header, line in gone:
            lines[header].discard(line)
        for token, key in self.links_added:
            if token in headers:
                lines[token].add(key)
        return lines

    def remember(self) -> None:
        """Have the state take over what changed. Only once the batch is committed, or sure to be."""
        state = self.state
        state.records.update(self.records)
        # Offers as this batch leaves them: `_load_offers` has added and removed what the batch did.
        state.offers.forget(self._offers_changed)
        state.offers.update(self._offers)
        state.resident = self.resident
        state.directory = self.directory
        state.chains.forget(self.old_chains.keys() - self.new_chains.keys())
