"""Re-read requests: rows that were not read since an event that was cut or that carries keys only (R5)."""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, func, or_, select

from engine.events.notices import UnreadRows
from store.schema import bulk_sql, tables

_table = tables.notices.c
_IS_OPEN = _table.noticed > _table.answered


def waiting_keys(connection: Connection) -> set[str]:
    """Return the keys of the rows whose re-read request is open."""
    return set(connection.execute(select(_table.key).where(_IS_OPEN)).scalars())


def _unnamed() -> ColumnElement[bool]:
    """Return the condition that the source of a request has not sent everything up to then."""
    until = select(tables.sources.c.until).where(tables.sources.c.source == _table.source).scalar_subquery()
    return func.coalesce(until, _table.noticed - 1) < _table.noticed


def waiting_among(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Return those of these record keys whose re-read request is open."""
    columns = ("key", "noticed", "answered")
    rows = bulk_sql.select(connection, tables.notices, columns, "key", sorted(keys))
    return {key for key, noticed, answered in rows if noticed > answered}


def tables_with_unnamed(connection: Connection) -> set[str]:
    """Return the tables with an open re-read request that names no row: any of their rows may have changed."""
    query = select(_table.entity).where(_IS_OPEN, _table.named == 0, _unnamed()).distinct()
    return set(connection.execute(query).scalars())


def waiting_rows(connection: Connection) -> list[UnreadRows]:
    """Count the rows of each table with an open re-read request, the oldest first.

    A request of an event that names no row is also closed once its source has sent everything up to then (R21).
    """
    oldest = func.min(_table.noticed)
    rows = connection.execute(
        select(_table.entity, func.count(), oldest)
        .where(_IS_OPEN, or_(_table.named == 1, _unnamed()))
        .group_by(_table.entity)
        .order_by(oldest, _table.entity)
    )
    return [UnreadRows(*row) for row in rows]
