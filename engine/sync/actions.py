"""The action of Sync for a document that is not reconciled, by its cause (R42).

Sync never creates an actual, and never approves or confirms what is left to a person (`docs/domain/limits.md`, "What
may be written at all"). It makes the two systems repeat their own processing.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec

from engine.chains.records import Row
from engine.events.facts import row_id_of
from engine.reconciliation.documents import Document
from engine.reconciliation.explanations import CAUSES
from engine.reconciliation.kinds import KINDS

Action = Literal["export", "approval", "confirmation", "resend", "import", "posting", "journal"]
"""Export the Finance document to Dataverse again; repeat approval or confirmation; resend the actual to Finance; run
Import from staging; post integration journals; sync a general journal to Dataverse (`engine.sync.general_journals`).
"""

ACTION_TEXTS: Final[dict[str, str]] = {
    "export": "export the document to Dataverse again",
    "approval": "run the automatic approval again",
    "confirmation": "run the automatic confirmation again",
    "resend": "send the actual to Finance again",
    "import": "run Import from staging",
    "posting": "post the journal",
    "journal": "sync the general journal to Dataverse",
}

SYSTEMS: Final[dict[str, str]] = {
    **dict.fromkeys(("export", "import", "posting"), "Finance"),
    **dict.fromkeys(("approval", "confirmation", "resend", "journal"), "Dataverse"),
}
"""The system that each action calls."""

SYNCED: Final = frozenset(
    {
        *("not-synced-to-dataverse", "not-approved", "not-confirmed", "no-actual-made", "actual-not-synced-back"),
        *("not-imported", "line-not-seen", "draft"),
    }
)
"""The causes for which Sync may have a step. Whether it has one depends on the document (`step_for`)."""


class Step(msgspec.Struct, frozen=True):
    """The action for a document. `parameters` are those of `handlers.processes`.

    Documents of one `subject` share one call.
    """

    action: Action
    subject: str
    parameters: dict[str, Any]


class Skipped(msgspec.Struct, frozen=True):
    """A document that Sync skips, and the reason: usually the action that a person must take."""

    reason: str


class Task(msgspec.Struct, frozen=True):
    """One call for all documents (their names, sorted) that it may advance."""

    action: Action
    subject: str
    company: str
    parameters: dict[str, Any]
    documents: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        """The identity of a call: action and subject."""
        return self.action, self.subject


def step_for(
    document: Document, cause: str | None, rows: Sequence[Row], *, posting_permitted: bool = False
) -> Step | Skipped | None:
    """Return the step for a document with this cause (as shown, `engine.reconciliation.grace`), given the rows of its
    chain.

    None if nothing needs to be done. Journals are posted only if permitted.
    """
    if document.position not in ("missing-actual", "missing-journal-line") or cause is None:
        return None
    company = document.company or ""
    match cause:
        case "not-synced-to-dataverse":
            table, record = KINDS[document.kind].line_table, int(document.key.split(":", 2)[2])
            # An invoice is exported as a whole, so its lines share one call.
            subject = f"{company}/{document.invoice} {document.voucher}" if document.invoice else document.document
            return Step("export", subject, {"company": company, "table": table, "recId": record})
        case "not-approved" | "not-confirmed" | "no-actual-made":
            return _approval_step(document, rows)
        case "actual-not-synced-back":
            return _resend_step(rows)
        case "not-imported" | "line-not-seen":
            return Step("import", company, {"company": company})
        case "draft" if document.journal is not None:
            return _posting_step(company, document.journal, posting_permitted)
        case "draft":
            return Skipped("Post the journal in Finance: its number is not known here.")
        case "not-observed":
            return Skipped("Connect the feed of the missing step first: no event of it was ever received.")
        case "feed-silent":
            return Skipped("Restore the feed of the missing step first: it is silent.")
        case "not-read-yet":
            return Skipped(
                "Wait until the changed rows of the missing step are read: the missing row may be among them."
            )
    return Skipped(CAUSES[cause].do)


def step_for_error(
    process: str, company: str, subject: str | None, *, posting_permitted: bool = False
) -> Step | Skipped:
    """Return the step that retries a current error, after a person corrected its cause: its process runs again.

    Import from staging creates the lines of an invoice proposal (`docs/domain/documents.md` §4). General journals are
    handled by `engine.sync.general_journals`.
    """
    match process:
        case "import-from-staging" | "invoice-proposal":
            return Step("import", company, {"company": company})
        case "integration-journal-posting" if subject is not None:
            return _posting_step(company, subject, posting_permitted)
    return Skipped("Run the process in Finance: the error names no journal.")


def _posting_step(company: str, journal: str, permitted: bool) -> Step | Skipped:
    if not permitted:
        return Skipped("Post the journal in Finance, or permit Sync to post it with TIEOUT_SYNC_POSTS.")
    return Step("posting", f"{company}/{journal}", {"company": company, "journals": [journal]})


def _approval_step(document: Document, rows: Sequence[Row]) -> Step | Skipped:
    kind = KINDS[document.kind]
    if kind.approval == "approval":
        for row in _of(rows, kind.record_role):
            if row["status"] in ("rejected", "recall-requested"):
                return Skipped("Ask its owner to submit it again: it was rejected or recalled in Dataverse.")
            expense = row_id_of(row.id)
            return Step("approval", expense, {"expense": expense})
        return Skipped("Check the document in Dataverse: its record is not known here.")
    for row in _of(rows, kind.record_role):
        if row["header"] is not None:
            invoice = row_id_of(row["header"])
            return Step("confirmation", invoice, {"invoice": invoice})
    return Skipped("Check the invoice in Dataverse: its line has no known header, so the invoice may be incomplete.")


def _resend_step(rows: Sequence[Row]) -> Step | Skipped:
    """Resend the first cost actual that Finance does not have; once it has arrived, the next one is the first."""
    arrived = {row["actual"] for row in _of(rows, "staging")}
    for row in _of(rows, "actual"):
        if row["type"] == "cost" and not row["skip_sync"] and row.id not in arrived:
            actual = row_id_of(row.id)
            return Step("resend", actual, {"actual": actual})
    return Skipped("No action: all its cost actuals have reached Finance.")


def _of(rows: Iterable[Row], role: str) -> list[Row]:
    return sorted((row for row in rows if row.role == role), key=lambda row: row.key)


def tasks(steps: Iterable[tuple[str, str, Step]]) -> list[Task]:
    """Return the calls of steps, each once, in order of first appearance. Each step comes with the name of its document
    and its company.
    """
    calls: dict[tuple[Action, str], tuple[Step, str, set[str]]] = {}
    for name, company, step in steps:
        _, _, names = calls.setdefault((step.action, step.subject), (step, company, set()))
        names.add(name)
    return [
        Task(step.action, step.subject, company, step.parameters, tuple(sorted(names)))
        for step, company, names in calls.values()
    ]
