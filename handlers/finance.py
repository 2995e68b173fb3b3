"""OData of Finance, as far as this product needs it.

Source: `domain/limits.md`, "Finance (FnO) APIs", and the article on the Batch OData API.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from handlers.connection import Connection
from handlers.errors import Permanent
from handlers.odata import Key, Page, Row, addressed, literal, page, query, row

API: Final = "data"
"""Below the address of the environment."""

_NAMESPACE: Final = "Microsoft.Dynamics.DataEntities"


class Finance:
    """Rows and actions of one Finance environment. Every method raises `TargetError`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

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
        following: str | None = since or entity_set
        if since:
            parameters = {}
        while following:
            found = page(self.connection.get(following, parameters=parameters))
            yield found
            following, parameters = found.next, {}

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
