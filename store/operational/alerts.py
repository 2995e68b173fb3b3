"""The alerts that stand, and what of them was told (R84).

All workers on a store share them: a key stands once, and each stage of it is told by one of them.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import Engine, and_, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from engine.alerts import Alert, AlertKind, AlertStage, TrackedAlert, compare
from store.schema import tables

_json: Final = msgspec.json.Encoder().encode
_table: Final = tables.alerts.c


class SqlAlerts:
    """The table of alerts. Times are microseconds since 1970 UTC."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[TrackedAlert]:
        """Those that stand, and those whose end was not told yet, the oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(tables.alerts).order_by(_table.began, _table.key))
            return [_told(row) for row in rows]

    def record(
        self, standing: Iterable[Alert], looked_at: Iterable[AlertKind], now: int
    ) -> tuple[list[Alert], list[str]]:
        """Keep what stands now; what began, and the keys of what ended, of the kinds that were looked at.

        One that stands again before its end was told begins anew once it is. What two workers do at one time counts
        once.
        """
        with self._engine.begin() as connection:
            rows = list(connection.execute(select(_table.key, _table.kind, _table.ended)))
            before = {row.key: row.kind for row in rows}
            began, gone = compare(before, standing, frozenset(looked_at))
            over = {row.key for row in rows if row.ended is not None}
            ended = [key for key in gone if key not in over]
            if ended:
                connection.execute(
                    update(tables.alerts).where(_table.key.in_(ended), _table.ended.is_(None)).values(ended=now)
                )
            for alert in began:
                row = {
                    "key": alert.key,
                    "kind": alert.kind,
                    "company": alert.company,
                    "says": alert.text,
                    "detail": _json(alert.detail).decode(),
                    "began": now,
                    "until": 0,
                }
                connection.execute(_insert(connection.dialect.name).values(row).on_conflict_do_nothing())
        return began, ended

    def claim(self, now: int, until: int) -> TrackedAlert | None:
        """The oldest alert of which something is to be told, for one caller alone until a time; None when there is
        none.
        """
        free = and_(or_(_table.told.is_(None), _table.ended.is_not(None)), _table.until <= now)
        oldest = select(_table.key).where(free).order_by(_table.began, _table.key).limit(1)
        while True:
            with self._engine.begin() as connection:
                key = connection.execute(oldest).scalar()
                if key is None:
                    return None
                # Looked at again in the same statement: another may have claimed, and told, it meanwhile.
                claimed = update(tables.alerts).where(_table.key == key, free).values(until=until)
                row = connection.execute(claimed.returning(tables.alerts)).first()
                if row is not None:
                    return _told(row)

    def mark_sent(self, alert: TrackedAlert, stage: AlertStage) -> None:
        """A stage was told: the next one may be claimed; an alert whose end was told is gone."""
        mine = and_(_table.key == alert.alert.key, _table.began == alert.began)
        with self._engine.begin() as connection:
            if stage == "ended":
                connection.execute(delete(tables.alerts).where(mine))
            else:
                connection.execute(update(tables.alerts).where(mine).values(told=stage, until=0))


def _insert(dialect: str) -> Any:
    return (postgresql.insert if dialect == "postgresql" else sqlite.insert)(tables.alerts)


def _told(row: Any) -> TrackedAlert:
    alert = Alert(row.key, row.kind, row.company, row.says, msgspec.json.decode(row.detail))
    return TrackedAlert(alert, row.began, row.ended, row.told)
