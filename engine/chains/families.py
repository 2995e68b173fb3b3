"""Families: the chains that were one at some time, with the rows that were deleted since (decision 15).

A family is what is loaded, decided and stored together. It is a connected component over the identity values that its
records have or had. Within it, the components over current values of existing records are its groups: each is the chain
of a document line as the rows say now. What a posted line has shown is found along former values (`Lineage`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from engine.chains.links import ALWAYS, COUNTERPART, CodesOf, Rank, ranked, scoped
from engine.chains.records import Record, Row
from engine.mapping.compiler import Maps
from engine.mapping.roles import ROLES

PARENT: Final = "parent"
"""The name of the reference that also joins a family: from a line of an itemised expense to its header."""


class FamilyKeys(msgspec.Struct, frozen=True):
    """The keys of a family, sorted, and those of its groups."""

    members: list[str]
    groups: list[list[str]]


def families(groups: Sequence[list[str]], records: Mapping[str, Record], maps: Maps) -> list[FamilyKeys]:
    """Return the families of `records`, by first key. `groups` are the chains of the existing ones among them.

    Complete only if `records` contains every record of every family that it touches.
    """
    parent = {key: group[0] for group in groups for key in group}
    parents = tuple(parent_prefixes(maps))
    pasts = [key for key, record in records.items() if record.trails or not record.exists]
    itemised = [
        (key, token)
        for key, record in records.items()
        if parents and (token := _parent_of(record, parents)) is not None and token in records
    ]
    if not pasts and not itemised:
        return [FamilyKeys(group, [group]) for group in groups]
    for key in pasts:
        parent.setdefault(key, key)

    def find(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def join(one: str, other: str) -> None:
        parent[find(one)] = find(other)

    # Current values have made the groups; only the values of a past can join them.
    shared = {token for key in pasts for token in (*records[key].joins, *records[key].trails)}
    trail_heads = {parts[0] for key in pasts for trail in records[key].trails if (parts := scoped(trail)) is not None}
    first: dict[str, str] = {}
    heads: dict[str, list[str]] = {}
    open_heads: set[str] = set()
    for key, record in records.items():
        for token in (*record.joins, *record.trails):
            if token in shared and token[0] != COUNTERPART:  # a counterpart key suggests only
                join(key, first.setdefault(token, key))
            if trail_heads and (parts := scoped(token)) is not None and parts[0] in trail_heads:
                heads.setdefault(parts[0], []).append(key)
                if not parts[1]:
                    open_heads.add(parts[0])
    for head in open_heads:
        for key in heads[head]:
            join(key, heads[head][0])
    for key, token in itemised:
        join(key, token)
    return _collected(groups, parent, find)


def _collected(groups: Iterable[list[str]], parent: Collection[str], find: Callable[[str], str]) -> list[FamilyKeys]:
    members: dict[str, list[str]] = {}
    for key in parent:
        members.setdefault(find(key), []).append(key)
    of_family: dict[str, list[list[str]]] = {}
    for group in groups:
        of_family.setdefault(find(group[0]), []).append(group)
    found = [FamilyKeys(sorted(keys), of_family.get(root, [])) for root, keys in members.items()]
    return sorted(found, key=lambda family: family.members[0])


def parent_prefixes(maps: Maps) -> Iterator[str]:
    """Yield the prefixes of the keys that a reference `parent` names."""
    for entity_map in maps.entities.values():
        if (reference := entity_map.by_name.get(PARENT)) is not None:
            yield reference.prefix


def _parent_of(record: Record, prefixes: tuple[str, ...]) -> str | None:
    return next((token for token in record.refers if token.startswith(prefixes)), None)


# --- where former links led -------------------------------------------------------------------------------------------

_LINES: Final = frozenset(role.name for role in ROLES.values() if role.stage == 1)
_RECORDS: Final = frozenset(role.name for role in ROLES.values() if role.stage == 3)

Names = Literal["first", "second", "both"]
"""Which of two rows names the other one by its row id: the first on the way, the second, or both name a third value."""

_STEPS: Final[Mapping[str, Mapping[str, Names]]] = {
    "journal-line": {"staging": "second"},
    "staging": {"actual": "first"},
    "actual": {**dict.fromkeys(_RECORDS, "first"), "origin": "second", "connection": "second"},
    "connection": {"actual": "first"},
    "origin": dict.fromkeys(_RECORDS, "first"),
    **{role: {**dict.fromkeys(_LINES, "both"), "pending-project": "both"} for role in _RECORDS},
    "pending-project": {"pending-line": "first"},
    "pending-line": dict.fromkeys(_LINES, "both"),
}
"""The roles that a row of a role leads to on the way from a posted line to its document, and which of both names the
other.
"""


class Step(msgspec.Struct, frozen=True):
    """A row on a way; `changed` is the row whose former value led to it, None if the link is current."""

    key: str
    changed: str | None = None


class Lineage:
    """The links of a family, current and former, from posted lines towards documents. A row of which no event said
    anything but that it was deleted is on no way.

    At each row, current links precede former ones, and later ones precede earlier ones, in the order of the sources'
    times. So a way is a function of the records, whatever the order of arrival.
    """

    def __init__(self, records: Mapping[str, Record], maps: Maps, codes_of: CodesOf) -> None:
        records = {key: record for key, record in records.items() if record.exists or record.hidden}
        self._roles = {key: maps.entities[record.entity].role.name for key, record in records.items()}
        self._holders: dict[str, list[tuple[Rank, str]]] = {}
        self._tokens: dict[str, dict[str, Rank]] = {}
        for key, record in records.items():
            entity_map = maps.entities[record.entity]
            self._tokens[key] = ranked(record, entity_map, record.joins, codes_of)
        self._adopt({key: maps.entities[record.entity].source for key, record in records.items()})
        for key, tokens in self._tokens.items():
            for token, rank in tokens.items():
                self._holders.setdefault(token, []).append((rank, key))

    def way(self, start: str, wanted: Collection[str]) -> list[Step] | None:
        """Return the way from `start` to the first row that is wanted, without `start`; None if there is none."""
        return self._way(start, wanted, {start})

    def _way(self, key: str, wanted: Collection[str], visited: set[str]) -> list[Step] | None:
        for step in self._steps(key):
            if step.key in visited:
                continue
            visited.add(step.key)
            if step.key in wanted:
                return [step]
            if (rest := self._way(step.key, wanted, visited)) is not None:
                return [step, *rest]
        return None

    def _steps(self, key: str) -> list[Step]:
        """Return the rows that a row leads to, the newest link first; by key where links are equally new."""
        roles = _STEPS.get(self._roles[key], {})
        best: dict[str, tuple[Rank, bool]] = {}
        for token, rank in self._tokens[key].items():
            for other_rank, other in self._holders[token]:
                names = roles.get(self._roles[other])
                if names is None or other == key or not _is_named(names, rank, other_rank):
                    continue
                link = (min(rank, other_rank), rank[0])
                best[other] = max(link, best.get(other, link))
        newest = sorted(sorted(best), key=lambda other: best[other][0], reverse=True)
        return [
            Step(other, None if link[0] else other if is_own else key)
            for other in newest
            for link, is_own in (best[other],)
        ]

    def _adopt(self, sources: Mapping[str, str]) -> None:
        """Give an identity value without a company the only company in which the other system has it."""
        by_head: dict[str, list[tuple[str, str]]] = {}
        for key, tokens in self._tokens.items():
            for token in tokens:
                if (parts := scoped(token)) is not None:
                    by_head.setdefault(parts[0], []).append((parts[1], key))
        for head, holders in by_head.items():
            for company, key in holders:
                if company:
                    continue
                others = {code for code, other in holders if code and sources[other] != sources[key]}
                if len(others) == 1:
                    self._tokens[key].setdefault(head + others.pop(), self._tokens[key][head])


def _is_named(names: Names, first: Rank, second: Rank) -> bool:
    """Return True if the row that is named by its id is the right one of two."""
    return names == "both" or (first if names == "second" else second)[1] == ALWAYS


class Family(msgspec.Struct, frozen=True):
    """The rows of a family: those that exist by group, those that were deleted as they were, and its lineage, computed
    when first asked for. `ids` are the keys of all its records.
    """

    ids: tuple[str, ...]
    groups: list[list[Row]]
    gone: list[Row]
    has_past: bool
    """Whether any of its records has a former identity value."""
    lineage: Callable[[], Lineage]
    ambiguous: Mapping[str, Sequence[str]] = {}
    """Its lines that may have one of several counterparts, each with those (`engine.chains.counterparts.Joined`)."""

    @property
    def id(self) -> str:
        """Its first key."""
        return self.ids[0]
