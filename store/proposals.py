"""The invoice proposals that wait, from the records and links as they are (R56)."""

from collections.abc import Iterable
from itertools import chain as chain_of

from sqlalchemy import Connection

from engine import links
from engine.facts import ChainFacts
from engine.maps import Maps
from engine.proposals import Proposal, unbilled, waiting, waits
from engine.records import Row
from store.rows import Rows, Written
from store.unit import State, Unit, load_resident


def waiting_proposals(connection: Connection, maps: Maps, company: str | None) -> list[Proposal]:
    """The proposals of a company, or of all, that have no lines yet: the oldest first."""
    rows = Rows(connection, Written())
    state = State(0, 0)
    load_resident(rows, maps, state)
    unit = Unit(rows, maps, state)

    def existing(keys: Iterable[str]) -> list[Row]:
        found = sorted((key, record) for key, record in rows.records(keys) if record.exists)
        return [links.row(record, maps.entities[record.entity], state.directory.owner) for _, record in found]

    proposals = {
        links.pointer_to(offer): row
        for entity_map in maps.of_role("proposal")
        for _, record in rows.records_within(entity_map.prefix, entity_map.prefix[:-1] + ";")
        if record.exists
        and waits(row := links.row(record, entity_map, state.directory.owner))
        and company in (None, row.company)
        for offer in record.refers
        if offer[0] == "+"
    }
    named: dict[str, list[str]] = {pointer: [] for pointer in proposals}
    for pointer, staged in rows.links(proposals.keys()):
        named[pointer].append(staged)
    staging = {row.key: row for row in existing(chain_of.from_iterable(named.values()))}
    prefixes = [entity_map.prefix for entity_map in maps.of_role("actual")]
    keys = [prefix + row["actual"] for row in staging.values() if row["actual"] for prefix in prefixes]
    billed = {row.id: row for row in existing(keys)}
    connections = existing(record for _, record in rows.links(keys))
    sales = {
        row.key: unbilled(billed[row["actual"]], connections) if row["actual"] in billed else []
        for row in staging.values()
    }
    chains = _chains(unit, rows, [prefix + sale for found in sales.values() for sale in found for prefix in prefixes])
    found = [
        waiting(row, [sales[key] for key in named[pointer] if key in sales], chains)
        for pointer, row in proposals.items()
    ]
    return sorted(found, key=lambda one: (one.date or "", one.company or "", one.number))


def _chains(unit: Unit, rows: Rows, keys: Iterable[str]) -> dict[str, ChainFacts]:
    """The chains of actuals, by the actuals' ids."""
    of = {record.id: record.chain for _, record in rows.records(keys) if record.chain is not None}
    seen = unit.surroundings(set(of.values()))
    facts = {name: ChainFacts(name, found, unit) for name, (found, _) in seen.items()}
    return {actual: facts[name] for actual, name in of.items() if name in facts}
