"""The Dataverse Web API: rows, conditional writes, alternate keys, change tracking, actions.

Source: `docs/domain/limits.md`.
"""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid5

from tieout.simulator.event_recorder import text_time
from tieout.simulator.pair.current_rows import SimulatedRow, SimulatedTables
from tieout.simulator.pair.odata import PairRequest, PairResponse, address, chosen, condition, link, refused, segments
from tieout.simulator.payloads import DIGITS, dataverse_row, deleted_row, entity_set
from tieout.simulator.scenario import Columns

ROOT = "/api/data/v9.2/"
PAGE_ROWS = 5_000
TOKEN_HOLDS = timedelta(days=7)
"""Lifetime of a change tracking token: the default of `ExpireChangeTrackingInDays`."""

TABLES = (
    "msdyn_expense",
    "msdyn_projectvendorinvoice",
    "msdyn_projectvendorinvoiceline",
    "msdyn_actual",
    "msdyn_transactionconnection",
    "msdyn_transactionorigin",
    "msdyn_journal",
    "msdyn_journalline",
    "transactioncurrency",
    "account",
    "cdm_company",
    "msdyn_project",
    "msdyn_transactioncategory",
    "salesorderdetail",
    "solution",
    "msdyn_dualwriteentitymap",
)
KEYS: Mapping[str, tuple[str, ...]] = {
    "msdyn_journal": ("msdyn_description",),
    "msdyn_journalline": ("msdyn_externaldescription",),
    "msdyn_expense": ("assumed_externalexpenseid",),
    "msdyn_projectvendorinvoiceline": ("msdyn_externalinvoiceline",),
    "transactioncurrency": ("isocurrencycode",),
    "cdm_company": ("cdm_companycode",),
    "msdyn_project": ("assumed_projectnumber",),
    "msdyn_transactioncategory": ("msdyn_transactioncategorynumber",),
    "salesorderdetail": ("assumed_contractlinenumber",),
}
"""Alternate key of each table that has one."""

WRITABLE = ("msdyn_journal", "msdyn_journalline")
"""Only the product writes actuals and vendor invoices; journals are the exception."""

_METADATA = UUID("5b1d4c0e-3a2f-4f60-8f7e-2d9a6c1b7e04")
_DEFINITION = re.compile(r"EntityDefinitions\(LogicalName='(\w+)'\)")


class DataverseBackend(Protocol):
    """Writes rows of Dataverse and runs its processes."""

    @property
    def tables(self) -> SimulatedTables:
        """The current rows."""

    def write(self, entity: str, row: str | None, columns: Columns) -> SimulatedRow:
        """Create a row, or change the row with this id."""

    def delete(self, entity: str, row: str) -> None:
        """Delete a row."""

    def dataverse_action(self, name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Run an action; raises `Refused`."""


class DataverseApi:
    """Handles the calls of one environment. `now` is its clock."""

    def __init__(self, backend: DataverseBackend, now: Callable[[], datetime], *, page_rows: int = PAGE_ROWS) -> None:
        self._backend = backend
        self._tables = backend.tables
        self._now = now
        self._page_rows = page_rows
        self._sets = {entity_set(entity): entity for entity in TABLES}

    def handle(self, request: PairRequest) -> PairResponse:
        """Handle a call below `ROOT`; raises `Refused`."""
        segment, action = segments(request.path, ROOT)
        if segment == "WhoAmI" and request.method == "GET":
            return PairResponse(
                content={"@odata.context": f"{request.host}{ROOT}$metadata#WhoAmIResponse", "UserId": "1"}
            )
        if segment == "EntityDefinitions" and request.method == "GET":
            return self._definitions(request)
        if (found := _DEFINITION.fullmatch(segment)) and action == "Keys":
            keys = [{"KeyAttributes": [key], "EntityKeyIndexStatus": "Active"} for key in KEYS.get(found[1], ())]
            return PairResponse(content={"value": keys})
        if request.method == "POST" and (action or segment.partition("(")[0] not in self._sets):
            return self._act(request, segment, action)
        name, key = address(segment)
        entity = self._entity(name)
        if key is None:
            if request.method == "POST":
                return self._create(request, entity)
            if request.method == "GET":
                return self._list(request, entity)
            raise refused(405, "", f"The requested resource does not support http method '{request.method}'.")
        row = self._find(entity, key)
        match request.method:
            case "GET":
                return self._read(request, entity, row)
            case "PATCH":
                return self._upsert(request, entity, key, row)
            case "DELETE":
                return self._delete(request, entity, row)
        raise refused(405, "", f"The requested resource does not support http method '{request.method}'.")

    def _definitions(self, request: PairRequest) -> PairResponse:
        """Return the metadata of every table: its names. Dataverse does not paginate it."""
        rows = [
            {"MetadataId": str(uuid5(_METADATA, entity)), "LogicalName": entity, "EntitySetName": name}
            for name, entity in self._sets.items()
        ]
        content = {"@odata.context": f"{request.host}{ROOT}$metadata#EntityDefinitions(LogicalName,EntitySetName)"}
        return PairResponse(content={**content, "value": rows})

    # --- reading ------------------------------------------------------------------------------------------------------

    def _list(self, request: PairRequest, entity: str) -> PairResponse:
        prefer = request.headers.get("prefer", "")
        found = re.search(r"maxpagesize=(\d+)", prefer)
        size = min(int(found[1]) if found else self._page_rows, self._page_rows)
        if "odata.track-changes" in prefer or "$deltatoken" in request.query:
            return self._changes(request, entity, size)
        test = condition(request.query.get("$filter", ""))
        rows = [self._shown(row) for row in self._tables[entity].rows.values()]
        rows = [chosen(row, request.query, f"{entity}id") for row in rows if test(row)]
        if "$top" in request.query:
            rows = rows[: int(request.query["$top"])]
        first = int(request.query.get("$skiptoken", "0"))
        content = {
            "@odata.context": f"{request.host}{ROOT}$metadata#{entity_set(entity)}",
            "value": rows[first : first + size],
        }
        if first + size < len(rows):
            content["@odata.nextLink"] = link(_url(request, entity), {**request.query, "$skiptoken": str(first + size)})
        return PairResponse(content=content)

    def _changes(self, request: PairRequest, entity: str, size: int) -> PairResponse:
        """Return the rows changed since the token, then the deleted ones, in pages of a consistent state."""
        for option in ("$filter", "$orderby", "$expand", "$top"):
            if option in request.query:
                raise refused(400, "0x80060888", f"The '{option}' query option is not supported with change tracking.")
        since, until, first = 0, self._tables.version, 0
        if token := request.query.get("$deltatoken") or request.query.get("$skiptoken"):
            since, until, first = self._read_token(token, ongoing="$skiptoken" in request.query)
        rows_or_ids = list(self._tables.changes(entity, since, until))
        api = f"{request.host}{ROOT}$metadata#"
        rows = [
            deleted_row(api, entity, row)
            if isinstance(row, str)
            else chosen(self._shown(row), request.query, f"{entity}id")
            for row in rows_or_ids[first : first + size]
        ]
        content = {"@odata.context": f"{api}{entity_set(entity)}/$delta", "value": rows}
        # The links repeat the requested columns, as Dataverse repeats all options.
        options = {name: value for name, value in request.query.items() if name == "$select"}
        if first + size < len(rows_or_ids):
            token = self._token(since, until, first + size)
            content["@odata.nextLink"] = link(_url(request, entity), {**options, "$skiptoken": token})
        else:
            content["@odata.deltaLink"] = link(
                _url(request, entity), {**options, "$deltatoken": self._token(until, 0, 0)}
            )
        return PairResponse(content=content)

    def _token(self, since: int, until: int, first: int) -> str:
        written = f"{since}.{until}.{first}.{int(self._now().timestamp())}"
        return base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")

    def _read_token(self, token: str, *, ongoing: bool) -> tuple[int, int, int]:
        try:
            written = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
            since, until, first, made = (int(part) for part in written.split("."))
        except ValueError:
            raise refused(400, "0x80060888", "The change tracking token is not valid.") from None
        if self._now().timestamp() - made > TOKEN_HOLDS.total_seconds():
            text = "Version stamp associated with the client has expired. Please perform a full sync."
            raise refused(400, "0x80044352", text)
        return (since, until, first) if ongoing else (since, self._tables.version, 0)

    def _read(self, request: PairRequest, entity: str, row: SimulatedRow | None) -> PairResponse:
        if row is None:
            raise refused(404, "0x80040217", f"{entity} With Id Does Not Exist")
        if request.headers.get("if-none-match") == _etag(row):
            return PairResponse(304)
        shown = chosen(self._shown(row), request.query, f"{entity}id")
        context = f"{request.host}{ROOT}$metadata#{entity_set(entity)}/$entity"
        return PairResponse(content={"@odata.context": context, **shown})

    def _shown(self, row: SimulatedRow) -> dict[str, Any]:
        columns = {**row.columns, "modifiedon": text_time(row.changed)}
        return {"@odata.etag": _etag(row), **dataverse_row(row.entity, row.id, columns)}

    # --- writing ------------------------------------------------------------------------------------------------------

    def _create(self, request: PairRequest, entity: str) -> PairResponse:
        columns = self._written(request, entity)
        self._refuse_duplicate(entity, columns)
        row = self._backend.write(entity, None, columns)
        return self._written_response(request, row, 201)

    def _upsert(
        self, request: PairRequest, entity: str, key: str | dict[str, str], row: SimulatedRow | None
    ) -> PairResponse:
        if_match, if_none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
        columns = self._written(request, entity)
        if row is None:
            if if_match:
                raise refused(404, "0x80040217", f"{entity} With Id Does Not Exist")
            keyed = key if isinstance(key, dict) else {}
            self._refuse_duplicate(entity, {**columns, **keyed})
            made = self._backend.write(entity, key if isinstance(key, str) else None, {**columns, **keyed})
            return self._written_response(request, made, 201)
        if if_none_match == "*":
            raise refused(412, "0x80040237", "A record with matching key values already exists.")
        if if_match not in (None, "*", _etag(row)):
            text = "The version of the existing record doesn't match the RowVersion property provided."
            raise refused(412, "0x80060882", text)
        return self._written_response(request, self._backend.write(entity, row.id, columns), 200)

    def _written_response(self, request: PairRequest, row: SimulatedRow, status: int) -> PairResponse:
        location = {"OData-EntityId": f"{request.host}{ROOT}{entity_set(row.entity)}({row.id})"}
        if "return=representation" in request.headers.get("prefer", ""):
            context = f"{request.host}{ROOT}$metadata#{entity_set(row.entity)}/$entity"
            return PairResponse(status, {"@odata.context": context, **self._shown(row)}, location)
        return PairResponse(204, None, location)

    def _delete(self, request: PairRequest, entity: str, row: SimulatedRow | None) -> PairResponse:
        self._writable(entity)
        if row is None:
            raise refused(404, "0x80040217", f"{entity} With Id Does Not Exist")
        if request.headers.get("if-match", "*") not in ("*", _etag(row)):
            raise refused(412, "0x80060882", "The version of the existing record doesn't match.")
        self._backend.delete(entity, row.id)
        return PairResponse(204)

    def _written(self, request: PairRequest, entity: str) -> Columns:
        """Return the columns of a body; a lookup is bound by the address of an existing row."""
        self._writable(entity)
        columns: Columns = {}
        for name, value in request.json().items():
            if name.endswith("@odata.bind"):
                columns[name.removesuffix("@odata.bind")] = self._bound(str(value))
            elif "@" not in name:
                columns[name] = str(value) if name in DIGITS and value is not None else value
        return columns

    def _bound(self, link: str) -> Columns:
        name, key = address(link.rpartition(ROOT)[2].lstrip("/"))
        entity = self._entity(name)
        row = self._find(entity, key) if key else None
        if row is None:
            raise refused(
                404, "0x80060891", f"A record with the specified key values does not exist in {entity} entity"
            )
        return {"entity": entity, "id": row.id, "name": None}

    def _writable(self, entity: str) -> None:
        if entity not in WRITABLE:
            text = f"Rows of {entity} can't be created or changed directly. Use the functions of Project Operations."
            raise refused(400, "0x80040265", text)

    def _refuse_duplicate(self, entity: str, columns: Columns) -> None:
        for column in KEYS.get(entity, ()):
            if columns.get(column) and self._tables.where(entity, column, str(columns[column])):
                text = "A record that has the attribute values already exists. The entity key requires that this set "
                raise refused(412, "0x80060892", text + f"of attributes contains unique values ({column}).")

    # --- actions ------------------------------------------------------------------------------------------------------

    def _act(self, request: PairRequest, segment: str, action: str) -> PairResponse:
        parameters = request.json()
        if action:
            name, key = address(segment)
            entity = self._entity(name)
            row = self._find(entity, key) if key else None
            if row is None:
                raise refused(404, "0x80040217", f"{entity} With Id Does Not Exist")
            parameters = {**parameters, "target": row.id}
        name = (action or segment).removeprefix("Microsoft.Dynamics.CRM.")
        return PairResponse(content=self._backend.dataverse_action(name, parameters))

    def _entity(self, name: str) -> str:
        if name not in self._sets:
            raise refused(404, "0x8006088a", f"Resource not found for the segment '{name}'.")
        return self._sets[name]

    def _find(self, entity: str, key: str | dict[str, str]) -> SimulatedRow | None:
        if isinstance(key, str):
            return self._tables.row(entity, key)
        if tuple(key) != KEYS.get(entity):
            raise refused(
                400, "0x80060893", f"The specified key attributes are not a defined key for the {entity} entity"
            )
        ((column, value),) = key.items()
        if entity == "msdyn_journalline" or value:
            return self._tables.first(entity, column, value)
        return None


def _etag(row: SimulatedRow) -> str:
    return f'W/"{row.version}"'


def _url(request: PairRequest, entity: str) -> str:
    return f"{request.host}{ROOT}{entity_set(entity)}"
