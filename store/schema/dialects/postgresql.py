"""PostgreSQL: many sessions on a server, whose planner has statistics of the values.

Rows reach it through COPY or as one array per column, so that a batch takes a few round trips whatever its size. No
session state outlives a transaction, as a connection pooler requires.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import (
    URL,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    Table,
    Text,
    create_engine,
    event,
    func,
    literal_column,
    text,
    true,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DatabaseError, DBAPIError

from engine.errors import StoreError, StoreUnavailable
from store.schema.dialects.base import Columns, Dialect, NameFilter, Row
from store.schema.dialects.sql_text import column_list, on_conflict, quoted

CONNECT_SECONDS: Final = 5
MAX_LOCKS: Final = 256
"""Maximum number of advisory locks of a transaction: the lock table of a server with default settings has a few
thousand entries, and a request may be for 40,000 subjects. So names share locks.
"""
_LOCK_SPACE: Final = 0x7469656F  # "tieo"
_MIGRATING: Final = 0x7469656F7574  # "tieout"
_WRITER_SESSION: Final = "tieout writer"

# By the text of the server: a refused connection has no code. In other languages the general advice applies.
_REMEDIES: Final = (
    ("authentication failed", "check user and password in TIEOUT_STORE, or the password in PGPASSWORD"),
    ("no password supplied", "put the password into TIEOUT_STORE or PGPASSWORD"),
    ("role", "check the user in TIEOUT_STORE, or make it (CREATE USER)"),
    ("does not exist", "make the database (CREATE DATABASE), or check its name in TIEOUT_STORE"),
    ("pg_hba.conf", "let this user in from here in the server's pg_hba.conf"),
    ("permission denied", "grant the user what docs/operating.md lists"),
)


class PostgreSQL(Dialect):
    """PostgreSQL, through psycopg."""

    in_file = False
    overlaps_commits = True

    def create_engine(self, url: URL, *, write: bool) -> Engine:
        try:
            engine = create_engine(url, **_options(write=write))
        except ImportError as error:
            if url.drivername not in ("postgresql", "postgresql+psycopg"):
                raise
            raise StoreError(
                f"TIEOUT_STORE names a PostgreSQL database, and its driver cannot be loaded ({error}): "
                "pip install 'tieout[postgres]'."
            ) from None
        if not write:
            _limit_parallel_plans(engine)
        return engine

    def cannot_open(self, shown: str, error: DatabaseError) -> StoreError:
        reason = " ".join(str(error.orig).split())
        for words, remedy in _REMEDIES:
            if words in reason:
                return StoreError(f"the store {shown} cannot be opened ({reason}): {remedy}.")
        return StoreUnavailable(
            f"the store {shown} does not answer ({reason}): check TIEOUT_STORE, and that its database runs."
        )

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
        yield

    def size(self, connection: Connection) -> int:
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())

    def for_snapshot(self, connection: Connection) -> Connection:
        """With READ COMMITTED each statement would see another state."""
        return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def lock(self, connection: Connection, names: Collection[str]) -> None:
        """Acquires advisory locks in a fixed order, which prevents deadlocks between requests."""
        numbers = sorted({_lock_number(name) for name in names})
        query = "SELECT pg_advisory_xact_lock(:space, number) FROM unnest(CAST(:numbers AS int[])) AS number"
        connection.execute(text(query), {"space": _LOCK_SPACE, "numbers": numbers})

    def now(self) -> ColumnElement[int]:
        return literal_column("(extract(epoch FROM clock_timestamp()) * 1000000)::bigint", BigInteger)

    def end_earlier_writers(self, engine: Engine, epoch: int, term: int) -> None:
        """The application name of every session of the engine becomes its writer and epoch, and sessions of earlier
        writers are terminated: one that was suspended in the middle of a COPY would keep its locks.
        """
        own = f"{_WRITER_SESSION} {epoch}"
        engine.dispose()

        @event.listens_for(engine, "connect")
        def _(connection: Any, _record: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"SET application_name = '{own}'")
                # A writer that was suspended between two statements must not keep its locks beyond its lease.
                cursor.execute(f"SET idle_in_transaction_session_timeout = {term // 1000}")
            connection.commit()

        with engine.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND usename = current_user AND application_name LIKE :writers AND application_name <> :own"
                ),
                {"writers": f"{_WRITER_SESSION} %", "own": own},
            )

    # --- statements for many rows ------------------------------------------------------------------------------------

    @contextmanager
    def pipelined(self, connection: Connection) -> Iterator[None]:
        driver: Any = connection.connection.driver_connection
        with _driver_errors_translated(connection, "one of several statements sent together"), driver.pipeline():
            yield

    def insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        if _is_pipelined(connection):  # which permits no COPY
            connection.exec_driver_sql(_insert_sql(table), _by_column(rows))
        else:
            _copy(connection, table, rows)

    def insert_absent(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
        statement = postgresql.insert(table).values(row).on_conflict_do_nothing()
        return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1

    def upsert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        connection.exec_driver_sql(_insert_sql(table) + on_conflict(table), _by_column(rows))

    def delete(self, connection: Connection, table: Table, columns: Columns, keys: Sequence[Row]) -> None:
        connection.exec_driver_sql(_delete_sql(table, columns), _by_column(keys))

    def select(
        self, connection: Connection, table: Table, columns: Columns, by: str, values: Iterable[str]
    ) -> Iterator[Row]:
        if requested := list(values):
            yield from connection.exec_driver_sql(_select_sql(table, columns, by), (requested,))

    def select_limited(
        self,
        connection: Connection,
        table: Table,
        columns: Columns,
        by: str,
        values: Collection[str],
        limit: int,
    ) -> Iterator[Row]:
        yield from connection.exec_driver_sql(_select_limited_sql(table, columns, by), (list(values), limit))

    def select_ranges(
        self, connection: Connection, table: Table, columns: Columns, by: str, ranges: Sequence[tuple[str, str]]
    ) -> Iterator[Row]:
        yield from connection.exec_driver_sql(_select_ranges_sql(table, columns, by), _by_column(ranges))

    def select_keys(self, connection: Connection, table: Table, keys: Sequence[Row]) -> Iterator[Row]:
        yield from connection.exec_driver_sql(_select_keys_sql(table), _by_column(keys))

    # --- expressions -------------------------------------------------------------------------------------------------

    def json_array(self, *values: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.jsonb_build_array(*values)

    def by_bytes(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return column.collate("C") if isinstance(column.type, Text) else column

    def number_state_after(self, connection: Connection, number: int) -> None:
        connection.execute(text("SELECT number_state_after(:number)"), {"number": number})

    # --- the planner -------------------------------------------------------------------------------------------------

    def name_filter(
        self,
        filters: Iterable[NameFilter],
        selects_few: Callable[[ColumnElement[bool]], bool],
        *,
        selective: bool,
        ordered: bool,
    ) -> ColumnElement[bool] | None:
        """PostgreSQL chooses the index itself, but may overestimate the result and walk all documents in order. The
        condition is only a sign that the result is small.
        """
        return true() if ordered and any(selects_few(name.condition) for name in filters) else None


def _options(*, write: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_SECONDS}}
    if not write:
        # A plan for the actual parameters; a generic plan for any filter takes twice as long for most.
        options["connect_args"]["prepare_threshold"] = None
        options["isolation_level"] = "REPEATABLE READ"
        options["execution_options"] = {"postgresql_readonly": True}
    return options


def _limit_parallel_plans(engine: Engine) -> None:
    """Restrict parallel plans to queries of a tenth of a second or more. For a shorter query, starting the workers
    takes as long as they save, and doubles the CPU time, also at the expense of the projecting worker.
    """

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.execute("SET parallel_setup_cost = 10000")
        connection.commit()


def _lock_number(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) % MAX_LOCKS


def _is_pipelined(connection: Connection) -> bool:
    # Imported lazily: SQLite needs no PostgreSQL driver.
    from psycopg.pq import PipelineStatus

    driver: Any = connection.connection.driver_connection
    return bool(driver.pgconn.pipeline_status != PipelineStatus.OFF)


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


def _by_column(rows: Iterable[Row]) -> Row:
    """Return the values of rows as one array per column."""
    return tuple(list(column) for column in zip(*rows, strict=True))


@lru_cache(maxsize=64)
def _copy_sql(table: Table) -> str:
    return f'COPY "{table.name}" ({column_list(table)}) FROM STDIN (FORMAT BINARY)'


@lru_cache(maxsize=64)
def _insert_sql(table: Table) -> str:
    rows = f"SELECT * FROM unnest({_arrays(table, [column.name for column in table.columns])})"  # noqa: S608
    return f'INSERT INTO "{table.name}" ({column_list(table)}) {rows}'


@lru_cache(maxsize=64)
def _delete_sql(table: Table, columns: Columns) -> str:
    requested = f"SELECT * FROM unnest({_arrays(table, columns)})"  # noqa: S608
    return f'DELETE FROM "{table.name}" WHERE ({", ".join(quoted(columns))}) IN ({requested})'  # noqa: S608


@lru_cache(maxsize=64)
def _select_sql(table: Table, columns: Columns, by: str) -> str:
    names = ", ".join(quoted(columns))
    return f'SELECT {names} FROM "{table.name}" WHERE "{by}" = ANY({_arrays(table, [by])})'  # noqa: S608


@lru_cache(maxsize=64)
def _select_limited_sql(table: Table, columns: Columns, by: str) -> str:
    names = ", ".join(quoted(columns))
    return (
        f"SELECT matches.* FROM unnest({_arrays(table, [by])}) AS requested(value) CROSS JOIN LATERAL "  # noqa: S608
        f'(SELECT {names} FROM "{table.name}" WHERE "{by}" = requested.value COLLATE "C" LIMIT %s) AS matches'
    )


@lru_cache(maxsize=64)
def _select_ranges_sql(table: Table, columns: Columns, by: str) -> str:
    names = ", ".join(quoted(columns))
    return (
        f"SELECT matches.* FROM unnest({_arrays(table, [by, by])}) AS requested(first, past) CROSS JOIN LATERAL "  # noqa: S608
        f'(SELECT {names} FROM "{table.name}" WHERE "{by}" >= requested.first COLLATE "C" '
        f'AND "{by}" < requested.past COLLATE "C" OFFSET 0) AS matches'
    )


@lru_cache(maxsize=64)
def _select_keys_sql(table: Table) -> str:
    keys = table.primary_key.columns.keys()
    requested = f"SELECT * FROM unnest({_arrays(table, keys)})"  # noqa: S608
    names = ", ".join(quoted(keys))
    return f'SELECT {column_list(table)} FROM "{table.name}" WHERE ({names}) IN ({requested})'  # noqa: S608


def _arrays(table: Table, columns: Iterable[str]) -> str:
    types = dict(zip((column.name for column in table.columns), _types(table), strict=True))
    return ", ".join(f"%b::{types[name]}[]" for name in columns)


_TYPES: Final = ((LargeBinary, "bytea"), (BigInteger, "int8"), (Integer, "int4"))


@lru_cache(maxsize=64)
def _types(table: Table) -> list[str]:
    """Return the type names of the columns."""
    return [next((name for kind, name in _TYPES if isinstance(column.type, kind)), "text") for column in table.columns]
