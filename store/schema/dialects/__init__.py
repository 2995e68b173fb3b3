"""Dialects: what differs between the databases of a store, one module each, chosen by `dialect_of`.

No other module of the product asks which database it uses. Differences of the schema are declared with the tables, as
SQLAlchemy provides for: types (`with_variant`), partial indexes, and the construct `folded`.

* `base`: what a database must provide (`Dialect`).
* `sqlite`: SQLite, with everything that steers its planner.
* `postgresql`: PostgreSQL.
* `sql_text`: parts of SQL text that the dialects share.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import NoSuchModuleError

from store.schema.dialects.base import Dialect as Dialect
from store.schema.dialects.base import NameFilter as NameFilter
from store.schema.dialects.base import Row as Row
from store.schema.dialects.postgresql import PostgreSQL
from store.schema.dialects.sqlite import SQLite

_DIALECTS: Final[dict[str, Dialect]] = {"sqlite": SQLite(), "postgresql": PostgreSQL()}
"""By the name that SQLAlchemy gives to the database."""


def dialect_of(bind: Connection | Engine | URL) -> Dialect:
    """Return the dialect of a connection, an engine or a URL. Raises `NoSuchModuleError` for another database."""
    name = bind.get_backend_name() if isinstance(bind, URL) else bind.dialect.name
    try:
        return _DIALECTS[name]
    except KeyError:
        raise NoSuchModuleError(f"a store cannot be on {name}") from None


def file_of(url: str | URL) -> Path | None:
    """Return the file of a store; None if it is on a server or in memory."""
    parsed = make_url(url)
    dialect = _DIALECTS.get(parsed.get_backend_name())
    return Path(parsed.database) if parsed.database and dialect is not None and dialect.in_file else None
