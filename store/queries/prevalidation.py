"""How many integration journal lines Project actuals prevalidation would have prevented, and their cost."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from sqlalchemy import Connection

from engine.chains.records import Row
from engine.errorlog.prevalidation import POSTING, Prevention, prevented
from engine.events.facts import time_order
from engine.mapping.compiler import EntityMap, Maps
from store.errorlog.error_log import ErrorQuery, entries
from store.projection.read_your_writes import ReadYourWrites, UncommittedWrites

_EVERY: Final = 1_000_000_000


def prevention(connection: Connection, maps: Maps, company: str | None, now: int) -> Prevention | None:
    """Return what the current errors of a company, or of all, say that it would have prevented; None if nothing.

    A line counts once, however many errors name it, and not when it is posted after all.
    """
    query = ErrorQuery(company=company, process=POSTING, limit=_EVERY)
    errors = [named for entry in entries(connection, query, now) if (named := prevented(entry.message)) is not None]
    rows = ReadYourWrites(connection, UncommittedWrites())
    of_actual = _lines_of_actuals(rows, maps, {named.actual for named in errors if named.actual is not None})
    known = _lines(rows, maps, {named.line for named in errors if named.line} | {*of_actual.values()})
    counted: dict[str, Row] = {}
    unknown = 0
    for named in errors:
        line = known.get(named.line or "") or known.get(of_actual.get(named.actual or "", ""))
        if line is None:
            unknown += 1
        elif line["status"] != "posted":
            counted[line.id] = line
    if not counted and not unknown:
        return None
    amounts: defaultdict[str, int] = defaultdict(int)
    without = 0
    for line in counted.values():
        if line["amount"] is None or line["currency"] is None:
            without += 1
        else:
            amounts[line["currency"]] += line["amount"]
    return Prevention(len(counted), tuple(sorted(amounts.items())), without, unknown)


def _of_role(maps: Maps, role: str) -> Iterator[EntityMap]:
    return (entity_map for entity_map in maps.entities.values() if entity_map.role.name == role)


def _lines(rows: ReadYourWrites, maps: Maps, ids: Iterable[str]) -> dict[str, Row]:
    """Return the existing integration journal lines of these RecIds."""
    keys = {entity_map.prefix + line: entity_map for entity_map in _of_role(maps, "journal-line") for line in ids}
    return {
        line.id: line
        for key, record in rows.records(sorted(keys))
        if record.exists and (line := Row(record, keys[key], None))
    }


def _lines_of_actuals(rows: ReadYourWrites, maps: Maps, actuals: Iterable[str]) -> dict[str, str]:
    """Return the RecId of the line that a staging row of each actual names, the smallest of several."""
    tokens = {
        f"{identity.link}:{time_order(actual)}": (actual, entity_map)
        for entity_map in _of_role(maps, "staging")
        for identity in entity_map.identity
        if "actual" in identity.by
        for actual in actuals
    }
    found: dict[str, str] = {}
    if not tokens:
        return found
    for token, keys in rows.records_by_token(sorted(tokens), _STAGING_ROWS).items():
        actual, entity_map = tokens[token]
        staging = {key for key in keys if key.startswith(entity_map.prefix)}
        for _, record in rows.records(sorted(staging)):
            line = Row(record, entity_map, None)["line"] if record.exists else None
            if line is not None:
                found[actual] = min(found.get(actual, line), line, key=int)
    return found


_STAGING_ROWS: Final = 50
"""Rows that are read for one actual: its origins and connections have the same token."""
