"""Finance and Dataverse of one simulated company, behind their APIs.

The pair answers calls as the two systems do: it enforces their limits, refuses, and fails as its injected faults
prescribe. It requires no token, because it serves this machine only. A call triggers the events and messages that the
systems would send.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from tieout.simulator import small
from tieout.simulator.company_story import CompanyScenario
from tieout.simulator.pair import dataverse, finance
from tieout.simulator.pair.change_feed import ChangeFeed
from tieout.simulator.pair.current_rows import SimulatedRow, SimulatedTables
from tieout.simulator.pair.dual_write import DocumentProcesses
from tieout.simulator.pair.general_journals import post_journals
from tieout.simulator.pair.import_and_post import JournalProcesses
from tieout.simulator.pair.injected_faults import AFTER_THE_FACT, InjectedFault, InjectedFaults
from tieout.simulator.pair.ledger import LedgerBooks
from tieout.simulator.pair.odata import JSON, PairRequest, PairResponse, Refused, refused, refused_by_finance
from tieout.simulator.pair.service_limits import ServiceProtection
from tieout.simulator.scenario import Columns, SimulatedEvent

SLOW_SECONDS = 20.0

ACTIONS: Mapping[str, str] = {
    "import": "ProjectOperations/importFromStaging",
    "posting": "ProjectOperations/postIntegrationJournals",
    "export": "ProjectOperations/exportDocument",
    "approval": "contoso_ApproveExpense",
    "confirmation": "contoso_ConfirmVendorInvoice",
    "resend": "contoso_SendActual",
    "journal": "contoso_ConfirmJournal",
}
"""Addresses of the processes, by the names of the settings `TIEOUT_PROCESS_…`."""

PORT = 8090

BATCH_JOBS: Mapping[int, str] = {5637144580: "import", 5637144581: "posting"}
"""Batch jobs that run a process for every company."""


def settings_at(address: str) -> dict[str, str]:
    """Return the settings that connect to a pair at an address and permit changes in it."""
    named = {
        "DATAVERSE": address,
        "FINANCE": address,
        **{f"PROCESS_{process.upper()}": written for process, written in ACTIONS.items()},
        "OUTGOING": "true",
        "CONFIRMED": "feature",
    }
    return {f"TIEOUT_{name}": value for name, value in named.items()}


@dataclass(slots=True)
class PendingCall:
    """A call in progress: it takes `seconds`, then `Pair.finish` returns its result."""

    request: PairRequest
    user: ServiceProtection | None
    seconds: float
    fault: InjectedFault | None
    refused: PairResponse | None = None


class NoResponse(Exception):
    """The caller gets no response: it waits in vain, or its connection is closed (`closed`)."""

    def __init__(self, *, closed: bool) -> None:
        super().__init__("closed" if closed else "silent")
        self.closed = closed


class Pair:
    """Both systems. `clock` is theirs, `sink` receives their events, `pace` returns the seconds a call takes.

    With `heartbeats` they declare themselves complete after each change, with `ledger_events` Finance sends the entries
    that it posts.
    """

    def __init__(
        self,
        scenario: CompanyScenario,
        *,
        clock: Callable[[], datetime],
        sink: Callable[[SimulatedEvent], None] = lambda event: None,
        faults: InjectedFaults | None = None,
        pace: Callable[[PairRequest], float] = lambda request: 0.0,
        page_rows: int | None = None,
        heartbeats: bool = False,
        ledger_events: bool = False,
    ) -> None:
        self.clock = clock
        self.faults = faults or InjectedFaults()
        self.feed = ChangeFeed(scenario, clock, sink)
        self.documents = DocumentProcesses(self.feed)
        self.ledger = LedgerBooks(self.feed, self.documents, sends_events=ledger_events)
        self.journals = JournalProcesses(self.feed, self.ledger)
        self.revoked: set[str] = set()
        """Systems (`dataverse`, `finance`) that revoked the application's rights."""
        self.version = "10.0.46"
        """Version of Finance."""
        self.refusals: dict[str, str] = {}
        """Reason by table or action of Dataverse that refuses every write."""
        _install(self.feed.tables)
        post_journals(self.feed)
        self.calls: list[str] = []
        """Method and path of every call, in order of arrival."""
        self._pace = pace
        self._heartbeats = heartbeats
        self._lock = threading.Lock()
        self._users = {"dataverse": ServiceProtection(), "finance": ServiceProtection()}
        pages = {} if page_rows is None else {"page_rows": page_rows}
        self._dataverse = dataverse.DataverseApi(self, clock, **pages)
        self._finance = finance.FinanceApi(self, scenario.company, **pages)

    @property
    def tables(self) -> SimulatedTables:
        """The current rows of both systems."""
        return self.feed.tables

    def protection(self, system: str) -> ServiceProtection:
        """Return the application's usage of a system's limits."""
        return self._users[system]

    # --- answering ----------------------------------------------------------------------------------------------------

    def arrive(self, request: PairRequest) -> PendingCall:
        """Start a call: it is refused at once, or takes some seconds. `finish` must follow."""
        with self._lock:
            self.calls.append(f"{request.method} {request.path}")
            system = _system(request.path)
            fault = self.faults.of(request.path)
            try:
                user = self._admit(system, expired=fault == "expired")
            except Refused as refusal:
                return PendingCall(request, None, 0.0, None, refusal.response)
            seconds = self._pace(request) + (SLOW_SECONDS if fault == "slow" else 0.0)
            return PendingCall(request, user, seconds, fault)

    def _admit(self, system: str, *, expired: bool) -> ServiceProtection:
        """Count a call. Raises `Refused`."""
        if expired:
            raise Refused(PairResponse(401, None, {"WWW-Authenticate": 'Bearer error="invalid_token"'}))
        if system in self.revoked:
            text = "Principal user (Id=1, type=8) is missing prvRead privilege"
            raise refused(403, "0x80040220", text) if system == "dataverse" else refused_by_finance(403, "Forbidden")
        user = self._users[system]
        refusal = user.arrive(self.clock().timestamp())
        if refusal is not None:
            raise refused(429, refusal.code, refusal.message, {"Retry-After": str(refusal.retry_after)})
        return user

    def finish(self, call: PendingCall) -> PairResponse:
        """Return the result of a call. Raises `NoResponse` when its caller gets none."""
        with self._lock:
            if call.user is not None:
                call.user.leave(self.clock().timestamp(), call.seconds)
            response = call.refused or self._end(call)
            headers = {"Content-Type": JSON, "Date": format_datetime(self.clock(), usegmt=True)}
            if call.user is not None:
                requests, seconds = call.user.left()
                headers["x-ms-ratelimit-burst-remaining-xrm-requests"] = str(requests)
                headers["x-ms-ratelimit-time-remaining-xrm-requests"] = f"{seconds:.2f}"
            return replace(response, headers={**headers, **response.headers})

    def _end(self, call: PendingCall) -> PairResponse:
        match call.fault:
            case "unavailable":
                return PairResponse(503, b"", {"Content-Type": "text/plain"})
            case "throttled":
                return refused(
                    429, "0x80072322", "Number of requests exceeded the limit", {"Retry-After": "7"}
                ).response
            case "throttled-silently":
                return refused(429, "0x80072322", "Number of requests exceeded the limit").response
            case "timeout" | "refused":
                raise NoResponse(closed=call.fault == "refused")
            case "web-page":
                return PairResponse(200, b"<html>Sign in</html>", {"Content-Type": "text/html"})
        response = self._perform(call.request)
        if self._heartbeats and call.request.method != "GET":
            self.feed.send_heartbeats()
        if call.fault not in AFTER_THE_FACT:
            return response
        if call.fault == "lost":
            raise NoResponse(closed=True)
        if call.fault == "gateway":
            return PairResponse(504, b"<h1>Gateway Timeout</h1>", {"Content-Type": "text/html"})
        body = response.body()
        return replace(response, content=body[: len(body) // 2] or b"{")

    def _perform(self, request: PairRequest) -> PairResponse:
        try:
            if request.path.startswith(dataverse.ROOT):
                return self._dataverse.handle(request)
            if request.path.startswith(finance.ROOT):
                return self._finance.handle(request)
        except Refused as refusal:
            return refusal.response
        return PairResponse(404, b"<h1>Not found</h1>", {"Content-Type": "text/html"})

    # --- what calls do ------------------------------------------------------------------------------------------------

    def write(self, entity: str, row: str | None, columns: Columns) -> SimulatedRow:
        """Make a row of Dataverse, or change the one with this id. Raises `Refused`."""
        self._allow(entity)
        journal = self.tables.row("msdyn_journal", str((columns.get("msdyn_journal") or {}).get("id")))
        if entity == "msdyn_journalline" and journal and journal.columns.get("msdyn_isposted"):
            raise refused(400, "0x80040265", "A journal that is posted is read-only.")
        return self.feed.write(entity, row, columns)

    def delete(self, entity: str, row: str) -> None:
        """Delete a row of Dataverse."""
        self.feed.delete(entity, row)

    def dataverse_action(self, name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Run an action of Dataverse. Raises `Refused`."""
        actions: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            ACTIONS["approval"]: self.documents.approve,
            ACTIONS["confirmation"]: self.documents.confirm,
            ACTIONS["resend"]: self.documents.send,
            ACTIONS["journal"]: self._confirm_journal,
        }
        self._allow(name)
        if name not in actions:
            raise refused(404, "0x8006088a", f"Resource not found for the segment '{name}'.")
        return actions[name](parameters)

    def finance_action(self, name: str, on: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Run an action of Finance. Raises `Refused`."""
        if (on, name) == ("DataManagementEntities", "GetApplicationVersion"):
            return {"value": self.version}
        if (on, name) == ("BatchJobs", "SetBatchJobToWaiting"):
            return self._run_batch_job(parameters.get("batchJobId"))
        actions = {
            ACTIONS["import"]: self.journals.import_from_staging,
            ACTIONS["posting"]: self.journals.post,
            ACTIONS["export"]: self.documents.export,
        }
        if f"{on}/{name}" not in actions:
            raise refused_by_finance(404, f"No HTTP resource was found that matches the request URI '{on}/{name}'.")
        return actions[f"{on}/{name}"](parameters)

    def _run_batch_job(self, job: object) -> dict[str, Any]:
        process = BATCH_JOBS.get(job) if isinstance(job, int) else None
        if process is None:
            details = {"ExceptionDetails": f"There is no batch job {job}.", "reponseMessage": ""}
            return {"ResponseStatusCode": 400, "IsSuccess": False, "Batch JobId": job, **details}
        run = self.journals.import_from_staging if process == "import" else self.journals.post
        for company in self.tables["CompanyInfo"].rows.values():
            run({"company": company.text("DataArea")})
        details = {"ExceptionDetails": "", "reponseMessage": "Status is Successfully updated to waiting state"}
        return {"ResponseStatusCode": 200, "IsSuccess": True, "Batch JobId": job, **details}

    def _allow(self, name: str) -> None:
        if reason := self.refusals.get(name):
            raise refused(400, "0x80040265", reason)

    def _confirm_journal(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Confirm a journal: it is posted with its lines, and read-only from then on."""
        journal = self.tables.row("msdyn_journal", str(parameters.get("target")))
        lines = self.tables.where("msdyn_journalline", "msdyn_journal", journal.id) if journal else []
        if journal is None or not lines:
            raise refused(400, "0x80040265", "A journal without lines can't be confirmed.")
        for row in (*lines, journal):
            if not row.columns.get("msdyn_isposted"):
                self.feed.write(row.entity, row.id, {"msdyn_isposted": True})
        return {}


def _install(tables: SimulatedTables) -> None:
    """Add what is installed in Dataverse; these rows send no events."""
    maps = {
        "expenses export entity (msdyn_expenses)": "1.0.0.5",
        "vendor invoice export entity (msdyn_projectvendorinvoices)": "1.0.0.2",
        "vendor invoice export entity V2 (msdyn_projectvendorinvoices)": "1.0.0.1",
        "vendor invoice line export entity (msdyn_projectvendorinvoicelines)": "1.0.0.9",
    }
    rows: list[Columns] = [
        {"msdyn_displayname": f"Project Operations integration project {name}", "msdyn_version": version}
        for name, version in maps.items()
    ]
    for number, columns in enumerate(rows, 1):
        row = f"00000000-0000-4000-8000-{number:012d}"
        tables["msdyn_dualwriteentitymap"].rows[row] = SimulatedRow(
            "msdyn_dualwriteentitymap", row, columns, 1, small.UNTIL
        )
    row = "00000000-0000-4000-8000-000000000100"
    columns = {"uniquename": "ProjectOperations_Anchor", "version": "4.160.0.1"}
    tables["solution"].rows[row] = SimulatedRow("solution", row, columns, 1, small.UNTIL)


def _system(path: str) -> str:
    return "finance" if path.startswith(finance.ROOT) else "dataverse"


def small_pair(
    seed: int = 1,
    *,
    clock: Callable[[], datetime] | None = None,
    sink: Callable[[SimulatedEvent], None] = lambda event: None,
    **more: Any,
) -> Pair:
    """Return the systems of the documented company, in which 40 expenses miss their actuals.

    By default their clock continues in real time from the end of the company's year.
    """
    return Pair(small.play(seed), clock=clock or clock_from(small.UNTIL), sink=sink, **more)


def clock_from(start: datetime) -> Callable[[], datetime]:
    """Return a clock that starts at `start` and runs in real time."""
    began = datetime.now(UTC)
    return lambda: start + (datetime.now(UTC) - began)
