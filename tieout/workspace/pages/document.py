"""A document with its chain: a timeline over both systems, the explanation, the findings, and the way to each event."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from engine.chains.records import Record
from engine.errors import QueryError
from engine.events.facts import Evidence, moment
from engine.reconciliation.documents import Amounts
from engine.reconciliation.explanations import explain, explain_finding
from engine.reconciliation.grace import is_reportable
from engine.sync.actions import ACTION_TEXTS
from engine.sync.attempts import ATTEMPTS_MAX, AttemptState, Sync
from store.operational.attempts import Attempt
from store.queries.rows import ChainView
from store.queries.snapshot import Snapshot
from streams.log import LogRecord, OffsetOutOfRange, TopicMissing
from tieout.presenters import findings_of, hexadecimal, record_json
from tieout.workspace.web.context import Frame, asked, frame, workspace_of
from tieout.workspace.web.csv_export import as_file
from tieout.workspace.web.deep_links import form_of
from tieout.workspace.web.grid_state import dates, sync_preview
from tieout.workspace.web.rendering import render

RECORD_NAMES: Final[Mapping[str, str]] = {
    "expense-line": "Expense line",
    "invoice-line": "Vendor invoice line",
    "dataverse-expense": "Expense",
    "dataverse-invoice-line": "Vendor invoice line",
    "actual": "Actual",
    "connection": "Transaction connection",
    "staging": "Staging row",
    "journal-line": "Integration journal line",
}
"""The label of a record, by its role."""

PARTS: Final = (
    ("missing_actual", "Missing actual"),
    ("missing_journal_line", "Missing journal line"),
    ("reconciled", "Reconciled"),
    ("difference", "Difference"),
)


_HEX_SHOWN: Final = 65_536


def page(request: Request) -> Response:
    """A document on a page of its own."""
    code = request.path_params["company"]
    name = f"{code}/{request.path_params['name']}"
    with asked(request) as snapshot:
        around = frame(request, snapshot, code, *dates(request.query_params))
        context = chain_context(request, snapshot, around, name)
        return render(request, "document_page.html", {"frame": around, "tab": "dual-write", "drawer": context})


def address(name: str, dated: str = "") -> str:
    """The address of a document's own page."""
    company, _, rest = name.partition("/")
    return f"/{quote(company, safe='')}/document/{quote(rest, safe='')}{dated}"


def chain_context(request: Request, snapshot: Snapshot, around: Frame, name: str) -> dict[str, Any]:
    """What the drawer and the page show of a document. Raises `QueryError` when there is none of that name."""
    return {
        "name": name,
        "address": address(name, around.dated()),
        "documents": [_document(request, view, snapshot, around) for view in snapshot.chain(name)],
        "problem": None,
        "closed": None,
    }


SYNC_STATES: Final[Mapping[AttemptState, str]] = {
    "waiting": "Queued",
    "running": "In progress",
    "done": "Done",
    "blocked": "Blocked (dependency)",
    "stopped": "Needs attention",
}


def _sync(sync: Sync) -> dict[str, Any]:
    """How far the current cycle of attempts for an action is: the next attempt and the last answer included."""
    return {
        "done_as": ACTION_TEXTS.get(sync.action, sync.action),
        "state": SYNC_STATES[sync.attempts.state],
        "made": sync.attempts.made,
        "of": ATTEMPTS_MAX,
        "next": sync.attempts.due if sync.attempts.state == "waiting" else None,
        "last": sync.last_at,
        "answer": f"{sync.last_outcome}: {sync.last_text}" if sync.last_text else sync.last_outcome,
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    """An attempt to sync as a line for people."""
    outcome = attempt.outcome or "in progress"
    return {
        "begun": attempt.begun,
        "done_as": ACTION_TEXTS.get(attempt.action, attempt.action),
        "count": f"{attempt.number} of {ATTEMPTS_MAX}" if attempt.number else "not counted",
        "outcome": f"{outcome}: {attempt.text}" if attempt.text else outcome,
    }


def _document(request: Request, view: ChainView, snapshot: Snapshot, around: Frame) -> dict[str, Any]:
    document = view.row.document
    explanation = explain(document, snapshot.moment)
    return {
        "attempts": [_attempt(attempt) for attempt in view.attempts],
        "syncs": [_sync(sync) for sync in snapshot.syncs([document.document])],
        "sync": sync_preview(around.code, {**around.dates, "document": document.document})
        if around.code and document.position in ("missing-actual", "missing-journal-line")
        else None,
        "document": document,
        "row": view.row,
        "status": view.row.status,
        "explanation": explanation,
        "event": event_address(document.evidence, around),
        "since": document.since,
        "age_days": max(0, (snapshot.present - moment(document.since)).days),
        "amounts": [
            _split(document.currency, document.amounts),
            *(
                [_split(document.accounting_currency, document.accounting)]
                if document.accounting_currency != document.currency
                else []
            ),
        ],
        "steps": _timeline(request, view.records, around),
        "findings": [
            {
                "code": finding.code,
                "explanation": explain_finding(finding),
                "event": event_address(finding.evidence, around),
            }
            for finding in findings_of(view)
            if is_reportable(finding, snapshot.moment)
        ],
    }


def _split(currency: str | None, amounts: Amounts | None) -> dict[str, Any]:
    return {
        "currency": currency,
        "amount": amounts.amount if amounts else None,
        "parts": [(name, title, getattr(amounts, name)) for name, title in PARTS] if amounts else [],
    }


def _timeline(request: Request, records: list[Record], around: Frame) -> list[dict[str, Any]]:
    """The records in the order of their first events, each in the lane of its system."""
    workspace = workspace_of(request)
    steps = []
    for record in records:
        told = record_json(record, workspace.in_force.maps)
        evidence = sorted(
            {*record.evidence, *(one for one in (record.latest_upsert, record.deleted) if one is not None)},
            key=lambda one: one.precedence,
        )
        steps.append(
            {
                **told,
                "title": RECORD_NAMES.get(told["record"] or "", (told["record"] or record.entity).capitalize()),
                "form": None
                if told["deleted"]
                else form_of(workspace.settings, told["source"], record.entity, told["id"], told["company"]),
                "at": evidence[0].at if evidence else 0,
                "last": evidence[-1].at if evidence else 0,
                "events": [_event(one, around) for one in evidence],
                "cells": [
                    (name, _text(value), event_address(record.evidence_of(name), around))
                    for name, value in told["columns"].items()
                ],
            }
        )
    return sorted(steps, key=lambda step: (step["at"], step["key"]))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("unfit", value))
    return "" if value is None else str(value)


def _event(evidence: Evidence, around: Frame) -> dict[str, Any]:
    return {
        "at": evidence.at,
        "id": evidence.event,
        "source": evidence.source,
        "address": event_address(evidence, around),
        "place": f"{evidence.topic}/{evidence.partition}/{evidence.offset}",
    }


def event_address(evidence: Evidence, around: Frame) -> str:
    """The address of the event that says so."""
    company = f"?company={quote(around.code)}" if around.code else ""
    return f"/event/{quote(evidence.topic, safe='')}/{evidence.partition}/{evidence.offset}{company}"


# --- raw events ------------------------------------------------------------------------------------------------------


def event(request: Request) -> Response:
    """An event as it came: its place, key, headers and bytes."""
    found = _event_record(request)
    with asked(request) as snapshot:
        around = frame(request, snapshot, request.query_params.get("company") or None)
    value = found.value or b""
    context = {
        "frame": around,
        "tab": "operation",
        "event": found,
        "key": None if found.key is None else found.key.decode("utf-8", "backslashreplace"),
        "headers": [(name, content.decode("utf-8", "backslashreplace")) for name, content in found.headers],
        "pretty": _pretty(value),
        "text": value.decode("utf-8", "backslashreplace"),
        "hexadecimal": hexadecimal(value[:_HEX_SHOWN]),
        "bytes": f"/event/{quote(found.topic, safe='')}/{found.partition}/{found.offset}/bytes",
        "at": found.timestamp * 1_000,
    }
    return render(request, "event.html", context)


def event_bytes(request: Request) -> Response:
    """The bytes of an event, to keep."""
    found = _event_record(request)
    headers = as_file(f"{found.topic}-{found.partition}-{found.offset}.bin")
    return Response(found.value or b"", media_type="application/octet-stream", headers=headers)


def _event_record(request: Request) -> LogRecord:
    topic, *numbers = (request.path_params[name] for name in ("topic", "partition", "offset"))
    log = workspace_of(request).log
    where = "/".join((topic, *numbers))
    found: list[LogRecord] = []
    # No log has a place with more digits.
    if all(re.fullmatch(r"\d{1,15}", number, re.ASCII) for number in numbers):
        partition, offset = map(int, numbers)
        with suppress(OffsetOutOfRange, TopicMissing):
            found = log.read(topic, partition, offset, 1, 1) if partition < log.partitions(topic) else []
    if not found or found[0].offset != offset:
        raise QueryError(f"there is no event at {where}: the log does not reach there, or no longer holds it.")
    return found[0]


def _pretty(value: bytes) -> str | None:
    """The bytes as JSON with an indent; None when they are none."""
    try:
        return msgspec.json.format(value, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
