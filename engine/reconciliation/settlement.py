"""When a document is settled: it is reconciled, nothing of it is left on the account, and no finding questions its
money. Its position says that its actuals are posted (R14), not that the amounts agree.
"""

from typing import Final

from engine.reconciliation.documents import Document

SETTLED: Final = "settled"
"""The code of the status of a settled document; its position stays `reconciled`."""

MONEY_FINDINGS: Final = (
    "amount-differs",
    "currency-differs",
    "duplicate-actual",
    "duplicate-journal-line",
    "posted-twice",
    "cleared-amount-differs",
    "cleared-amount-assumed",
    "written-back-twice",
    "company-differs",
    "not-computable",
    "ledger-differs",
)
"""The findings that question what a document booked or cleared. The last one is known where the document alone is read
(`store.queries.snapshot`).
"""


def is_settled(document: Document) -> bool:
    """Return True if a document is reconciled and nothing about its money is open."""
    amounts, accounting = document.amounts, document.accounting
    if document.position != "reconciled" or amounts is None or accounting is None or document.booked is None:
        return False
    is_left = amounts.difference or accounting.difference or document.exchange_difference
    return not is_left and not money_findings(document)


def money_findings(document: Document) -> list[str]:
    """Return the codes of the findings of a document about its money."""
    return [code for code in MONEY_FINDINGS if code in document.findings]


def amount_left(document: Document) -> int | None:
    """Return what a document leaves on the account, in units of its accounting currency; None if unknown."""
    if document.booked is None or document.cleared is None:
        return None
    return document.booked - document.cleared
