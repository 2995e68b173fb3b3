"""What is told of a chain and of an error, from what the store decided: for every screen alike."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from engine import money
from engine.chains.records import Record, Row
from engine.events.facts import Evidence, guid, iso, row_id_of
from engine.mapping.compiler import COMPANY, EntityMap, Maps
from engine.reconciliation.documents import Finding
from engine.reconciliation.explanations import explain, explain_finding
from engine.reconciliation.grace import Moment, is_reportable
from store.operational.attempts import Attempt
from store.queries.rows import ChainView

# What says where a record stands, in this order; other fields say what it is.
_STATES: Final = (
    "type",
    "status",
    "state",
    "skip_sync",
    "amount",
    "currency",
    "voucher",
    "line",
    "journal",
    "first_role",
    "second_role",
)

RawEvent = Callable[[Evidence], str | None]


def chain_json(view: ChainView, maps: Maps, moment: Moment, raw: RawEvent | None = None) -> dict[str, Any]:
    """A document with its explanation, its records in the order of the process, and its findings with theirs."""
    return {
        **view.row.as_json(),
        "explanation": msgspec.to_builtins(explain(view.row.document, moment)),
        "chain": [record_json(record, maps, raw) for record in view.records],
        "findings": [finding_json(finding) for finding in findings_of(view) if is_reportable(finding, moment)],
        "attempts": [attempt_json(attempt) for attempt in view.attempts],
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """An attempt to sync a document: what was done, when, the how manieth of its round, and what came of it."""
    return {
        "action": attempt.action,
        "begun": iso(attempt.begun),
        "ended": None if attempt.ended is None else iso(attempt.ended),
        "round": attempt.round,
        "number": attempt.number,
        "outcome": attempt.outcome or None,
        "text": attempt.text,
    }


def findings_of(view: ChainView) -> list[Finding]:
    """The findings of the chain, and those that only time made."""
    document = view.row.document
    timed = [Finding(code, document.key, document.document, {}, document.evidence) for code in view.row.timed]
    return [*view.findings, *timed]


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding with its explanation."""
    return {
        "code": finding.code,
        "subject": finding.subject,
        "document": finding.document,
        "parameters": finding.parameters,
        "explanation": msgspec.to_builtins(explain_finding(finding)),
    }


def record_json(record: Record, maps: Maps, raw: RawEvent | None = None) -> dict[str, Any]:
    """A record of a chain: its columns as last seen, what they say of its state, and the events they come from."""
    entity = maps.entities.get(record.entity)
    return {
        "key": record.key,
        "entity": record.entity,
        "id": row_id_of(record.id),
        "source": entity.source if entity else None,
        "record": entity.role.name if entity else None,
        "company": record.values.get(COMPANY),
        "deleted": not record.exists,
        "state": state(record, entity) if entity else [],
        "columns": {
            name: _column(value, entity, name) for name, value in sorted(record.values.items()) if name != COMPANY
        },
        "events": [event_json(evidence, raw) for evidence in _events(record)],
    }


def _events(record: Record) -> list[Evidence]:
    found = {
        *record.evidence,
        *(evidence for evidence in (record.latest_upsert, record.deleted) if evidence is not None),
    }
    return sorted(found, key=lambda evidence: evidence.precedence)


def event_json(evidence: Evidence, raw: RawEvent | None = None) -> dict[str, Any]:
    """An event by its time, its id and its place in the log; with `raw` also what it said, word for word."""
    told = {
        "at": iso(evidence.at),
        "event_id": evidence.event,
        "source": evidence.source,
        "version": evidence.version or None,
        "topic": evidence.topic,
        "partition": evidence.partition,
        "offset": evidence.offset,
    }
    return told if raw is None else {**told, "raw": raw(evidence)}


def _column(value: Any, entity: EntityMap | None, name: str) -> Any:
    """A column's value as the command line writes it: amounts as digits, times in ISO 8601, guids as usual."""
    if entity is None:
        return value
    kind = next((entity.role.fields[field.name] for field in entity.fields if name in field.columns), None)
    if kind == "money" and type(value) is int:
        return money.text(value, None)
    if kind == "time" and type(value) is int:
        return iso(value)
    # Guids may be kept in the order of their age.
    return row_id_of(value) if kind == "guid" and isinstance(value, str) else value


def state(record: Record, entity: EntityMap) -> list[str]:
    """Where a record stands, in words: `status approved`, `voucher USPM-000463`."""
    if not record.exists:
        return ["deleted"]
    row = Row(record, entity, None)
    said = []
    for field in _STATES:
        value = row[field]
        # A guid points elsewhere in the chain; it says nothing to a person.
        if value is None or value is False or (isinstance(value, str) and guid(value)):
            continue
        if entity.role.fields[field] == "money":
            value = money.text(value, row["currency"] if entity.role.fields.get("currency") == "code" else None)
        name = field.replace("_", " ")
        said.append(name if value is True else f"{name} {value}")
    return said


_HEX_BYTES: Final = 16


def hexadecimal(value: bytes) -> str:
    """Bytes in rows of sixteen, with their place and their letters."""
    rows = (value[start : start + _HEX_BYTES] for start in range(0, len(value), _HEX_BYTES))
    return "\n".join(
        f"{number * _HEX_BYTES:08x}  {part.hex(' '):<47}  {_letters(part)}" for number, part in enumerate(rows)
    )


def _letters(part: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
