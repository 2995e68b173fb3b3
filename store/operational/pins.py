"""The environments that are pinned (`streams.codec.environments`), in the table of settings: `pin SYSTEM KIND`."""

from sqlalchemy import Connection, Engine, delete, select

from store.operational.state_topic import PIN
from store.schema import tables


def setting_name(pin: tuple[str, str]) -> str:
    """The name of the setting of a pin: the system and the kind of name."""
    return f"{PIN}{pin[0]} {pin[1]}"


def pins(connection: Connection) -> dict[tuple[str, str], str]:
    """The pinned names, by system and kind of name."""
    table = tables.settings.c
    rows = connection.execute(select(table.name, table.value).where(table.name.startswith(PIN)).order_by(table.name))
    found = {}
    for row in rows:
        system, _, kind = row.name.removeprefix(PIN).partition(" ")
        found[system, kind] = row.value
    return found


def unpin(engine: Engine, name: str) -> list[tuple[str, str]]:
    """Remove a pinned name, in any case; returns what it was pinned as."""
    with engine.begin() as connection:
        gone = [pin for pin, value in pins(connection).items() if value.lower() == name.lower()]
        names = [setting_name(pin) for pin in gone]
        connection.execute(delete(tables.settings).where(tables.settings.c.name.in_(names)))
    return gone
