"""Documents as programs get them: the JSON of `tieout documents`, of the positions topic and of exports. Names are
fixed (`design.md`).
"""

from typing import Any

from engine import money
from engine.changes import iso
from engine.documents import Amounts, Document

_PARTS = ("amount", "missing_actual", "missing_journal_line", "reconciled", "difference")


def amounts_json(amounts: Amounts | None, currency: str | None) -> dict[str, str | None]:
    """The five amounts as digits with the currency's decimals; null where they cannot be computed."""
    if amounts is None:
        return dict.fromkeys(_PARTS)
    return {
        "amount": None if amounts.amount is None else money.text(amounts.amount, currency),
        "missing_actual": money.text(amounts.missing_actual, currency),
        "missing_journal_line": money.text(amounts.missing_journal_line, currency),
        "reconciled": money.text(amounts.reconciled, currency),
        "difference": money.text(amounts.difference, currency),
    }


def document_json(document: Document) -> dict[str, Any]:
    """A document line as one JSON object, without what depends on the time of day (`in_flight`, `feed-silent`)."""
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
        "last_retried": None,
        "since": iso(document.since),
        "findings": list(document.findings),
    }
