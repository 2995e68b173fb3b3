"""Notices (R5): events that were cut, or that carry keys only, so that their row must be read again.

A notice waits until its row was read at or after it. Both are the latest of their kind, so neither order nor repetition
changes whether a row waits.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from engine.chains.records import record_key
from engine.events.facts import Change, row_id
from engine.mapping.compiler import EntityMap

PATIENCE: Final = 15 * 60 * 1_000_000
"""For so long (microseconds) a row may wait before somebody is told: it is read within a minute or so."""

REMEDY: Final = (
    "Run a worker with the role handle, or `tieout poll`, to read them. `tieout poll --show` shows why a table cannot "
    "be read. A row that another poller reads counts as read."
)


class RereadRequest(msgspec.Struct, frozen=True):
    """A row of `entity` is to be read as of `at` (microseconds since 1970 UTC), or was.

    `key` is the key of its record. A business event names no row (`named`), and is known by its own id.
    """

    key: str
    source: str
    entity: str
    has_id: bool
    at: int


class UnreadRows(msgspec.Struct, frozen=True):
    """How many rows of a table were not read yet since a notice, and since when the first of them waits."""

    entity: str
    rows: int
    since: int


def request_of_change(change: Change, entity_map: EntityMap | None) -> RereadRequest:
    """The notice that an event is."""
    evidence = change.evidence
    return reread_request(change.source, change.entity, change.id, evidence.event, evidence.at, entity_map)


def reread_request(
    source: str, entity: str, row: str | None, event: str | None, at: int, entity_map: EntityMap | None
) -> RereadRequest:
    """A notice about the row of an id, or about those that the keys of an event name."""
    if row and entity_map is not None:
        return RereadRequest(record_key(entity_map, row_id(row)), source, entity_map.entity, True, at)
    return RereadRequest(f"event:{source}:{entity}:{event or at}", source, entity, False, at)


def overdue(waiting: Iterable[UnreadRows], now: int) -> list[UnreadRows]:
    """Those that wait for longer than they should."""
    return [one for one in waiting if now - one.since > PATIENCE]


def row_counts(waiting: Iterable[UnreadRows]) -> str:
    """How many rows of which tables, for people.

    >>> in_all([Waiting("msdyn_actual", 2, 0), Waiting("VendInvoiceJour", 1, 0)])
    'msdyn_actual: 2, VendInvoiceJour: 1'
    """
    return ", ".join(f"{one.entity}: {one.rows:,}" for one in waiting)
