"""Opens, checks and upgrades a store.

Writing transactions acquire the write lock of the database at their start, so that their reads stay valid. Reading
transactions see one consistent snapshot and never wait for the writer.
"""

import os
import sqlite3
import threading
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError

from engine.errors import StoreError, StoreUnavailable
from store.schema.sqlite_files import make_private, reading_uri
from store.schema.wal_checkpoints import checkpoint_in_background

_PAGE_CACHE_KIB = 24 * 1024  # of the writer: fast on millions of rows within 250 MiB of memory
_READER_CACHE_KIB = 16 * 1024
CONNECT_SECONDS = 5
_MIGRATING = 0x7469656F7574  # "tieout"

# Alembic keeps its context in module globals: two concurrent upgrades would write into each other's store.
_UPGRADE_LOCK: Final = threading.Lock()

# "TIES" in the header distinguishes a store from other SQLite files, such as the event log given by mistake.
APPLICATION_ID: Final = 0x54494553
_LOG_ID: Final = 0x5449454F  # the application id of `streams.embedded.blocks`


def connect(url: str, *, write: bool = False) -> Engine:
    """Return a connection pool for the store at `url` (a SQLAlchemy URL). Raises `StoreError` if the URL is invalid."""
    try:
        parsed = make_url(url)
        engine = create_engine(parsed, **_options(parsed.get_backend_name(), write=write))
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise _invalid_url(url, error) from None
    if engine.dialect.name == "sqlite":
        _open_sqlite_file(engine, write=write)
        _prepare_sqlite(engine, write=write)
    elif not write:
        _limit_parallel_plans(engine)
    return engine


def shown_url(url: str | URL) -> str:
    """Return a store URL for display: passwords are hidden wherever they occur in it."""
    parsed = make_url(url)
    hidden = {name: "hidden" if "pass" in name.lower() else value for name, value in parsed.query.items()}
    return parsed.set(query=hidden).render_as_string(hide_password=True)


def _invalid_url(url: str, error: Exception) -> StoreError:
    """Return the error for a URL of an unknown database, or of one whose driver is not installed."""
    if isinstance(error, ImportError) and url.startswith(("postgresql://", "postgresql+psycopg://")):
        return StoreError(
            f"TIEOUT_STORE names a PostgreSQL database, and its driver cannot be loaded ({error}): "
            "pip install 'tieout[postgres]'."
        )
    return StoreError(
        "TIEOUT_STORE is not a store this version knows. Use sqlite:///path/to/file or "
        "postgresql+psycopg://user@host/database."
    )


def _options(backend: str, *, write: bool) -> dict[str, Any]:
    """Return the engine options for a database server. Readers get one snapshot per transaction and no write access."""
    if backend == "sqlite":
        return {}
    options: dict[str, Any] = {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_SECONDS}}
    if not write:
        # A plan for the actual parameters; a generic plan for any filter takes twice as long for most.
        options["connect_args"]["prepare_threshold"] = None
        options["isolation_level"] = "REPEATABLE READ"
        options["execution_options"] = {"postgresql_readonly": True}
    return options


def _limit_parallel_plans(engine: Engine) -> None:
    """Restrict parallel plans of PostgreSQL to queries of a tenth of a second or more. For a shorter query, starting
    the workers takes as long as they save, and doubles the CPU time, also at the expense of the projecting worker.
    """

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.execute("SET parallel_setup_cost = 10000")
        connection.commit()


# Without a registered adapter, sqlite3 looks for an adaptation protocol on each of these values: a fifth of the time of
# binding a row.
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), lambda none: none)


def _open_sqlite_file(engine: Engine, *, write: bool) -> None:
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


def _prepare_sqlite(engine: Engine, *, write: bool) -> None:
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
    tables = {name for [name] in cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    # A store of an earlier version has no application id.
    if application == 0 and (not tables or {"alembic_version", "offsets"} <= tables):
        return
    what = "is the event log, not a store" if application == _LOG_ID else "is the database of another program"
    raise StoreError(f"the store {shown} {what}: check TIEOUT_STORE. The file was left as it is.")


def begin_explicitly(engine: Engine, *, write: bool) -> None:
    """Begin SQLite transactions when SQLAlchemy does: writers acquire the write lock, readers a snapshot."""

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Upgrade the store to the schema revision of this code, creating the tables of an empty one.

    Returns the revision before (None if empty) and now. Raises `StoreError` for a newer store or another database, and
    `StoreUnavailable` if the server does not respond.
    """
    before = check(engine, allow_old=True)
    with as_file(files("store") / "migrations") as scripts, engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Workers that start at the same time must not create the tables concurrently.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
        config = Config()
        config.set_main_option("script_location", str(scripts))
        config.attributes["connection"] = connection
        with _UPGRADE_LOCK:
            command.upgrade(config, "head")
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    return before, check(engine) or ""


def check(engine: Engine, *, allow_old: bool = False) -> str | None:
    """Raise `StoreError` unless the store exists and has the schema revision of this code (R74).

    Returns the revision; None for an empty store, which only `allow_old` accepts.
    """
    shown = shown_url(engine.url)
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except (OperationalError, DatabaseError) as error:
        raise _cannot_open(shown, error, server=engine.dialect.name != "sqlite") from None
    with as_file(files("store") / "migrations") as scripts:
        directory = ScriptDirectory(str(scripts))
        known = {script.revision for script in directory.walk_revisions()}
        head = directory.get_current_head()
    if current is not None and current not in known:
        raise StoreError(
            f"the store {shown} has the shape {current}, which is newer than this version of tieout knows ({head}). "
            "Use the newer version, or another store."
        )
    if current != head and not allow_old:
        if current is None:
            raise StoreError(
                f"the store {shown} is empty: `tieout migrate` or the first `tieout run` makes its tables."
            )
        raise StoreError(
            f"the store {shown} has the older shape {current}, and this version needs {head}: `tieout migrate` or the "
            "next `tieout run` upgrades it."
        )
    return current


# By the text of the server: a refused connection has no code. In other languages the general advice applies.
_REMEDIES: Final = (
    ("authentication failed", "check user and password in TIEOUT_STORE, or the password in PGPASSWORD"),
    ("no password supplied", "put the password into TIEOUT_STORE or PGPASSWORD"),
    ("role", "check the user in TIEOUT_STORE, or make it (CREATE USER)"),
    ("does not exist", "make the database (CREATE DATABASE), or check its name in TIEOUT_STORE"),
    ("pg_hba.conf", "let this user in from here in the server's pg_hba.conf"),
    ("permission denied", "grant the user what docs/operating.md lists"),
)


def _cannot_open(shown: str, error: DatabaseError, *, server: bool) -> StoreError:
    """Return the error for a store that cannot be opened, with its remedy."""
    text = " ".join(str(error.orig).split())
    if not server:
        return StoreError(f"the store {shown} cannot be opened: {text}")
    for words, remedy in _REMEDIES:
        if words in text:
            return StoreError(f"the store {shown} cannot be opened ({text}): {remedy}.")
    return StoreUnavailable(
        f"the store {shown} does not answer ({text}): check TIEOUT_STORE, and that its database runs."
    )
