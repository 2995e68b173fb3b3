"""The page of a document: diagnosis, amounts, findings, a timeline over both systems, and its raw events."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.chains.records import Record
from engine.errors import NotFound
from engine.events.facts import Evidence, moment
from engine.mapping.roles import ROLES
from engine.reconciliation.documents import Amounts
from engine.reconciliation.explanations import explain, explain_finding, status_label
from engine.reconciliation.grace import is_reportable
from engine.reconciliation.kinds import KINDS
from engine.sync.actions import ACTION_TEXTS
from engine.sync.attempts import ATTEMPTS_MAX, Sync
from store.errorlog.error_log import ErrorEntry
from store.operational.attempts import Attempt
from store.queries.rows import ChainView
from store.queries.snapshot import Snapshot
from streams.log import LogRecord, OffsetOutOfRange, TopicMissing
from tieout.presenters import OUTCOMES, SYNC_STATES, findings_of, hexadecimal, record_json, remedy_of
from tieout.texts import COLUMN, Texts
from tieout.workspace.web import tones
from tieout.workspace.web.context import Frame, make_frame, open_snapshot, workspace_of
from tieout.workspace.web.csv_export import as_file
from tieout.workspace.web.deep_links import form_of
from tieout.workspace.web.error_texts import code_and_remedy, history_address, process_name
from tieout.workspace.web.event_rights import require_event
from tieout.workspace.web.grid_state import dates, sync_preview
from tieout.workspace.web.identity import require_document
from tieout.workspace.web.rendering import render

RECORD_NAMES: Final[Mapping[str, str]] = {name: name.capitalize() for name, role in ROLES.items() if role.chained} | {
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
    """Show a document on a page of its own."""
    code = request.path_params["company"]
    name = f"{code}/{request.path_params['name']}"
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, code, *dates(request.query_params))
        context = chain_context(request, snapshot, frame, name)
        section = KINDS[context["documents"][0]["document"].kind].path
        shared = {"frame": frame, "section": section, "since": None, "windowless": True}
        return render(request, "document_page.html", {**shared, "drawer": context})


def address(name: str, dated: str = "") -> str:
    """Return the address of a document's page."""
    company, _, rest = name.partition("/")
    return f"/{quote(company, safe='')}/document/{quote(rest, safe='')}{dated}"


def chain_context(request: Request, snapshot: Snapshot, frame: Frame, name: str) -> dict[str, Any]:
    """Return the template context of a document for page and drawer. Raises `QueryError` for an unknown name, and
    `AccessDenied` for a document of a company that the reader may not see.
    """
    require_document(request, name)
    return {
        "name": name,
        "address": address(name, frame.dated()),
        "documents": [_document(request, view, snapshot, frame) for view in snapshot.chain(name)],
        "problem": None,
        "closed": None,
    }


def _sync(sync: Sync, texts: Texts) -> dict[str, Any]:
    """Describe the current attempt cycle of an action, with the next attempt and the last response."""
    state = sync.attempts.state
    return {
        "done_as": texts.of_code(sync.action, ACTION_TEXTS.get(sync.action, sync.action)),
        "state": texts.of_code(state, SYNC_STATES[state]),
        "made": sync.attempts.made,
        "of": ATTEMPTS_MAX,
        "next": sync.attempts.due if sync.attempts.state == "waiting" else None,
        "last": sync.last_at,
        "done": sync.attempts.state == "done",
        "answer": outcome_text(sync.last_outcome, sync.last_text, texts),
    }


def outcome_text(outcome: str, text: str, texts: Texts) -> str:
    """Describe the outcome of an attempt with its response."""
    shown = texts.of_code(outcome, OUTCOMES.get(outcome, outcome)) if outcome else ""
    return f"{shown}: {text}" if text else shown


def _attempt(attempt: Attempt, texts: Texts) -> dict[str, Any]:
    """Describe one sync attempt."""
    number, running = attempt.number, texts.gettext("in progress")
    return {
        "begun": attempt.begun,
        "done_as": texts.of_code(attempt.action, ACTION_TEXTS.get(attempt.action, attempt.action)),
        "count": texts.gettext("%(number)s of %(total)s", number=number, total=ATTEMPTS_MAX)
        if number
        else texts.gettext("not counted"),
        "outcome": outcome_text(attempt.outcome, attempt.text, texts) if attempt.outcome else running,
    }


def _document(request: Request, view: ChainView, snapshot: Snapshot, frame: Frame) -> dict[str, Any]:
    document = view.row.document
    texts = frame.texts
    explanation = explain(document, snapshot.moment, texts.of_code, remedy=remedy_of(view, texts.of_code))
    return {
        "attempts": [_attempt(attempt, texts) for attempt in view.attempts],
        "syncs": [_sync(sync, texts) for sync in snapshot.syncs([document.document])],
        "sync": sync_preview(frame.code, {**frame.dates, "document": document.document})
        if frame.code and document.position in ("missing-actual", "missing-journal-line")
        else None,
        "document": document,
        "row": view.row,
        "status": view.row.status,
        "tone": tones.of_status(
            document,
            view.row.status,
            in_flight=view.row.in_flight,
            sync_posts=workspace_of(request).settings.sync_posts,
        ),
        "label": status_label(
            view.row.status,
            document,
            lambda left: frame.locale.amount(left, document.accounting_currency),
            texts.of_code,
        ),
        "explanation": explanation,
        "event": event_address(document.evidence, frame),
        "since": document.since,
        "age_days": max(0, (snapshot.present - moment(document.since)).days),
        "amounts": [
            _split(document.currency, document.amounts, texts),
            *(
                [_split(document.accounting_currency, document.accounting, texts)]
                if document.accounting_currency != document.currency
                else []
            ),
        ],
        "steps": _timeline(request, view.records, frame),
        "findings": [
            {
                "code": finding.code,
                "explanation": explain_finding(finding, texts.of_code),
                "event": event_address(finding.evidence, frame),
            }
            for finding in findings_of(view)
            if is_reportable(finding, snapshot.moment)
        ],
        "errors": [_error(entry, frame) for entry in view.errors],
    }


def _error(entry: ErrorEntry, frame: Frame) -> dict[str, Any]:
    """Describe an error about the document, with its meaning and remedy."""
    message = entry.message
    code, details, resolution = code_and_remedy(message, frame.texts)
    return {
        "entry": entry,
        "message": message,
        "code": code,
        "process": process_name(message.process, frame.texts),
        "details": details,
        "resolution": resolution,
        "history": history_address(message.company, message) if message.company else None,
    }


def _split(currency: str | None, amounts: Amounts | None, texts: Texts) -> dict[str, Any]:
    parts = [(name, texts.of_code(COLUMN, title), getattr(amounts, name)) for name, title in PARTS] if amounts else []
    return {"currency": currency, "amount": amounts.amount if amounts else None, "parts": parts}


def _timeline(request: Request, records: list[Record], frame: Frame) -> list[dict[str, Any]]:
    """Return the records ordered by their first event, each in the lane of its system."""
    workspace = workspace_of(request)
    steps = []
    for record in records:
        fields = record_json(record, workspace.in_force.maps, translate=frame.texts.of_code)
        role = fields["record"] or ""
        title = frame.texts.of_code(role, RECORD_NAMES[role]) if role in RECORD_NAMES else ""
        evidence = sorted(
            {*record.evidence, *(item for item in (record.latest_upsert, record.deleted) if item is not None)},
            key=lambda item: item.precedence,
        )
        steps.append(
            {
                **fields,
                "title": title or (role or record.entity).capitalize(),
                "form": None
                if fields["deleted"]
                else form_of(workspace.settings, fields["source"], record.entity, fields["id"], fields["company"]),
                "at": evidence[0].at if evidence else 0,
                "last": evidence[-1].at if evidence else 0,
                "events": [_event(item, frame) for item in evidence],
                "cells": [
                    (name, _text(value), event_address(record.evidence_of(name), frame))
                    for name, value in fields["columns"].items()
                ],
            }
        )
    return sorted(steps, key=lambda step: (step["at"], step["key"]))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("unfit") or value.get("sent", value))
    return "" if value is None else str(value)


def _event(evidence: Evidence, frame: Frame) -> dict[str, Any]:
    return {
        "at": evidence.at,
        "id": evidence.event,
        "source": evidence.source,
        "address": event_address(evidence, frame),
        "place": f"{evidence.topic}/{evidence.partition}/{evidence.offset}",
    }


def event_address(evidence: Evidence, frame: Frame) -> str:
    """Return the address of an event's page."""
    company = f"?company={quote(frame.code)}" if frame.code else ""
    return f"/event/{quote(evidence.topic, safe='')}/{evidence.partition}/{evidence.offset}{company}"


# --- raw events ------------------------------------------------------------------------------------------------------


def event(request: Request) -> Response:
    """Show a raw event: location, key, headers and bytes."""
    record = _event_record(request)
    with open_snapshot(request) as snapshot:
        frame = make_frame(request, snapshot, request.query_params.get("company") or None)
    value = record.value or b""
    context = {
        "frame": frame,
        "section": "operation",
        "event": record,
        "key": None if record.key is None else record.key.decode("utf-8", "backslashreplace"),
        "headers": [(name, content.decode("utf-8", "backslashreplace")) for name, content in record.headers],
        "pretty": _pretty(value),
        "text": value.decode("utf-8", "backslashreplace"),
        "hexadecimal": hexadecimal(value[:_HEX_SHOWN]),
        "bytes": f"/event/{quote(record.topic, safe='')}/{record.partition}/{record.offset}/bytes",
        "at": record.timestamp * 1_000,
    }
    return render(request, "event.html", context)


def event_bytes(request: Request) -> Response:
    """Return the bytes of an event as a download."""
    record = _event_record(request)
    headers = as_file(f"{record.topic}-{record.partition}-{record.offset}.bin")
    return Response(record.value or b"", media_type="application/octet-stream", headers=headers)


def _event_record(request: Request) -> LogRecord:
    """Return the event of an address. Raises `NotFound`, and `AccessDenied` for one that the reader may not see."""
    topic, *numbers = (request.path_params[name] for name in ("topic", "partition", "offset"))
    log = workspace_of(request).log
    location = "/".join((topic, *numbers))
    records: list[LogRecord] = []
    # No log has offsets with more digits.
    if all(re.fullmatch(r"\d{1,15}", number, re.ASCII) for number in numbers):
        partition, offset = map(int, numbers)
        with suppress(OffsetOutOfRange, TopicMissing):
            records = log.read(topic, partition, offset, 1, 1) if partition < log.partitions(topic) else []
    if not records or records[0].offset != offset:
        raise NotFound(
            "there is no event at %(location)s: the log does not reach there, or no longer holds it.", location=location
        )
    require_event(request, records[0])
    return records[0]


def _pretty(value: bytes) -> str | None:
    """Return JSON bytes indented; None if they are not JSON."""
    try:
        return msgspec.json.format(value, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


ROUTES: Final = (
    Route("/event/{topic}/{partition}/{offset}", event),
    Route("/event/{topic}/{partition}/{offset}/bytes", event_bytes),
    Route("/{company}/document/{name:path}", page),
)
