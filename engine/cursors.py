"""How far the initial load and the poller got, table by table (R9): visible, and where they go on after a restart."""

from collections.abc import Iterable
from typing import Protocol

import msgspec


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """Where the reading of one table stands. Times are microseconds since 1970 UTC, by the clock of its system."""

    table: str
    """System and table, such as `dataverse/msdyn_actual`; the system alone for what was said of all its tables."""
    link: str | None = None
    """The address to ask next, None to begin anew: the next page of a pass, or what changed since the last one."""
    began: int | None = None
    """When the pass under way began; None between two."""
    rows: int = 0
    """Rows of the pass under way, or of the last one."""
    passes: int = 0
    """How many passes came to their end."""
    complete_until: int | None = None
    """Everything up to then has been read."""
    fault: str = ""
    """What ended the last pass before its time; empty when nothing did."""


class Cursors(Protocol):
    """Keeps cursors. What is saved is there after any crash."""

    def load(self, table: str) -> Cursor | None:
        """The cursor of a table; None when it was never read."""

    def save(self, cursor: Cursor) -> None:
        """Keep a cursor in the place of the one of the same table."""

    def all(self) -> Iterable[Cursor]:
        """Every cursor, by table."""


class MemoryCursors:
    """Cursors for tests and dry runs."""

    def __init__(self) -> None:
        self._cursors: dict[str, Cursor] = {}

    def load(self, table: str) -> Cursor | None:
        return self._cursors.get(table)

    def save(self, cursor: Cursor) -> None:
        self._cursors[cursor.table] = cursor

    def all(self) -> Iterable[Cursor]:
        return [self._cursors[table] for table in sorted(self._cursors)]
