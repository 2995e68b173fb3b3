"""Identity links, which join the records of one document line, and references to other rows (`docs/how-it-decides.md`).

An identity value is a text: records with the same text belong to one chain. A value that is unique within a company has
the form `link:VALUE|COMPANY`. While the company of a row is unknown the form is `link:VALUE|`; it then joins the one
company in which the other system has the value.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from engine.chains.records import Record, Row
from engine.mapping.compiler import COMPANY, EntityMap, Maps, Reference, When
from engine.mapping.values import is_unfit

LARGEST_CHAIN: Final = 200
"""The number of records beyond which the keys of a chain must be wrong, which is a finding."""

CompanyOf = Callable[[str], str | None]
"""Maps the guid of a `cdm_company` row to its company code; None while the row or its code is unknown."""


def row(record: Record, entity_map: EntityMap, company_of: CompanyOf) -> Row:
    """Return `record` as a `Row` with its company: from the owning company column, otherwise the company its events
    named.
    """
    seen = Row(record, entity_map, None)
    owner = seen.get("company")
    code = company_of(owner) if owner is not None else None
    if code is None:
        value = record.values.get(COMPANY)
        code = None if is_unfit(value) else value
    seen.company = code
    return seen


def joins(seen: Row) -> list[str]:
    """Return the identity values of a row, sorted. A field without value never links (R8)."""
    tokens = set()
    for identity in seen.map.identity:
        if identity.when and not _applies(identity.when, seen):
            continue
        for field in identity.by:
            if (value := _value(seen, field)) is not None:
                tokens.add(
                    f"{identity.link}:{value}|{seen.company or ''}" if identity.scoped else f"{identity.link}:{value}"
                )
                break
    return sorted(tokens)


def refers(seen: Row) -> list[str]:
    """Return the reference and offer tokens of a row, sorted."""
    pointers = seen.map.pointers
    return sorted({token for pointer in pointers if (token := target(seen, pointer))}) if pointers else []


def target(seen: Row, reference: Reference) -> str | None:
    """Return the token of a reference: a record key, `=link:…`, or `+link:…` for an offer; None if a part is absent."""
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
    """Return the offer token `+link:…` that a reference token `=link:…` matches."""
    return "+" + token[1:]


def pointer_to(offer: str) -> str:
    """Return the reference token `=link:…` that matches an offer token `+link:…`."""
    return "=" + offer[1:]


def _applies(when: When, seen: Row) -> bool:
    return all(str(seen[field] or "").upper() in texts for field, texts in when)


def _value(seen: Row, field: str) -> str | None:
    """Return a field as links compare it: text in upper case."""
    if field == "id":
        return seen.id
    value = seen[field]
    return value if value is None or field in seen.map.role.row_ids else str(value).upper()


def scoped(token: str) -> tuple[str, str] | None:
    """Split a company-scoped identity value into the value with its `|` and the company, which is empty while unknown.

    None for any other identity value.
    """
    head, bar, company = token.rpartition("|")
    return (head + bar, company) if bar else None


def components(records: Mapping[str, Record], maps: Maps) -> list[list[str]]:
    """Return the chains of `records`, the connected components of their identity values: sorted lists of keys, by first
    key.

    Complete only if `records` contains every record of every chain that it touches.
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
    """Yield the pairs that identity values without a company join: with the only company of that value in the other
    system.
    """
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
