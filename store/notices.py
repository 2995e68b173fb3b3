"""Which rows were not read yet since an event that was cut, or that carries keys only (R5)."""

from sqlalchemy import Connection, func, or_, select

from engine.events.notices import UnreadRows
from store.schema import tables

_table = tables.notices.c
_WAITS = _table.noticed > _table.answered


def waiting_keys(connection: Connection) -> set[str]:
    """The keys of the notices whose rows were not read yet."""
    return set(connection.execute(select(_table.key).where(_WAITS)).scalars())


def waiting_rows(connection: Connection) -> list[UnreadRows]:
    """How many rows of each table were not read yet, the one that waits longest first. An event that names no row is
    answered, too, once its source has sent everything up to then (R21).
    """
    until = select(tables.sources.c.until).where(tables.sources.c.source == _table.source).scalar_subquery()
    oldest = func.min(_table.noticed)
    found = connection.execute(
        select(_table.entity, func.count(), oldest)
        .where(_WAITS, or_(_table.named == 1, func.coalesce(until, _table.noticed - 1) < _table.noticed))
        .group_by(_table.entity)
        .order_by(oldest, _table.entity)
    )
    return [UnreadRows(*row) for row in found]
