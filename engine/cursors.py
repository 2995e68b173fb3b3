"""Read cursors of the initial load and the poller, one for each table (R9). Reading continues from them after a
restart.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of reading one table. Times are microseconds since 1970 UTC, by the clock of the source."""

    table: str
    """Source and table, such as `dataverse/msdyn_actual`; the source alone for a state of all its tables."""
    link: str | None = None
    """The address of the next request: the next page of a pass, or the changes since the last pass. None starts over.
    """
    began: int | None = None
    """The start time of the current pass; None between passes."""
    rows: int = 0
    """The number of rows of the current pass, or of the last one."""
    passes: int = 0
    """The number of completed passes."""
    complete_until: int | None = None
    """The time up to which every change has been read."""
    fault: str = ""
    """The error that aborted the last pass; empty if it completed."""


class Cursors(Protocol):
    """Port of a durable cursor store: a saved cursor survives any crash."""

    def load(self, table: str) -> Cursor | None:
        """Return the cursor of a table; None if the table was never read."""

    def save(self, cursor: Cursor) -> None:
        """Save a cursor, replacing the one of the same table."""

    def all(self) -> Iterable[Cursor]:
        """Return every cursor, by table."""
