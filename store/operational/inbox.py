"""Commands that wait for their topic: a process that cannot write to the log leaves them here, and the worker that can
puts them there. They are deleted in the transaction that applies them.
"""

import uuid
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, select

from store.schema import tables
from store.schema.bulk_sql import chunks, insert

INBOX_BATCH: Final = 100
_FOUND_AT_ONCE: Final = 500


class QueuedCommand(NamedTuple):
    """A command that waits: key and value of its record."""

    id: str
    key: bytes
    value: bytes


def enqueue(connection: Connection, commands: Iterable[tuple[bytes, bytes]], at: int) -> list[str]:
    """Leave commands, each the key and the value of its record, at a time (microseconds since 1970 UTC); returns their
    ids.
    """
    rows = [(str(uuid.uuid4()), at, key, value) for key, value in commands]
    insert(connection, tables.inbox, rows)
    return [row[0] for row in rows]


def queued_commands(connection: Connection) -> list[QueuedCommand]:
    """The first commands that wait."""
    table = tables.inbox
    rows = connection.execute(select(table).order_by(table.c.at, table.c.id).limit(INBOX_BATCH))
    return [QueuedCommand(row.id, row.key, row.value) for row in rows]


def count_queued(connection: Connection, ids: Collection[str]) -> int:
    """How many of these commands are not applied yet."""
    key = tables.inbox.c.id
    counts = (select(func.count()).where(key.in_(some)) for some in chunks(ids, _FOUND_AT_ONCE))
    return sum(connection.execute(count).scalar_one() for count in counts)
