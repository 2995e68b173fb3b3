"""The operations of the Dataverse Web API that tieout uses.

Sources: `docs/domain/limits.md` and the pages it names: conditional operations, alternate keys, change tracking.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from handlers.api.connection import Connection
from handlers.api.entity_sets import EntitySets, Names, is_name
from handlers.api.odata import Key, Page, Row, addressed, follow, query, row
from handlers.errors import Changed

API: Final = "api/data/v9.2"
"""The path of the API below the address of the environment."""

PAGE_ROWS: Final = 5_000
"""The largest page that the API returns."""


class Dataverse:
    """Rows and actions of one Dataverse environment. Every method raises `TargetError`.

    `sets` are the entity sets of tables for which the metadata is not read.
    """

    def __init__(self, connection: Connection, sets: Mapping[str, str] | None = None) -> None:
        self.connection = connection
        self._sets = EntitySets("Dataverse", self._names, lambda table: (table,), sets or {})

    def entity_set(self, table: str) -> str:
        """Return the entity set of a table: `msdyn_actuals` for `msdyn_actual`."""
        return self._sets.of(table)

    def _names(self) -> Names:
        """Read `EntityDefinitions`: the entity set of every table that has one, by the logical name of the table."""
        parameters = query(select=("LogicalName", "EntitySetName"))
        return {
            row["LogicalName"]: row["EntitySetName"]
            for page in follow(self.connection, "EntityDefinitions", parameters)
            for row in page.rows
            if is_name(row.get("LogicalName")) and is_name(row.get("EntitySetName"))
        }

    def read(self, entity_set: str, key: Key | str, *, select: Sequence[str] = ()) -> Row:
        """Read one row by its id or an alternate key. Raises `Missing` if it does not exist."""
        return row(self.connection.get(addressed(entity_set, key), parameters=query(select=select)))

    def pages(
        self, entity_set: str, *, select: Sequence[str] = (), where: str = "", rows_per_page: int = PAGE_ROWS
    ) -> Iterator[Page]:
        """Read the rows of a table that match a filter (`statecode eq 0`), page by page."""
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
        """Read all rows of a table, or the changes after `since`, a delta link or next link of an earlier page.

        The last page has the delta link of the next read. Change tracking does not support filters. Raises
        `TokenExpired` if the link is older than the retention of changes (7 days by default).
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
        """Create the row with this key, or update it. Idempotent: a repeated call creates no second row (R45).

        `only="create"` does not change an existing row and returns `exists`. `only="update"` raises `Missing` if the
        row does not exist. With an `etag` (optimistic locking) `Changed` is raised if the row has changed since it was
        read.
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
        """Call an action and return its result; `on` is the row of a bound action (`msdyn_journals(guid)`)."""
        path = f"{on}/Microsoft.Dynamics.CRM.{action}" if on else action
        return self.connection.send("POST", path, body=dict(parameters)).content
