"""Bulk statements of the write path.

Rows are passed to the driver as plain tuples: a parameter dictionary for each of thirty rows per document costs more
than writing the rows. The dialect of the database sends them (`store.schema.dialects`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table

from store.schema.dialects import Row, dialect_of

T = TypeVar("T")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield `items` in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def pipelined(connection: Connection) -> AbstractContextManager[None]:
    """Send the statements of the context without waiting for each response, if the database is on a server.

    Only for statements whose results are not read. An error is raised at the end of the context.
    """
    return dialect_of(connection).pipelined(connection)


def insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert `rows` (every column, in the order of the table). None of their keys may exist."""
    if rows:
        dialect_of(connection).insert(connection, table, rows)


def insert_absent(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert one row, given by column, unless its key exists. Return True if it was inserted."""
    return dialect_of(connection).insert_absent(connection, table, row)


def upsert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert `rows` (every column, in the order of the table), replacing rows of the same primary key."""
    if rows:
        dialect_of(connection).upsert(connection, table, rows)


def delete(connection: Connection, table: Table, columns: Sequence[str], keys: Sequence[Row]) -> None:
    """Delete the rows whose `columns` have one of the given values."""
    if keys:
        dialect_of(connection).delete(connection, table, tuple(columns), keys)


def select(
    connection: Connection, table: Table, columns: Sequence[str], by: str, values: Iterable[str]
) -> Iterator[Row]:
    """Yield the `columns` of the rows whose column `by` is one of `values`."""
    return dialect_of(connection).select(connection, table, tuple(columns), by, values)


def select_limited(
    connection: Connection, table: Table, columns: Sequence[str], by: str, values: Collection[str], limit: int
) -> Iterator[Row]:
    """Yield, for each of `values`, at most `limit` rows whose column `by` is that value."""
    if not values:
        return iter(())
    return dialect_of(connection).select_limited(connection, table, tuple(columns), by, values, limit)


def select_ranges(
    connection: Connection, table: Table, columns: Sequence[str], by: str, ranges: Sequence[tuple[str, str]]
) -> Iterator[Row]:
    """Yield the rows whose column `by` is within one of `ranges` (lower bound inclusive, upper bound exclusive)."""
    if not ranges:
        return iter(())
    return dialect_of(connection).select_ranges(connection, table, tuple(columns), by, ranges)


def select_keys(connection: Connection, table: Table, keys: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows whose primary key is one of `keys`."""
    return dialect_of(connection).select_keys(connection, table, keys) if keys else iter(())
