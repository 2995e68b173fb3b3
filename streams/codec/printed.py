"""The JSON of a change: the output of `tieout decode`, and the body of a re-read command."""

from typing import Any

from engine.events.facts import UNDATED, Change, guid, iso
from engine.mapping.compiler import COMPANY


def change_json(change: Change) -> dict[str, Any]:
    """Return a change as JSON, with the member names documented in `docs/topics.md`, "commands".

    `rec_id` is present if the id of a Finance row was sent as the GUID of a virtual row (R3). `unknown` lists columns
    whose values are of an unsupported kind, if any (R2).
    """
    at = change.evidence.at
    printed: dict[str, Any] = {
        "operation": change.operation,
        "source": change.source,
        "entity": change.entity,
        "id": change.sent_id or change.id or None,
        "at": None if at == UNDATED else iso(at),
        "event_id": change.evidence.event or None,
        "correlation_id": change.correlation_id,
        "version": change.evidence.version or None,
        "company": change.company,
        "columns": {name: _value_json(value) for name, value in change.columns.items() if name != COMPANY},
        "truncated": change.truncated,
    }
    if change.sent_id:
        printed["rec_id"] = change.id
    if change.unknown:
        printed["unknown"] = list(change.unknown)
    return printed


def _value_json(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get("id"), str):
        return {**value, "id": guid(value["id"]) or value["id"]}
    return value
