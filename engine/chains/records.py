"""Records: rows of either system, merged column by column from the events about them.

A record is a function of the set of its events (`docs/how-it-decides.md`). Of two values of a column, the one with the
higher precedence wins. A delete hides what has a lower precedence, and a later upsert starts from an empty row (R12).
Merging is therefore associative, commutative and idempotent.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from engine.errors import Rejected
from engine.events.facts import Change, Evidence, row_id_of, time_order
from engine.mapping.compiler import EntityMap
from engine.mapping.files import Number
from engine.mapping.values import is_unfit

LINK_VALUES_MAX: Final = 17
"""How many distinct values of a link column a record keeps, the current one included: the newest."""


class PastValue(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value of a column that is not current, and the event with the highest precedence that named it."""

    value: Any
    evidence: Evidence


class Record(msgspec.Struct, array_like=True, gc=False):
    """A merged row. Immutable, except to the batch that creates it: `merge` returns a new one.

    `key` consists of stage, entity and the row id in time order, so keys sort by process step, then by age. `values`
    maps each mapped column to its value. `evidence` holds the upserts that the values come from, by precedence: the
    last is the latest upsert, and an empty list means that the row does not exist. `by` maps a column to the index of
    its evidence, if not 0. `deleted` is the latest delete. `joins` are the identity values, `refers` the reference
    tokens, both as last derived. `chain` is the id of its chain, None while the row does not exist. `read` is the
    latest time at which an event contained the whole row (R5). `former` maps a link column to its values that are not
    current, each with the evidence of the highest precedence that named it, newest first (decision 15); `crowded` are
    the link columns of more than `LINK_VALUES_MAX` values, whose oldest ones were dropped. `hidden` maps each column
    without a current value to its last value below the latest delete: what the row said before it was deleted
    (`last_state`). `trails` are its former identity values, as last derived.
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
    former: dict[str, list[PastValue]] = {}
    crowded: list[str] = []
    hidden: dict[str, PastValue] = {}
    trails: list[str] = []

    @property
    def exists(self) -> bool:
        """Return True if the row exists: its latest upsert has a higher precedence than every delete."""
        return bool(self.evidence)

    @property
    def latest_upsert(self) -> Evidence | None:
        """The upsert with the highest precedence: the evidence that the row exists."""
        return self.evidence[-1] if self.evidence else None

    @property
    def id(self) -> str:
        """The row id as the key spells it (`row_id_of` returns the spelling of the source)."""
        return self.key.split(":", 2)[2]

    def evidence_of(self, column: str) -> Evidence:
        """Return the event that the value of a column comes from."""
        return self.evidence[self.by.get(column, 0)]


def record_key(entity_map: EntityMap, row: str) -> str:
    """Return the record key of `row`, a row id as normalised by `facts.row_id`."""
    return entity_map.prefix + (time_order(row) if len(row) == 36 else row)


def row_of(key: str) -> str:
    """Return the row id of a record key, as its source spells it."""
    return row_id_of(key.split(":", 2)[2])


def new_record(entity_map: EntityMap, key: str) -> Record:
    """Return an empty record."""
    return Record(key, entity_map.entity)


def first_record(entity_map: EntityMap, key: str, change: Change) -> Record:
    """Return the record after the first change of its row: equal to `merge` with an empty record, at half the cost.

    Most events are the first of their row.
    """
    if change.operation == "delete":
        return merge(new_record(entity_map, key), change, entity_map)
    columns = entity_map.columns
    values = {
        target[0]: None if value is None else target[1](value)
        for name, value in change.columns.items()
        if (target := columns.get(name)) is not None
    }
    return Record(key, entity_map.entity, None, None, [change.evidence], values, {}, [], [], change.whole)


def merge(record: Record, change: Change, entity_map: EntityMap) -> Record:
    """Return `record` after `change`; the same object if the change is a duplicate or of a lower precedence."""
    evidence = change.evidence
    if change.operation == "delete":
        return record if entity_map.keep_on_delete else _deleted(record, evidence, entity_map)
    precedence, read = evidence.precedence, _later(record.read, change.whole)
    if record.deleted is not None and precedence < record.deleted.precedence:
        return _read(_remember(_hide(record, change, entity_map), _link_values(change, entity_map)), read)
    versions, values, by = record.evidence, record.values, record.by
    columns, link_columns = entity_map.columns, entity_map.link_columns
    newest = not versions or versions[-1].precedence < precedence
    changed: dict[str, Any] = {}
    replaced: list[tuple[str, Any, Evidence]] = []
    for name, value in change.columns.items():
        if (target := columns.get(name)) is not None:
            column, normalise = target
            if newest or column not in values or versions[by.get(column, 0)].precedence < precedence:
                changed[column] = None if value is None else normalise(value)
                # Most events repeat the whole row, with the same link values.
                if column in link_columns and column in values and values[column] != changed[column]:
                    replaced.append((column, values[column], versions[by.get(column, 0)]))
            elif column in link_columns and value is not None:
                replaced.append((column, normalise(value), evidence))
    if not changed and not newest:
        return _read(_remember(record, replaced), read)
    index = len(versions)
    now = Record(
        record.key,
        record.entity,
        record.chain,
        record.deleted,
        [*versions, evidence],
        {**values, **changed},
        {**by, **dict.fromkeys(changed, index)} if index else by,
        record.joins,
        record.refers,
        read,
        record.former,
        record.crowded,
        {column: item for column, item in record.hidden.items() if column not in changed},
        record.trails,
    )
    if replaced or now.former:
        now = _remember(now, replaced)
    used = {*now.by.values(), index if newest else index - 1}
    if len(now.by) < len(now.values):
        used.add(0)
    # On the hot path most events have the highest precedence, and values of each earlier event remain.
    return now if newest and len(used) == index + 1 else _compact(now, used)


def _hide(record: Record, change: Change, entity_map: EntityMap) -> Record:
    """Return the record with the values of an event below its latest delete that are newer than those it hides."""
    if not entity_map.role.chained:
        return record
    hidden = dict(record.hidden)
    for name, value in change.columns.items():
        if (target := entity_map.columns.get(name)) is None or target[0] in record.values:
            continue
        column, normalise = target
        known = hidden.get(column)
        if known is None or known.evidence.precedence < change.evidence.precedence:
            hidden[column] = PastValue(None if value is None else normalise(value), change.evidence)
    return record if hidden == record.hidden else msgspec.structs.replace(record, hidden=hidden)


def _link_values(change: Change, entity_map: EntityMap) -> list[tuple[str, Any, Evidence]]:
    """Return the link values of an event that no longer makes a row: a delete has a higher precedence."""
    targets = [(target, value) for name, value in change.columns.items() if (target := entity_map.columns.get(name))]
    return [
        (column, normalise(value), change.evidence)
        for (column, normalise), value in targets
        if column in entity_map.link_columns and value is not None
    ]


def _remember(record: Record, replaced: Iterable[tuple[str, Any, Evidence]]) -> Record:
    """Return the record with former link values: `replaced`, unless current, and those it has, unless current now."""
    former = dict(record.former)
    for column, value, evidence in replaced:
        # A value that cannot be read links nothing.
        if value is not None and type(value) is not dict:
            former[column] = [*former.get(column, ()), PastValue(value, evidence)]
    if not former:
        return record
    crowded = set(record.crowded)
    kept: dict[str, list[PastValue]] = {}
    for column, known in former.items():
        current = record.values.get(column)
        distinct = _newest_of_each(item for item in known if item.value != current)
        room = LINK_VALUES_MAX - (current is not None and type(current) is not dict)
        if len(distinct) > room:
            crowded.add(column)
        if distinct:
            kept[column] = distinct[:room]
    if kept == record.former and len(crowded) == len(record.crowded):
        return record
    return msgspec.structs.replace(record, former=kept, crowded=sorted(crowded))


def _newest_of_each(known: Iterable[PastValue]) -> list[PastValue]:
    """Return each value once, with its evidence of the highest precedence, newest first."""
    newest: dict[Any, PastValue] = {}
    for item in sorted(known, key=lambda item: item.evidence.precedence, reverse=True):
        newest.setdefault(item.value, item)
    return list(newest.values())


def _later(first: int | None, second: int | None) -> int | None:
    return first if second is None or (first is not None and first >= second) else second


def _read(record: Record, read: int | None) -> Record:
    """Return the record with a new read time; the same object if it is unchanged."""
    return record if read == record.read else msgspec.structs.replace(record, read=read)


def _compact(record: Record, used: set[int]) -> Record:
    """Drop unused evidence and sort the rest by precedence, so that a record does not grow with the number of its
    updates.
    """
    versions, by = record.evidence, record.by
    order = sorted(used, key=lambda index: versions[index].precedence)
    moved = {old: new for new, old in enumerate(order)}
    record.evidence = [versions[index] for index in order]
    record.by = {column: index for column in record.values if (index := moved[by.get(column, 0)])}
    return record


def _deleted(record: Record, evidence: Evidence, entity_map: EntityMap) -> Record:
    """Return the record after a delete. Its values of lower precedence become hidden."""
    precedence = evidence.precedence
    if record.deleted is not None and record.deleted.precedence >= precedence:
        return record
    hidden = sum(version.precedence <= precedence for version in record.evidence)
    gone = {
        column: PastValue(value, record.evidence_of(column))
        for column, value in record.values.items()
        if record.by.get(column, 0) < hidden
    }
    remaining = {column: index - hidden for column in record.values if (index := record.by.get(column, 0)) >= hidden}
    now = Record(
        record.key,
        record.entity,
        record.chain,
        evidence,
        record.evidence[hidden:],
        {column: record.values[column] for column in remaining},
        {column: index for column, index in remaining.items() if index},
        record.joins,
        record.refers,
        record.read,
        record.former,
        record.crowded,
        # Only the rows of chains are asked what they said before.
        {**record.hidden, **gone} if entity_map.role.chained else {},
        record.trails,
    )
    links = [(column, gone[column]) for column in entity_map.link_columns if column in gone]
    return _remember(now, [(column, item.value, item.evidence) for column, item in links])


def last_state(record: Record) -> Record:
    """Return a deleted record of a chain as it was before its delete, as if it still existed.

    A column that was absent then has its value from before an earlier delete: which columns an event does not repeat is
    no statement about them.
    """
    evidence = sorted({item.evidence for item in record.hidden.values()}, key=lambda evidence: evidence.precedence)
    index = {item: number for number, item in enumerate(evidence)}
    values = {column: record.hidden[column].value for column in sorted(record.hidden)}
    by = {column: number for column, item in record.hidden.items() if (number := index[item.evidence])}
    return msgspec.structs.replace(record, evidence=evidence, values=values, by=by)


def meaning(choices: dict[Number, str], value: Number) -> str | None:
    """Return the meaning of a choice by its number, or by its name in any case; None if the map does not define it."""
    return choices.get(value.lower() if type(value) is str else value)


class Row(dict[str, Any]):
    """A record with its values by the fields of its role, as the rules read it. `row["voucher"]` is None without a
    usable value.

    A dictionary, because the rules read tens of fields for each event. `key` and `id` are those of the record, `role`
    is the name of its role. `misfits` lists unusable values: (field, column, value as stored, evidence), `rounded` the
    amounts that were sent with more than four decimals: (field, column, value as sent, evidence). `gone` is the delete
    of a row that no longer exists, read as it was before (`links.last_row`). `former`: its links are those that it had
    once. Immutable.
    """

    __slots__ = ("company", "former", "gone", "id", "key", "map", "misfits", "record", "role", "rounded")

    def __init__(self, record: Record, entity_map: EntityMap, company: str | None) -> None:
        role = entity_map.role
        self.update(role.blank)
        self.record = record
        self.key = record.key
        self.id = record.key[len(entity_map.prefix) :]
        self.map = entity_map
        self.role = role.name
        self.company = company
        self.gone: Evidence | None = None
        self.former = False
        self.misfits: tuple[tuple[str, str, str, Evidence], ...] = ()
        self.rounded: tuple[tuple[str, str, str, Evidence], ...] = ()
        values = record.values
        for field, column, choices in entity_map.readers:
            value = values.get(column)
            if value is None or self[field] is not None:
                continue
            if type(value) is dict:
                if "unfit" in value:
                    self.misfits += ((field, column, value["unfit"], record.evidence_of(column)),)
                elif "date" in value:
                    self[field] = value["date"]
                else:
                    self[field] = value["rounded"]
                    self.rounded += ((field, column, value["sent"], record.evidence_of(column)),)
            elif choices is None:
                self[field] = value
            elif named := choices.get(value) or meaning(choices, value):
                self[field] = named
            else:
                self.misfits += ((field, column, str(value), record.evidence_of(column)),)

    def __missing__(self, field: str) -> None:
        """Return None for a field of another role."""
        return

    @property
    def existence(self) -> Evidence:
        """The evidence that the row exists. Raises `Rejected` if it does not."""
        if self.record.latest_upsert is None:
            raise Rejected(f"{self.key} does not exist")
        return self.record.latest_upsert

    def was_sent(self, *fields: str) -> bool:
        """Return True if an event had one of these fields, even without a value: absence is no statement (R21)."""
        return any(field in fields and column in self.record.values for field, column, _ in self.map.readers)

    def time_sent(self, field: str) -> str | None:
        """Return the time that a date was sent with (RFC 3339); None if it was sent without, or at midnight."""
        for read, column, _ in self.map.readers:
            if read == field and (value := self.record.values.get(column)) is not None and not is_unfit(value):
                return value["sent"] if type(value) is dict and "date" in value else None
        return None

    def evidence(self, *fields: str) -> Evidence:
        """Return the evidence of the first of `fields` that has a value; of the existence of the row if none has."""
        values = self.record.values
        for name in fields:
            if self[name] is None:
                continue
            for field, column, choices in self.map.readers:
                if field != name or (value := values.get(column)) is None or is_unfit(value):
                    continue
                if choices is None or meaning(choices, value) is not None:
                    return self.record.evidence_of(column)
        return self.existence
