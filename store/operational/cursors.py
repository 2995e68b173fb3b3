"""Cursors of the poller (`engine.cursors.Cursors`)."""

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
    """Cursors in the store. They record what was read, not what follows from it, so a replay leaves them unchanged."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self, table: str) -> Cursor | None:
        """Return the cursor of a table, or None."""
        with self._engine.begin() as connection:
            body = connection.scalar(select(tables.cursors.c.body).where(tables.cursors.c.table == table))
        return None if body is None else _decode(body)

    def save(self, cursor: Cursor) -> None:
        """Insert or replace a cursor."""
        with self._engine.begin() as connection:
            upsert(connection, tables.cursors, [(cursor.table, _encode(cursor))])

    def all(self) -> Iterable[Cursor]:
        """Return every cursor."""
        with self._engine.begin() as connection:
            return cursors(connection)


def cursors(connection: Connection) -> list[Cursor]:
    """Return every cursor, by table."""
    bodies = connection.scalars(select(tables.cursors.c.body).order_by(tables.cursors.c.table))
    return [_decode(body) for body in bodies]
