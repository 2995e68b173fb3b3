"""Alerts in force, and the stages that were sent (R84).

All workers on a store share them: a key occurs once, and one worker sends each stage.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import Engine, and_, delete, or_, select, update

from engine.alerts import Alert, AlertKind, AlertStage, TrackedAlert, compare
from store.schema import tables
from store.schema.bulk_sql import insert_absent

_json: Final = msgspec.json.Encoder().encode
_table: Final = tables.alerts.c


class SqlAlerts:
    """The table of alerts. Times are microseconds since 1970 UTC."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[TrackedAlert]:
        """Return the alerts in force and those whose end was not sent, oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(tables.alerts).order_by(_table.began, _table.key))
            return [_told(row) for row in rows]

    def record(
        self, in_force: Iterable[Alert], evaluated: Iterable[AlertKind], now: int
    ) -> tuple[list[Alert], list[str]]:
        """Record the alerts in force, of the kinds that were evaluated. Return those that began and the keys of those
        that ended.

        An alert that returns before its end was sent begins again afterwards. Concurrent calls of two workers count
        once.
        """
        with self._engine.begin() as connection:
            rows = list(connection.execute(select(_table.key, _table.kind, _table.ended)))
            before = {row.key: row.kind for row in rows}
            began, missing = compare(before, in_force, frozenset(evaluated))
            already_ended = {row.key for row in rows if row.ended is not None}
            ended = [key for key in missing if key not in already_ended]
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
                insert_absent(connection, tables.alerts, row)
        return began, ended

    def claim(self, now: int, until: int) -> TrackedAlert | None:
        """Claim the oldest alert with an unsent stage until a time, for one caller. Return None if there is none."""
        free = and_(or_(_table.told.is_(None), _table.ended.is_not(None)), _table.until <= now)
        oldest = select(_table.key).where(free).order_by(_table.began, _table.key).limit(1)
        while True:
            with self._engine.begin() as connection:
                key = connection.execute(oldest).scalar()
                if key is None:
                    return None
                # The condition is checked again in this statement: another worker may have claimed and sent it
                # meanwhile.
                claimed = update(tables.alerts).where(_table.key == key, free).values(until=until)
                row = connection.execute(claimed.returning(tables.alerts)).first()
                if row is not None:
                    return _told(row)

    def mark_sent(self, alert: TrackedAlert, stage: AlertStage) -> None:
        """Record that a stage was sent, so that the next can be claimed. An alert whose end was sent is deleted."""
        own = and_(_table.key == alert.alert.key, _table.began == alert.began)
        with self._engine.begin() as connection:
            if stage == "ended":
                connection.execute(delete(tables.alerts).where(own))
            else:
                connection.execute(update(tables.alerts).where(own).values(told=stage, until=0))


def _told(row: Any) -> TrackedAlert:
    alert = Alert(row.key, row.kind, row.company, row.says, msgspec.json.decode(row.detail))
    return TrackedAlert(alert, row.began, row.ended, row.told)
