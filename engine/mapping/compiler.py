"""The compiled maps: which entity and column of an environment feeds which role, field and link (R6).

`compile_maps` validates map files (`engine.mapping.files`) and compiles them into the form that the rules use. Errors
name file, entity and key.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from engine.errors import MapError
from engine.events.facts import Source
from engine.mapping.files import (
    Layered,
    Names,
    Number,
    WrittenEntity,
    WrittenIdentity,
    WrittenReference,
    names_of,
    overlay,
    read_file,
)
from engine.mapping.roles import CHOICES, ROLES, Role
from engine.mapping.values import normaliser

COMPANY: Final = "@company"
"""The column that holds the company that an event named; no column of either system starts with `@`."""


When = tuple[tuple[str, frozenset[str]], ...]
"""A condition of a link: rows whose fields have one of the given texts, in upper case."""


class Identity(msgspec.Struct, frozen=True):
    """An identity link: rows with the same value belong to one chain.

    `by` names fields, `id` for the row itself; the first with a value applies. `scoped` values are unique within a
    company.
    """

    link: str
    by: tuple[str, ...]
    scoped: bool
    when: When


class Reference(msgspec.Struct, frozen=True):
    """A reference link: the row refers to another one that it does not belong to.

    Either to the row of an entity whose id the field `by` holds; the record key of that row starts with `prefix`. Or,
    if `natural`, to the row that offers the same values: the token `=link:VALUES` refers, `+link:VALUES` offers.
    """

    name: str
    by: tuple[str, ...]
    prefix: str
    natural: bool
    when: When = ()


class FieldMap(msgspec.Struct, frozen=True):
    """The source of a field: the first of `columns` with a value. Choices are by number, or by name in lower case."""

    name: str
    columns: tuple[str, ...]
    choices: dict[Number, str] | None


class EntityMap(msgspec.Struct, frozen=True):
    """The compiled map of one entity."""

    entity: str
    prefix: str
    """The prefix of the record keys of this entity: stage and name."""
    source: Source
    role: Role
    keep_on_delete: bool
    columns: dict[str, tuple[str, Callable[[Any], Any]]]
    fields: tuple[FieldMap, ...]
    identity: tuple[Identity, ...]
    references: tuple[Reference, ...]
    by_name: dict[str, Reference]
    """`references` by name."""
    offers: tuple[Reference, ...]
    pointers: tuple[Reference, ...]
    """`references` and `offers`."""
    readers: tuple[tuple[str, str, dict[Number, str] | None], ...]
    """`fields` by column, the first column of each field first: (field, column, choices), for the loop that runs for
    each event.
    """
    link_columns: frozenset[str]
    """The columns that links and the company depend on."""
    key_columns: frozenset[str]
    """`link_columns`, and those that counterpart keys depend on. A change of other columns needs no re-linking."""


class Maps(msgspec.Struct, frozen=True):
    """Every entity of an environment by each of its names, and a digest of the maps."""

    entities: dict[str, EntityMap]
    by_name: dict[str, EntityMap]
    digest: str
    versions: tuple[str, ...]
    written: dict[str, Layered]
    """The merged tables with the origin of each key, for messages."""

    def find(self, entity: str) -> EntityMap | None:
        """Return the map of an entity by its name or an alias, case-insensitively."""
        return self.by_name.get(entity) or self.by_name.get(entity.lower())

    def of_role(self, *roles: str) -> list[EntityMap]:
        """Return the maps whose rows have one of `roles`."""
        return [entity for entity in self.entities.values() if entity.role.name in roles]


Files = Iterable[tuple[str, Mapping[str, Any]]]
"""Parsed files, each with its name for messages."""


def compile_maps(shipped: Files, own: Files = ()) -> Maps:
    """Compile the maps of an environment: the shipped files, overlaid by its `own` files.

    Raises `MapError` for an unknown key, role, field, link target or choice, for two entities of one name, and for
    contradicting files, links or references.
    """
    below = [(name, read_file(name, content)) for name, content in shipped]
    above = [(name, read_file(name, content)) for name, content in own]
    written = overlay(below, above)
    stages = {entity: _role(layered, entity) for entity, layered in written.items()}
    offered = _offered(written)
    entities = {
        entity: _Compiler(layered, stages, offered).entity(entity, layered.entry) for entity, layered in written.items()
    }
    by_name: dict[str, EntityMap] = {}
    for entity, layered in written.items():
        for known in _known_as(entity, layered):
            for spelled in {known, known.lower()}:
                if by_name.setdefault(spelled, entities[entity]) is not entities[entity]:
                    other = by_name[spelled].entity
                    key = f"aliases.{known}"
                    raise MapError(f"{layered.where(entity, key)}: the name already means {other}")
    _check_scopes(entities, written)
    _check_cycles(entities, written)
    meant = {entity: [item.source, item.virtual_prefix, item.entry] for entity, item in written.items()}
    digest = hashlib.blake2b(json.dumps(msgspec.to_builtins(meant), sort_keys=True).encode(), digest_size=16)
    versions = tuple(f"{name} {file.version}" for name, file in (*below, *above))
    return Maps(entities, by_name, digest.hexdigest(), versions, written)


def _role(layered: Layered, entity: str) -> Role:
    record = layered.entry.record
    if record is None:
        raise MapError(f"{layered.where(entity)}: the key 'record' is missing")
    if record not in ROLES:
        known = ", ".join(sorted(ROLES))
        raise MapError(f"{layered.where(entity, 'record')} = {record!r} is not one of {known}")
    return ROLES[record]


def _known_as(entity: str, layered: Layered) -> list[str]:
    """Return the names of an entity: its own, those of its data entity and virtual entity, and its aliases."""
    names = [entity, *layered.entry.aliases]
    if layered.virtual_prefix:
        data_entity = f"{entity}Entity"
        names += [name for name in (data_entity, f"{layered.virtual_prefix}{data_entity.lower()}") if name not in names]
    return names


def _offered(written: Mapping[str, Layered]) -> dict[str, set[int]]:
    """Return the links that entities offer, with the numbers of their fields."""
    offered: dict[str, set[int]] = {}
    for layered in written.values():
        for link, by in layered.entry.offers.items():
            offered.setdefault(link, set()).add(len(names_of(by)))
    return offered


def _check_scopes(entities: Mapping[str, EntityMap], written: Mapping[str, Layered]) -> None:
    """Check that a link is scoped to companies everywhere or nowhere; otherwise its values would never match."""
    scopes: dict[str, tuple[bool, str]] = {}
    for name, entity in entities.items():
        for identity in entity.identity:
            scoped, other = scopes.setdefault(identity.link, (identity.scoped, name))
            if scoped != identity.scoped:
                raise MapError(
                    f"{written[name].where(name, 'identity')} {identity.link}: company = {_toml(identity.scoped)} "
                    f"contradicts {written[other].where(other, 'identity')} {identity.link}, where company = "
                    f"{_toml(scoped)}: their values would never meet"
                )


def _check_cycles(entities: Mapping[str, EntityMap], written: Mapping[str, Layered]) -> None:
    """Check that references have no cycle: the dependents of a row would include itself. The rows of chains have no
    dependents.
    """
    offers: dict[str, list[str]] = {}
    for name, entity in entities.items():
        for offer in entity.offers:
            offers.setdefault(offer.name, []).append(name)

    def targets_of(name: str) -> list[tuple[str, str]]:
        edges = []
        for key, reference in written[name].entry.references.items():
            targets = [reference.to] if reference.to else offers.get(reference.link or "", [])
            edges += [(key, at) for at in targets if at in entities and not entities[at].role.chained]
        return edges

    done: set[str] = set()

    def walk(name: str, path: list[str], keys: list[str]) -> None:
        if name in path:
            start = path.index(name)
            steps = [f"[entities.{at}] references.{key}" for at, key in zip(path[start:], keys[start:], strict=True)]
            where = written[name].where(name, f"references.{keys[start]}")
            raise MapError(f"{where}: references lead in a circle: {' → '.join(steps)} → {name}; leave one of them out")
        if name in done:
            return
        for key, target in targets_of(name):
            walk(target, [*path, name], [*keys, key])
        done.add(name)

    for name in entities:
        walk(name, [], [])


def single_links(maps: Maps) -> list[str]:
    """Return the locations of links that only one entity has: they join nothing, which is seldom intended."""
    users: dict[str, set[str]] = {}
    for name, entity in maps.entities.items():
        for identity in entity.identity:
            users.setdefault(identity.link, set()).add(name)
    return [f"{maps.written[name].where(name, 'identity')} {link}" for link, (name, *more) in users.items() if not more]


def _toml(value: bool) -> str:
    return "true" if value else "false"


class _Compiler:
    """Compiles the map of one entity."""

    def __init__(self, layered: Layered, roles: dict[str, Role], offered: dict[str, set[int]]) -> None:
        self.layered = layered
        self.source = layered.source
        self.roles = roles
        self.offered = offered
        self.name = ""

    def at(self, key: str) -> str:
        """Return file, table and key for messages."""
        return self.layered.where(self.name, key)

    def entity(self, name: str, entry: WrittenEntity) -> EntityMap:
        """Return the map of an entity. Raises `MapError`."""
        self.name = name
        role = self.roles[name]
        for field in entry.columns:
            if field not in role.fields:
                has = ", ".join(role.fields)
                raise MapError(f"{self.at(f'columns.{field}')}: a record {role.name!r} has no such field; it has {has}")
        for field in entry.choices:
            if field not in entry.columns:
                mapped = ", ".join(entry.columns) or "none"
                raise MapError(f"{self.at(f'choices.{field}')}: no column feeds this field; mapped are {mapped}")
        fields = tuple(
            FieldMap(field, self._column_names(field, columns), self._choices(role, field, entry))
            for field, columns in entry.columns.items()
        )
        references = tuple(self._reference(role, key, item) for key, item in entry.references.items())
        offers = tuple(
            Reference(link, self._fields(role, f"offers.{link}", by), f"+{link}:", natural=True)
            for link, by in entry.offers.items()
        )
        compiled = EntityMap(
            entity=name,
            prefix=f"{role.stage}:{name}:",
            source=self.source,
            role=role,
            keep_on_delete=bool(entry.keep_on_delete),
            columns=self._columns(role, entry),
            fields=fields,
            identity=tuple(self._identity(role, item) for item in entry.identity or ()),
            references=references,
            by_name={reference.name: reference for reference in references},
            offers=offers,
            pointers=references + offers,
            readers=tuple((field.name, column, field.choices) for field in fields for column in field.columns),
            link_columns=frozenset(),
            key_columns=frozenset(),
        )
        links = _link_columns(compiled)
        keys = {column for field, column, _ in compiled.readers if field in role.counterpart}
        return msgspec.structs.replace(compiled, link_columns=links, key_columns=links | keys)

    def _column_names(self, field: str, columns: Names) -> tuple[str, ...]:
        names = names_of(columns)
        if not names or any(not name.strip() or name.startswith("@") for name in names):
            raise MapError(f"{self.at(f'columns.{field}')}: name the column, or a list of columns; none starts with @")
        return names

    def _columns(self, role: Role, entry: WrittenEntity) -> dict[str, tuple[str, Callable[[Any], Any]]]:
        columns: dict[str, tuple[str, Callable[[Any], Any]]] = {COMPANY: (COMPANY, normaliser("code"))}
        kinds: dict[str, str] = {}
        for field, names in entry.columns.items():
            kind = role.fields[field]
            for column in names_of(names):
                if kinds.setdefault(column, kind) != kind:
                    raise MapError(f"{self.at(f'columns.{field}')}: {column} is read as {kinds[column]} and as {kind}")
                for spelled in self._spellings(column, entry):
                    meant, _ = columns.setdefault(spelled, (column, normaliser(kind)))
                    if meant != column:
                        raise MapError(
                            f"{self.at('column_aliases')}: {spelled} stands for the columns {meant} and {column}"
                        )
        for column in entry.column_aliases:
            if column not in kinds:
                raise MapError(f"{self.at(f'column_aliases.{column}')}: no field reads this column")
        return columns

    def _spellings(self, column: str, entry: WrittenEntity) -> list[str]:
        """Return the names of a column: its own, those in a virtual entity and in an export, and its aliases."""
        spellings = [column, *names_of(entry.column_aliases.get(column, []))]
        prefix = self.layered.virtual_prefix
        if prefix and not column.startswith(prefix):
            # Exports of the tables write their columns in lower case.
            spellings += [prefix + column.lower(), column.lower()]
        return spellings

    def _choices(self, role: Role, field: str, entry: WrittenEntity) -> dict[Number, str] | None:
        if role.fields[field] != "choice":
            if field in entry.choices:
                raise MapError(f"{self.at(f'choices.{field}')}: this field is no choice")
            return None
        known = CHOICES[role.name, field]
        numbers: dict[Number, str] = {}
        for meaning, values in entry.choices.get(field, {}).items():
            key = f"choices.{field}.{meaning}"
            if meaning not in known:
                raise MapError(f"{self.at(key)}: {meaning!r} is not one of {', '.join(sorted(known))}")
            for number in values if isinstance(values, list) else [values]:
                choice = number.strip().lower() if isinstance(number, str) else number
                other = numbers.setdefault(choice, meaning)
                if other != meaning:
                    raise MapError(
                        f"{self.at(key)}: {number} means {meaning!r} here, and {other!r} in "
                        f"{self.at(f'choices.{field}.{other}')}"
                    )
        if not numbers:
            raise MapError(f"{self.at(f'choices.{field}')}: name the numbers of {', '.join(sorted(known))}")
        return numbers

    def _fields(self, role: Role, key: str, by: Names) -> tuple[str, ...]:
        for field in names_of(by):
            if field not in role.fields and field not in ("id", "company"):
                raise MapError(f"{self.at(key)}: a record {role.name!r} has no field {field!r}")
        if not by:
            raise MapError(f"{self.at(key)}: name a field, or a list of fields")
        return names_of(by)

    def _identity(self, role: Role, item: WrittenIdentity) -> Identity:
        if not role.chained:
            raise MapError(f"{self.at('identity')}: a record {role.name!r} belongs to no chain; use references")
        by = self._fields(role, f"identity {item.link}", item.by)
        return Identity(item.link, by, item.company, self._when(role, f"identity {item.link}", item.when))

    def _when(self, role: Role, key: str, when: Mapping[str, list[str]]) -> When:
        if when:
            self._fields(role, f"{key} when", list(when))
        return tuple((field, frozenset(text.upper() for text in texts)) for field, texts in when.items())

    def _reference(self, role: Role, key: str, item: WrittenReference) -> Reference:
        by = self._fields(role, f"references.{key}", item.by)
        when = self._when(role, f"references.{key}", item.when)
        if (item.to is None) == (item.link is None):
            raise MapError(f"{self.at(f'references.{key}')}: give either to = an entity or link = an offered link")
        if item.link is not None:
            if item.link not in self.offered:
                offers = ", ".join(sorted(self.offered)) or "none"
                raise MapError(f"{self.at(f'references.{key}')}: no entity offers {item.link!r}; offered are {offers}")
            if len(by) not in self.offered[item.link]:
                raise MapError(f"{self.at(f'references.{key}')}: {item.link!r} is offered by another number of fields")
            return Reference(key, by, f"={item.link}:", natural=True, when=when)
        target = self.roles.get(item.to or "")
        if target is None:
            raise MapError(f"{self.at(f'references.{key}')}: no map describes the entity {item.to!r}")
        if target.resident:
            raise MapError(
                f"{self.at(f'references.{key}')}: rows of {item.to} are in memory; a field that holds their id is "
                "enough"
            )
        if len(by) != 1:
            raise MapError(
                f"{self.at(f'references.{key}')}: a reference to an entity takes one field, which holds its id"
            )
        return Reference(key, by, f"{target.stage}:{item.to}:", natural=False, when=when)


def _link_columns(entity: EntityMap) -> frozenset[str]:
    fields = {"company"}
    if entity.role.name == "company":
        # The code of a company is part of the identity values of its rows.
        fields.add("code")
    for identity in entity.identity:
        fields.update(identity.by, (field for field, _ in identity.when))
    for reference in entity.pointers:
        fields.update(reference.by, (field for field, _ in reference.when))
    columns = (column for field in entity.fields if field.name in fields for column in field.columns)
    return frozenset([COMPANY, *columns])
