"""The Dataverse Web API, as far as this product needs it.

Sources: `docs/domain/limits.md` and the pages it names: conditional operations, alternate keys, change tracking.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from handlers.api.connection import Connection
from handlers.api.entity_sets import EntitySets, Names, is_name
from handlers.api.odata import Key, Page, Row, addressed, follow, query, row
from handlers.errors import Changed

API: Final = "api/data/v9.2"
"""Below the address of the environment."""

PAGE_ROWS: Final = 5_000
"""The largest page there is."""


class Dataverse:
    """Rows and actions of one Dataverse environment. Every method raises `TargetError`.

    `sets` are entity sets by table, where the metadata is not to be asked.
    """

    def __init__(self, connection: Connection, sets: Mapping[str, str] | None = None) -> None:
        self.connection = connection
        self._sets = EntitySets("Dataverse", self._names, lambda table: (table,), sets or {})

    def entity_set(self, table: str) -> str:
        """The entity set of a table: `msdyn_actuals` of `msdyn_actual`."""
        return self._sets.of(table)

    def _names(self) -> Names:
        """`EntityDefinitions`: the logical name of every table, and its entity set where it has one."""
        parameters = query(select=("LogicalName", "EntitySetName"))
        return {
            row["LogicalName"]: row["EntitySetName"]
            for found in follow(self.connection, "EntityDefinitions", parameters)
            for row in found.rows
            if is_name(row.get("LogicalName")) and is_name(row.get("EntitySetName"))
        }

    def read(self, entity_set: str, key: Key | str, *, select: Sequence[str] = ()) -> Row:
        """One row by its id or an alternate key; raises `Missing` when there is none."""
        return row(self.connection.get(addressed(entity_set, key), parameters=query(select=select)))

    def pages(
        self, entity_set: str, *, select: Sequence[str] = (), where: str = "", rows_per_page: int = PAGE_ROWS
    ) -> Iterator[Page]:
        """All rows of a table that a filter (`statecode eq 0`) leaves, page by page."""
        headers = {"Prefer": f"odata.maxpagesize={rows_per_page}"}
        yield from follow(self.connection, entity_set, query(select=select, filter=where), headers=headers)

    def changes(
        self,
        entity_set: str,
        *,
        select: Sequence[str] = (),
        since: str | None = None,
        rows_per_page: int = PAGE_ROWS,
    ) -> Iterator[Page]:
        """All rows of a table, or with `since` (a delta or next link of an earlier page) what changed after it.

        The last page has the delta link for next time. Filters are refused with change tracking. Raises
        `TokenExpired` when the link is older than the system keeps changes (7 days by default).
        """
        headers = {"Prefer": f"odata.track-changes,odata.maxpagesize={rows_per_page}"}
        yield from follow(self.connection, entity_set, query(select=select), headers=headers, since=since)

    def upsert(
        self,
        entity_set: str,
        key: Key | str,
        columns: Mapping[str, Any],
        *,
        only: Literal["create", "update"] | None = None,
        etag: str | None = None,
    ) -> Literal["created", "updated", "exists"]:
        """Make the row with this key, or change it; a repeated call makes no second row (R45).

        `only="create"` leaves an existing row alone and answers `there`. `only="update"` raises `Missing` when there is
        no row; with an `etag` it raises `Changed` unless the row is still the one that was read.
        """
        headers = {"Prefer": "return=representation"}
        if only == "create":
            headers["If-None-Match"] = "*"
        elif only == "update" or etag:
            headers["If-Match"] = etag or "*"
        try:
            answer = self.connection.send("PATCH", addressed(entity_set, key), headers=headers, body=columns)
        except Changed:
            if only == "create":
                return "exists"
            raise
        return "created" if answer.status == 201 else "updated"

    def act(self, action: str, parameters: Mapping[str, Any], *, on: str = "") -> dict[str, Any]:
        """Call an action: an unbound one by its name, one of a row with `on` (`msdyn_journals(guid)`); its result."""
        path = f"{on}/Microsoft.Dynamics.CRM.{action}" if on else action
        return self.connection.send("POST", path, body=dict(parameters)).content
