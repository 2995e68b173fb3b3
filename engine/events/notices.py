"""Re-read requests, from notices (R5): events that were truncated or carry keys only, so that their row must be
re-read.

A request is open until its row was read at or after its time. Both times are maxima, so neither order nor repetition of
events changes the result.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from engine.chains.records import record_key
from engine.events.facts import Change, row_id
from engine.mapping.compiler import EntityMap

PATIENCE: Final = 15 * 60 * 1_000_000
"""The time in microseconds after which an unread row is reported. Normally it is read within a minute."""

REMEDY: Final = (
    "Run a worker with the role handle, or `tieout poll`, to read them. `tieout poll --show` shows why a table cannot "
    "be read. A row that another poller reads counts as read."
)


class RereadRequest(msgspec.Struct, frozen=True):
    """A row of `entity` must be re-read as of `at` (microseconds since 1970 UTC), or has been.

    `key` is its record key. A business event has no row id (`has_id` is False); its key is derived from the event id.
    """

    key: str
    source: str
    entity: str
    has_id: bool
    at: int


class UnreadRows(msgspec.Struct, frozen=True):
    """The number of rows of a table with open re-read requests, and the time of the oldest."""

    entity: str
    rows: int
    since: int


def request_of_change(change: Change, entity_map: EntityMap | None) -> RereadRequest:
    """Return the re-read request of an event."""
    evidence = change.evidence
    return reread_request(change.source, change.entity, change.id, evidence.event, evidence.at, entity_map)


def reread_request(
    source: str, entity: str, row: str | None, event: str | None, at: int, entity_map: EntityMap | None
) -> RereadRequest:
    """Return the re-read request for a row id, or for the rows that the keys of an event identify."""
    if row and entity_map is not None:
        return RereadRequest(record_key(entity_map, row_id(row)), source, entity_map.entity, True, at)
    return RereadRequest(f"event:{source}:{entity}:{event or at}", source, entity, False, at)


def overdue(tables: Iterable[UnreadRows], now: int) -> list[UnreadRows]:
    """Return the tables whose rows have been unread for longer than `PATIENCE`."""
    return [table for table in tables if now - table.since > PATIENCE]


def row_counts(tables: Iterable[UnreadRows]) -> str:
    """Format the number of unread rows by table.

    >>> row_counts([UnreadRows("msdyn_actual", 2, 0), UnreadRows("VendInvoiceJour", 1, 0)])
    'msdyn_actual: 2, VendInvoiceJour: 1'
    """
    return ", ".join(f"{table.entity}: {table.rows:,}" for table in tables)
