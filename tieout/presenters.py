"""JSON objects and labels of documents, chains and attempts, shared by the command line and the workspace."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, get_args

import msgspec

from engine import money
from engine.calendar import Window
from engine.chains.records import Record, Row, row_of
from engine.errorlog.about_documents import version_finding
from engine.events.facts import Evidence, guid, iso, microseconds, row_id_of
from engine.mapping.compiler import COMPANY, EntityMap, Maps
from engine.reconciliation.documents import Finding
from engine.reconciliation.explanations import explain, explain_finding
from engine.reconciliation.grace import Moment, is_reportable
from engine.reconciliation.kinds import KINDS
from engine.sync.actions import filled, journal_left_alone
from engine.sync.attempts import AttemptState, Outcome
from engine.sync.refusals import REFUSALS, applies
from engine.texts import Translate, english
from store.operational.attempts import Attempt
from store.queries.account import TOGETHER, Account, AccountParts, PartRow
from store.queries.account_queries import ComparedBalance
from store.queries.findings import LooseFinding
from store.queries.ledger import LedgerBalance
from store.queries.ledger_comparison import VoucherDifference
from store.queries.rows import ChainView


def balance_json(
    company: str, window: Window, parts: AccountParts, as_of: datetime, ledger: Mapping[str, LedgerBalance]
) -> dict[str, Any]:
    """Return the JSON of `tieout balance`. `ledger` are the ledger balances by account."""
    names: dict[str, str] = {**{code: kind.summary_name for code, kind in KINDS.items()}, TOGETHER: "together"}
    return {
        "company": company,
        "from": window.start,
        "to": window.end,
        "currency": parts.currency,
        "as_of": iso(microseconds(as_of.replace(microsecond=0))),
        "accounts": {
            name: _account_json(parts.accounts[code], ledger.get(code), parts.currency) for code, name in names.items()
        },
        "excluded": [
            {"reason": one.reason, "amount": money.text(one.amount, parts.currency), "count": one.documents}
            for one in parts.excluded
        ],
        "ledger_differs": [_difference_json(one, parts.currency) for one in parts.ledger.differing]
        if parts.ledger is not None
        else [],
    }


def _account_json(account: Account, ledger: LedgerBalance | None, currency: str | None) -> dict[str, Any]:
    balance = ledger.amount if ledger is not None else None
    shown: dict[str, Any] = {
        "parts": [
            {
                "part": name,
                "amount": money.text(part.amount, currency),
                "count": part.count,
                **({"without_amount": part.unknown} if part.unknown else {}),
            }
            for name, part in account.parts.items()
        ],
        "explained": money.text(account.explained, currency),
        "ledger": None if balance is None else money.text(balance, currency),
        "unexplained": None if balance is None else money.text(balance - account.explained, currency),
    }
    if ledger is not None and ledger.unknown is not None:
        shown |= {"ledger_unknown": ledger.unknown, "ledger_known_from": ledger.known_from}
    return shown


def compared_balance_json(one: ComparedBalance) -> dict[str, Any]:
    """Return a balance that a person entered, compared with what is explained at the end of its day, as JSON."""
    balance = one.balance
    return {
        "account": balance.account,
        "date": balance.date,
        "ledger": money.text(balance.amount, balance.currency),
        "explained": money.text(one.explained, balance.currency),
        "unexplained": money.text(one.unexplained, balance.currency),
        "who": balance.who or None,
        "at": iso(balance.at) if balance.at else None,
    }


def _difference_json(one: VoucherDifference, currency: str | None) -> dict[str, Any]:
    return {
        "voucher": one.voucher,
        "account": one.account,
        "date": one.date or None,
        "ledger": money.text(one.ledger, currency),
        "computed": money.text(one.computed or 0, currency),
        "difference": money.text(one.difference, currency),
    }


def part_row_json(row: PartRow) -> dict[str, Any]:
    """Return a document or a posting of a part as JSON."""
    values = msgspec.structs.asdict(row)
    amount, _ = values.pop("amount"), values.pop("place")
    return {**values, "accounting_amount": None if amount is None else money.text(amount, row.currency)}


# The fields that describe the state of a record, in the order of the output.
STATE_FIELDS: Final = (
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

SYNC_STATES: Final[Mapping[AttemptState, str]] = {
    "waiting": "Queued",
    "running": "In progress",
    "done": "Done",
    "blocked": "Blocked (dependency)",
    "stopped": "Needs attention",
}
"""The label of each state of a document's sync."""

OUTCOMES: Final[Mapping[str, str]] = {
    outcome: outcome.replace("-", " ") for outcome in (*get_args(Outcome), "throttled")
}
"""The outcome of an attempt within a sentence, by its code; `throttled` uses no attempt."""

FIELD: Final = "field"
"""The code of the names of fields in `STATE_FIELDS`, in texts."""

RawEvent = Callable[[Evidence], str | None]
"""Returns the bytes of an event as text, None if the log no longer holds them."""


def chain_json(view: ChainView, maps: Maps, moment: Moment, raw: RawEvent | None = None) -> dict[str, Any]:
    """Return a document with its explanation, its records in process order, its findings, attempts and errors."""
    return {
        **view.row.as_json(),
        "explanation": msgspec.to_builtins(explain(view.row.document, moment, remedy=remedy_of(view))),
        "chain": [record_json(record, maps, raw) for record in view.records],
        "findings": [finding_json(finding) for finding in findings_of(view) if is_reportable(finding, moment)],
        "attempts": [attempt_json(attempt) for attempt in view.attempts],
        "errors": [entry.as_json() for entry in view.errors],
    }


def remedy_of(view: ChainView, translate: Translate = english) -> str | None:
    """Return the remedy of a document that Sync leaves alone, or whose journal must not be posted, in place of that of
    its cause; None for any other.
    """
    if view.refused is not None and applies(view.refused, view.row.cause):
        return translate(view.refused, REFUSALS[view.refused])
    if not view.in_the_way:
        return None
    why = journal_left_alone(view.in_the_way)
    return filled(translate(why.code, why.template), why.lines)


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt to sync a document: the action, its times, its number in the attempt cycle and its outcome."""
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
    """Return the findings of the chain, those that depend on the time of day, and those that an error shows."""
    document = view.row.document
    timed = [Finding(code, document.key, document.document, {}, document.evidence) for code in view.row.timed]
    shown = [version_finding(entry.message, document) for entry in view.errors]
    return [*view.findings, *timed, *(finding for finding in shown if finding is not None)]


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding with its explanation."""
    return {
        "code": finding.code,
        "subject": finding.subject,
        "document": finding.document,
        "parameters": finding.parameters,
        "explanation": msgspec.to_builtins(explain_finding(finding)),
    }


def loose_finding_json(found: LooseFinding) -> dict[str, Any]:
    """Return a finding without a document: the row that it is about, since when, and its explanation."""
    return {
        "company": found.company,
        "entity": found.entity,
        "id": row_of(found.finding.subject),
        "since": iso(found.finding.evidence.at),
        **finding_json(found.finding),
    }


def record_json(
    record: Record, maps: Maps, raw: RawEvent | None = None, translate: Translate = english
) -> dict[str, Any]:
    """Return a record of a chain: its merged columns, the state derived from them, and their source events."""
    entity = maps.entities.get(record.entity)
    return {
        "key": record.key,
        "entity": record.entity,
        "id": row_id_of(record.id),
        "source": entity.source if entity else None,
        "record": entity.role.name if entity else None,
        "company": record.values.get(COMPANY),
        "deleted": not record.exists,
        "state": state(record, entity, translate) if entity else [],
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
    """Return an event: its time, its id and its location in the log; with `raw` also its text."""
    event = {
        "at": iso(evidence.at),
        "event_id": evidence.event,
        "source": evidence.source,
        "version": evidence.version or None,
        "topic": evidence.topic,
        "partition": evidence.partition,
        "offset": evidence.offset,
    }
    return event if raw is None else {**event, "raw": raw(evidence)}


def _column(value: Any, entity: EntityMap | None, name: str) -> Any:
    """Return a column's value for JSON: amounts as digits, times in ISO 8601, guids in their usual form."""
    if entity is None:
        return value
    kind = next((entity.role.fields[field.name] for field in entity.fields if name in field.columns), None)
    if kind == "money" and type(value) is int:
        return money.text(value, None)
    if type(value) is dict and "rounded" in value:
        return {"rounded": money.text(value["rounded"], None), "sent": value["sent"]}
    if type(value) is dict and "date" in value:
        return value["date"]
    if kind == "time" and type(value) is int:
        return iso(value)
    # The store may keep guids with their bytes in the order of their age.
    return row_id_of(value) if kind == "guid" and isinstance(value, str) else value


def state(record: Record, entity: EntityMap, translate: Translate = english) -> list[str]:
    """Return the state of a record as short texts: `status approved`, `voucher USPM-000463`."""
    if not record.exists:
        return [translate(FIELD, "deleted")]
    row = Row(record, entity, None)
    texts = []
    for field in STATE_FIELDS:
        value = row[field]
        # A guid refers to another record of the chain; it has no meaning to a person.
        if value is None or value is False or (isinstance(value, str) and guid(value)):
            continue
        if entity.role.fields[field] == "money":
            value = money.text(value, row["currency"] if entity.role.fields.get("currency") == "code" else None)
        if entity.role.fields[field] == "choice" and isinstance(value, str):
            value = translate(field, value)
        name = translate(FIELD, field.replace("_", " "))
        texts.append(name if value is True else f"{name} {value}")
    return texts


_HEX_BYTES: Final = 16


def hexadecimal(value: bytes) -> str:
    """Return bytes as a hexadecimal dump, sixteen to a row, with offset and printable characters."""
    rows = (value[start : start + _HEX_BYTES] for start in range(0, len(value), _HEX_BYTES))
    return "\n".join(
        f"{number * _HEX_BYTES:08x}  {part.hex(' '):<47}  {_letters(part)}" for number, part in enumerate(rows)
    )


def _letters(part: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
