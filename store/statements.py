"""The statements of the write path, each for many rows at once.

They go to the driver with plain tuples: building a dictionary of parameters for each of thirty rows a document costs
more than writing them.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table

# How many values one question asks for: few while events trickle in, many in a batch. They are filled up to these
# sizes with their own last value, or drivers would prepare and keep a statement for each number of values there was.
FEW, MANY = 20, 500

T = TypeVar("T")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`items` in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def upsert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write `rows` (every column in the table's order); a row of the same primary key is replaced."""
    if rows:
        connection.exec_driver_sql(_upsert_sql(table, _mark(connection)), list(rows))


def delete(connection: Connection, table: Table, columns: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> None:
    """Delete the rows whose `columns` have one of the given values."""
    if keys:
        connection.exec_driver_sql(_delete_sql(table, tuple(columns), _mark(connection)), list(keys))


def select(
    connection: Connection, table: Table, columns: Sequence[str], by: str, values: Iterable[str]
) -> Iterator[tuple[Any, ...]]:
    """The `columns` of the rows whose column `by` is one of `values`."""
    for chunk in chunks(values, MANY):
        size = FEW if len(chunk) <= FEW else MANY
        query = _select_sql(table, tuple(columns), by, size, _mark(connection))
        yield from connection.exec_driver_sql(query, (*chunk, *chunk[-1:] * (size - len(chunk))))


def _mark(connection: Connection) -> str:
    return "?" if connection.dialect.paramstyle == "qmark" else "%s"


@lru_cache(maxsize=64)
def _upsert_sql(table: Table, mark: str) -> str:
    names = [column.name for column in table.columns]
    keys = [column.name for column in table.primary_key.columns]
    others = [name for name in names if name not in keys]
    updates = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
    action = f"DO UPDATE SET {updates}" if others else "DO NOTHING"
    return (
        f'INSERT INTO "{table.name}" ({", ".join(f"{chr(34)}{name}{chr(34)}" for name in names)}) '  # noqa: S608
        f"VALUES ({', '.join([mark] * len(names))}) "
        f"ON CONFLICT ({', '.join(f'{chr(34)}{key}{chr(34)}' for key in keys)}) {action}"
    )


@lru_cache(maxsize=64)
def _select_sql(table: Table, columns: tuple[str, ...], by: str, size: int, mark: str) -> str:
    names = ", ".join(f'"{column}"' for column in columns)
    marks = ", ".join([mark] * size)
    # Names come from our own tables; every value is a bound parameter.
    return f'SELECT {names} FROM "{table.name}" WHERE "{by}" IN ({marks})'  # noqa: S608


@lru_cache(maxsize=64)
def _delete_sql(table: Table, columns: tuple[str, ...], mark: str) -> str:
    condition = " AND ".join(f'"{column}" = {mark}' for column in columns)
    return f'DELETE FROM "{table.name}" WHERE {condition}'  # noqa: S608
