"""Re-read requests: rows that were not read since an event that was cut or that carries keys only (R5)."""

from sqlalchemy import Connection, func, or_, select

from engine.events.notices import UnreadRows
from store.schema import tables

_table = tables.notices.c
_IS_OPEN = _table.noticed > _table.answered


def waiting_keys(connection: Connection) -> set[str]:
    """Return the keys of the rows whose re-read request is open."""
    return set(connection.execute(select(_table.key).where(_IS_OPEN)).scalars())


def waiting_rows(connection: Connection) -> list[UnreadRows]:
    """Count the rows of each table with an open re-read request, the oldest first.

    A request of an event that names no row is also closed once its source has sent everything up to then (R21).
    """
    until = select(tables.sources.c.until).where(tables.sources.c.source == _table.source).scalar_subquery()
    oldest = func.min(_table.noticed)
    rows = connection.execute(
        select(_table.entity, func.count(), oldest)
        .where(_IS_OPEN, or_(_table.named == 1, func.coalesce(until, _table.noticed - 1) < _table.noticed))
        .group_by(_table.entity)
        .order_by(oldest, _table.entity)
    )
    return [UnreadRows(*row) for row in rows]
