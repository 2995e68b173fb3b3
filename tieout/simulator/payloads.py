"""Events in the formats of the two systems (`docs/domain/events.md`), converted from the CloudEvents of the stories.

| rows | format |
| --- | --- |
| documents, actuals and connections of Dataverse | `RemoteExecutionContext` of a registered step |
| staging rows of Finance | data events: the same format, of a virtual table |
| posted vendor invoices | additionally a business event, which carries keys only |
| reference data of both | pages of the APIs, as a poller puts them on the topics |
| other rows of Finance | CloudEvents, as an extension sends them |
"""

import base64
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from tieout.simulator.scenario import Columns, SimulatedEvent, TimedEvent, encode

ORGANISATION = "7f1d2c60-4a3b-ee11-8ef3-000d3a1b2c3d"
ORGANISATION_NAME = "unq7f1d2c604a3bee118ef3000d3a1b2"
_DATAVERSE_API = "https://contoso.crm4.dynamics.com/api/data/v9.2/$metadata#"
_FINANCE_API = "https://contoso.operations.dynamics.com/data/$metadata#"
_RESPONSE_TIME = "tieout-answered-at"
_ROWS_PER_PAGE = 50

_CONTEXTS = frozenset(
    [
        "msdyn_expense",
        "msdyn_projectvendorinvoice",
        "msdyn_projectvendorinvoiceline",
        "msdyn_actual",
        "msdyn_transactionorigin",
        "msdyn_transactionconnection",
    ]
)
_REFERENCE = frozenset(
    [
        "transactioncurrency",
        "account",
        "cdm_company",
        "msdyn_project",
        "msdyn_transactioncategory",
        "CompanyInfo",
        "Ledger",
        "FiscalCalendarYear",
        "FiscalCalendarPeriod",
        "LedgerFiscalCalendarPeriod",
        "ProjTable",
        "VendTable",
    ]
)
"""Reference rows; they do not change within a story."""
_STAGING, _VIRTUAL_STAGING = "ProjCDSActualsImport", "mserp_projcdsactualsimportentity"
_VIRTUAL_TABLE = "00004951-0000-0000-"
"""Prefix of the ids of its rows: the entity's number. The RecId follows, least significant byte first."""
_ENUMS = frozenset(["IsDuplicate", "IsProcessed"])
_FIRST_ENUM_VALUE = 200_000_000

_NO_ROW = "00000000-0000-0000-0000-000000000000"
_TYPE = "http://schemas.microsoft.com/xrm/2011/Contracts"
_MONEY = frozenset(
    """
    msdyn_amount msdyn_amount_base msdyn_price msdyn_salestaxamount msdyn_totalamount assumed_accountingamount
    """.split()
)
_NUMBERS = frozenset(
    """
    msdyn_quantity exchangerate assumed_linenumber
    Amount AccountingAmount ExchangeRate Quantity
    AmountCurr AmountMST NetTransactionAmount LineNumber
    LineAmount LineAmountMST PurchPrice ReceiveNow Qty LineNum
    InvoiceAmount InvoiceAmountMST ExchRate
    UnitCost ExtendedCost CostExchangeRate UnitPrice ExtendedPrice PriceExchangeRate
    AmountCurDebit AmountCurCredit CostPrice SalesPrice
    AccountingCurrencyAmount TransactionCurrencyAmount
    """.split()
)
DIGITS = _MONEY | _NUMBERS
"""Columns whose numbers are kept as text, digit by digit."""

_CHOICES = frozenset(
    [
        "statecode",
        "statuscode",
        "msdyn_expensestatus",
        "msdyn_transactionclassification",
        "msdyn_transactiontypecode",
        "msdyn_billingtype",
        "msdyn_billingstatus",
        "msdyn_adjustmentstatus",
    ]
)
_DATES = frozenset(
    [
        "createdon",
        "modifiedon",
        "msdyn_transactiondate",
        "msdyn_accountingdate",
        "msdyn_documentdate",
        "msdyn_startdatetime",
        "msdyn_invoicedate",
        "AccountingDate",
        "DocumentDate",
    ]
)
_NO_DATE = "1900-01-01"


class Payloads(Protocol):
    """Converts events to the formats they have on the topics."""

    def story(self, arriving: list[TimedEvent], whole: list[TimedEvent]) -> list[TimedEvent]:
        """Return the arriving events of a story as they are sent; `whole` is everything that happened."""

    def sent(self, event: SimulatedEvent) -> SimulatedEvent:
        """Return one event as it is sent."""

    def polled(self, event: SimulatedEvent) -> SimulatedEvent:
        """Return a whole row as a poller reads it."""


class PlainPayloads:
    """Every event is a CloudEvent (R4)."""

    def story(self, arriving: list[TimedEvent], whole: list[TimedEvent]) -> list[TimedEvent]:
        """Return the arriving events unchanged."""
        return arriving

    def sent(self, event: SimulatedEvent) -> SimulatedEvent:
        """Return the event unchanged."""
        return event

    def polled(self, event: SimulatedEvent) -> SimulatedEvent:
        """Return the row unchanged."""
        return event


class NativePayloads:
    """Every event has the format of its system."""

    def story(self, arriving: list[TimedEvent], whole: list[TimedEvent]) -> list[TimedEvent]:
        """Combine reference rows into pages; give data events the whole row, before and after."""
        sent: list[TimedEvent] = []
        pages: dict[str, list[TimedEvent]] = defaultdict(list)
        rows = _rows(whole)
        for entry in arriving:
            at, number, event = entry
            if type(event.value) is not dict or "data" not in event.value:
                sent.append(entry)
            elif (entity := event.entity) in _REFERENCE:
                pages[entity].append(entry)
            elif entity == _STAGING:
                sent.append((at, number, data_event(event, *rows[number])))
            else:
                sent.append((at, number, self.sent(event)))
                if entity == "VendInvoiceJour":
                    sent.append((at + timedelta(seconds=1), number, invoice_posted(event)))
        for entries in pages.values():
            for first in range(0, len(entries), _ROWS_PER_PAGE):
                rows_of_page = entries[first : first + _ROWS_PER_PAGE]
                at, number, last = rows_of_page[-1]
                sent.append((at, number, page([event for _, _, event in rows_of_page], last.value["time"])))
        return sent

    def sent(self, event: SimulatedEvent) -> SimulatedEvent:
        """Return a context, a data event, a page or a CloudEvent, by the entity of the row."""
        if event.entity in _CONTEXTS:
            return context(event)
        if event.entity == _STAGING:
            return data_event(event, None, _virtual_columns(event))
        return page([event], event.value["time"]) if event.entity in _REFERENCE else event

    def polled(self, event: SimulatedEvent) -> SimulatedEvent:
        """Return a page with one row. Finance's pages cannot express that a row is deleted."""
        if event.value["data"]["operation"] == "delete" and event.topic.startswith("finance"):
            return self.sent(event)
        return page([event], event.value["time"])


# --- contexts ---------------------------------------------------------------------------------------------------------


def context(event: SimulatedEvent) -> SimulatedEvent:
    """Return a Dataverse context: all columns of a new row, changed ones of another, a reference to a deleted one."""
    data = event.value["data"]
    columns = data.get("columns", {})
    deleted = data["operation"] == "delete"
    message = "Delete" if deleted else "Create" if "createdon" in columns else "Update"
    target: dict[str, Any] = {"__type": f"{'EntityReference' if deleted else 'Entity'}:{_TYPE}"}
    if not deleted:
        target["Attributes"] = _attributes(columns)
        target |= {"EntityState": None, "FormattedValues": [], "RelatedEntities": []}
    target |= {"Id": event.key, "KeyAttributes": [], "LogicalName": event.entity}
    if deleted:
        target["Name"] = None
    target["RowVersion"] = None
    value = {
        **_envelope(event, message, event.entity, event.key),
        "InputParameters": [{"key": "Target", "value": target}],
        "OutputParameters": [{"key": "id", "value": event.key}] if message == "Create" else [],
        "OwningExtension": _OWNER,
        "ParentContext": None,
        "PostEntityImages": [],
        "PreEntityImages": [],
        "SharedVariables": [{"key": "IsAutoTransact", "value": True}],
    }
    # Dataverse sets no key on messages to Event Hubs.
    return SimulatedEvent(event.topic, "", value, {})


def cut(event: SimulatedEvent) -> SimulatedEvent:
    """Return a truncated Dataverse event: parameters, images and parent are removed (R5)."""
    message = "Delete" if event.value["data"]["operation"] == "delete" else "Update"
    return SimulatedEvent(event.topic, "", _envelope(event, message, event.entity, event.key), {})


_OWNER = {"Id": "aa11c0de-0000-4000-8000-000000000001", "LogicalName": "sdkmessageprocessingstep", "Name": None}
_USER = "c2a7d4b1-5d3b-ee11-8ef3-000d3a1b2c3d"
_INSTALLATION = {
    "BusinessUnitId": "1b0c9e3a-5d3b-ee11-8ef3-000d3a1b2c3d",
    "Depth": 1,
    "InitiatingUserId": _USER,
    "IsExecutingOffline": False,
    "IsInTransaction": False,
    "IsOfflinePlayback": False,
    "IsolationMode": 1,
    "Mode": 1,
    "OrganizationId": ORGANISATION,
    "OrganizationName": ORGANISATION_NAME,
    "SecondaryEntityName": "none",
    "Stage": 40,
    "UserId": _USER,
}


def _envelope(event: SimulatedEvent, message: str, entity: str, row: str) -> dict[str, Any]:
    """Return the top level of a context; some installations write the operation's time in a local zone."""
    operation = event.value["id"]
    zone = ("+0000", "-0700", "+0200")[ord(operation[0]) % 3]
    return {
        **_INSTALLATION,
        "CorrelationId": operation,
        "MessageName": message,
        "OperationCreatedOn": _operation_time(event.value["time"], zone),
        "OperationId": operation,
        "PrimaryEntityId": row,
        "PrimaryEntityName": entity,
        "RequestId": operation,
    }


@lru_cache(maxsize=1_024)
def _operation_time(text: str, zone: str) -> str:
    """Return `/Date(ms±zone)/`: the milliseconds are those of UTC less the zone (`docs/domain/events.md` §1)."""
    shift = int(zone[:3]) * 3600
    return f"/Date({int(datetime.fromisoformat(text).timestamp()) - shift}000{zone})/"


def _attributes(columns: Columns) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(name, value)} for name, value in columns.items()]


def _value(name: str, value: Any) -> Any:
    """Return a column's value as a context writes it; frequent values are encoded once."""
    if value is None:
        return None
    if type(value) is dict:
        return _reference(value["entity"], value["id"], value["name"])
    write = _WRITERS.get(name)
    return value if write is None else write(value)


@lru_cache(maxsize=4_096)
def _reference(entity: str, row: str, name: str | None) -> msgspec.Raw:
    kind: dict[str, Any] = {"__type": f"EntityReference:{_TYPE}", "Id": row, "KeyAttributes": []}
    return _raw({**kind, "LogicalName": entity, "Name": name, "RowVersion": None})


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(encode(value))


@lru_cache(maxsize=256)
def _choice(value: int) -> msgspec.Raw:
    return _raw({"__type": f"OptionSetValue:{_TYPE}", "Value": value})


@lru_cache(maxsize=4_096)
def _money(digits: str) -> msgspec.Raw:
    return _raw({"__type": f"Money:{_TYPE}", "Value": _number(digits)})


@lru_cache(maxsize=4_096)
def _number(digits: str) -> msgspec.Raw:
    """Return digits as a JSON number, unchanged."""
    return msgspec.Raw(digits.encode())


@lru_cache(maxsize=4_096)
def _date(text: str) -> str:
    """Return a date or time as `/Date(ms)/`."""
    day = datetime.fromisoformat(text) if len(text) > 10 else datetime.combine(date.fromisoformat(text), _MIDNIGHT)
    return f"/Date({int(day.timestamp())}000)/"


_MIDNIGHT = datetime.min.time().replace(tzinfo=UTC)


_WRITERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_CHOICES, _choice),
    **dict.fromkeys(_MONEY, _money),
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(_DATES, _date),
}


# --- Finance ----------------------------------------------------------------------------------------------------------


Attributes = dict[str, dict[str, Any]]
"""Columns of a virtual table's row by name, each as an event writes it."""


def _rows(story: list[TimedEvent]) -> dict[int, tuple[Attributes | None, Attributes]]:
    """Return the staging rows of a story before and after each event, by the event's sequence number."""
    rows: dict[str, Attributes] = {}
    states = {}
    for _, number, event in story:
        if event.entity == _STAGING:
            before = rows.get(event.key)
            now = rows[event.key] = {**(before or {}), **_virtual_columns(event)}
            states[number] = before, now
    return states


def staging_event(event: SimulatedEvent, before: Columns | None, now: Columns) -> SimulatedEvent:
    """Return the data event of a staging row with the columns `before` (None for a new row) and `now`."""
    data = event.value["data"]
    before_and_now = [
        None if columns is None else _virtual_columns(replace(event, value={"data": {**data, "columns": columns}}))
        for columns in (before, now)
    ]
    return data_event(event, before_and_now[0], before_and_now[1] or {})


def data_event(event: SimulatedEvent, before: Attributes | None, now: Attributes) -> SimulatedEvent:
    """Return a data event of a staging row: its current columns, and the previous ones if they are known."""
    data = event.value["data"]
    deleted = data["operation"] == "delete"
    message = "OnExternalDeleted" if deleted else _change(data)
    inputs = [{"key": "Target", "value": _virtual(event, {} if deleted else now)}]
    if before is not None and not deleted:
        inputs.append({"key": "PreImage", "value": _virtual(event, before)})
    value = {
        **_envelope(event, message, _VIRTUAL_STAGING, _NO_ROW),
        "InputParameters": inputs,
        "OutputParameters": [],
        "ParentContext": None,
        "PostEntityImages": [],
        "PreEntityImages": [],
        "SharedVariables": [],
        "Stage": 30,
    }
    return SimulatedEvent(event.topic, "", value, {})


def _change(data: dict[str, Any]) -> str:
    return "OnExternalCreated" if "RecId" in data["columns"] else "OnExternalUpdated"


def _virtual_columns(event: SimulatedEvent) -> Attributes:
    """Return an event's columns under the names of the virtual table; an empty date is omitted."""
    data = event.value["data"]
    columns = {"mserp_dataareaid": data.get("company", "").lower()}
    for name, value in data.get("columns", {}).items():
        if name not in ("RecId", "DataAreaId") and value != _NO_DATE:
            columns[f"mserp_{name.lower()}"] = _virtual_value(name, value)
    return {name: {"key": name, "value": value} for name, value in columns.items()}


def _virtual(event: SimulatedEvent, attributes: Attributes) -> dict[str, Any]:
    """Return a row of a virtual table."""
    record = int(event.key).to_bytes(8, "little").hex()
    return {
        "__type": f"Entity:{_TYPE}",
        "Attributes": list(attributes.values()),
        "EntityState": None,
        "FormattedValues": [],
        "Id": f"{_VIRTUAL_TABLE}{record[:4]}-{record[4:]}",
        "KeyAttributes": [],
        "LogicalName": _VIRTUAL_STAGING,
        "RelatedEntities": [],
        "RowVersion": None,
    }


def _virtual_value(name: str, value: Any) -> Any:
    if name in _ENUMS:
        return _choice(_FIRST_ENUM_VALUE + value)
    write = _WRITERS.get(name)
    return value if write is None or not value else write(value)


def invoice_posted(event: SimulatedEvent) -> SimulatedEvent:
    """Return the business event of a posted vendor invoice: an envelope and keys."""
    data, value = event.value["data"], event.value
    columns = data["columns"]
    return SimulatedEvent(
        event.topic,
        "",
        {
            "BusinessEventId": "VendorInvoicePostedBusinessEvent",
            "BusinessEventLegalEntity": data["company"].lower(),
            "ContextRecordSubject": "",
            "ControlNumber": int(event.key),
            "EventId": value["id"].upper(),
            "EventTime": _operation_time(value["time"], "+0000").replace("+0000", ""),
            "EventTimeIso8601": value["time"].replace("Z", ".0000000Z"),
            "InitiatingUserAADObjectId": f"{{{_NO_ROW}}}",
            "MajorVersion": 0,
            "MinorVersion": 0,
            "ParentContextRecordSubjects": [],
            "InvoiceAccount": columns["InvoiceAccount"],
            "InvoiceId": columns["InvoiceId"],
            "InvoiceDate": _date(columns["InvoiceDate"]),
            "LegalEntity": data["company"].lower(),
        },
        {},
    )


# --- pages ------------------------------------------------------------------------------------------------------------


def page(events: Iterable[SimulatedEvent], response_time: str) -> SimulatedEvent:
    """Return rows of one entity as a response of an API; the header gives the time of the response."""
    rows = list(events)
    entity, topic = rows[0].entity, rows[0].topic
    if topic.startswith("finance"):
        value = {"@odata.context": f"{_FINANCE_API}{entity}s", "value": [_odata_row(event) for event in rows]}
    else:
        value = {
            "@odata.context": f"{_DATAVERSE_API}{entity_set(entity)}/$delta",
            "value": [_delta_row(event) for event in rows],
        }
    return SimulatedEvent(topic, rows[0].key if len(rows) == 1 else "", value, {_RESPONSE_TIME: response_time})


def entity_set(entity: str) -> str:
    """Return the name under which an API exposes a table: its plural."""
    return f"{entity[:-1]}ies" if entity.endswith("y") else f"{entity}s"


def _odata_row(event: SimulatedEvent) -> dict[str, Any]:
    data = event.value["data"]
    return finance_row(event.key, data["columns"], data.get("company"))


def finance_row(record: str, columns: Columns, company: str | None, version: int = 1) -> dict[str, Any]:
    """Return a row of Finance as OData does: its etag contains its version and its RecId."""
    tag = base64.b64encode(f"'{version},{record}'".encode()).decode()
    row: dict[str, Any] = {"@odata.etag": f'W/"{tag}"'}
    if company:
        row["dataAreaId"] = company.lower()
    for name, value in columns.items():
        if name not in ("RecId", "DataAreaId"):
            row[name] = _number(value) if name in _NUMBERS and value is not None else value
    return row


def _delta_row(event: SimulatedEvent) -> dict[str, Any]:
    data = event.value["data"]
    if data["operation"] == "delete":
        return deleted_row(_DATAVERSE_API, event.entity, event.key)
    return dataverse_row(event.entity, event.key, data["columns"])


def deleted_row(api: str, entity: str, row: str) -> dict[str, Any]:
    """Return the entry of change tracking for a deleted row."""
    return {"@odata.context": f"{api}{entity}s/$deletedEntity", "id": row, "reason": "deleted"}


def dataverse_row(entity: str, row_id: str, columns: Columns) -> dict[str, Any]:
    """Return a row of Dataverse as the Web API does."""
    row: dict[str, Any] = {f"{entity}id": row_id}
    for name, value in columns.items():
        if isinstance(value, dict):
            row[f"_{name}_value"] = value["id"]
            row[f"_{name}_value@Microsoft.Dynamics.CRM.lookuplogicalname"] = value["entity"]
        elif value is not None and name in DIGITS:
            row[name] = _number(value)
        else:
            row[name] = value
    return row
