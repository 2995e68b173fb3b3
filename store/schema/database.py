"""Opens, checks and upgrades a store.

Writing transactions acquire the write lock of the database at their start, so that their reads stay valid. Reading
transactions see one consistent snapshot and never wait for the writer.
"""

import threading
from importlib.resources import as_file, files
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError

from engine.errors import StoreError
from store.schema.dialects import dialect_of

# Alembic keeps its context in module globals: two concurrent upgrades would write into each other's store.
_UPGRADE_LOCK: Final = threading.Lock()


def connect(url: str, *, write: bool = False) -> Engine:
    """Return a connection pool for the store at `url` (a SQLAlchemy URL). Raises `StoreError` if the URL is invalid."""
    try:
        parsed = make_url(url)
        return dialect_of(parsed).create_engine(parsed, write=write)
    except (ArgumentError, NoSuchModuleError, ImportError):
        raise StoreError(
            "TIEOUT_STORE is not a store this version knows. Use sqlite:///path/to/file or "
            "postgresql+psycopg://user@host/database."
        ) from None


def shown_url(url: str | URL) -> str:
    """Return a store URL for display: passwords are hidden wherever they occur in it."""
    parsed = make_url(url)
    hidden = {name: "hidden" if "pass" in name.lower() else value for name, value in parsed.query.items()}
    return parsed.set(query=hidden).render_as_string(hide_password=True)


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Upgrade the store to the schema revision of this code, creating the tables of an empty one.

    Returns the revision before (None if empty) and now. Raises `StoreError` for a newer store or another database, and
    `StoreUnavailable` if the server does not respond.
    """
    before = check(engine, allow_old=True)
    with (
        as_file(files("store") / "migrations") as scripts,
        engine.begin() as connection,
        dialect_of(engine).migrating(connection),
    ):
        config = Config()
        config.set_main_option("script_location", str(scripts))
        config.attributes["connection"] = connection
        with _UPGRADE_LOCK:
            command.upgrade(config, "head")
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
        raise dialect_of(engine).cannot_open(shown, error) from None
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
