"""OData of Finance, as far as this product needs it.

Source: `docs/domain/limits.md`, "Finance (FnO) APIs", and the article on the Batch OData API.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from handlers.api.connection import Connection
from handlers.api.entity_sets import EntitySets, Names, is_name, plurals
from handlers.api.odata import Key, Page, Row, addressed, follow, literal, query, row
from handlers.errors import Permanent

API: Final = "data"
"""Below the address of the environment."""

_NAMESPACE: Final = "Microsoft.Dynamics.DataEntities"


class Finance:
    """Rows and actions of one Finance environment. Every method raises `TargetError`.

    `sets` are entity sets by entity, where the metadata is not to be asked.
    """

    def __init__(self, connection: Connection, sets: Mapping[str, str] | None = None) -> None:
        self.connection = connection
        self._sets = EntitySets("Finance", self._names, plurals, sets or {})

    def entity_set(self, entity: str) -> str:
        """The entity set of an entity: `ProjTables` of `ProjTable`."""
        return self._sets.of(entity)

    def _names(self) -> Names:
        """The service document, which lists the entity sets. `$metadata` names their entities too, in tens of MB."""
        names = (row.get("name") for found in follow(self.connection, "", {}) for row in found.rows)
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
        """The rows of a table, of all companies or the named ones; `since` is a next link to go on at.

        `in` is not supported by Finance, so companies are asked for one by one with `or`.
        """
        wanted = " or ".join(f"dataAreaId eq {literal(company.lower())}" for company in companies)
        both = f"({wanted}) and ({where})" if wanted and where else wanted or where
        parameters = {"cross-company": "true", **query(select=select, filter=both)}
        yield from follow(self.connection, entity_set, parameters, since=since)

    def read(self, entity_set: str, key: Key, *, select: Sequence[str] = ()) -> Row:
        """One row; Finance needs all its key columns, the company among them. Raises `Missing` when there is none."""
        parameters = {"cross-company": "true", **query(select=select)}
        return row(self.connection.get(addressed(entity_set, key), parameters=parameters))

    def act(self, action: str, parameters: Mapping[str, Any], *, on: str) -> dict[str, Any]:
        """Call an action of an entity set, or of a row of it; its result."""
        return self.connection.send("POST", f"{on}/{_NAMESPACE}.{action}", body=dict(parameters)).content

    def version(self) -> str:
        """The version of the application, such as `10.0.43`; an action tells it, which changes nothing."""
        path = f"DataManagementEntities/{_NAMESPACE}.GetApplicationVersion"
        return str(self.connection.send("POST", path, body={}, changes=False).content.get("value") or "")

    def requeue(self, batch_job: int) -> None:
        """Let a batch job run again, as the Batch OData API does: its work is done later, by Finance itself."""
        result = self.act("SetBatchJobToWaiting", {"batchJobId": batch_job}, on="BatchJobs")
        # The action answers 200 also when it failed.
        if result.get("IsSuccess") is False:
            raise Permanent(
                f"SetBatchJobToWaiting: Finance did not put batch job {batch_job} back to waiting "
                f"({result.get('ExceptionDetails') or result.get('reponseMessage') or 'no reason given'}). Look at the "
                "job in Finance: it must have ended."
            )
