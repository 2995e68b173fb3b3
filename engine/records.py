"""Records: a row of either system as last seen, merged column by column from the events about it.

A record is a function of the set of its events (`design.md`, idea 2): of two values of a column the one with the
higher evidence stays, a delete hides what ranks below it, and a later upsert starts clean (R12). Merging is therefore
associative, commutative and idempotent.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from engine.changes import Change, Evidence, time_order
from engine.errors import Rejected
from engine.mapfiles import Number
from engine.maps import EntityMap
from engine.values import is_unfit


class Record(msgspec.Struct, array_like=True, gc=False):
    """A merged row. Treated as immutable by all but the batch that makes it: `merged` makes a new one.

    `key` is stage, entity and the row id in time order, so keys sort by step, then by age. `cells` holds (index of
    its evidence in `evidence`, value) for each mapped column; `newest` is the index of the highest upsert, -1 when
    none outranks `deleted`, the highest delete. `joins` are the identity values that make chains, `refers` the rows
    it points to, both as last derived; `chain` is the chain it belongs to, none while it does not exist.
    """

    key: str
    entity: str
    chain: str | None = None
    deleted: Evidence | None = None
    newest: int = -1
    evidence: list[Evidence] = []
    cells: dict[str, tuple[int, Any]] = {}
    joins: list[str] = []
    refers: list[str] = []

    @property
    def exists(self) -> bool:
        """Whether the row is there: an upsert outranks every delete."""
        return self.newest >= 0

    @property
    def seen(self) -> Evidence | None:
        """The highest upsert: the evidence that the row is there."""
        return self.evidence[self.newest] if self.newest >= 0 else None

    @property
    def id(self) -> str:
        """The row id as the key spells it (`row_id_of` gives the source's spelling)."""
        return self.key.split(":", 2)[2]


def record_key(entity_map: EntityMap, row: str) -> str:
    """The key of the record of `row` (an id in one spelling, see `changes.row_id`)."""
    return entity_map.prefix + time_order(row)


def new_record(entity_map: EntityMap, key: str) -> Record:
    """A record nothing is known of yet."""
    return Record(key, entity_map.entity)


def first(entity_map: EntityMap, key: str, change: Change) -> Record:
    """The record that a change makes of a row nothing is known of: what `merged` would, at half the price.

    Most events are the first about their row.
    """
    if change.operation == "delete":
        return merged(new_record(entity_map, key), change, entity_map)
    columns = entity_map.columns
    cells = {
        found[0]: (0, None if value is None else found[1](value))
        for name, value in change.columns.items()
        if (found := columns.get(name)) is not None
    }
    return Record(key, entity_map.entity, None, None, 0, [change.evidence], cells, [], [])


def merged(record: Record, change: Change, entity_map: EntityMap) -> Record:
    """`record` after `change`; the same object when the change says nothing new (a duplicate, or outranked)."""
    evidence = change.evidence
    rank = evidence.rank
    if change.operation == "delete":
        return record if entity_map.keep_on_delete else _deleted(record, evidence)
    deleted = record.deleted
    if deleted is not None and rank < deleted.rank:
        return record
    versions = record.evidence
    newest = record.newest < 0 or rank > versions[record.newest].rank
    cells = _with_values(record, change, entity_map.columns, rank, newest=newest)
    if cells is None and not newest:
        return record
    return _compact(
        Record(
            record.key,
            record.entity,
            record.chain,
            deleted,
            len(versions) if newest else record.newest,
            [*versions, evidence],
            record.cells if cells is None else cells,
            record.joins,
            record.refers,
        )
    )


_Columns = dict[str, tuple[str, Callable[[Any], Any]]]


def _with_values(
    record: Record, change: Change, columns: _Columns, rank: tuple[int, int, bytes], *, newest: bool
) -> dict[str, tuple[int, Any]] | None:
    """The cells with the values of `change` that stay, None when none does. The newest change of all need not be
    compared.
    """
    cells = record.cells
    versions = record.evidence
    new = len(versions)
    changed: dict[str, tuple[int, Any]] | None = None
    for name, value in change.columns.items():
        if (found := columns.get(name)) is None:
            continue
        column, keep = found
        if not newest and (held := cells.get(column)) is not None and versions[held[0]].rank >= rank:
            continue
        if changed is None:
            changed = cells.copy()
        changed[column] = (new, None if value is None else keep(value))
    return changed


def _deleted(record: Record, evidence: Evidence) -> Record:
    if record.deleted is not None and record.deleted.rank >= evidence.rank:
        return record
    rank, versions = evidence.rank, record.evidence
    outranking = {name: cell for name, cell in record.cells.items() if versions[cell[0]].rank > rank}
    newest = record.newest if record.newest >= 0 and versions[record.newest].rank > rank else -1
    return _compact(
        Record(
            record.key, record.entity, record.chain, evidence, newest, versions, outranking, record.joins, record.refers
        )
    )


def _compact(record: Record) -> Record:
    """The record with only the evidence that still says something, by rank: a row updated for years must not grow."""
    versions = record.evidence
    used = {cell[0] for cell in record.cells.values()}
    if record.newest >= 0:
        used.add(record.newest)
    # By far the most events are the newest about their row, and the evidence before them is in order.
    if len(used) == len(versions) and (len(versions) < 2 or versions[-2].rank < versions[-1].rank):
        return record
    order = sorted(used, key=lambda index: versions[index].rank)
    moved = {old: new for new, old in enumerate(order)}
    record.newest = moved.get(record.newest, -1)
    record.evidence = [versions[index] for index in order]
    record.cells = {name: (moved[index], value) for name, (index, value) in record.cells.items()}
    return record


def meaning(choices: dict[Number, str], value: Number) -> str | None:
    """What a choice means, said by its number or by its name in any case; None when the map does not tell."""
    return choices.get(value.lower() if type(value) is str else value)


class Row(dict[str, Any]):
    """A record read by its role's fields: what the rules see. `row["voucher"]` is None when there is no usable value.

    A dictionary, for it is asked tens of times for each event. `misfits` names what could not be read: (field,
    column, value as kept, evidence). Do not change one.
    """

    __slots__ = ("company", "map", "misfits", "record")

    def __init__(self, record: Record, entity_map: EntityMap, company: str | None) -> None:
        super().__init__(entity_map.role.blank)
        self.record = record
        self.map = entity_map
        self.company = company
        self.misfits: list[tuple[str, str, str, Evidence]] = []
        cells = record.cells
        for name, columns, choices in entity_map.readers:
            for column in columns:
                cell = cells.get(column)
                if cell is None or (value := cell[1]) is None:
                    continue
                if type(value) is dict:
                    self.misfits.append((name, column, value["unfit"], record.evidence[cell[0]]))
                    continue
                if choices is not None:
                    named = choices.get(value) or meaning(choices, value)
                    if named is None:
                        self.misfits.append((name, column, str(value), record.evidence[cell[0]]))
                        continue
                    value = named
                self[name] = value
                break

    def __missing__(self, field: str) -> None:
        """A field of another role."""
        return

    @property
    def key(self) -> str:
        """The record's key."""
        return self.record.key

    @property
    def role(self) -> str:
        """The name of the record's role."""
        return self.map.role.name

    @property
    def existence(self) -> Evidence:
        """The evidence that the row is there."""
        if self.record.seen is None:
            raise Rejected(f"{self.record.key} does not exist")
        return self.record.seen

    def evidence(self, *fields: str) -> Evidence:
        """The evidence of the first of `fields` that has a value; of the row's existence when none has."""
        for wanted in fields:
            if self[wanted] is not None:
                for name, columns, choices in self.map.readers:
                    if name == wanted:
                        return self._deciding(columns, choices)
        return self.existence

    def _deciding(self, columns: tuple[str, ...], choices: dict[Number, str] | None) -> Evidence:
        """The evidence of the column that the field was read from."""
        for column in columns:
            cell = self.record.cells.get(column)
            if cell is None or cell[1] is None or is_unfit(cell[1]):
                continue
            if choices is not None and meaning(choices, cell[1]) is None:
                continue
            return self.record.evidence[cell[0]]
        return self.existence
