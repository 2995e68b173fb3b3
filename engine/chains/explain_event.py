"""Explain what the maps make of one event, and which key of which file decided it, for authors of map files (R6)."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from engine import money
from engine.chains.links import joins, row, target
from engine.chains.records import Row, first_record, meaning, record_key
from engine.events.facts import Change, iso, row_id_of
from engine.mapping.compiler import COMPANY, EntityMap, Maps
from engine.mapping.values import is_unfit, plain_value


class Cell(msgspec.Struct, frozen=True):
    """A column of an event: the field that reads it, the value, and the reason.

    `field` is None if no field reads the column. `because` names the deciding file and key, or the fault of the value.
    """

    column: str
    field: str | None
    value: str | None
    because: str


class Tie(msgspec.Struct, frozen=True):
    """A link or reference of a row: its kind, name and value, and the file and key that define it."""

    kind: str
    name: str
    value: str | None
    because: str


class Reading(msgspec.Struct, frozen=True):
    """What the maps make of the row of an event."""

    entity: str
    record: str
    step: int
    key: str
    because: str
    company: str | None
    cells: list[Cell]
    ties: list[Tie]


_COMPANY_COLUMNS: Final = ("dataareaid", "mserp_dataareaid")


def reading(change: Change, maps: Maps) -> Reading | None:
    """Return what the maps make of `change`, as the first change of its row; None if no map describes its entity."""
    entity_map = maps.find(change.entity)
    if entity_map is None:
        return None
    where = maps.written[entity_map.entity].where
    key = record_key(entity_map, change.id)
    # A delete carries no effective values; explain those that it carries nevertheless.
    record = first_record(entity_map, key, msgspec.structs.replace(change, operation="upsert"))
    seen = row(record, entity_map, lambda _: None)
    return Reading(
        entity_map.entity,
        entity_map.role.name,
        entity_map.role.stage,
        key,
        where(entity_map.entity, "record"),
        seen.company,
        [cell for name in change.columns if name != COMPANY for cell in _cells(name, seen, maps, change)],
        list(_ties(seen, maps)),
    )


def _cells(name: str, seen: Row, maps: Maps, change: Change) -> Iterator[Cell]:
    """Yield a cell for each field that reads a column."""
    entity_map = seen.map
    where = maps.written[entity_map.entity].where
    column, _ = entity_map.columns.get(name, (None, None))
    readers = [field for field in entity_map.fields if column in field.columns]
    if column is None or not readers:
        if name.lower() in _COMPANY_COLUMNS and COMPANY in change.columns:
            yield Cell(name, "company", change.company, "this column holds the company of each Finance row")
        else:
            yield Cell(name, None, None, "no field reads this column")
        return
    stored = seen.record.values[column]
    alias = "" if name == column else f", as {column}"
    for field in readers:
        because = where(entity_map.entity, f"columns.{field.name}") + alias
        kind = entity_map.role.fields[field.name]
        first = next((other for other in field.columns if _usable(seen, other)), column)
        if stored is None:
            yield Cell(name, field.name, None, f"{because}; empty, so no value")
        elif is_unfit(stored):
            yield Cell(name, field.name, None, f"{because}; the value is no {kind}")
        elif first != column:
            yield Cell(name, field.name, None, f"{because}; {first} takes precedence")
        elif field.choices is None:
            yield Cell(name, field.name, shown(kind, plain_value(stored)), because)
        elif (named := meaning(field.choices, stored)) is None:
            yield Cell(
                name,
                field.name,
                None,
                f"{where(entity_map.entity, f'choices.{field.name}')}: {stored} is not among the choices",
            )
        else:
            yield Cell(name, field.name, named, where(entity_map.entity, f"choices.{field.name}.{named}"))


def _usable(seen: Row, column: str) -> bool:
    value = seen.record.values.get(column)
    return value is not None and not is_unfit(value)


def _ties(seen: Row, maps: Maps) -> Iterator[Tie]:
    entity_map = seen.map
    where = maps.written[entity_map.entity].where
    tokens = joins(seen)
    for identity in entity_map.identity:
        values = [token for token in tokens if token.startswith(f"{identity.link}:")]
        because = f"{where(entity_map.entity, 'identity')} {identity.link} by {', '.join(identity.by)}"
        if identity.when:
            conditions = " and ".join(f"{field} is {' or '.join(sorted(texts))}" for field, texts in identity.when)
            because += f" when {conditions}"
        for value in _of(entity_map, seen, identity.by, values):
            yield Tie("link", identity.link, value, because)
    for kind, references, key in (
        ("points to", entity_map.references, "references"),
        ("offers", entity_map.offers, "offers"),
    ):
        for reference in references:
            because = f"{where(entity_map.entity, f'{key}.{reference.name}')} by {', '.join(reference.by)}"
            yield Tie(kind, reference.name, target(seen, reference), because)


def _of(entity_map: EntityMap, seen: Row, by: tuple[str, ...], values: list[str]) -> list[str | None]:
    """Select the values of a link that its fields `by` gave; [None] if they gave none."""
    for field in by:
        value = seen.id if field == "id" else seen[field]
        if value is not None:
            text = str(value).upper()
            return [token for token in values if token.partition(":")[2].partition("|")[0].upper() == text] or [None]
    return [None]


def shown(kind: str, value: Any) -> str:
    """Format a normalised value for people."""
    if kind == "money":
        return money.text(value, None)
    if kind == "guid":
        return row_id_of(value)
    if kind == "time":
        return iso(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
