"""Posted rows without a document join the one that their links led to last (decision 15).

Posting cannot be undone. So a posted line stays cleared when a row on its way is deleted, a reference is cleared or a
key is renamed; what is not posted follows its links as they are now. Rules: `docs/how-it-decides.md`, "What a cleared
document keeps".
"""

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Final

import msgspec

from engine.chains.families import Family, Step
from engine.chains.records import Row
from engine.chains.references import ReferenceData
from engine.events.facts import Evidence
from engine.reconciliation.actual_facts import is_posted
from engine.reconciliation.kinds import KINDS

LINE_ROLES: Final = frozenset(kind.line_role for kind in KINDS.values())
_MOVED: Final = frozenset({"actual", "connection", "staging", "journal-line"})
"""The roles of the rows that join the document with a posted line: what its postings are decided from."""


class Detour(msgspec.Struct, frozen=True):
    """A posted row that its document counts by a former link: `row` is the row that was deleted (`deleted`) or whose
    link changed, `evidence` the event that did so. `line` is the key of the document line.
    """

    line: str
    row: Row
    deleted: bool
    evidence: Evidence


class Adopted(msgspec.Struct):
    """The groups of a family after adoption, each sorted by key, and the detours."""

    groups: list[list[Row]]
    detours: list[Detour]


def adopt(family: Family, reference_data: ReferenceData, headers: frozenset[str]) -> Adopted:
    """Return the groups of a family after its posted rows joined their documents. A posted row that leads to no
    document joins its actual, otherwise its staging row, otherwise it forms a group.
    """
    if not family.has_past and not family.gone:
        return Adopted(family.groups, [])
    return _Adoption(family, reference_data, headers).run()


class _Adoption:
    def __init__(self, family: Family, reference_data: ReferenceData, headers: frozenset[str]) -> None:
        self.family = family
        self.reference_data = reference_data
        self.headers = headers
        self.rows: dict[str, Row] = {row.key: row for row in family.gone}
        self.home: dict[str, int] = {}
        for number, group in enumerate(family.groups):
            for row in group:
                self.rows[row.key] = row
                self.home[row.key] = number
        self.groups = [list(group) for group in family.groups]
        self.detours: list[Detour] = []
        # A row may be on the way of several posted ones; it moves once.
        self.moved: set[str] = set()

    def run(self) -> Adopted:
        strays = [row for row in self._posted() if not self._is_in_place(row)]
        ways = [(row, way) for row in strays if (way := self._way(row)) is not None]
        for row, way in ways:
            self._join(row, way)
        placed = {row.key for group in self.groups for row in group}
        self.groups += [[row] for row in strays if row.key not in placed]
        groups = [sorted(group, key=lambda row: row.key) for group in self.groups]
        return Adopted([group for group in groups if group], self.detours)

    def _posted(self) -> list[Row]:
        """Return the rows that say that something was posted: lines, staging rows and actuals with a voucher."""
        return [
            row
            for _, row in sorted(self.rows.items())
            if (row.role == "journal-line" and is_posted(row, self.reference_data))
            or (row.role in ("staging", "actual") and row["voucher"])
        ]

    def _is_in_place(self, row: Row) -> bool:
        """Return True if the current links of a posted row lead to an existing actual with a document."""
        number = self.home.get(row.key)
        if number is None:
            return False
        group = self.family.groups[number]
        if not any(line.role in LINE_ROLES and line.key not in self.headers for line in group):
            return False
        if row.role == "actual":
            return True
        named = [row] if row.role == "staging" else [item for item in group if item["line"] == row.id]
        actuals = {item.id for item in group if item.role == "actual"}
        return any(item.role == "staging" and item["actual"] in actuals for item in named)

    def _way(self, row: Row) -> list[Step] | None:
        """Return the way of a posted row to its document; otherwise to its actual, or to its staging row."""
        lineage = self.family.lineage()
        goals: list[Callable[[Row], bool]] = [
            lambda other: other.role in LINE_ROLES and other.key in self.home and other.key not in self.headers
        ]
        if row.role != "actual":
            goals.append(lambda other: other.role == "actual")
        if row.role == "journal-line":
            goals.append(lambda other: other.role == "staging")
        for goal in goals:
            wanted = frozenset(key for key, other in self.rows.items() if goal(other))
            if way := lineage.way(row.key, wanted):
                return way
        return None

    def _join(self, row: Row, way: list[Step]) -> None:
        end = self.rows[way[-1].key]
        rows = [row, *(self.rows[step.key] for step in way if step.key in self.rows)]
        target = self.home.get(end.key)
        if target is None:
            # The actual or the staging row is deleted: a group of its own, one for all that lead to it.
            target = self.home[end.key] = len(self.groups)
            self.groups.append([])
        for number, one in enumerate(rows):
            if one.role in _MOVED:
                before = rows[number - 1] if number else None
                after = rows[number + 1] if number + 1 < len(rows) else None
                self._move(_linked(one, before, after), target)
        if end.role in LINE_ROLES:
            self._detour(row, way, end.key)

    def _move(self, row: Row, target: int) -> None:
        """Put a row, as it was linked, into a group."""
        group = self.groups[target]
        for number, other in enumerate(group):
            if other.key != row.key:
                continue
            if other["line"] in (None, row["line"]) or not self._names_posted(other):
                group[number] = row
            elif dict(other) != dict(row):
                group.append(row)
            return
        if row.key not in self.moved:
            self._take_out(row, target)
        self.moved.add(row.key)
        group.append(row)

    def _take_out(self, row: Row, target: int) -> None:
        """Take a row out of its group; an actual takes its staging rows and their journal lines along."""
        taken = {row.key}
        if row.role == "actual":
            others = [one for number, group in enumerate(self.groups) if number != target for one in group]
            staging = [one for one in others if one.role == "staging" and one["actual"] == row.id]
            lines = {one["line"] for one in staging}
            along = staging + [one for one in others if one.role == "journal-line" and one.id in lines]
            taken |= {one.key for one in along}
            present = {one.key for one in self.groups[target]}
            self.groups[target] += [one for one in along if one.key not in present]
        for number, group in enumerate(self.groups):
            if number != target:
                self.groups[number] = [one for one in group if one.key not in taken]

    def _names_posted(self, staging: Row) -> bool:
        lines = (row for row in self.rows.values() if row.role == "journal-line" and row.id == staging["line"])
        return any(is_posted(line, self.reference_data) for line in lines)

    def _detour(self, row: Row, way: list[Step], line: str) -> None:
        """Note what was deleted or changed on a way to a document."""
        for step in [Step(row.key), *way]:
            seen, changed = self.rows.get(step.key), self.rows.get(step.changed or "")
            if seen is not None and seen.gone is not None:
                # Origins and connections are links themselves.
                deleted = seen.role not in ("origin", "connection")
                self.detours.append(Detour(line, seen, deleted, seen.gone))
            elif changed is not None and changed.gone is None:
                self.detours.append(Detour(line, changed, False, changed.existence))


def _linked(row: Row, before: Row | None, after: Row | None) -> Row:
    """Return a row with the links that it had on the way: a copy if they are others now."""
    links: dict[str, Any] = {}
    if row.role == "staging":
        if before is not None and before.role == "journal-line":
            links["line"] = before.id
        if after is not None and after.role == "actual":
            links["actual"] = after.id
    elif row.role == "connection" and before is not None and after is not None:
        ends = {"first": row["first"], "second": row["second"]}
        if set(ends.values()) != {before.id, after.id}:
            links = {"first": before.id, "second": after.id}
        links |= {"first_role": row["first_role"] or "Reversing", "second_role": row["second_role"] or "Original"}
    if all(row[field] == value for field, value in links.items()):
        return row
    changed = copy(row)
    changed.update(links)
    changed.former = True
    return changed


def detours_by_line(detours: list[Detour]) -> Mapping[str, list[Detour]]:
    """Return the detours by the key of their document line, each row once."""
    by_line: dict[str, dict[tuple[str, bool], Detour]] = {}
    for detour in detours:
        by_line.setdefault(detour.line, {}).setdefault((detour.row.key, detour.deleted), detour)
    return {line: [found[key] for key in sorted(found)] for line, found in by_line.items()}
