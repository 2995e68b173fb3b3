"""Pinned environments (`streams.codec.environments`), in the table `settings` under `pin SYSTEM KIND`."""

from sqlalchemy import Connection, Engine, delete, select

from store.operational.state_topic import PIN
from store.schema import tables


def setting_name(pin: tuple[str, str]) -> str:
    """Return the name of the setting of a pin (system, kind of name)."""
    return f"{PIN}{pin[0]} {pin[1]}"


def pins(connection: Connection) -> dict[tuple[str, str], str]:
    """Return the pinned names by (system, kind of name)."""
    table = tables.settings.c
    rows = connection.execute(select(table.name, table.value).where(table.name.startswith(PIN)).order_by(table.name))
    pinned = {}
    for row in rows:
        system, _, kind = row.name.removeprefix(PIN).partition(" ")
        pinned[system, kind] = row.value
    return pinned


def unpin(engine: Engine, name: str) -> list[tuple[str, str]]:
    """Remove a pinned name, ignoring case. Return the pins it had."""
    with engine.begin() as connection:
        removed = [pin for pin, value in pins(connection).items() if value.lower() == name.lower()]
        names = [setting_name(pin) for pin in removed]
        connection.execute(delete(tables.settings).where(tables.settings.c.name.in_(names)))
    return removed
