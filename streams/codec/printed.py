"""What `tieout decode` prints of a change."""

from typing import Any

from engine.events.facts import UNDATED, Change, guid, iso
from engine.mapping.compiler import COMPANY


def change_json(change: Change) -> dict[str, Any]:
    """A change under the fixed names of `tieout decode` (`docs/topics.md`, "commands").

    `rec_id` is what a Finance row is known by, where its id was sent as the guid of a virtual row (R3).
    `unknown` names the columns whose values are of a kind this version does not know, when there are any (R2).
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
