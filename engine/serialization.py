"""JSON of documents and errors, for the command line, the topics and the exports.

Member names are a public contract (`docs/topics.md`).
"""

from typing import Any

from engine import money
from engine.errorlog.known_messages import catalogued, recognise
from engine.errorlog.lifecycle import ErrorStatus, Run
from engine.events.facts import ProcessMessage, iso
from engine.reconciliation.documents import PART_NAMES, Amounts, Document


def amounts_json(amounts: Amounts | None, currency: str | None) -> dict[str, str | None]:
    """Return the five amounts as digits with the currency's decimals; null if they cannot be computed."""
    if amounts is None:
        return dict.fromkeys(("amount", *PART_NAMES))
    return {
        "amount": None if amounts.amount is None else money.text(amounts.amount, currency),
        "missing_actual": money.text(amounts.missing_actual, currency),
        "missing_journal_line": money.text(amounts.missing_journal_line, currency),
        "reconciled": money.text(amounts.reconciled, currency),
        "difference": money.text(amounts.difference, currency),
    }


def document_json(document: Document) -> dict[str, Any]:
    """Return a document as a JSON object, without the members that depend on the time of day (`in_flight`,
    `feed-silent`).
    """
    line_amount = document.journal_line_amount
    return {
        "document": document.document,
        "company": document.company,
        "kind": document.kind,
        "position": document.position,
        "excluded": document.excluded,
        "cause": document.cause,
        **amounts_json(document.amounts, document.currency),
        "currency": document.currency,
        "accounting_currency": document.accounting_currency,
        "accounting": amounts_json(document.accounting, document.accounting_currency),
        "date": document.date,
        "voucher": document.voucher,
        "project": document.project,
        "project_name": document.project_name,
        "category": document.category,
        "exchange_rate": document.exchange_rate,
        "vendor": document.vendor,
        "vendor_name": document.vendor_name,
        "invoice": document.invoice,
        "line_number": document.line_number,
        "actual": document.has_actual,
        "journal": document.journal,
        "journal_line_amount": None if line_amount is None else money.text(line_amount, document.journal_line_currency),
        "journal_line_currency": document.journal_line_currency,
        "journal_voucher": document.journal_voucher,
        "posted_date": document.posted_date,
        "last_retried": None,  # from the attempt log, not from events
        "since": iso(document.since),
        "findings": list(document.findings),
    }


def error_json(message: ProcessMessage) -> dict[str, Any]:
    """Return a message of a Finance process with the details and resolution of its catalogue entry (R50, R51)."""
    recognised = recognise(message.text or "")
    entry = catalogued(recognised.code)
    return {
        "at": iso(message.evidence.at),
        "process": message.process,
        "run": message.run,
        "stage": message.stage,
        "company": message.company,
        "scope": list(message.scope),
        "subject": message.subject,
        "code": recognised.code,
        "parameters": recognised.parameters,
        "text": message.text,
        "details": entry.details if entry else None,
        "resolution": entry.resolution if entry else None,
        "source": message.evidence.source,
        "event_id": message.evidence.event,
    }


def state_json(status: ErrorStatus) -> dict[str, Any]:
    """Return the status of an error, with the run or the deletion that caused it (R53-R55)."""
    deletion = status.deletion
    return {
        "state": status.name,
        "taken_up": _run_json(status.taken_up),
        "interrupted": _run_json(status.interrupted),
        "deleted": None if deletion is None else {"at": iso(deletion.at), "who": deletion.who, "why": deletion.why},
    }


def _run_json(run: Run | None) -> dict[str, str] | None:
    return None if run is None else {"run": run.run, "started": iso(run.started)}
