"""Payloads in the formats of Dataverse and Finance, for tests to modify; the examples are in `tests/data/events`."""

import base64
import json
from pathlib import Path
from typing import Any, Final

EXAMPLES: Final = Path(__file__).parents[1] / "data" / "events"
ROW: Final = "ff26f5f6-2cd4-ef11-a730-0022480431d9"
OTHER: Final = "2e451703-c686-e711-80e5-00155db19e6d"
NONE: Final = "00000000-0000-0000-0000-000000000000"
ORGANISATION: Final = "7f1d2c60-4a3b-ee11-8ef3-000d3a1b2c3d"
DATAVERSE: Final = "https://org.crm4.dynamics.com/api/data/v9.2/$metadata#"
FINANCE: Final = "https://contoso.operations.dynamics.com/data/$metadata#"
MISSING: Final = object()
"""Takes a member away."""

Json = dict[str, Any]


def without_missing(members: Json) -> Json:
    return {name: value for name, value in members.items() if value is not MISSING}


def kind(name: str, **members: Any) -> Json:
    """A value of a kind that names itself: `OptionSetValue`, `Money`, …"""
    return {"__type": f"{name}:http://schemas.microsoft.com/xrm/2011/Contracts", **members}


def target(columns: Json, **members: Any) -> Json:
    """An entity with these columns."""
    attributes = [{"key": key, "value": value} for key, value in columns.items()]
    usual = {"Attributes": attributes, "FormattedValues": [], "Id": ROW, "LogicalName": "msdyn_actual"}
    return without_missing(kind("Entity", **{**usual, "RowVersion": None, **members}))


def context(columns: Json | None = None, **members: Any) -> Json:
    """The context of an update of an actual; `members` change its top level."""
    usual = {
        "MessageName": "Update",
        "PrimaryEntityName": "msdyn_actual",
        "PrimaryEntityId": ROW,
        "OperationCreatedOn": "/Date(1736329083000+0000)/",
        "OperationId": "2e4c8a10-9bcd-ef11-b8e8-0022480431d9",
        "CorrelationId": "6d1f0b52-1c52-4c0e-9a58-1b0d9b1c7a01",
        "OrganizationId": ORGANISATION,
        "OrganizationName": "unq7f1d",
        "Stage": 40,
        "Mode": 1,
        "InputParameters": [{"key": "Target", "value": target(columns or {})}],
        "OutputParameters": [],
        "PreEntityImages": [],
        "PostEntityImages": [],
        "ParentContext": None,
    }
    return without_missing({**usual, **members})


def targeted(top: Json, columns: Json | None = None, **members: Any) -> Json:
    """A context of which `top` changes the top level and `members` the target."""
    return context(**top, InputParameters=[{"key": "Target", "value": target(columns or {"a": 1}, **members)}])


def data_event(columns: Json | None = None, **members: Any) -> Json:
    """A Finance data event: an update of a staging row."""
    entity = "mserp_projcdsactualsimportentity"
    inside = target(
        columns or {"mserp_dataareaid": "uspm"}, LogicalName=entity, Id="00004951-0000-0000-5e1a-005001000000"
    )
    usual = {"MessageName": "OnExternalUpdated", "PrimaryEntityName": entity, "PrimaryEntityId": NONE, "Stage": 30}
    return context(**{**usual, "InputParameters": [{"key": "Target", "value": inside}], **members})


def business(**members: Any) -> Json:
    """A Finance business event."""
    usual = {
        "BusinessEventId": "VendorInvoicePostedBusinessEvent",
        "BusinessEventLegalEntity": "uspm",
        "ControlNumber": 5637611083,
        "EventId": "{3C47A4CD-6EDC-4319-B893-3F862EED65FD}",
        "EventTime": "/Date(1736333998000)/",
        "MajorVersion": 0,
        "InvoiceId": "Inv-6",
    }
    return without_missing({**usual, **members})


def page(context: str, *rows: Any) -> Json:
    """An answer of an API with these rows."""
    return {"@odata.context": context, "value": list(rows)}


def etag(*records: str) -> str:
    """Finance's etag of a row: version and RecId of each table behind it."""
    inside = "'" + ";".join(records) + "'"
    return f'W/"{base64.b64encode(inside.encode()).decode()}"'


ACTUAL: Final = {"@odata.etag": 'W/"5961002"', "msdyn_actualid": ROW, "msdyn_amount": 100}
STAGING: Final = {"@odata.etag": etag("1,5637151326"), "dataAreaId": "uspm", "ActualId": ROW}


def encoded(content: Any) -> bytes:
    return json.dumps(content).encode()
