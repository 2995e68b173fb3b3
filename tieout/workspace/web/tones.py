"""The tone of a status: its colour and shape say who acts. Every status has its words as well."""

from typing import Final, Literal

from engine.reconciliation.documents import Document
from engine.reconciliation.settlement import SETTLED
from engine.sync.actions import SYNC_ACTIONS, SYNCED

Tone = Literal["info", "warn", "bad", "good", "none"]
"""`info`: Sync resolves it. `warn`: a person must act. `bad`: it failed. `good`: done. `none`: nobody has to act."""

_FAILED: Final = ("error", "unrecoverable", "invalid-actual")
_POSTED_BY_SYNC: Final = SYNC_ACTIONS["posting"].causes


def of_cause(cause: str, *, sync_posts: bool) -> Tone:
    """Return the tone of the cause of a missing actual or journal line. Sync posts journals only where it may."""
    if cause in SYNCED and (sync_posts or cause not in _POSTED_BY_SYNC):
        return "info"
    return "bad" if cause in _FAILED else "warn"


def of_status(document: Document, status: str, *, in_flight: bool, sync_posts: bool) -> Tone:
    """Return the tone of the status of a document, as `store.queries.rows.GridRow.status` has it."""
    if document.position in ("missing-actual", "missing-journal-line"):
        return "none" if in_flight else of_cause(status, sync_posts=sync_posts)
    if document.position == "reconciled":
        return "good" if status == SETTLED else "warn"
    return "none"
