"""The statements of the write path, each for many rows at once.

They go to the driver as plain tuples: building a dictionary of parameters for each of thirty rows a document costs more
than writing them. PostgreSQL gets new rows by COPY, and rows to replace, delete or find as one array a column, so that
a batch takes a few round trips, whatever its size; nothing in it outlives a transaction, as a connection pooler asks.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import BigInteger, Connection, Integer, LargeBinary, Table
from sqlalchemy.exc import DBAPIError

# How many values one question to SQLite asks for: few while events trickle in, many in a batch. They are filled up to
# these sizes with their own last value, or it would prepare and keep a statement for each number of values there was.
FEW, MANY = 20, 500

T = TypeVar("T")
Row = tuple[Any, ...]


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`items` in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """Let the statements within follow each other to PostgreSQL without waiting for the answer to each, which is most
    of the time that a few rows take. Only for statements whose answers nobody looks at; what fails is raised at the
    end. SQLite has nobody to wait for.
    """
    if not _is_postgres(connection):
        yield
        return
    driver: Any = connection.connection.driver_connection
    with _raised_as_sqlalchemy_does(connection, "one of several statements sent together"), driver.pipeline():
        yield


def insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Write `rows` (every column in the table's order), none of which is there yet."""
    if not rows:
        return
    if not _is_postgres(connection):
        connection.exec_driver_sql(_insert_sql(table), list(rows))
    elif _waits(connection):
        _copy(connection, table, rows)
    else:  # COPY is a conversation
        arrays = tuple(list(column) for column in zip(*rows, strict=True))
        connection.exec_driver_sql(_insert_arrays_sql(table), arrays)


def upsert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Write `rows` (every column in the table's order); a row of the same primary key is replaced."""
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
    """The `columns` of the rows whose column `by` is one of `values`."""
    if _is_postgres(connection):
        if wanted := list(values):
            yield from connection.exec_driver_sql(_select_array_sql(table, tuple(columns), by), (wanted,))
        return
    for chunk in chunks(values, MANY):
        size = FEW if len(chunk) <= FEW else MANY
        query = _select_sql(table, tuple(columns), by, size)
        yield from connection.exec_driver_sql(query, (*chunk, *chunk[-1:] * (size - len(chunk))))


def select_limited(
    connection: Connection, table: Table, columns: Sequence[str], by: str, values: Collection[str], limit: int
) -> Iterator[Row]:
    """For each of `values`, at most `limit` rows whose column `by` is that value."""
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
    """The rows whose column `by` lies in one of the ranges (from, up to but not including)."""
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
    """The rows whose primary key is one of `keys`."""
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


def _waits(connection: Connection) -> bool:
    # Only here: SQLite needs no driver of PostgreSQL.
    from psycopg.pq import PipelineStatus

    driver: Any = connection.connection.driver_connection
    return bool(driver.pgconn.pipeline_status == PipelineStatus.OFF)


def _copy(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Append rows by PostgreSQL's COPY, in its binary format."""
    driver: Any = connection.connection.driver_connection
    with (
        _raised_as_sqlalchemy_does(connection, _copy_sql(table)),
        driver.cursor() as cursor,
        cursor.copy(_copy_sql(table)) as copy,
    ):
        copy.set_types(_types(table))
        write = copy.write_row
        for row in rows:
            write(row)


@contextmanager
def _raised_as_sqlalchemy_does(connection: Connection, statement: str) -> Iterator[None]:
    """What goes past SQLAlchemy fails as what does not: the errors of a store are its errors."""
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


# Names below come from our own tables; every value is a bound parameter.


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
    names = ", ".join(f"found.{name}" for name in _quoted(columns))
    wanted = ", ".join(["(?, ?)"] * size)
    # A cross join, so that the ranges come first and each is looked up in the index.
    return (
        f'WITH wanted("from", past) AS (VALUES {wanted}) SELECT {names} FROM wanted CROSS JOIN "{table.name}" AS found '  # noqa: S608
        f'WHERE found."{by}" >= wanted."from" AND found."{by}" < wanted.past'
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
    wanted = f"SELECT * FROM unnest({_arrays(table, columns)})"  # noqa: S608
    return f'DELETE FROM "{table.name}" WHERE ({", ".join(_quoted(columns))}) IN ({wanted})'  # noqa: S608


@lru_cache(maxsize=64)
def _select_keys_arrays_sql(table: Table) -> str:
    keys = table.primary_key.columns.keys()
    wanted = f"SELECT * FROM unnest({_arrays(table, keys)})"  # noqa: S608
    return f'SELECT {_names(table)} FROM "{table.name}" WHERE ({", ".join(_quoted(keys))}) IN ({wanted})'  # noqa: S608


@lru_cache(maxsize=64)
def _select_array_sql(table: Table, columns: tuple[str, ...], by: str) -> str:
    names = ", ".join(_quoted(columns))
    return f'SELECT {names} FROM "{table.name}" WHERE "{by}" = ANY({_arrays(table, [by])})'  # noqa: S608


@lru_cache(maxsize=64)
def _select_limited_array_sql(table: Table, columns: tuple[str, ...], by: str) -> str:
    names = ", ".join(_quoted(columns))
    return (
        f"SELECT found.* FROM unnest({_arrays(table, [by])}) AS wanted(value) CROSS JOIN LATERAL "  # noqa: S608
        f'(SELECT {names} FROM "{table.name}" WHERE "{by}" = wanted.value COLLATE "C" LIMIT %s) AS found'
    )


@lru_cache(maxsize=64)
def _select_ranges_arrays_sql(table: Table, columns: tuple[str, ...], by: str) -> str:
    names = ", ".join(_quoted(columns))
    return (
        f"SELECT found.* FROM unnest({_arrays(table, [by, by])}) AS wanted(first, past) CROSS JOIN LATERAL "  # noqa: S608
        f'(SELECT {names} FROM "{table.name}" WHERE "{by}" >= wanted.first COLLATE "C" '
        f'AND "{by}" < wanted.past COLLATE "C" OFFSET 0) AS found'
    )


def _arrays(table: Table, columns: Iterable[str]) -> str:
    types = dict(zip((column.name for column in table.columns), _types(table), strict=True))
    return ", ".join(f"%b::{types[name]}[]" for name in columns)


_POSTGRES_TYPES: Final = ((LargeBinary, "bytea"), (BigInteger, "int8"), (Integer, "int4"))


@lru_cache(maxsize=64)
def _types(table: Table) -> list[str]:
    """PostgreSQL's names of the types of the columns."""
    return [
        next((name for kind, name in _POSTGRES_TYPES if isinstance(column.type, kind)), "text")
        for column in table.columns
    ]


def _names(table: Table) -> str:
    return ", ".join(_quoted(column.name for column in table.columns))


def _quoted(names: Iterable[str]) -> list[str]:
    return [f'"{name}"' for name in names]
