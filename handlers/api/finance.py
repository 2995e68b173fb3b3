"""The OData operations of Finance that tieout uses.

Source: `docs/domain/limits.md`, "Finance (FnO) APIs", and the article on the Batch OData API.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from handlers.api.connection import Connection
from handlers.api.entity_sets import EntitySets, Names, is_name, plurals
from handlers.api.odata import Key, Page, Row, addressed, follow, literal, query, row
from handlers.errors import Permanent

API: Final = "data"
"""The path of the API below the address of the environment."""

_NAMESPACE: Final = "Microsoft.Dynamics.DataEntities"


class Finance:
    """Rows and actions of one Finance environment. Every method raises `TargetError`.

    `sets` are the entity sets of entities for which the metadata is not read.
    """

    def __init__(self, connection: Connection, sets: Mapping[str, str] | None = None) -> None:
        self.connection = connection
        self._sets = EntitySets("Finance", self._names, plurals, sets or {})

    def entity_set(self, entity: str) -> str:
        """Return the entity set of an entity: `ProjTables` for `ProjTable`."""
        return self._sets.of(entity)

    def _names(self) -> Names:
        """Read the service document, which lists the entity sets. `$metadata` also has the entities, but tens of MB."""
        names = (row.get("name") for page in follow(self.connection, "", {}) for row in page.rows)
        return {name: name for name in names if isinstance(name, str) and is_name(name)}

    def pages(
        self,
        entity_set: str,
        *,
        companies: Sequence[str] = (),
        select: Sequence[str] = (),
        where: str = "",
        since: str | None = None,
    ) -> Iterator[Page]:
        """Read the rows of a table, of all companies or of these; `since` is the next link to continue at.

        Finance does not support `in`, so companies are combined with `or`.
        """
        in_company = " or ".join(f"dataAreaId eq {literal(company.lower())}" for company in companies)
        condition = f"({in_company}) and ({where})" if in_company and where else in_company or where
        parameters = {"cross-company": "true", **query(select=select, filter=condition)}
        yield from follow(self.connection, entity_set, parameters, since=since)

    def read(self, entity_set: str, key: Key, *, select: Sequence[str] = ()) -> Row:
        """Read one row by all its key columns, including the company. Raises `Missing` if it does not exist."""
        parameters = {"cross-company": "true", **query(select=select)}
        return row(self.connection.get(addressed(entity_set, key), parameters=parameters))

    def act(self, action: str, parameters: Mapping[str, Any], *, on: str) -> dict[str, Any]:
        """Call an action of an entity set, or of one of its rows, and return its result."""
        return self.connection.send("POST", f"{on}/{_NAMESPACE}.{action}", body=dict(parameters)).content

    def version(self) -> str:
        """Return the version of the application, such as `10.0.43`, by an action that changes nothing."""
        path = f"DataManagementEntities/{_NAMESPACE}.GetApplicationVersion"
        return str(self.connection.send("POST", path, body={}, changes=False).content.get("value") or "")

    def requeue(self, batch_job: int) -> None:
        """Put a batch job back to waiting, by the Batch OData API; Finance runs it later."""
        result = self.act("SetBatchJobToWaiting", {"batchJobId": batch_job}, on="BatchJobs")
        # The action responds with 200 even if it failed.
        if result.get("IsSuccess") is False:
            raise Permanent(
                f"SetBatchJobToWaiting: Finance did not put batch job {batch_job} back to waiting "
                f"({result.get('ExceptionDetails') or result.get('reponseMessage') or 'no reason given'}). Check the "
                "job in Finance: it must have ended."
            )
