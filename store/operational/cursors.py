"""The cursors of the poller in the store: `engine.cursors.Cursors`."""

from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, select

from engine.cursors import Cursor
from store.schema import tables
from store.schema.bulk_sql import upsert

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Cursor).decode


class SqlCursors:
    """Cursors beside the projection. A replay does not touch them: they say what was read, not what follows from it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self, table: str) -> Cursor | None:
        with self._engine.begin() as connection:
            body = connection.scalar(select(tables.cursors.c.body).where(tables.cursors.c.table == table))
        return None if body is None else _decode(body)

    def save(self, cursor: Cursor) -> None:
        with self._engine.begin() as connection:
            upsert(connection, tables.cursors, [(cursor.table, _encode(cursor))])

    def all(self) -> Iterable[Cursor]:
        with self._engine.begin() as connection:
            return cursors(connection)


def cursors(connection: Connection) -> list[Cursor]:
    """Every cursor, by table."""
    bodies = connection.scalars(select(tables.cursors.c.body).order_by(tables.cursors.c.table))
    return [_decode(body) for body in bodies]
