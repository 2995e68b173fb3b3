"""A query for the rows, totals or groups of a grid."""

from typing import Final

import msgspec

from engine.calendar import Window
from engine.reconciliation.fields import FIELDS
from engine.reconciliation.kinds import Kind
from store.projection.tile_totals import View
from store.queries.filters import Condition

Sort = str
"""The name of a field that a grid can be sorted by."""
SORTS: Final[tuple[Sort, ...]] = tuple(field.name for field in FIELDS if field.sorted)

PageKey = tuple[str | int | None, str]
"""Keyset pagination key: value in the sort column, and key of the document."""

AFTER_ALL_KEYS: Final = "\U0010ffff"
"""Sorts after every key of a document."""


class GridQuery(msgspec.Struct, frozen=True, kw_only=True):
    """State of a grid.

    The page begins after the row at `after`, or with `backwards` ends before it. Without `after` it is the first page,
    or with `backwards` the last.
    """

    company: str
    kind: Kind
    window: Window
    view: View = "all"
    conditions: tuple[Condition, ...] = ()
    search: str = ""
    sort: Sort = "date"
    descending: bool = True
    after: PageKey | None = None
    backwards: bool = False
    limit: int = 100

    @property
    def filtered(self) -> bool:
        """True if a filter or search restricts the rows of the view."""
        return bool(self.conditions or self.search)
