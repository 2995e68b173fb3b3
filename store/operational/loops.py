"""When each loop of a worker ran last, in the table of settings: `loop NAME` is JSON."""

from typing import Final

import msgspec
from sqlalchemy import Connection, delete, select

from store.schema import tables
from store.schema.bulk_sql import upsert

PREFIX: Final = "loop "


class LoopRun(msgspec.Struct, frozen=True, kw_only=True):
    """The last turn of a loop: when it ended (microseconds since 1970), and why it failed, '' if it did not."""

    name: str
    at: int
    failed: str = ""


_json: Final = msgspec.json.Encoder().encode
_read: Final = msgspec.json.Decoder(LoopRun).decode


def record(connection: Connection, turn: LoopRun) -> None:
    """Keep the last turn of a loop."""
    upsert(connection, tables.settings, [(PREFIX + turn.name, _json(turn).decode())])


def delete_run(connection: Connection, name: str) -> None:
    """Keep nothing of a loop any more."""
    connection.execute(delete(tables.settings).where(tables.settings.c.name == PREFIX + name))


def last_runs(connection: Connection) -> list[LoopRun]:
    """The last turn of every loop, by name."""
    table = tables.settings.c
    rows = connection.execute(select(table.value).where(table.name.startswith(PREFIX)).order_by(table.name))
    return [_read(row.value) for row in rows]
