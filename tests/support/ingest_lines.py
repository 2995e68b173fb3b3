"""Builds events as lines for `tieout ingest`."""

import json
from typing import Any


def row_change(
    entity: str, identifier: str, event: str = "", source: str = "finance", **columns: Any
) -> dict[str, Any]:
    """Return the change of a row to these columns."""
    value = {
        "specversion": "1.0",
        "id": event or f"{entity}-{identifier}",
        "source": f"/{source}/contoso",
        "type": "tieout.row.changed",
        "time": "2025-01-08T09:37:24Z",
        "data": {"entity": entity, "id": identifier, "operation": "upsert", "company": "USPM", "columns": columns},
    }
    return {"topic": f"{source}.changes", "key": identifier, "value": value}


def posted_expense(number: str, **columns: Any) -> dict[str, Any]:
    """Return a posted expense."""
    usual = {
        "ProjTransId": number,
        "AmountCurr": "100.00",
        "AmountMST": "100.00",
        "ExchangeCode": "USD",
        "ApprovalStatus": 6,
        "Voucher": "V-1",
        "TransDate": "2025-01-08",
        "ProjId": "P-1",
        "CostType": "Flight",
    }
    return row_change("TrvExpTrans", number, **{**usual, **columns})


def json_lines(*events: dict[str, Any]) -> bytes:
    """Return the events as JSON lines."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def process_message(
    text: str, event: str, at: str = "2025-01-08T10:00:00Z", company: str = "USPM", subject: str = ""
) -> dict[str, Any]:
    """Return a message of the general journal sync."""
    value = {
        "specversion": "1.0",
        "id": event,
        "source": "/finance/contoso",
        "type": "tieout.process.message",
        "time": at,
        "data": {
            "process": "general-journal-sync",
            "run": "r1",
            "company": company,
            "scope": [],
            "subject": subject or event,
            "text": text,
        },
    }
    return {"topic": "finance.changes", "key": event, "value": value}


def started_run(run: str, at: str, *scope: str) -> dict[str, Any]:
    """Return the start of a run of the same process."""
    event = process_message("", f"{run}-started", at)
    event["value"]["type"] = "tieout.process.started"
    event["value"]["data"] = {"process": "general-journal-sync", "run": run, "company": "USPM", "scope": list(scope)}
    return event
