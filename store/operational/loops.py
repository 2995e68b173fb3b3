"""The last run of each loop of a worker, as JSON in the table `settings` under `loop NAME`."""

from typing import Final

import msgspec
from sqlalchemy import Connection, delete, select

from store.schema import tables
from store.schema.bulk_sql import upsert

PREFIX: Final = "loop "


class LoopRun(msgspec.Struct, frozen=True, kw_only=True):
    """Last run of a loop: its end (microseconds since 1970 UTC), and why it failed (empty if it succeeded)."""

    name: str
    at: int
    failed: str = ""


_json: Final = msgspec.json.Encoder().encode
_read: Final = msgspec.json.Decoder(LoopRun).decode


def record(connection: Connection, run: LoopRun) -> None:
    """Record the last run of a loop."""
    upsert(connection, tables.settings, [(PREFIX + run.name, _json(run).decode())])


def delete_run(connection: Connection, name: str) -> None:
    """Delete the record of a loop."""
    connection.execute(delete(tables.settings).where(tables.settings.c.name == PREFIX + name))


def last_runs(connection: Connection) -> list[LoopRun]:
    """Return the last run of every loop, by name."""
    table = tables.settings.c
    rows = connection.execute(select(table.value).where(table.name.startswith(PREFIX)).order_by(table.name))
    return [_read(row.value) for row in rows]
