"""Parts of SQL text. Identifiers come from our own tables; every value is a bound parameter."""

from collections.abc import Iterable
from functools import lru_cache

from sqlalchemy import Table


def quoted(names: Iterable[str]) -> list[str]:
    """Return quoted identifiers."""
    return [f'"{name}"' for name in names]


def column_list(table: Table) -> str:
    """Return every column of a table, in its order."""
    return ", ".join(quoted(column.name for column in table.columns))


@lru_cache(maxsize=64)
def on_conflict(table: Table) -> str:
    """Return the clause that replaces a row of the same primary key."""
    keys = [column.name for column in table.primary_key.columns]
    others = [column.name for column in table.columns if column.name not in keys]
    updates = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
    action = f"DO UPDATE SET {updates}" if others else "DO NOTHING"
    return f" ON CONFLICT ({', '.join(quoted(keys))}) {action}"
