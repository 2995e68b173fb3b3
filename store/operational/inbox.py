"""Inbox of commands from processes that cannot write to the event log.

The projecting worker writes them to their topic and deletes each in the transaction that applies it.
"""

import uuid
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, select

from store.schema import tables
from store.schema.bulk_sql import chunks, insert

INBOX_BATCH: Final = 100
_CHUNK: Final = 500


class QueuedCommand(NamedTuple):
    """A command in the inbox: id, and key and value of its record."""

    id: str
    key: bytes
    value: bytes


def enqueue(connection: Connection, commands: Iterable[tuple[bytes, bytes]], at: int) -> list[str]:
    """Insert commands (key and value of a record) at a time (microseconds since 1970 UTC). Return their ids."""
    rows = [(str(uuid.uuid4()), at, key, value) for key, value in commands]
    insert(connection, tables.inbox, rows)
    return [row[0] for row in rows]


def queued_commands(connection: Connection) -> list[QueuedCommand]:
    """Return the oldest commands."""
    table = tables.inbox
    rows = connection.execute(select(table).order_by(table.c.at, table.c.id).limit(INBOX_BATCH))
    return [QueuedCommand(row.id, row.key, row.value) for row in rows]


def count_queued(connection: Connection, ids: Collection[str]) -> int:
    """Return how many of these commands are not applied yet."""
    key = tables.inbox.c.id
    counts = (select(func.count()).where(key.in_(chunk)) for chunk in chunks(ids, _CHUNK))
    return sum(connection.execute(count).scalar_one() for count in counts)
