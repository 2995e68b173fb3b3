"""OData of Finance: rows across companies, all key columns, pages, actions (`docs/domain/limits.md`)."""

from collections.abc import Mapping
from typing import Any, Protocol

from tieout.simulator.pair.current_rows import SimulatedRow, SimulatedTables
from tieout.simulator.pair.odata import (
    PairRequest,
    PairResponse,
    address,
    chosen,
    condition,
    link,
    refused_by_finance,
    segments,
)
from tieout.simulator.payloads import entity_set, finance_row

ROOT = "/data/"
PAGE_ROWS = 10_000
_NAMESPACE = "Microsoft.Dynamics.DataEntities."

TABLES = (
    "TrvExpTrans",
    "TrvExpTable",
    "VendInvoiceInfoTable",
    "VendInvoiceInfoLine",
    "VendInvoiceInfoLine_Project",
    "VendInvoiceJour",
    "VendInvoiceTrans",
    "ProjCDSActualsImport",
    "ProjAdvancedJournal",
    "ProjAdvancedJournalLine",
    "ProjProposalJour",
    "LedgerJournalTable",
    "LedgerJournalTrans",
    "LedgerJournalTrans_Project",
    "CompanyInfo",
    "Ledger",
    "FiscalCalendarYear",
    "FiscalCalendarPeriod",
    "LedgerFiscalCalendarPeriod",
    "ProjTable",
    "VendTable",
    "ProjParameters",
    "GeneralJournalAccountEntry",
    "GeneralJournalEntry",
    "MainAccount",
)


class FinanceBackend(Protocol):
    """Holds Finance's rows and runs its processes."""

    @property
    def tables(self) -> SimulatedTables:
        """The current rows."""

    def finance_action(self, name: str, on: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Run an action of an entity set; raises `Refused`."""


class FinanceApi:
    """Handles the calls of one environment, whose user has a default company."""

    def __init__(self, backend: FinanceBackend, default_company: str, *, page_rows: int = PAGE_ROWS) -> None:
        self._backend = backend
        self._tables = backend.tables
        self._company = default_company
        self._page_rows = page_rows
        self._sets = {entity_set(entity): entity for entity in TABLES}

    def handle(self, request: PairRequest) -> PairResponse:
        """Handle a call below `ROOT`; raises `Refused`."""
        segment, action = segments(request.path, ROOT)
        if request.method == "POST" and action.startswith(_NAMESPACE):
            result = self._backend.finance_action(action.removeprefix(_NAMESPACE), segment, request.json())
            return PairResponse(content={"@odata.context": f"{request.host}{ROOT}$metadata#Edm.Untyped", **result})
        if not segment and request.method == "GET":
            sets = [{"name": name, "kind": "EntitySet", "url": name} for name in self._sets]
            return PairResponse(content={"@odata.context": f"{request.host}{ROOT}$metadata", "value": sets})
        name, key = address(segment)
        entity = self._sets.get(name)
        if entity is None or action:
            text = f"No HTTP resource was found that matches the request URI '{request.host}{request.path}'."
            raise refused_by_finance(404, text)
        if request.method != "GET":
            raise refused_by_finance(400, f"Write failed for table row of type '{entity}'. The entity is read only.")
        rows = self._visible(request, entity)
        if key is None:
            return self._list(request, entity, rows)
        return self._read(request, entity, rows, key if isinstance(key, dict) else {})

    def _visible(self, request: PairRequest, entity: str) -> list[SimulatedRow]:
        """Return the rows of the user's company, or of all companies; rows without a company are always visible."""
        rows = list(self._tables[entity].rows.values())
        if request.query.get("cross-company", "").lower() == "true":
            return rows
        return [row for row in rows if row.company in (None, self._company)]

    def _list(self, request: PairRequest, entity: str, rows: list[SimulatedRow]) -> PairResponse:
        for wrong in (" in (", " has "):
            if wrong in request.query.get("$filter", ""):
                raise refused_by_finance(400, f"The operator{wrong.rstrip('(').rstrip()} is not supported.")
        test = condition(request.query.get("$filter", ""))
        shown = [chosen(_shown(row), request.query, "") for row in rows if test({"RecId": row.id, **_shown(row)})]
        if "$top" in request.query:
            shown = shown[: int(request.query["$top"])]
        first = int(request.query.get("$skiptoken", "0"))
        content: dict[str, Any] = {
            "@odata.context": f"{request.host}{ROOT}$metadata#{entity_set(entity)}",
            "value": shown[first : first + self._page_rows],
        }
        if first + self._page_rows < len(shown):
            options = {**request.query, "$skiptoken": str(first + self._page_rows)}
            content["@odata.nextLink"] = link(f"{request.host}{ROOT}{entity_set(entity)}", options)
        return PairResponse(content=content)

    def _read(
        self, request: PairRequest, entity: str, rows: list[SimulatedRow], key: Mapping[str, str]
    ) -> PairResponse:
        """Return one row; a key must include the company if the rows have one."""
        matches = [row for row in rows if all(_has(row, column, value) for column, value in key.items())]
        if any(row.company for row in matches) and "dataareaid" not in {name.lower() for name in key}:
            raise refused_by_finance(400, f"All key fields of {entity} are needed, dataAreaId among them.")
        if len(matches) != 1:
            raise refused_by_finance(404, "No resources were found.")
        context = f"{request.host}{ROOT}$metadata#{entity_set(entity)}/$entity"
        return PairResponse(content={"@odata.context": context, **chosen(_shown(matches[0]), request.query, "")})


def _shown(row: SimulatedRow) -> dict[str, Any]:
    return finance_row(row.id, row.columns, row.company, row.version)


def _has(row: SimulatedRow, column: str, value: str) -> bool:
    if column.lower() == "dataareaid":
        return (row.company or "").lower() == value.lower()
    if column == "RecId":
        return row.id == value
    return row.text(column).lower() == value.lower()
