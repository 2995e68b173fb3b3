"""SQLite: one file, one writer, no server.

Its planner has no statistics of the values, so it prefers the index with the most columns in the query and would take
that of the company, which selects everything. The last methods of `SQLite` lead it to another one. `ANALYZE` and
`PRAGMA optimize` do not replace them: benchmarks/notes/sqlite-planner.md.
"""

import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DatabaseError

from engine.errors import StoreError
from store.schema import tables
from store.schema.dialects.base import Columns, Dialect, NameFilter, Row
from store.schema.dialects.sql_text import column_list, on_conflict, quoted
from store.schema.sqlite_files import make_private, reading_uri
from store.schema.wal_checkpoints import checkpoint_in_background

# "TIES" in the header distinguishes a store from other SQLite files, such as the event log given by mistake.
APPLICATION_ID: Final = 0x54494553
_LOG_ID: Final = 0x5449454F  # the application id of `streams.embedded.blocks`

_PAGE_CACHE_KIB: Final = 24 * 1024  # of the writer: fast on millions of rows within 250 MiB of memory
_READER_CACHE_KIB: Final = 16 * 1024

# Number of parameters of a lookup: few while events trickle in, many in a batch. A list is padded to one of these
# sizes, else SQLite would prepare and cache a statement for every length.
_FEW, _MANY = 20, 500

T = TypeVar("T")

# Without a registered adapter, sqlite3 looks for an adaptation protocol on each of these values: a fifth of the time of
# binding a row.
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), lambda none: none)


class SQLite(Dialect):
    """SQLite, through the module of the standard library."""

    in_file = True
    overlaps_commits = False  # sqlite3 releases the interpreter lock at every row, so two threads wait for each other

    def create_engine(self, url: URL, *, write: bool) -> Engine:
        engine = create_engine(url)
        _open_file(engine, write=write)
        _configure(engine, write=write)
        return engine

    def cannot_open(self, shown: str, error: DatabaseError) -> StoreError:
        return StoreError(f"the store {shown} cannot be opened: {' '.join(str(error.orig).split())}")

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:
        yield
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")

    def size(self, connection: Connection) -> int:
        pages = text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        return int(connection.execute(pages).scalar_one())

    def lock(self, connection: Connection, names: Collection[str]) -> None:
        """Nothing to do: a writing transaction has locked the file."""

    def now(self) -> ColumnElement[int]:
        return literal_column("CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)", BigInteger)

    def end_earlier_writers(self, engine: Engine, epoch: int, term: int) -> None:
        """Nothing to do: this writer could not have begun its transaction before an earlier one ended."""

    # --- statements for many rows ------------------------------------------------------------------------------------

    def insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        connection.exec_driver_sql(_insert_sql(table), list(rows))

    def insert_absent(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
        statement = sqlite.insert(table).values(row).on_conflict_do_nothing()
        return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1

    def upsert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        connection.exec_driver_sql(_insert_sql(table) + on_conflict(table), list(rows))

    def delete(self, connection: Connection, table: Table, columns: Columns, keys: Sequence[Row]) -> None:
        connection.exec_driver_sql(_delete_sql(table, columns), list(keys))

    def select(
        self, connection: Connection, table: Table, columns: Columns, by: str, values: Iterable[str]
    ) -> Iterator[Row]:
        for chunk in _padded(values):
            yield from connection.exec_driver_sql(_select_sql(table, columns, by, len(chunk)), tuple(chunk))

    def select_limited(
        self,
        connection: Connection,
        table: Table,
        columns: Columns,
        by: str,
        values: Collection[str],
        limit: int,
    ) -> Iterator[Row]:
        for value in values:
            yield from connection.exec_driver_sql(_select_limited_sql(table, columns, by), (value, limit))

    def select_ranges(
        self, connection: Connection, table: Table, columns: Columns, by: str, ranges: Sequence[tuple[str, str]]
    ) -> Iterator[Row]:
        for chunk in _padded(ranges, ("", "")):
            bounds = tuple(bound for both in chunk for bound in both)
            yield from connection.exec_driver_sql(_select_ranges_sql(table, columns, by, len(chunk)), bounds)

    def select_keys(self, connection: Connection, table: Table, keys: Sequence[Row]) -> Iterator[Row]:
        for key in keys:
            yield from connection.exec_driver_sql(_select_key_sql(table), key)

    # --- expressions and errors --------------------------------------------------------------------------------------

    def json_array(self, *values: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.json_array(*values)

    def number_state_after(self, connection: Connection, number: int) -> None:
        row = {"name": tables.state_outbox.name, "number": number}
        advance = text("UPDATE sqlite_sequence SET seq = max(seq, :number) WHERE name = :name")
        if not connection.execute(advance, row).rowcount:
            connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :number)"), row)

    def is_sum_overflow(self, error: DatabaseError) -> bool:
        """SQLite sums in 64 bits, and its error has no code of its own."""
        return "overflow" in str(error.orig)

    # --- steering the planner ----------------------------------------------------------------------------------------

    def unindexed(self, column: Column[T]) -> ColumnElement[T]:
        """A unary plus: SQLite uses an index for a bare column alone."""
        return literal_column(f"+{column.table.name}.{column.name}", column.type)

    def name_filter(
        self,
        filters: Iterable[NameFilter],
        selects_few: Callable[[ColumnElement[bool]], bool],
        *,
        selective: bool,
        ordered: bool,
    ) -> ColumnElement[bool] | None:
        """SQLite would take the index of the company instead of that of a name: it cannot know how many rows begin with
        some letters, so they are counted. Another selective index it takes by itself.
        """
        if selective:
            return None
        # The bare column: for a pattern that looks like a number, SQLite uses no index under a function or a collation.
        alike = (name.column.like(name.pattern, escape="/") for name in filters)
        return next(filter(selects_few, alike), None)

    def prefers_full_scan(self, connection: Connection, table: Table, requested: Callable[[], int]) -> bool:
        """A full scan takes half the time per row of reading through an index, and SQLite never chooses it where an
        index applies.
        """
        # An upper bound of the number of rows, found quickly.
        highest = connection.exec_driver_sql(f'SELECT max(rowid) FROM "{table.name}"').scalar() or 0  # noqa: S608
        return 2 * requested() > int(highest)


def begin_explicitly(engine: Engine, *, write: bool) -> None:
    """Begin transactions when SQLAlchemy does: writers acquire the write lock, readers a snapshot."""

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _open_file(engine: Engine, *, write: bool) -> None:
    """Create the file if it is missing, or open it for reading where its folder is not writable."""
    database = engine.url.database
    if not database or database.startswith((":memory:", "file:")):
        return
    path = Path(database).absolute()
    if write:
        make_private(path)
    elif not os.access(path.parent, os.W_OK):

        @event.listens_for(engine, "do_connect")
        def _(_dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
            arguments[0] = reading_uri(path)
            options["uri"] = True


def _configure(engine: Engine, *, write: bool) -> None:
    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:
        cursor = connection.cursor()
        # Must precede every write to the file.
        _refuse_foreign(cursor, engine.url.render_as_string())
        if write:
            cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        # A writer waits as long as a replay may take to swap in a rebuilt store.
        cursor.execute(f"PRAGMA busy_timeout={300_000 if write else 10_000}")
        cursor.execute(f"PRAGMA cache_size=-{_PAGE_CACHE_KIB if write else _READER_CACHE_KIB}")
        cursor.execute("PRAGMA temp_store=MEMORY")
        if write:
            # A power failure may lose the last transactions but not consistency: the offsets are lost with them, and
            # the events are read again. `store.schema.wal_checkpoints` keeps the log short; this is only the upper
            # bound.
            cursor.execute("PRAGMA wal_autocheckpoint=32000")
        cursor.close()

    begin_explicitly(engine, write=write)
    if write:
        checkpoint_in_background(engine)


def _refuse_foreign(cursor: sqlite3.Cursor, shown: str) -> None:
    """Raise `StoreError` for a file that is neither a store nor empty."""
    [application] = cursor.execute("PRAGMA application_id").fetchone()
    if application == APPLICATION_ID:
        return
    names = {name for [name] in cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    # A store of an earlier version has no application id.
    if application == 0 and (not names or {"alembic_version", "offsets"} <= names):
        return
    what = "is the event log, not a store" if application == _LOG_ID else "is the database of another program"
    raise StoreError(f"the store {shown} {what}: check TIEOUT_STORE. The file was left as it is.")


def _padded(values: Iterable[T], filling: T | None = None) -> Iterator[list[T]]:
    """Yield `values` in lists of `_FEW` or `_MANY`, padded with `filling`, by default the last value."""
    iterator = iter(values)
    while chunk := list(islice(iterator, _MANY)):
        size = _FEW if len(chunk) <= _FEW else _MANY
        yield chunk + [chunk[-1] if filling is None else filling] * (size - len(chunk))


@lru_cache(maxsize=64)
def _insert_sql(table: Table) -> str:
    marks = ", ".join("?" for _ in table.columns)
    return f'INSERT INTO "{table.name}" ({column_list(table)}) VALUES ({marks})'  # noqa: S608


@lru_cache(maxsize=64)
def _delete_sql(table: Table, columns: Columns) -> str:
    condition = " AND ".join(f"{name} = ?" for name in quoted(columns))
    return f'DELETE FROM "{table.name}" WHERE {condition}'  # noqa: S608


@lru_cache(maxsize=64)
def _select_sql(table: Table, columns: Columns, by: str, size: int) -> str:
    marks = ", ".join(["?"] * size)
    return f'SELECT {", ".join(quoted(columns))} FROM "{table.name}" WHERE "{by}" IN ({marks})'  # noqa: S608


@lru_cache(maxsize=64)
def _select_limited_sql(table: Table, columns: Columns, by: str) -> str:
    return f'SELECT {", ".join(quoted(columns))} FROM "{table.name}" WHERE "{by}" = ? LIMIT ?'  # noqa: S608


@lru_cache(maxsize=64)
def _select_ranges_sql(table: Table, columns: Columns, by: str, size: int) -> str:
    names = ", ".join(f"matches.{name}" for name in quoted(columns))
    requested = ", ".join(["(?, ?)"] * size)
    # CROSS JOIN fixes the join order: each range is looked up in the index.
    return (
        f'WITH requested("from", past) AS (VALUES {requested}) SELECT {names} FROM requested '  # noqa: S608
        f'CROSS JOIN "{table.name}" AS matches '
        f'WHERE matches."{by}" >= requested."from" AND matches."{by}" < requested.past'
    )


@lru_cache(maxsize=64)
def _select_key_sql(table: Table) -> str:
    condition = " AND ".join(f"{name} = ?" for name in quoted(table.primary_key.columns.keys()))
    return f'SELECT {column_list(table)} FROM "{table.name}" WHERE {condition}'  # noqa: S608
