"""Projection of one batch: merge, match, detect, and collect the difference to write.

A projection works on copies. `ProjectionCache`, which outlives the batch, is updated only after the commit
(`BatchProjection.update_cache`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Final

import msgspec

from engine.chains import counterparts, links
from engine.chains.families import FamilyKeys, families, parent_prefixes
from engine.chains.records import Record, first_record, merge, record_key
from engine.chains.references import Directory
from engine.events.facts import Change
from engine.mapping.compiler import EntityMap, Maps
from engine.reconciliation import findings as checks
from engine.reconciliation.beginning_balances import NONE, BeginningBalances
from engine.reconciliation.documents import Chain, Finding
from engine.reconciliation.evaluate import evaluate
from engine.reconciliation.ledger_accounts import NO_ACCOUNTS, LedgerAccounts
from engine.reconciliation.ledger_entries import LedgerEntry, ledger_entry
from store.projection.batch_rows import BatchRows
from store.projection.projection_cache import ProjectionCache
from store.projection.read_your_writes import ReadYourWrites

FANOUT: Final = 1_000
"""Maximum number of dependents of a changed reference that are re-evaluated in the same batch. More are left to the
table `recomputations` and re-evaluated in chunks.
"""


_decode_chain = msgspec.msgpack.Decoder(Chain).decode
encode: Final[Callable[[object], bytes]] = msgspec.msgpack.Encoder().encode

_EVIDENCE: Final = frozenset({"journal-line", "staging", "actual"})
"""The roles whose deleted rows show that something was posted."""

# First characters of references and offers; identity links start with a letter.
_REFERENCES: Final = frozenset("+=0123456789")

EVERY_CHAIN: Final = "*"
"""Token in `recomputations` for a changed company, currency or calendar, which any chain may depend on.

Such rows change a few times a year, so no link to them is stored: every chain is re-evaluated, in chunks.
"""

EVERY_LEDGER_ENTRY: Final = "$"
"""Token in `recomputations` for a changed ledger or fiscal period, which any entry of the ledger may depend on."""


class BatchProjection(BatchRows):
    """Projects one batch: merges changes into records, matches them into chains, re-evaluates the affected chains and
    collects the difference to write. Call `merge`, `match`, `detect` in this order. Not reusable.
    """

    def __init__(
        self,
        rows: ReadYourWrites,
        maps: Maps,
        cache: ProjectionCache,
        companies: Collection[str] | None = None,
        beginning: BeginningBalances = NONE,
        accounts: LedgerAccounts = NO_ACCOUNTS,
        recomputing: bool = False,
    ) -> None:
        """`recomputing`: chains wait for re-evaluation (`recomputations`)."""
        super().__init__(rows, maps, cache)
        self._recomputing = recomputing
        self.companies = companies
        self.beginning = beginning
        self._named_accounts = accounts
        self.accounts = accounts.with_posting_setup(self.directory.posting_setup)
        self.resident = cache.resident
        self.changed: set[str] = set()
        self.created: set[str] = set()
        self.new_chains: dict[str, Chain] = {}
        self.postponed: set[str] = set()
        self.reference_findings: list[tuple[str, list[Finding]]] = []
        """Findings of the referenced rows that changed, by record key; set by `detect`."""
        self._settling = tuple(entity_map.prefix for entity_map in maps.of_role("pending-project"))
        self.ledger_entries: dict[str, LedgerEntry | None] = {}
        """Entries of the ledger to write, by record key; None for a row that is none. Set by `detect`."""
        self._changed_entries: set[str] = set()
        self._headers = tuple(entity_map.prefix for entity_map in maps.of_role("dataverse-invoice"))
        self.references: set[str] = set()
        self._loose: set[str] = set()
        self._dirty: set[str] = set()
        self._before: dict[str, Record | None] = {}
        self._to_link: set[str] = set()
        self._to_key: set[str] = set()
        self._families: list[FamilyKeys] = []
        self._parents = tuple(parent_prefixes(maps))

    # --- merge -------------------------------------------------------------------------------------------------------

    def merge(self, changes: Sequence[tuple[Change, EntityMap]]) -> None:
        """Merge changes into their records, column by column; the value with the highest precedence wins."""
        keyed = [(record_key(entity_map, change.id), change, entity_map) for change, entity_map in changes]
        self._load({key for key, _, _ in keyed})
        records = self.records
        before = self._before
        for key, change, entity_map in keyed:
            old = records.get(key)
            if old is None:
                new = first_record(entity_map, key, change)
                if not new.exists and new.deleted is None:
                    continue  # an ignored delete of a row that was never seen
            elif (new := merge(old, change, entity_map)) is old:
                continue
            before.setdefault(key, old)
            records[key] = new
        self.absent -= before.keys()
        self.changed.update(before)
        self.created = {key for key, old in before.items() if old is None}
        self._replace_resident(before)

    def adopt(self, records: Iterable[Record]) -> None:
        """Add records that come from no event of this batch and are in no store yet."""
        for record in records:
            self.records[record.key] = record
        self.created = set(self.records)
        self.changed.update(self.created)
        self._before = dict.fromkeys(self.created)
        self._replace_resident(self._before)

    def relink(self, keys: Iterable[str]) -> None:
        """Have `match` derive again the links of records whose references changed."""
        requested = set(keys)
        self._load(requested)
        self._to_link |= requested & self.records.keys()

    def relink_chains(self, chains: Iterable[str]) -> None:
        """Have `match` derive again the links of every record of these chains."""
        self._load_chains(chains)
        self.relink(self._members())

    def _replace_resident(self, before: Mapping[str, Record | None]) -> None:
        """Update the directory with changed resident rows. Postpone every chain if the directory now gives other
        results.
        """
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
        if not self.directory.decides_like(old) and self.rows.has_chains():
            self.postponed.add(EVERY_CHAIN)
        if not self.directory.places_entries_like(old):
            self.accounts = self._named_accounts.with_posting_setup(self.directory.posting_setup)
            if self.rows.has_records(entity_map.prefix for entity_map in self.maps.of_role("ledger-entry")):
                self.postponed.add(EVERY_LEDGER_ENTRY)

    # --- match -------------------------------------------------------------------------------------------------------

    def match(self) -> None:
        """Derive the links of changed records and of their dependents, and join the records of all chains affected
        into groups, each a chain with its id.
        """
        before = self._before
        moved = {key for key, old in before.items() if old is None or not self._keeps_links(old, self.records[key])}
        self._derive(moved | self._to_link, before)
        self._include_touched()
        self._include_itemised(moved | self._to_link)
        members = self._load_members()
        if self._recomputing:
            members = self._relink_waiting(members)
        records = self.records
        known = {
            key: record for key in sorted(members) if (record := records[key]).exists or record.trails or record.hidden
        }
        present = {key: record for key, record in known.items() if record.exists}
        joined = counterparts.join(links.components(present, self.maps), present, self.maps)
        self._ambiguous = joined.ambiguous
        self._families = [family for family in families(joined.chains, known, self.maps) if self._is_kept(family)]
        for family in self._families:
            for key in family.members:
                if records[key].chain != family.members[0]:
                    self._modifiable(key).chain = family.members[0]
        for key in members.difference(*(family.members for family in self._families)):
            if records[key].chain is not None:
                self._modifiable(key).chain = None
        self._load_references(present)

    def _is_kept(self, family: FamilyKeys) -> bool:
        """Return True if a family has existing rows, or deleted ones that may show a posting."""
        return bool(family.groups) or any(self._map(self.records[key]).role.name in _EVIDENCE for key in family.members)

    def _keeps_links(self, old: Record, new: Record) -> bool:
        """Return True if no column that a link reads has changed, so that the chain needs re-evaluation but no
        re-linking.

        Most updates are of this kind.
        """
        if old.chain is None or not new.exists or old.former != new.former:
            return False
        before, after = old.values, new.values
        for column in self._map(new).key_columns:
            if before.get(column) != after.get(column):
                return False
        self._loose.add(new.key)
        self._dirty.add(old.chain)
        return True

    def _derive(self, keys: Iterable[str], before: Mapping[str, Record | None]) -> None:
        """Update the links of `keys` and of every row that depends on them."""
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
            # An unchanged row is visited again if what it points to changed: its dependents read through it.
            before = {}
            dependents = self._dependents(tokens) - done
            self._load(dependents)
            queue = {key for key in dependents if key in self.records}
        self._derive_keys()

    def _derive_keys(self) -> None:
        """Update the counterpart keys of the records whose links were derived: they are read through references."""
        present = {key: record for key in sorted(self._to_key) if (record := self.records[key]).exists}
        if not present:
            return
        self._load_references(present)
        for key, record in present.items():
            row = self.row(key)
            keys = counterparts.keys_of(row, self) if row is not None else []
            old = [token for token in record.joins if counterparts.is_key(token)]
            if keys != old:
                self._note_links(key, old, keys)
                # Keys sort before other identity values.
                self._modifiable(key).joins = keys + record.joins[len(old) :]

    def _relink(self, key: str, old: Record | None) -> set[str] | None:
        """Derive the links of one record.

        Returns the tokens that point to it if its contribution to dependents changed, and None for a record of a chain,
        which nothing points to.
        """
        record = self.records[key]
        entity_map = self._map(record)
        row = links.row(record, entity_map, self.directory.owner) if record.exists else None
        self._rows[key] = row
        joins = links.joins(row) if row is not None else []
        if row is not None and entity_map.role.counterpart:
            self._to_key.add(key)
            joins = [token for token in record.joins if counterparts.is_key(token)] + joins
        refers = links.refers(row) if row is not None else []
        trails = self._trails(record, entity_map, joins)
        old_refers = record.refers
        if joins != record.joins or refers != old_refers or trails != record.trails:
            self._note_links(key, record.joins + old_refers + record.trails, joins + refers + trails)
            if entity_map.offers:
                self._offers_changed.update(token for token in old_refers + refers if token[0] == "+")
            record = self._modifiable(key)
            record.joins, record.refers, record.trails = joins, refers, trails
        if entity_map.role.chained:
            self._loose.add(key)
            if record.chain is not None:
                self._dirty.add(record.chain)
            return None
        self.references.add(key)
        if entity_map.role.resident:
            return set()
        if old is not None and self._is_equivalent(old, record, entity_map):
            return set()
        if entity_map.role.name == "ledger-entry":
            self._changed_entries.add(key)
            return set()
        return {key, *(links.pointer_to(token) for token in (*old_refers, *refers) if token[0] == "+")}

    def _trails(self, record: Record, entity_map: EntityMap, joins: list[str]) -> list[str]:
        if not entity_map.role.chained or (record.exists and not record.former and not self.directory.has_renamed):
            return []
        return links.trails(record, entity_map, joins, self.directory.codes)

    def _is_equivalent(self, old: Record, new: Record, entity_map: EntityMap) -> bool:
        """Return True if a referenced row gives its dependents the same values as before. The event of an invoice
        header is itself such a value.
        """
        if entity_map.role.name == "dataverse-invoice" or not (old.exists and new.exists):
            return False
        before = links.row(old, entity_map, self.directory.owner)
        after = links.row(new, entity_map, self.directory.owner)
        if entity_map.role.name == "ledger-entry" and (
            before.misfits or before.rounded or after.misfits or after.rounded
        ):
            return False  # its findings name the event
        return before == after and before.company == after.company

    def _note_links(self, key: str, old: list[str], new: list[str]) -> None:
        gained = [(token, key) for token in new if token not in old]
        lost = [(token, key) for token in old if token not in new]
        self.links_added.update(gained)
        self.links_added.difference_update(lost)
        self.links_removed.update(lost)
        self.links_removed.difference_update(gained)

    def _dependents(self, tokens: Iterable[str]) -> set[str]:
        """Return the records that point to `tokens`. Tokens with too many dependents are postponed."""
        dependents: set[str] = set()
        for token, records in self.rows.records_by_token(set(tokens), FANOUT + 1).items():
            if len(records) > FANOUT:
                self.postponed.add(token)
            else:
                dependents.update(records)
        return dependents

    def _include_touched(self) -> None:
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

    def _include_itemised(self, keys: Iterable[str]) -> None:
        """Find the lines of the headers, and the headers of the lines, of itemised expenses among these records."""
        headers = {key for key in keys if key.startswith(self._parents)} if self._parents else set()
        if headers:
            members = {line for _, line in self.rows.links(headers)}
            for token, line in self.links_added | self.links_removed:
                if token.startswith(self._parents):
                    members |= {token, line}
            self._include(members)

    def _load_members(self) -> set[str]:
        """Load and return the records of every chain to evaluate, with the whole family of each id without a company.

        Whether such an id is unique depends on all records that share it, even if none of its own values changed.
        """
        asked: set[str] = set()
        seen: set[str] = set()
        while True:
            self._load_chains(self._dirty)
            members = self._members() | self._loose
            self._load(members)
            more = members - seen
            seen |= more
            read = [self.records[key] for key in more]
            heads = {token for record in read for token in (*record.joins, *record.trails) if token[-1] == "|"} - asked
            keys = self._open_keys(more) - asked
            if not heads and not keys:
                return members
            asked |= heads | keys
            self._include(self._family(heads) | self._having(keys))

    def _relink_waiting(self, members: set[str]) -> set[str]:
        """Derive the links of every record to evaluate again; return those records, with the ones that this brings in.
        Chains wait in the order of their ids, and a batch may give one an id that has been passed.
        """
        done: set[str] = set()
        while waiting := members - done:
            done |= waiting
            self._derive(waiting, {})
            self._include_touched()
            members = self._load_members()
        return members

    def _open_keys(self, members: set[str]) -> set[str]:
        """Return the counterpart keys of these records, except in chains that had a project row and lost no link: what
        their keys have in common with others joins nothing, now as before.
        """
        by_chain: dict[str | None, set[str]] = {}
        for key in members:
            record = self.records[key]
            if record.joins and counterparts.is_key(record.joins[0]):
                by_chain.setdefault(record.chain, set()).update(filter(counterparts.is_key, record.joins))
        if not by_chain:
            return set()
        lost = {key for token, key in self.links_removed if token[0] not in _REFERENCES}
        return {token for chain, keys in by_chain.items() if not self._is_settled(chain, lost) for token in keys}

    def _is_settled(self, chain: str | None, lost: set[str]) -> bool:
        """Return True if a chain had a project row before this batch and none of its records is among `lost`."""
        members = self._old_members.get(chain or "", ())
        return any(key.startswith(self._settling) for key in members) and lost.isdisjoint(members)

    def _having(self, keys: set[str]) -> set[str]:
        """Return the records that have one of these counterpart keys."""
        if not keys:
            return set()
        removed = {link for link in self.links_removed if link[0] in keys}
        records = {record for token, record in self.rows.links(keys) if (token, record) not in removed}
        return records | {key for token, key in self.links_added if token in keys}

    def _include(self, members: set[str]) -> None:
        """Also evaluate the chains of these records."""
        self._load(members)
        self._loose |= members & self.records.keys()
        self._dirty.update(chain for key in members if (record := self.records.get(key)) and (chain := record.chain))

    def _open_heads(self, touched: set[str]) -> set[str]:
        """Return the ids among `touched` that some record has without a company."""
        heads = {token[: token.rindex("|") + 1] for token in touched if "|" in token and not counterparts.is_key(token)}
        open_heads = heads & touched
        open_heads.update(token for token, _ in self.rows.links(heads - open_heads))
        return open_heads

    def _family(self, open_heads: set[str]) -> set[str]:
        """Return the records that share one of these ids, in any company."""
        if not open_heads:
            return set()
        keys = {key for token, key in self.links_added if (parts := links.scoped(token)) and parts[0] in open_heads}
        keys.update(key for _, key in self.rows.links_in_any_company(open_heads))
        return keys

    def _modifiable(self, key: str) -> Record:
        """Return a record that this batch may modify in place and will write."""
        if key not in self.changed:
            self.records[key] = copy(self.records[key])
            self.changed.add(key)
        return self.records[key]

    # --- detect ------------------------------------------------------------------------------------------------------

    def detect(self) -> None:
        """Evaluate each family of `match`: positions, causes, amounts and findings (missing actuals, missing journal
        lines, differences); and the referenced rows that changed.
        """
        for family in self._families:
            decided = evaluate(self._family_of(family), self, self.companies, self.beginning)
            self.new_chains[family.members[0]] = decided
        self._place_ledger_entries()
        self.reference_findings = list(self._find_in_references())

    def _place_ledger_entries(self) -> None:
        """Evaluate the entries of the ledger that changed, or whose header or main account did."""
        rows = [row for key in sorted(self._changed_entries) if (row := self.row(key)) is not None]
        if self.accounts:
            self._load({token for row in rows for token in row.record.refers})
        self.ledger_entries = dict.fromkeys(self._changed_entries)
        self.ledger_entries.update((row.key, ledger_entry(row, self, self.accounts)) for row in rows)

    def _find_in_references(self) -> Iterator[tuple[str, list[Finding]]]:
        """Yield the findings of referenced rows that changed, by record key."""
        # A header that gains or loses its first line is re-evaluated too.
        self.references.update(token for token, _ in self.links_added if token.startswith(self._headers))
        self.references.update(token for token, _ in self.links_removed if token.startswith(self._headers))
        self._load(self.references)
        lines = self._lines_of({key for key in self.references if key.startswith(self._headers)})
        for key in sorted(self.references):
            row = self.row(key)
            if row is None or row.map.role.chained:
                if key in self.records and not self._map(self.records[key]).role.chained:
                    yield key, []
                continue
            if row.role == "ledger-entry" and not self.ledger_entries.get(key):
                # An entry of another main account, or an unchanged one.
                if key in self.ledger_entries:
                    yield key, []
                continue
            yield key, checks.of_reference(row, len(lines.get(key, ())))

    def _lines_of(self, headers: set[str]) -> dict[str, set[str]]:
        """Return, for each header, lines that point to it once this batch is written: at least one if any exists."""
        if not headers:
            return {}
        removed = {link for link in self.links_removed if link[0] in headers}
        lines = self.rows.records_by_token(headers, 1 + len(removed))
        for header, line in removed:
            lines[header].discard(line)
        for token, key in self.links_added:
            if token in headers:
                lines[token].add(key)
        return lines

    # --- after -------------------------------------------------------------------------------------------------------

    def update_cache(self) -> None:
        """Update the caches with the results. Call it once the batch is committed or certain to be."""
        cache = self.cache
        cache.records.update(self.records)
        # `_load_offers` has applied the additions and removals of this batch.
        cache.offers.invalidate(self._offers_changed)
        cache.offers.update(self._offers)
        cache.resident = self.resident
        cache.directory = self.directory
        cache.chains.invalidate(self.old_chains.keys() - self.new_chains.keys())
