"""Documents that Sync leaves alone, because a repeated call could cost them a second time (R42).

An export, an approval or a confirmation makes actuals. None of them is repeated for a document that has, or may have,
its cost already. Import from staging, posting and sending an existing actual again make no actual and stay allowed,
except where nothing is certain about the document (`UNCERTAIN`).

To add a reason: its code and remedy in `REFUSALS`, and its condition in `refusal`.
"""

from collections.abc import Mapping
from typing import Final, Literal

from engine.reconciliation.documents import Document

Reason = Literal[
    "ambiguous-link",
    "posted-twice",
    "something-posted",
    "type-unknown",
    "possible-match",
    "changed-not-read",
    "ambiguous-invoice",
    "invoice-left-alone",
]

REFUSALS: Final[Mapping[str, str]] = {
    "ambiguous-link": "Resolve its ambiguous key first: another line has the same one, and a call could reach the "
    "record of that line.",
    "posted-twice": "Reverse the second posting in Finance first: one of its actuals is posted twice.",
    "something-posted": "Check its posted actuals first: a repeated call would cost it a second time. Enter what is "
    "missing as a new transaction.",
    "type-unknown": "Read the actual that its finding names first (`tieout poll`): no event says whether it is a cost.",
    "possible-match": "Check the actual that its finding names first, or the row in Finance whose actual is missing: "
    "it belongs to no document and may be its cost. If it is, set the source document of the actual in Dataverse.",
    "changed-not-read": "Wait until its changed rows are read: run a worker with the role handle, or `tieout poll`. "
    "One of them may hold its cost.",
    "ambiguous-invoice": "Find out first to which of the invoices with this number the line belongs.",
    "invoice-left-alone": "Check the other lines of its invoice first: the invoice is sent as a whole, and one of them "
    "may have its cost already.",
}
"""What a person does about a document that Sync leaves alone, by the code of the reason; the first that applies counts.
"""

UNCERTAIN: Final[frozenset[Reason]] = frozenset({"ambiguous-link", "posted-twice"})
"""The reasons for which nothing at all is done."""

REPEATED: Final = frozenset(
    {
        "not-synced-to-dataverse",
        "not-approved",
        "not-confirmed",
        "awaiting-manual-verification",
        "no-actual-made",
        "rejected-in-dataverse",
        "recalled-in-dataverse",
    }
)
"""The causes whose remedy makes actuals: an export, an approval or a confirmation, by Sync or by a person."""


def refusal(document: Document, *, matched: bool = False, unread: bool = False) -> Reason | None:
    """Return why no call that makes actuals may be repeated for a document; None if nothing is against it.

    `matched`: a cost without a document may be its own. `unread`: a row that it rests on has changed and was not
    read yet.
    """
    if "ambiguous-link" in document.findings:
        return "ambiguous-link"
    if "posted-twice" in document.findings:
        return "posted-twice"
    if document.posted:
        return "something-posted"
    if "type-unknown" in document.findings:
        return "type-unknown"
    if matched:
        return "possible-match"
    if unread:
        return "changed-not-read"
    return "ambiguous-invoice" if "ambiguous-invoice" in document.findings else None


def has_cost(document: Document) -> bool:
    """Return True if a document has an actual, posted or not: its invoice, which makes the actuals of all its lines, is
    never sent or confirmed again.
    """
    return document.has_actual or document.posted or document.cause in ("actual-not-synced-back", "actual-reversed")


def applies(reason: Reason, cause: str | None) -> bool:
    """Return True if a document with this cause (as shown) is left alone for the reason."""
    return reason in UNCERTAIN or cause in REPEATED
