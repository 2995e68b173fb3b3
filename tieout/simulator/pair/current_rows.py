"""Current rows of both systems, derived from their events."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from tieout.simulator.scenario import Columns, SimulatedEvent


@dataclass(slots=True)
class SimulatedRow:
    """A row. `version` increases with every change of its system; `company` is set for Finance rows."""

    entity: str
    id: str
    columns: Columns
    version: int
    changed: datetime
    company: str | None = None

    def text(self, column: str) -> str:
        """Return a column as text; empty when it has no value."""
        value = self.columns.get(column)
        return "" if value is None else str(value)

    def lookup(self, column: str) -> str:
        """Return the id of the row a lookup points to; empty when it points to none."""
        value = self.columns.get(column)
        return str(value["id"]) if isinstance(value, dict) else ""


@dataclass(slots=True)
class SimulatedTable:
    """Rows of one entity by id, and deleted rows with the version of their deletion."""

    rows: dict[str, SimulatedRow] = field(default_factory=dict)
    deleted: dict[str, SimulatedRow] = field(default_factory=dict)


class SimulatedTables:
    """Every table of one pair; events are applied in order."""

    def __init__(self) -> None:
        self._tables: dict[str, SimulatedTable] = defaultdict(SimulatedTable)
        self._by_value: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
        self.version = 0

    def __getitem__(self, entity: str) -> SimulatedTable:
        return self._tables[entity]

    def __contains__(self, entity: str) -> bool:
        return entity in self._tables

    def names(self) -> list[str]:
        """Return the tables that have, or had, a row."""
        return list(self._tables)

    def row(self, entity: str, row_id: str) -> SimulatedRow | None:
        """Return the row with an id."""
        return self._tables[entity].rows.get(row_id)

    def where(self, entity: str, column: str, value: str) -> list[SimulatedRow]:
        """Return the rows whose column has a value, or whose lookup points to it; indexed on first use."""
        index = self._by_value.get((entity, column))
        if index is None:
            index = self._by_value[entity, column] = defaultdict(dict)
            for row in self._tables[entity].rows.values():
                index[_indexed(row.columns.get(column))][row.id] = None
        rows = self._tables[entity].rows
        return [rows[row_id] for row_id in index.get(value.lower(), ())]

    def first(self, entity: str, column: str, value: str) -> SimulatedRow | None:
        """Return the first row of `where`."""
        rows = self.where(entity, column, value)
        return rows[0] if rows else None

    def apply_all(self, events: Iterable[SimulatedEvent]) -> None:
        """Apply events in order."""
        for event in events:
            self.apply(event)

    def apply(self, event: SimulatedEvent) -> tuple[Columns | None, Columns]:
        """Apply one event; return the row's columns before (None for a new row) and after it."""
        data: dict[str, Any] = event.value["data"]
        if "operation" not in data:
            return None, {}
        entity, row_id = data["entity"], data["id"]
        table = self._tables[entity]
        self.version += 1
        before = table.rows.get(row_id)
        if data["operation"] == "delete":
            self._reindex(entity, row_id, before.columns if before else {}, {})
            table.rows.pop(row_id, None)
            deleted = before or SimulatedRow(entity, row_id, {}, 0, datetime.fromisoformat(event.value["time"]))
            table.deleted[row_id] = replace(deleted, version=self.version)
            return (before.columns if before else None), {}
        now = {**(before.columns if before else {}), **data["columns"]}
        changed = datetime.fromisoformat(event.value["time"])
        company = data.get("company") or (before.company if before else None)
        self._reindex(entity, row_id, before.columns if before else {}, now)
        table.rows[row_id] = SimulatedRow(entity, row_id, now, self.version, changed, company)
        table.deleted.pop(row_id, None)
        return (before.columns if before else None), now

    def changes(self, entity: str, since: int, until: int) -> Iterator[SimulatedRow | str]:
        """Yield the rows changed after `since` and up to `until`, then the ids of those deleted."""
        table = self._tables[entity]
        rows = [row for row in table.rows.values() if since < row.version <= until]
        yield from sorted(rows, key=lambda row: row.version)
        if since:
            yield from [row for row, deleted in table.deleted.items() if since < deleted.version <= until]

    def _reindex(self, entity: str, row_id: str, before: Columns, now: Columns) -> None:
        for (indexed, column), index in self._by_value.items():
            if indexed == entity:
                index[_indexed(before.get(column))].pop(row_id, None)
                if now:
                    index[_indexed(now.get(column))][row_id] = None


def _indexed(value: object) -> str:
    """Return the case-insensitive key of a value; guids of Finance sometimes come in braces."""
    if isinstance(value, dict):
        value = value["id"]
    return "" if value is None else str(value).strip("{}").lower()
