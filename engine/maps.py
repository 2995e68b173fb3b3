"""Maps: which entity and column of an environment feeds which role, field and link (R6).

A map file is TOML: a `schema` number, a `version`, the `source` it describes, and a table for each entity.
`compile_maps` checks it and makes the form the rules work with; what it refuses, it names by file, entity and key.
Reading files is somebody else's job.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, get_args, get_origin

import msgspec

from engine.changes import Source
from engine.errors import MapError
from engine.roles import CHOICES, ROLES, Role
from engine.values import keeper

SCHEMA: Final = 1
"""The version of the map files' shape that this code reads."""

COMPANY: Final = "@company"
"""The cell that keeps the company an event named beside its columns; no column of either system starts with `@`."""

Names = str | list[str]


class _Identity(msgspec.Struct, forbid_unknown_fields=True):
    link: str
    by: Names
    company: bool = False
    when: dict[str, list[str]] = {}


class _Reference(msgspec.Struct, forbid_unknown_fields=True):
    by: Names
    to: str | None = None
    link: str | None = None


class _Entity(msgspec.Struct, forbid_unknown_fields=True):
    record: str
    aliases: list[str] = []
    columns: dict[str, Names] = {}
    column_aliases: dict[str, Names] = {}
    choices: dict[str, dict[str, int | list[int]]] = {}
    keep_on_delete: bool = False
    identity: list[_Identity] = []
    references: dict[str, _Reference] = {}
    offers: dict[str, Names] = {}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    schema: int
    version: str
    source: Source
    entities: dict[str, _Entity]


class Identity(msgspec.Struct, frozen=True):
    """An identity link: rows with the same value of it belong to one chain.

    `by` names fields, `id` for the row itself: the first that has a value counts. `scoped` values count within their
    company; `when` restricts the link to rows whose fields have one of the given texts.
    """

    link: str
    by: tuple[str, ...]
    scoped: bool
    when: tuple[tuple[str, frozenset[str]], ...]


class Reference(msgspec.Struct, frozen=True):
    """A reference link: the row points to another that it does not belong to.

    Either to the row of entity `to` (its record key, which starts with `prefix`) whose id the field `by` holds, or,
    `natural`, to whatever row offers the same values: `=link:VALUES` points, `+link:VALUES` offers.
    """

    name: str
    by: tuple[str, ...]
    prefix: str
    natural: bool


class FieldMap(msgspec.Struct, frozen=True):
    """Where a field's value comes from: the first of `columns` that has one; choices by number."""

    name: str
    columns: tuple[str, ...]
    choices: dict[int, str] | None


class EntityMap(msgspec.Struct, frozen=True):
    """What a row of one entity means."""

    entity: str
    prefix: str
    """What the record keys of this entity start with: stage and name."""
    source: Source
    role: Role
    keep_on_delete: bool
    columns: dict[str, tuple[str, Callable[[Any], Any]]]
    fields: tuple[FieldMap, ...]
    identity: tuple[Identity, ...]
    references: tuple[Reference, ...]
    by_name: dict[str, Reference]
    """`references` by their names."""
    offers: tuple[Reference, ...]
    readers: tuple[tuple[str, tuple[str, ...], dict[int, str] | None], ...]
    """`fields` as plain tuples, for the one loop that runs several times an event."""
    link_columns: frozenset[str]
    """The columns that links and the company come from: a change of others moves nothing."""


class Maps(msgspec.Struct, frozen=True):
    """Every entity of an environment by each of its names, and a digest of what the maps say."""

    entities: dict[str, EntityMap]
    by_name: dict[str, EntityMap]
    digest: str
    versions: tuple[str, ...]

    def find(self, entity: str) -> EntityMap | None:
        """The map of an entity by its name or an alias, whatever the case."""
        return self.by_name.get(entity) or self.by_name.get(entity.lower())

    def of_role(self, *roles: str) -> list[EntityMap]:
        """The maps whose rows are one of `roles`."""
        return [entity for entity in self.entities.values() if entity.role.name in roles]


def compile_maps(files: Iterable[tuple[str, Mapping[str, Any]]]) -> Maps:
    """The maps of an environment from the parsed files, each with the name to blame.

    Raises `MapError` for an unknown key, role, field, link target or choice, and for two entities of one name.
    """
    parsed = [(name, _file(name, content)) for name, content in files]
    stages = _stages(parsed)
    offered = _offered(parsed)
    entities: dict[str, EntityMap] = {}
    by_name: dict[str, EntityMap] = {}
    for name, file in parsed:
        for entity, entry in file.entities.items():
            compiled = _Compiler(f"{name}: [entities.{entity}]", file.source, stages, offered).entity(entity, entry)
            entities[entity] = compiled
            for known in {entity, *entry.aliases}:
                for spelled in {known, known.lower()}:
                    if by_name.setdefault(spelled, compiled) is not compiled:
                        other = by_name[spelled].entity
                        raise MapError(f"{name}: [entities.{entity}] aliases: the name {known!r} already means {other}")
    digest = hashlib.blake2b(
        json.dumps([msgspec.to_builtins(file) for _, file in parsed], sort_keys=True).encode(), digest_size=16
    ).hexdigest()
    return Maps(entities, by_name, digest, tuple(f"{name} {file.version}" for name, file in parsed))


def _file(name: str, content: Mapping[str, Any]) -> _File:
    if content.get("schema") != SCHEMA:
        raise MapError(f"{name}: schema is {content.get('schema')!r}, this version of tieout reads schema = {SCHEMA}")
    if mistake := _mistake(content, _File):
        path, words = mistake
        match path:
            case ["entities", entity, *keys]:
                raise MapError(f"{name}: [entities.{entity}]{' ' * bool(keys)}{'.'.join(keys)}: {words}")
            case _:
                raise MapError(f"{name}: {'.'.join(path)}{': ' * bool(path)}{words}")
    return msgspec.convert(content, _File)


def _mistake(value: Any, kind: Any) -> tuple[list[str], str] | None:
    """Where `value` is not of the type `kind`, as keys from the outside in, and what is wrong there; None when all is
    well.

    msgspec says only "somewhere in this table" of a key that is not a struct's.
    """
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        for key, inner, its_kind in _parts(value, kind):
            if found := _mistake(inner, its_kind):
                return [key, *found[0]], found[1]
        return [], str(error).partition(" - at ")[0].replace("Object ", "The table ").replace("field", "key")
    return None


def _parts(value: Any, kind: Any) -> list[tuple[str, Any, Any]]:
    """The keys of a table or a list with what they hold and what they should."""
    if isinstance(value, Mapping):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            kinds = {field.name: field.type for field in msgspec.structs.fields(kind)}
            return [(key, inner, kinds[key]) for key, inner in value.items() if key in kinds]
        if get_origin(kind) is dict:
            return [(key, inner, get_args(kind)[1]) for key, inner in value.items()]
    if isinstance(value, list) and get_origin(kind) is list:
        return [(f"{number}", inner, get_args(kind)[0]) for number, inner in enumerate(value, 1)]
    return []


def _offered(parsed: list[tuple[str, _File]]) -> dict[str, set[int]]:
    """The links that entities offer, with how many fields."""
    offered: dict[str, set[int]] = {}
    for _, file in parsed:
        for entry in file.entities.values():
            for link, by in entry.offers.items():
                offered.setdefault(link, set()).add(len(_names(by)))
    return offered


def _stages(parsed: list[tuple[str, _File]]) -> dict[str, Role]:
    roles: dict[str, Role] = {}
    for name, file in parsed:
        for entity, entry in file.entities.items():
            if entry.record not in ROLES:
                known = ", ".join(sorted(ROLES))
                raise MapError(f"{name}: [entities.{entity}] record = {entry.record!r} is not one of {known}")
            if entity in roles:
                raise MapError(f"{name}: [entities.{entity}] is mapped twice")
            roles[entity] = ROLES[entry.record]
    return roles


class _Compiler:
    """Compiles one entity; `where` names it in errors."""

    def __init__(self, where: str, source: Source, roles: dict[str, Role], offered: dict[str, set[int]]) -> None:
        self.where = where
        self.source = source
        self.roles = roles
        self.offered = offered

    def entity(self, name: str, entry: _Entity) -> EntityMap:
        role = self.roles[name]
        for field in entry.columns:
            if field not in role.fields:
                has = ", ".join(role.fields)
                raise MapError(f"{self.where} columns.{field}: a record {role.name!r} has no such field; it has {has}")
        for field in entry.choices:
            if field not in entry.columns:
                mapped = ", ".join(entry.columns) or "none"
                raise MapError(f"{self.where} choices.{field}: no column feeds this field; mapped are {mapped}")
        fields = tuple(
            FieldMap(field, self._column_names(field, columns), self._choices(role, field, entry))
            for field, columns in entry.columns.items()
        )
        references = tuple(self._reference(role, key, item) for key, item in entry.references.items())
        compiled = EntityMap(
            entity=name,
            prefix=f"{role.stage}:{name}:",
            source=self.source,
            role=role,
            keep_on_delete=entry.keep_on_delete,
            columns=self._columns(role, entry),
            fields=fields,
            readers=tuple((field.name, field.columns, field.choices) for field in fields),
            identity=tuple(self._identity(role, item) for item in entry.identity),
            references=references,
            by_name={reference.name: reference for reference in references},
            offers=tuple(
                Reference(link, self._fields(role, f"offers.{link}", by), f"+{link}:", natural=True)
                for link, by in entry.offers.items()
            ),
            link_columns=frozenset(),
        )
        return msgspec.structs.replace(compiled, link_columns=_link_columns(compiled))

    def _column_names(self, field: str, columns: Names) -> tuple[str, ...]:
        names = _names(columns)
        if not names or any(not name.strip() or name.startswith("@") for name in names):
            raise MapError(f"{self.where} columns.{field}: name the column, or a list of columns; none starts with @")
        return names

    def _columns(self, role: Role, entry: _Entity) -> dict[str, tuple[str, Callable[[Any], Any]]]:
        columns: dict[str, tuple[str, Callable[[Any], Any]]] = {COMPANY: (COMPANY, keeper("code"))}
        kinds: dict[str, str] = {}
        for field, names in entry.columns.items():
            kind = role.fields[field]
            for column in _names(names):
                if kinds.setdefault(column, kind) != kind:
                    raise MapError(f"{self.where} columns.{field}: {column} is read as {kinds[column]} and as {kind}")
                for spelled in (column, *_names(entry.column_aliases.get(column, []))):
                    meant, _ = columns.setdefault(spelled, (column, keeper(kind)))
                    if meant != column:
                        raise MapError(
                            f"{self.where} column_aliases: {spelled} stands for the columns {meant} and {column}"
                        )
        for column in entry.column_aliases:
            if column not in kinds:
                raise MapError(f"{self.where} column_aliases.{column}: no field reads this column")
        return columns

    def _choices(self, role: Role, field: str, entry: _Entity) -> dict[int, str] | None:
        if role.fields[field] != "choice":
            if field in entry.choices:
                raise MapError(f"{self.where} choices.{field}: this field is no choice")
            return None
        known = CHOICES[role.name, field]
        numbers: dict[int, str] = {}
        for meaning, values in entry.choices.get(field, {}).items():
            if meaning not in known:
                raise MapError(f"{self.where} choices.{field}: {meaning!r} is not one of {', '.join(sorted(known))}")
            for number in [values] if isinstance(values, int) else values:
                if numbers.setdefault(number, meaning) != meaning:
                    raise MapError(f"{self.where} choices.{field}: {number} means {numbers[number]!r} and {meaning!r}")
        if not numbers:
            raise MapError(f"{self.where} choices.{field}: name the numbers of {', '.join(sorted(known))}")
        return numbers

    def _fields(self, role: Role, key: str, by: Names) -> tuple[str, ...]:
        for field in _names(by):
            if field not in role.fields and field not in ("id", "company"):
                raise MapError(f"{self.where} {key}: a record {role.name!r} has no field {field!r}")
        if not by:
            raise MapError(f"{self.where} {key}: name a field, or a list of fields")
        return _names(by)

    def _identity(self, role: Role, item: _Identity) -> Identity:
        if not role.chained:
            raise MapError(f"{self.where} identity: a record {role.name!r} belongs to no chain; use references")
        by = self._fields(role, f"identity {item.link}", item.by)
        if item.when:
            self._fields(role, f"identity {item.link} when", list(item.when))
        when = tuple((field, frozenset(text.upper() for text in texts)) for field, texts in item.when.items())
        return Identity(item.link, by, item.company, when)

    def _reference(self, role: Role, key: str, item: _Reference) -> Reference:
        by = self._fields(role, f"references.{key}", item.by)
        if (item.to is None) == (item.link is None):
            raise MapError(f"{self.where} references.{key}: give either to = an entity or link = an offered link")
        if item.link is not None:
            if item.link not in self.offered:
                offers = ", ".join(sorted(self.offered)) or "none"
                raise MapError(f"{self.where} references.{key}: no entity offers {item.link!r}; offered are {offers}")
            if len(by) not in self.offered[item.link]:
                raise MapError(f"{self.where} references.{key}: {item.link!r} is offered by another number of fields")
            return Reference(key, by, f"={item.link}:", natural=True)
        target = self.roles.get(item.to or "")
        if target is None:
            raise MapError(f"{self.where} references.{key}: no map describes the entity {item.to!r}")
        if target.resident:
            raise MapError(
                f"{self.where} references.{key}: rows of {item.to} are in memory; a field that holds their id is enough"
            )
        if len(by) != 1:
            raise MapError(
                f"{self.where} references.{key}: a reference to an entity takes one field, which holds its id"
            )
        return Reference(key, by, f"{target.stage}:{item.to}:", natural=False)


def _link_columns(entity: EntityMap) -> frozenset[str]:
    fields = {"company"}
    for identity in entity.identity:
        fields.update(identity.by, (field for field, _ in identity.when))
    for reference in (*entity.references, *entity.offers):
        fields.update(reference.by)
    columns = (column for field in entity.fields if field.name in fields for column in field.columns)
    return frozenset([COMPANY, *columns])


def _names(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
