"""Records: a row of either system as last seen, merged column by column from the events about it.

A record is a function of the set of its events (`docs/how-it-decides.md`): of two values of a column the one with the
higher evidence stays, a delete hides what ranks below it, and a later upsert starts clean (R12). Merging is therefore
associative, commutative and idempotent.
"""

from typing import Any

import msgspec

from engine.errors import Rejected
from engine.events.facts import Change, Evidence, time_order
from engine.mapping.compiler import EntityMap
from engine.mapping.files import Number
from engine.mapping.values import is_unfit


class Record(msgspec.Struct, array_like=True, gc=False):
    """A merged row. Treated as immutable by all but the batch that makes it: `merged` makes a new one.

    `key` is stage, entity and the row id in time order, so keys sort by step, then by age. `values` holds the value of
    each mapped column, `evidence` the upserts they come from, by rank: the last one is the highest upsert of all, and
    none means that the row does not exist. `by` is the index of a column's evidence, where that is not the first.
    `deleted` is the highest delete. `joins` are the identity values that make chains, `refers` the rows it points to,
    both as last derived; `chain` is the chain it belongs to, none while it does not exist. `read` is the latest
    time as of which an event told the whole row (R5).
    """

    key: str
    entity: str
    chain: str | None = None
    deleted: Evidence | None = None
    evidence: list[Evidence] = []
    values: dict[str, Any] = {}
    by: dict[str, int] = {}
    joins: list[str] = []
    refers: list[str] = []
    read: int | None = None

    @property
    def exists(self) -> bool:
        """Whether the row is there: an upsert outranks every delete."""
        return bool(self.evidence)

    @property
    def latest_upsert(self) -> Evidence | None:
        """The highest upsert: the evidence that the row is there."""
        return self.evidence[-1] if self.evidence else None

    @property
    def id(self) -> str:
        """The row id as the key spells it (`row_id_of` gives the source's spelling)."""
        return self.key.split(":", 2)[2]

    def evidence_of(self, column: str) -> Evidence:
        """The event that a column's value comes from."""
        return self.evidence[self.by.get(column, 0)]


def record_key(entity_map: EntityMap, row: str) -> str:
    """The key of the record of `row` (an id in one spelling, see `changes.row_id`)."""
    return entity_map.prefix + (time_order(row) if len(row) == 36 else row)


def new_record(entity_map: EntityMap, key: str) -> Record:
    """A record nothing is known of yet."""
    return Record(key, entity_map.entity)


def first_record(entity_map: EntityMap, key: str, change: Change) -> Record:
    """The record that a change makes of a row nothing is known of: what `merged` would, at half the price.

    Most events are the first about their row.
    """
    if change.operation == "delete":
        return merge(new_record(entity_map, key), change, entity_map)
    columns = entity_map.columns
    values = {
        found[0]: None if value is None else found[1](value)
        for name, value in change.columns.items()
        if (found := columns.get(name)) is not None
    }
    return Record(key, entity_map.entity, None, None, [change.evidence], values, {}, [], [], change.whole)


def merge(record: Record, change: Change, entity_map: EntityMap) -> Record:
    """`record` after `change`; the same object when the change says nothing new (a duplicate, or outranked)."""
    evidence = change.evidence
    if change.operation == "delete":
        return record if entity_map.keep_on_delete else _deleted(record, evidence)
    precedence, read = evidence.precedence, _later(record.read, change.whole)
    if record.deleted is not None and precedence < record.deleted.precedence:
        return _read(record, read)
    versions, values, by = record.evidence, record.values, record.by
    columns = entity_map.columns
    newest = not versions or versions[-1].precedence < precedence
    told: dict[str, Any] = {}
    for name, value in change.columns.items():
        if (found := columns.get(name)) is not None:
            column, keep = found
            if newest or column not in values or versions[by.get(column, 0)].precedence < precedence:
                told[column] = None if value is None else keep(value)
    if not told and not newest:
        return _read(record, read)
    place = len(versions)
    now = Record(
        record.key,
        record.entity,
        record.chain,
        record.deleted,
        [*versions, evidence],
        {**values, **told},
        {**by, **dict.fromkeys(told, place)} if place else by,
        record.joins,
        record.refers,
        read,
    )
    used = {*now.by.values(), place if newest else place - 1}
    if len(now.by) < len(now.values):
        used.add(0)
    # By far the most events are the newest about their row, and leave something of each before them.
    return now if newest and len(used) == place + 1 else _compact(now, used)


def _later(one: int | None, other: int | None) -> int | None:
    return one if other is None or (one is not None and one >= other) else other


def _read(record: Record, read: int | None) -> Record:
    """The record as read last at `read`; the same object when that is no news."""
    return record if read == record.read else msgspec.structs.replace(record, read=read)


def _compact(record: Record, used: set[int]) -> Record:
    """The record with only the evidence that is used, by rank: a row updated for years must not grow."""
    versions, by = record.evidence, record.by
    order = sorted(used, key=lambda index: versions[index].precedence)
    moved = {old: new for new, old in enumerate(order)}
    record.evidence = [versions[index] for index in order]
    record.by = {column: place for column in record.values if (place := moved[by.get(column, 0)])}
    return record


def _deleted(record: Record, evidence: Evidence) -> Record:
    """The record after a delete: what ranks below it is gone."""
    precedence = evidence.precedence
    if record.deleted is not None and record.deleted.precedence >= precedence:
        return record
    hidden = sum(version.precedence <= precedence for version in record.evidence)
    left = {column: place - hidden for column in record.values if (place := record.by.get(column, 0)) >= hidden}
    return Record(
        record.key,
        record.entity,
        record.chain,
        evidence,
        record.evidence[hidden:],
        {column: record.values[column] for column in left},
        {column: place for column, place in left.items() if place},
        record.joins,
        record.refers,
        record.read,
    )


def meaning(choices: dict[Number, str], value: Number) -> str | None:
    """What a choice means, said by its number or by its name in any case; None when the map does not tell."""
    return choices.get(value.lower() if type(value) is str else value)


class Row(dict[str, Any]):
    """A record read by its role's fields: what the rules see. `row["voucher"]` is None when there is no usable value.

    A dictionary, for it is asked tens of times for each event. `key` and `id` are the record's, `role` the name of its
    role. `misfits` names what could not be read: (field, column, value as kept, evidence). Do not change one.
    """

    __slots__ = ("company", "id", "key", "map", "misfits", "record", "role")

    def __init__(self, record: Record, entity_map: EntityMap, company: str | None) -> None:
        role = entity_map.role
        self.update(role.blank)
        self.record = record
        self.key = record.key
        self.id = record.key[len(entity_map.prefix) :]
        self.map = entity_map
        self.role = role.name
        self.company = company
        self.misfits: tuple[tuple[str, str, str, Evidence], ...] = ()
        values = record.values
        for field, column, choices in entity_map.readers:
            value = values.get(column)
            if value is None or self[field] is not None:
                continue
            if type(value) is dict:
                self.misfits += ((field, column, value["unfit"], record.evidence_of(column)),)
            elif choices is None:
                self[field] = value
            elif named := choices.get(value) or meaning(choices, value):
                self[field] = named
            else:
                self.misfits += ((field, column, str(value), record.evidence_of(column)),)

    def __missing__(self, field: str) -> None:
        """A field of another role."""
        return

    @property
    def existence(self) -> Evidence:
        """The evidence that the row is there."""
        if self.record.latest_upsert is None:
            raise Rejected(f"{self.key} does not exist")
        return self.record.latest_upsert

    def evidence(self, *fields: str) -> Evidence:
        """The evidence of the first of `fields` that has a value; of the row's existence when none has."""
        values = self.record.values
        for wanted in fields:
            if self[wanted] is None:
                continue
            for field, column, choices in self.map.readers:
                if field != wanted or (value := values.get(column)) is None or is_unfit(value):
                    continue
                if choices is None or meaning(choices, value) is not None:
                    return self.record.evidence_of(column)
        return self.existence
