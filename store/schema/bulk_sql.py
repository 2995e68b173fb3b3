"""Bulk statements of the write path.

Rows are passed to the driver as plain tuples: a parameter dictionary for each of thirty rows per document costs more
than writing the rows. PostgreSQL receives new rows through COPY, and rows to replace, delete or look up as one array
per column, so that a batch takes a few round trips whatever its size. No session state outlives a transaction, as a
connection pooler requires.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import BigInteger, Connection, Integer, LargeBinary, Table
from sqlalchemy.exc import DBAPIError

# Number of parameters of a SQLite lookup: few while events trickle in, many in a batch. A list is padded to one of
# these sizes with its last value, else SQLite would prepare and cache a statement for every length.
FEW, MANY = 20, 500

T = TypeVar("T")
Row = tuple[Any, ...]


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield `items` in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """Send the statements of the context to PostgreSQL in pipeline mode, without waiting for each response.

    Only for statements whose results are not read. An error is raised at the end of the context. SQLite has no round
    trips to save.
    """
    if not _is_postgres(connection):
        yield
        return
    driver: Any = connection.connection.driver_connection
    with _driver_errors_translated(connection, "one of several statements sent together"), driver.pipeline():
        yield


def insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert `rows` (every column, in the order of the table). None of their keys may exist."""
    if not rows:
        return
    if not _is_postgres(connection):
        connection.exec_driver_sql(_insert_sql(table), list(rows))
    elif _not_pipelined(connection):
        _copy(connection, table, rows)
    else:  # pipeline mode permits no COPY
        arrays = tuple(list(column) for column in zip(*rows, strict=True))
        connection.exec_driver_sql(_insert_arrays_sql(table), arrays)


def upsert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert `rows` (every column, in the order of the table), replacing rows of the same primary key."""
    if not rows:
        return
    if _is_postgres(connection):
        arrays = tuple(list(column) for column in zip(*rows, strict=True))
        connection.exec_driver_sql(_upsert_arrays_sql(table), arrays)
    else:
        connection.exec_driver_sql(_insert_sql(table) + _on_conflict(table), list(rows))


def delete(connection: Connection, table: Table, columns: Sequence[str], keys: Sequence[Row]) -> None:
    """Delete the rows whose `columns` have one of the given values."""
    if not keys:
        return
    if _is_postgres(connection):
        arrays = tuple(list(column) for column in zip(*keys, strict=True))
        connection.exec_driver_sql(_delete_arrays_sql(table, tuple(columns)), arrays)
    else:
        connection.exec_driver_sql(_delete_sql(table, tuple(columns)), list(keys))


def select(
    connection: Connection, table: Table, columns: Sequence[str], by: str, values: Iterable[str]
) -> Iterator[Row]:
    """Yield the `columns` of the rows whose column `by` is one of `values`."""
    if _is_postgres(connection):
        if requested := list(values):
            yield from connection.exec_driver_sql(_select_array_sql(table, tuple(columns), by), (requested,))
        return
    for chunk in chunks(values, MANY):
        size = FEW if len(chunk) <= FEW else MANY
        query = _select_sql(table, tuple(columns), by, size)
        yield from connection.exec_driver_sql(query, (*chunk, *chunk[-1:] * (size - len(chunk))))


def select_limited(
    connection: Connection, table: Table, columns: Sequence[str], by: str, values: Collection[str], limit: int
) -> Iterator[Row]:
    """Yield, for each of `values`, at most `limit` rows whose column `by` is that value."""
    if _is_postgres(connection):
        if values:
            query = _select_limited_array_sql(table, tuple(columns), by)
            yield from connection.exec_driver_sql(query, (list(values), limit))
        return
    for value in values:
        yield from connection.exec_driver_sql(_select_limited_sql(table, tuple(columns), by), (value, limit))


def select_ranges(
    connection: Connection, table: Table, columns: Sequence[str], by: str, ranges: Sequence[tuple[str, str]]
) -> Iterator[Row]:
    """Yield the rows whose column `by` is within one of `ranges` (lower bound inclusive, upper bound exclusive)."""
    if _is_postgres(connection):
        if ranges:
            starts, ends = zip(*ranges, strict=True)
            query = _select_ranges_arrays_sql(table, tuple(columns), by)
            yield from connection.exec_driver_sql(query, (list(starts), list(ends)))
        return
    for chunk in chunks(ranges, MANY):
        size = FEW if len(chunk) <= FEW else MANY
        query = _select_ranges_sql(table, tuple(columns), by, size)
        bounds = [bound for both in chunk for bound in both] + [""] * (2 * (size - len(chunk)))
        yield from connection.exec_driver_sql(query, tuple(bounds))


def select_keys(connection: Connection, table: Table, keys: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows whose primary key is one of `keys`."""
    if not keys:
        return
    if _is_postgres(connection):
        arrays = tuple(list(column) for column in zip(*keys, strict=True))
        yield from connection.exec_driver_sql(_select_keys_arrays_sql(table), arrays)
        return
    for key in keys:
        yield from connection.exec_driver_sql(_select_key_sql(table), key)


def _is_postgres(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _not_pipelined(connection: Connection) -> bool:
    # Imported lazily: SQLite needs no PostgreSQL driver.
    from psycopg.pq import PipelineStatus

    driver: Any = connection.connection.driver_connection
    return bool(driver.pgconn.pipeline_status == PipelineStatus.OFF)


def _copy(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Append rows with a binary COPY."""
    driver: Any = connection.connection.driver_connection
    with (
        _driver_errors_translated(connection, _copy_sql(table)),
        driver.cursor() as cursor,
        cursor.copy(_copy_sql(table)) as copy,
    ):
        copy.set_types(_types(table))
        write = copy.write_row
        for row in rows:
            write(row)


@contextmanager
def _driver_errors_translated(connection: Connection, statement: str) -> Iterator[None]:
    """Raise errors of the driver as SQLAlchemy raises them: callers handle one family of errors."""
    dialect = connection.dialect
    try:
        yield
    except dialect.loaded_dbapi.Error as error:
        raise DBAPIError.instance(
            statement,
            None,
            error,
            dialect.loaded_dbapi.Error,
            connection_invalidated=dialect.is_disconnect(error, connection.connection, None),
            dialect=dialect,
        ) from error


# Identifiers below come from our own tables; every value is a bound parameter.


@lru_cache(maxsize=64)
def _insert_sql(table: Table) -> str:
    marks = ", ".join("?" for _ in table.columns)
    return f'INSERT INTO "{table.name}" ({_names(table)}) VALUES ({marks})'  # noqa: S608


@lru_cache(maxsize=64)
def _on_conflict(table: Table) -> str:
    keys = [column.name for column in table.primary_key.columns]
    others = [column.name for column in table.columns if column.name not in keys]
    updates = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
    action = f"DO UPDATE SET {updates}" if others else "DO NOTHING"
    return f" ON CONFLICT ({', '.join(_quoted(keys))}) {action}"


@lru_cache(maxsize=64)
def _select_sql(table: Table, columns: tuple[str, ...], by: str, size: int) -> str:
    marks = ", ".join(["?"] * size)
    return f'SELECT {", ".join(_quoted(columns))} FROM "{table.name}" WHERE "{by}" IN ({marks})'  # noqa: S608


@lru_cache(maxsize=64)
def _select_limited_sql(table: Table, columns: tuple[str, ...], by: str) -> str:
    return f'SELECT {", ".join(_quoted(columns))} FROM "{table.name}" WHERE "{by}" = ? LIMIT ?'  # noqa: S608


@lru_cache(maxsize=64)
def _select_ranges_sql(table: Table, columns: tuple[str, ...], by: str, size: int) -> str:
    names = ", ".join(f"matches.{name}" for name in _quoted(columns))
    requested = ", ".join(["(?, ?)"] * size)
    # CROSS JOIN fixes the join order: each range is looked up in the index.
    return (
        f'WITH requested("from", past) AS (VALUES {requested}) SELECT {names} FROM requested '  # noqa: S608
        f'CROSS JOIN "{table.name}" AS matches '
        f'WHERE matches."{by}" >= requested."from" AND matches."{by}" < requested.past'
    )


@lru_cache(maxsize=64)
def _select_key_sql(table: Table) -> str:
    condition = " AND ".join(f"{name} = ?" for name in _quoted(table.primary_key.columns.keys()))
    return f'SELECT {_names(table)} FROM "{table.name}" WHERE {condition}'  # noqa: S608


@lru_cache(maxsize=64)
def _delete_sql(table: Table, columns: tuple[str, ...]) -> str:
    condition = " AND ".join(f"{name} = ?" for name in _quoted(columns))
    return f'DELETE FROM "{table.name}" WHERE {condition}'  # noqa: S608


@lru_cache(maxsize=64)
def _copy_sql(table: Table) -> str:
    return f'COPY "{table.name}" ({_names(table)}) FROM STDIN (FORMAT BINARY)'


@lru_cache(maxsize=64)
def _insert_arrays_sql(table: Table) -> str:
    rows = f"SELECT * FROM unnest({_arrays(table, [column.name for column in table.columns])})"  # noqa: S608
    return f'INSERT INTO "{table.name}" ({_names(table)}) {rows}'


@lru_cache(maxsize=64)
def _upsert_arrays_sql(table: Table) -> str:
    return _insert_arrays_sql(table) + _on_conflict(table)


@lru_cache(maxsize=64)
def _delete_arrays_sql(table: Table, columns: tuple[str, ...]) -> str:
    requested = f"SELECT * FROM unnest({_arrays(table, columns)})"  # noqa: S608
    return f'DELETE FROM "{table.name}" WHERE ({", ".join(_quoted(columns))}) IN ({requested})'  # noqa: S608


@lru_cache(maxsize=64)
def _select_keys_arrays_sql(table: Table) -> str:
    keys = table.primary_key.columns.keys()
    requested = f"SELECT * FROM unnest({_arrays(table, keys)})"  # noqa: S608
    return f'SELECT {_names(table)} FROM "{table.name}" WHERE ({", ".join(_quoted(keys))}) IN ({requested})'  # noqa: S608


@lru_cache(maxsize=64)
def _select_array_sql(table: Table, columns: tuple[str, ...], by: str) -> str:
    names = ", ".join(_quoted(columns))
    return f'SELECT {names} FROM "{table.name}" WHERE "{by}" = ANY({_arrays(table, [by])})'  # noqa: S608


@lru_cache(maxsize=64)
def _select_limited_array_sql(table: Table, columns: tuple[str, ...], by: str) -> str:
    names = ", ".join(_quoted(columns))
    return (
        f"SELECT matches.* FROM unnest({_arrays(table, [by])}) AS requested(value) CROSS JOIN LATERAL "  # noqa: S608
        f'(SELECT {names} FROM "{table.name}" WHERE "{by}" = requested.value COLLATE "C" LIMIT %s) AS matches'
    )


@lru_cache(maxsize=64)
def _select_ranges_arrays_sql(table: Table, columns: tuple[str, ...], by: str) -> str:
    names = ", ".join(_quoted(columns))
    return (
        f"SELECT matches.* FROM unnest({_arrays(table, [by, by])}) AS requested(first, past) CROSS JOIN LATERAL "  # noqa: S608
        f'(SELECT {names} FROM "{table.name}" WHERE "{by}" >= requested.first COLLATE "C" '
        f'AND "{by}" < requested.past COLLATE "C" OFFSET 0) AS matches'
    )


def _arrays(table: Table, columns: Iterable[str]) -> str:
    types = dict(zip((column.name for column in table.columns), _types(table), strict=True))
    return ", ".join(f"%b::{types[name]}[]" for name in columns)


_POSTGRES_TYPES: Final = ((LargeBinary, "bytea"), (BigInteger, "int8"), (Integer, "int4"))


@lru_cache(maxsize=64)
def _types(table: Table) -> list[str]:
    """Return the PostgreSQL type names of the columns."""
    return [
        next((name for kind, name in _POSTGRES_TYPES if isinstance(column.type, kind)), "text")
        for column in table.columns
    ]


def _names(table: Table) -> str:
    return ", ".join(_quoted(column.name for column in table.columns))


def _quoted(names: Iterable[str]) -> list[str]:
    return [f'"{name}"' for name in names]
