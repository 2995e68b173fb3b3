"""What Sync does for a document that is not reconciled: it follows the cause (R42).

It never makes an actual, and never approves or confirms what is left to a person (`docs/domain/limits.md`, "What may be
written at all"): it asks the two systems to do again what they do themselves.
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
"""Write the Finance document to Dataverse again; run approval or confirmation again; send the actual to Finance again;
Import from staging; post integration journals; bring a general journal to Dataverse (`engine.sync.general_journals`).
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
"""The causes for which Sync may have a step; whether it has one depends on the document (`step_for`)."""


class Step(msgspec.Struct, frozen=True):
    """What is done for a document: `parameters` are those of `handlers.processes`.

    Documents of one `subject` share one call.
    """

    action: Action
    subject: str
    parameters: dict[str, Any]


class Skipped(msgspec.Struct, frozen=True):
    """A document that Sync leaves alone, and why: mostly what a person does instead."""

    reason: str


class Task(msgspec.Struct, frozen=True):
    """One call for all the documents (their names, sorted) that it may move on."""

    action: Action
    subject: str
    company: str
    parameters: dict[str, Any]
    documents: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from other calls: its action and its subject."""
        return self.action, self.subject


def step_for(
    document: Document, cause: str | None, rows: Sequence[Row], *, posting_permitted: bool = False
) -> Step | Skipped | None:
    """What Sync does for a document with this cause (as shown, `engine.reconciliation.grace`), given the rows of its
    chain.

    None for one that needs nothing. Journals are posted only where that is permitted.
    """
    if document.position not in ("missing-actual", "missing-journal-line") or cause is None:
        return None
    company = document.company or ""
    match cause:
        case "not-synced-to-dataverse":
            table, record = KINDS[document.kind].line_table, int(document.key.split(":", 2)[2])
            # An invoice goes as a whole, so its lines share a call.
            subject = f"{company}/{document.invoice} {document.voucher}" if document.invoice else document.document
            return Step("export", subject, {"company": company, "table": table, "recId": record})
        case "not-approved" | "not-confirmed" | "no-actual-made":
            return _approved_again(document, rows)
        case "actual-not-synced-back":
            return _sent_again(rows)
        case "not-imported" | "line-not-seen":
            return Step("import", company, {"company": company})
        case "draft" if document.journal is not None:
            return _posted(company, document.journal, posting_permitted)
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
    """What a retry does for an error that is current, once a person mended what it names: its process runs again. An
    invoice proposal gets its lines from Import from staging (`docs/domain/documents.md` §4).

    General journals have a way of their own (`engine.sync.general_journals`).
    """
    match process:
        case "import-from-staging" | "invoice-proposal":
            return Step("import", company, {"company": company})
        case "integration-journal-posting" if subject is not None:
            return _posted(company, subject, posting_permitted)
    return Skipped("Run the process in Finance: the error names no journal.")


def _posted(company: str, journal: str, permitted: bool) -> Step | Skipped:
    if not permitted:
        return Skipped("Post the journal in Finance, or permit Sync to post it with TIEOUT_SYNC_POSTS.")
    return Step("posting", f"{company}/{journal}", {"company": company, "journals": [journal]})


def _approved_again(document: Document, rows: Sequence[Row]) -> Step | Skipped:
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


def _sent_again(rows: Sequence[Row]) -> Step | Skipped:
    """The first cost actual that Finance does not have; when it has arrived, the next one is first."""
    arrived = {row["actual"] for row in _of(rows, "staging")}
    for row in _of(rows, "actual"):
        if row["type"] == "cost" and not row["skip_sync"] and row.id not in arrived:
            actual = row_id_of(row.id)
            return Step("resend", actual, {"actual": actual})
    return Skipped("No action: all its cost actuals have reached Finance.")


def _of(rows: Iterable[Row], role: str) -> list[Row]:
    return sorted((row for row in rows if row.role == role), key=lambda row: row.key)


def tasks(steps: Iterable[tuple[str, str, Step]]) -> list[Task]:
    """The calls that steps come to, each once, in the order in which they first appear: for each step the name of what
    it is done for, and its company.
    """
    found: dict[tuple[Action, str], tuple[Step, str, set[str]]] = {}
    for name, company, step in steps:
        _, _, names = found.setdefault((step.action, step.subject), (step, company, set()))
        names.add(name)
    return [
        Task(step.action, step.subject, company, step.parameters, tuple(sorted(names)))
        for step, company, names in found.values()
    ]
