"""Identity links, which join the records of one document line, and references to other rows (`docs/how-it-decides.md`).

An identity value is a text: records with the same text belong to one chain. A value that is unique within a company has
the form `link:VALUE|COMPANY`. While the company of a row is unknown the form is `link:VALUE|`; it then joins the one
company in which the other system has the value.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from engine.chains.records import Record, Row, last_state
from engine.mapping.compiler import COMPANY, EntityMap, Maps, Reference, When
from engine.mapping.values import is_unfit

LARGEST_CHAIN: Final = 200
"""The number of records beyond which the keys of a chain must be wrong, which is a finding."""

COUNTERPART: Final = "?"
"""The first character of a counterpart key (`engine.chains.counterparts`), which sorts before every letter."""

CompanyOf = Callable[[str], str | None]
"""Maps the guid of a `cdm_company` row to its company code; None while the row or its code is unknown."""

CodesOf = Callable[[str], Collection[str]]
"""Maps the guid of a `cdm_company` row to its current and former company codes."""


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


def last_row(record: Record, entity_map: EntityMap, company_of: CompanyOf) -> Row | None:
    """Return a deleted record of a chain as the `Row` that it was, `row.gone` being the delete; None if no event said
    what was in it.
    """
    seen = row(last_state(record), entity_map, company_of)
    seen.gone = record.deleted
    return seen if seen.record.exists else None


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


Rank = tuple[bool, tuple[int, int, bytes], int]
"""How recent an identity value of a record is: whether it is current, the precedence of the event that named it last,
and how recent the company in it is (0 for the last one, then descending).
"""

ALWAYS: Final = (2**63, 0, b"")
"""The precedence of the id of a row, which no event changes."""


def trails(record: Record, entity_map: EntityMap, current: Collection[str], codes_of: CodesOf) -> list[str]:
    """Return the trails of a record, sorted: the identity values that its former values gave it, without the `current`
    ones. A deleted record has trails alone (decision 15).

    A former value counts in every combination with the current and former companies of the row, because nothing says
    which of them were current together.
    """
    if record.exists and not record.former and not _moved(record, entity_map, codes_of):
        return []
    return sorted(ranked(record, entity_map, current, codes_of).keys() - current)


def ranked(record: Record, entity_map: EntityMap, current: Collection[str], codes_of: CodesOf) -> dict[str, Rank]:
    """Return every identity value that a record has or had, with its rank. `current` are those that it has."""
    companies = _companies(record, entity_map, codes_of)
    ranks: dict[str, Rank] = {}
    for identity in entity_map.identity:
        if not all(
            any(str(value).upper() in texts for value in _every_value(record, entity_map, field) or ("",))
            for field, texts in identity.when
        ):
            continue
        for field in identity.by:
            for value, named in _every_value(record, entity_map, field).items():
                for number, company in enumerate(companies if identity.scoped else ("",)):
                    token = f"{identity.link}:{value}|{company}" if identity.scoped else f"{identity.link}:{value}"
                    # A row id never changes, not even by a delete.
                    is_current = token in current or (field == "id" and not identity.scoped)
                    rank = (is_current, named, -number)
                    ranks[token] = max(rank, ranks.get(token, rank))
    return ranks


def _moved(record: Record, entity_map: EntityMap, codes_of: CodesOf) -> bool:
    """Return True if the company row that owns the record had another code."""
    return any(len(codes_of(owner)) > 1 for owner in _every_value(record, entity_map, "company"))


def _companies(record: Record, entity_map: EntityMap, codes_of: CodesOf) -> list[str]:
    """Return the current and former company codes of a record, the newest first: of the row that owns it, then those
    that its events named. Without any, the empty text.
    """
    owners = _newest_first(_every_value(record, entity_map, "company"))
    named = _newest_first(_values_of(record, [COMPANY], upper=False))
    codes = [*(code for owner in owners for code in codes_of(owner)), *named]
    return list(dict.fromkeys(codes)) or [""]


def _newest_first(values: Mapping[str, tuple[int, int, bytes]]) -> list[str]:
    return sorted(values, key=lambda value: values[value], reverse=True)


def _every_value(record: Record, entity_map: EntityMap, field: str) -> dict[str, tuple[int, int, bytes]]:
    """Return the current and former values of a field as links compare them, each with the precedence of the event that
    named it last.
    """
    if field == "id":
        return {record.id: ALWAYS}
    columns = [column for read, column, _ in entity_map.readers if read == field]
    return _values_of(record, columns, upper=field not in entity_map.role.row_ids)


def _values_of(record: Record, columns: Iterable[str], *, upper: bool) -> dict[str, tuple[int, int, bytes]]:
    values: dict[str, tuple[int, int, bytes]] = {}
    for column in columns:
        named = [(item.value, item.evidence) for item in record.former.get(column, ())]
        if column in record.values:
            named.append((record.values[column], record.evidence_of(column)))
        for value, evidence in named:
            if value is not None and type(value) is not dict:
                spelled = str(value).upper() if upper else str(value)
                values[spelled] = max(evidence.precedence, values.get(spelled, evidence.precedence))
    return values


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
    key. Counterpart keys do not join them yet.

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
            elif token[0] != COUNTERPART:
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
