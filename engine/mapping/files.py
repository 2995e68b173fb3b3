"""Map files as written, and the overlay of an environment's own files on the shipped ones (R6).

A map file is TOML: a `schema` number, a `version`, the `source` it describes, and a table for each entity
(docs/maps.md). Errors name file, entity and key. Reading files from disk is left to the caller.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from engine.conversion import ConversionError, convert
from engine.errors import MapError
from engine.events.facts import Source

SCHEMA: Final = 1
"""The schema version of map files that this code reads."""

Names = str | list[str]
Number = int | str
"""A choice as events write it: its number, or its name (Finance OData)."""


def names_of(names: Names) -> tuple[str, ...]:
    """Return one or several names as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


class WrittenIdentity(msgspec.Struct, forbid_unknown_fields=True):
    """An identity link as written."""

    link: str
    by: Names
    company: bool = False
    when: dict[str, list[str]] = {}


class WrittenReference(msgspec.Struct, forbid_unknown_fields=True):
    """A reference link as written."""

    by: Names
    to: str | None = None
    link: str | None = None
    when: dict[str, list[str]] = {}


class WrittenEntity(msgspec.Struct, forbid_unknown_fields=True):
    """The table of an entity as written. In an overlay every key is optional."""

    record: str | None = None
    aliases: list[str] = []
    columns: dict[str, Names] = {}
    column_aliases: dict[str, Names] = {}
    choices: dict[str, dict[str, Number | list[Number]]] = {}
    keep_on_delete: bool | None = None
    identity: list[WrittenIdentity] | None = None
    references: dict[str, WrittenReference] = {}
    offers: dict[str, Names] = {}


class WrittenFile(msgspec.Struct, forbid_unknown_fields=True):
    """A map file as written. Virtual entities expose its entities under `virtual_prefix`, if given."""

    schema: int
    version: str
    source: Source
    entities: dict[str, WrittenEntity]
    virtual_prefix: str | None = None


class Layered(msgspec.Struct):
    """The merged table of an entity. `origins` maps each key to the file that it comes from."""

    source: Source
    entry: WrittenEntity
    origins: dict[str, str]
    virtual_prefix: str | None = None

    def where(self, entity: str, key: str = "") -> str:
        """Return file, table and key for messages. A nested key comes from the file of its parent."""
        inside = key
        while inside and inside not in self.origins:
            inside = inside.rpartition(".")[0]
        return f"{self.origins[inside]}: [entities.{entity}]{' ' if key else ''}{key}"


def read_file(name: str, content: Mapping[str, Any]) -> WrittenFile:
    """Validate a parsed file key by key. Raises `MapError`."""
    if content.get("schema") != SCHEMA:
        raise MapError(f"{name}: schema is {content.get('schema')!r}, this version of tieout reads schema = {SCHEMA}")
    try:
        return convert(content, WrittenFile)
    except ConversionError as error:
        match error.path:
            case ["entities", entity, *keys]:
                where = f"[entities.{entity}]{' ' * bool(keys)}{'.'.join(keys)}: "
            case path:
                where = f"{'.'.join(path)}{': ' * bool(path)}"
        raise MapError(f"{name}: {where}{error}") from None


# --- overlay ----------------------------------------------------------------------------------------------------------


def overlay(shipped: Iterable[tuple[str, WrittenFile]], own: Iterable[tuple[str, WrittenFile]]) -> dict[str, Layered]:
    """Return every entity as merged from all files.

    Keys of `own` files override those of the shipped ones; a column of `[]` removes a field. Raises `MapError` if two
    files of the same layer give a key two values.
    """
    entities: dict[str, Layered] = {}
    for name, file in shipped:
        for entity, entry in file.entities.items():
            if entity in entities:
                raise MapError(f"{name}: [entities.{entity}] is mapped twice, here and in {entities[entity].where('')}")
            origins = {"": name, **{key: name for key, _ in entry_keys(entry)}}
            entities[entity] = Layered(file.source, entry, origins, file.virtual_prefix)
    overrides: dict[tuple[str, str], tuple[str, Any]] = {}
    for name, file in own:
        for entity, entry in file.entities.items():
            for key, value in entry_keys(entry):
                by, other = overrides.setdefault((entity, key), (name, value))
                if other != value:
                    raise MapError(
                        f"{name}: [entities.{entity}] {key}: {_toml(value)} contradicts {by}, which says "
                        f"{_toml(other)}; leave one of them out"
                    )
            below = entities.get(entity)
            entities[entity] = (
                Layered(
                    file.source, entry, {"": name, **{key: name for key, _ in entry_keys(entry)}}, file.virtual_prefix
                )
                if below is None
                else _over(below, name, file, entity, entry)
            )
    return entities


def _over(below: Layered, name: str, file: WrittenFile, entity: str, entry: WrittenEntity) -> Layered:
    """Merge `entry` of an overlay into the table `below`."""
    if file.source != below.source:
        raise MapError(
            f"{name}: [entities.{entity}] is of {file.source} here, and of {below.source} in {below.origins['']}"
        )
    under = below.entry
    if entry.record not in (None, under.record):
        # Another role has other fields, so their keys do not apply.
        under = WrittenEntity(aliases=under.aliases)
    merged = WrittenEntity(
        record=entry.record or under.record,
        aliases=[*under.aliases, *(alias for alias in entry.aliases if alias not in under.aliases)],
        columns={**under.columns, **entry.columns},
        choices={**under.choices},
        keep_on_delete=under.keep_on_delete if entry.keep_on_delete is None else entry.keep_on_delete,
        identity=under.identity if entry.identity is None else entry.identity,
        references={**under.references, **entry.references},
        offers={**under.offers, **entry.offers},
    )
    for field, named in entry.choices.items():
        merged.choices[field] = {**under.choices.get(field, {}), **named}
    for field, columns in entry.columns.items():
        if columns == []:
            if field not in under.columns:
                raise MapError(f"{name}: [entities.{entity}] columns.{field}: no column feeds this field as it is")
            del merged.columns[field]
            merged.choices.pop(field, None)
    # Drop the aliases of columns that no field reads any more.
    read = {
        column for columns in merged.columns.values() for column in ([columns] if isinstance(columns, str) else columns)
    }
    aliases = {column: names for column, names in under.column_aliases.items() if column in read}
    merged.column_aliases = {**aliases, **entry.column_aliases}
    origins = {**below.origins, **{key: name for key, _ in entry_keys(entry)}}
    return Layered(below.source, merged, origins, below.virtual_prefix)


def entry_keys(entry: WrittenEntity) -> Iterator[tuple[str, Any]]:
    """Yield the keys of a table that an overlay may override, with their values."""
    if entry.record is not None:
        yield "record", entry.record
    for table in ("columns", "column_aliases", "references", "offers"):
        for key, value in getattr(entry, table).items():
            yield f"{table}.{key}", value
    for field, named in entry.choices.items():
        for meaning, numbers in named.items():
            yield f"choices.{field}.{meaning}", numbers
    for alias in entry.aliases:
        yield f"aliases.{alias}", alias
    for key in ("keep_on_delete", "identity"):
        if (value := getattr(entry, key)) is not None:
            yield key, value


def _toml(value: Any) -> str:
    return msgspec.json.encode(value).decode()
