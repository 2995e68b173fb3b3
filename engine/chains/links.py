"""Which records belong to one document line, and which rows they point to (`docs/how-it-decides.md`).

An identity link is a text: records with the same text belong to one chain. A link whose value counts within a company
reads `link:VALUE|COMPANY`; when the company of a row is not known it reads `link:VALUE|`, and joins the one company
the other system has the value in.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from engine.chains.records import Record, Row
from engine.mapping.compiler import COMPANY, EntityMap, Maps, Reference, When
from engine.mapping.values import is_unfit

LARGEST_CHAIN: Final = 200
"""Records in a chain beyond which something is wrong with its keys: a finding."""

CompanyOf = Callable[[str], str | None]
"""The company code of a `cdm_company` row by its guid; None while the row or its code is not known."""


def row(record: Record, entity_map: EntityMap, company_of: CompanyOf) -> Row:
    """`record` as the rules see it, with its company: the owning company column, else the one its events named."""
    seen = Row(record, entity_map, None)
    owner = seen.get("company")
    code = company_of(owner) if owner is not None else None
    if code is None:
        told = record.values.get(COMPANY)
        code = None if is_unfit(told) else told
    seen.company = code
    return seen


def joins(seen: Row) -> list[str]:
    """The identity values of a row, sorted; a value that is none never links (R8)."""
    found = set()
    for identity in seen.map.identity:
        if identity.when and not _applies(identity.when, seen):
            continue
        for field in identity.by:
            if (value := _value(seen, field)) is not None:
                found.add(
                    f"{identity.link}:{value}|{seen.company or ''}" if identity.scoped else f"{identity.link}:{value}"
                )
                break
    return sorted(found)


def refers(seen: Row) -> list[str]:
    """The rows a row points to and the values it offers for others to point to, sorted."""
    pointers = seen.map.pointers
    return sorted({token for pointer in pointers if (token := target(seen, pointer))}) if pointers else []


def target(seen: Row, reference: Reference) -> str | None:
    """Where `reference` of this row leads: a record key, or `=link:…` (`+link:…` for an offer); None when a part is
    missing.
    """
    if reference.when and not _applies(reference.when, seen):
        return None
    if len(reference.by) == 1:
        value = _value(seen, reference.by[0])
        return None if value is None else reference.prefix + value
    values = []
    for field in reference.by:
        value = seen.company if field == "company" and reference.natural else _value(seen, field)
        if value is None:
            return None
        values.append(value)
    return reference.prefix + "|".join(values)


def offer_of(token: str) -> str:
    """What a row that `=link:…` points to offers: `+link:…`."""
    return "+" + token[1:]


def pointer_to(offer: str) -> str:
    """What points to a row that offers `+link:…`: `=link:…`."""
    return "=" + offer[1:]


def _applies(when: When, seen: Row) -> bool:
    return all(str(seen[field] or "").upper() in texts for field, texts in when)


def _value(seen: Row, field: str) -> str | None:
    """A field as a link compares it: text without case."""
    if field == "id":
        return seen.id
    value = seen[field]
    return value if value is None or field in seen.map.role.row_ids else str(value).upper()


def scoped(token: str) -> tuple[str, str] | None:
    """A company-scoped link value as (value with its `|`, company, empty when unknown); None for any other link."""
    head, bar, company = token.rpartition("|")
    return (head + bar, company) if bar else None


def components(records: Mapping[str, Record], maps: Maps) -> list[list[str]]:
    """The chains that `records` form by their identity values: lists of record keys, each sorted, in order of the
    smallest.

    Complete only when `records` holds every record of every chain it touches.
    """
    parent: dict[str, str] = {key: key for key in records}

    def find(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    first: dict[str, str] = {}
    unknown: list[tuple[str, str]] = []
    for key, record in records.items():
        for token in record.joins:
            if token.endswith("|"):
                unknown.append((token, key))
            else:
                other = first.setdefault(token, key)
                if other != key:
                    parent[find(key)] = find(other)
    for key, other in _adopted(records, unknown, maps):
        parent[find(key)] = find(other)
    groups: dict[str, list[str]] = {}
    for key in records:
        groups.setdefault(find(key), []).append(key)
    return sorted(sorted(group) for group in groups.values())


def _adopted(records: Mapping[str, Record], unknown: list[tuple[str, str]], maps: Maps) -> Iterable[tuple[str, str]]:
    """Pairs that an id without a company makes: with the one company (or no company) the other system has it in."""
    if not unknown:
        return
    heads = {token for token, _ in unknown}
    members: dict[str, dict[str, dict[str, str]]] = {head: {} for head in heads}
    for key, record in records.items():
        for token in record.joins:
            parts = scoped(token)
            if parts is not None and parts[0] in heads:
                members[parts[0]].setdefault(maps.entities[record.entity].source, {}).setdefault(parts[1], key)
    for head, key in unknown:
        own = maps.entities[records[key].entity].source
        others = [
            company for source, companies in members[head].items() if source != own for company in companies.items()
        ]
        if len({company for company, _ in others}) == 1:
            yield key, others[0][1]
