"""The action of Sync for a document that is not reconciled, by its cause (R42).

Sync never creates an actual, and never approves or confirms what is left to a person (`docs/domain/limits.md`, "What
may be written at all"). It makes the two systems repeat their own processing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from engine.chains.records import Row
from engine.events.facts import row_id_of
from engine.reconciliation.documents import Document
from engine.reconciliation.explanations import CAUSES
from engine.reconciliation.kinds import KINDS
from engine.sync.journal_obstacles import POSTED_WITH_JOURNAL
from engine.sync.refusals import REFUSALS, Reason, applies

Action = Literal["export", "approval", "confirmation", "resend", "import", "posting", "journal"]
"""The names of the actions in `SYNC_ACTIONS`."""
System = Literal["Finance", "Dataverse"]


class SyncAction(msgspec.Struct, frozen=True, kw_only=True):
    """An action of Sync. `SYNC_ACTIONS` is the only list of them: workers, commands, pages, settings and docs/sync.md
    derive theirs from it. `tieout.sync.document_sync` assigns the code that executes each action.
    """

    name: Action
    """The name in commands, attempts, JSON and the setting `TIEOUT_PROCESS_<NAME>`."""
    system: System
    """The system that the action calls."""
    process: str
    """The process of the system that it calls."""
    text: str
    """What the action does, as a verb phrase for people."""
    subject: Literal["document", "general journal"] = "document"
    """What it is requested for."""
    causes: tuple[str, ...] = ()
    """The causes of documents that it can resolve; whether a document gets a step depends on its rows (`step_for`)."""
    precondition: str
    """The precondition, which is checked again just before each call."""
    success: str
    """What a successful call means."""
    retries_every_failure: bool = False
    """Retry up to five times whatever the class of the failure (R44)."""


_LINES_NAMED: Final = 3
"""How many journal lines a reason names."""

_STILL_PLANNED: Final = "a document or an error of the subject still needs this call"

_REGISTERED: Final = (
    SyncAction(
        name="import",
        system="Finance",
        process="Import from staging",
        text="run Import from staging",
        causes=("not-imported", "line-not-seen"),
        precondition=_STILL_PLANNED,
        success="Finance imports the staging rows of the company; the journal lines arrive as events",
    ),
    SyncAction(
        name="posting",
        system="Finance",
        process="posting of integration journals",
        text="post the journal",
        causes=("draft",),
        precondition=_STILL_PLANNED,
        success="Finance posts the journal; its posting arrives as events",
    ),
    SyncAction(
        name="export",
        system="Finance",
        process="re-export of a Finance document",
        text="export the document to Dataverse again",
        causes=("not-synced-to-dataverse",),
        precondition=_STILL_PLANNED,
        success="dual-write sends the document; its record in Dataverse arrives as an event",
    ),
    SyncAction(
        name="approval",
        system="Dataverse",
        process="approval of an expense",
        text="run the automatic approval again",
        causes=("not-approved", "no-actual-made"),
        precondition=_STILL_PLANNED,
        success="Dataverse approves the expense and creates its actuals, which arrive as events",
    ),
    SyncAction(
        name="confirmation",
        system="Dataverse",
        process="confirmation of a vendor invoice",
        text="run the automatic confirmation again",
        causes=("not-confirmed", "no-actual-made"),
        precondition=_STILL_PLANNED,
        success="Dataverse confirms the invoice and creates its actuals, which arrive as events",
    ),
    SyncAction(
        name="resend",
        system="Dataverse",
        process="sending an actual to Finance again",
        text="send the actual to Finance again",
        causes=("actual-not-synced-back",),
        precondition=_STILL_PLANNED,
        success="dual-write sends the actual; its staging row in Finance arrives as an event",
    ),
    SyncAction(
        name="journal",
        system="Dataverse",
        process="confirming a journal in Dataverse",
        text="sync the general journal to Dataverse",
        subject="general journal",
        precondition="the journal is posted in Finance and not confirmed in Dataverse",
        success="Dataverse has confirmed the journal with all its lines; the run is reported to the error log",
        retries_every_failure=True,
    ),
)

SYNC_ACTIONS: Final[Mapping[str, SyncAction]] = {action.name: action for action in _REGISTERED}
"""The registry: every action of Sync by its name. Names are stored in attempts, so they never change."""

ACTION_TEXTS: Final[dict[str, str]] = {name: action.text for name, action in SYNC_ACTIONS.items()}

SYSTEMS: Final[dict[str, str]] = {name: action.system for name, action in SYNC_ACTIONS.items()}
"""The system that each action calls."""

SYNCED: Final = frozenset(cause for action in SYNC_ACTIONS.values() for cause in action.causes)
"""The causes for which Sync may have a step; whether it has one depends on the document (`step_for`)."""


class Step(msgspec.Struct, frozen=True):
    """The action for a document. `parameters` are those of `handlers.processes`.

    Documents of one `subject` share one call.
    """

    action: Action
    subject: str
    parameters: dict[str, Any]


SKIPPED: Final[Mapping[str, str]] = {
    "journal-unknown": "Post the journal in Finance: its number is not known here.",
    "not-observed": "Connect the feed of the missing step first: no event of it was ever received.",
    "feed-silent": "Restore the feed of the missing step first: it is silent.",
    "not-read-yet": ("Wait until the changed rows of the missing step are read: the missing row may be among them."),
    "posting-not-permitted": "Post the journal in Finance, or permit Sync to post it with TIEOUT_SYNC_POSTS.",
    "record-unknown": "Check the document in Dataverse: its record is not known here.",
    "header-unknown": (
        "Check the invoice in Dataverse: its line has no known header, so the invoice may be incomplete."
    ),
    "all-arrived": "No action: all its cost actuals have reached Finance.",
    "in-progress": "It is within its normal processing time: the missing step may still arrive automatically.",
    "error-without-journal": "Run the process in Finance: the error names no journal.",
    "dual-write-error": "Correct the cause in the message, then sync the document: dual-write cannot be started alone.",
    "journal-of-error-unknown": "Run the process in Finance: the journal of the error is unknown.",
    "company-of-error-unknown": "Run the process in Finance: the company of the error is unknown.",
    "journal-left-alone": "Take journal line {lines} out of the journal first: posting the journal would post it too. "
    "It is a second line of an actual, or belongs to a document that Sync leaves alone or that is excluded.",
    **REFUSALS,
}
"""Why Sync skips a document or an error, by code: usually the action that a person must take."""

PROCESS_NOT_SET: Final[Mapping[str, str]] = {
    name: f"Set TIEOUT_PROCESS_{name.upper()}: no setting says how to {action.text}."
    for name, action in SYNC_ACTIONS.items()
}
"""Why Sync skips what an action would be made for, by the name of the action, while no setting names its process."""


class Skipped(msgspec.Struct, frozen=True):
    """A document or error that Sync skips: the reason in English, its code, and the journal lines that fill the
    placeholder of the reason.
    """

    template: str
    code: str
    lines: str = ""

    @property
    def reason(self) -> str:
        """The reason in English."""
        return filled(self.template, self.lines)


def filled(template: str, lines: str) -> str:
    """Return a reason of `SKIPPED`, translated or not, with the journal lines that it names."""
    return template.replace("{lines}", lines)


def skipped(code: str) -> Skipped:
    """Return the skip for a code of `SKIPPED`."""
    return Skipped(SKIPPED[code], code)


def journal_left_alone(lines: Sequence[str]) -> Skipped:
    """Return the skip of what would post a journal with these lines in the way."""
    named = ", ".join(lines[:_LINES_NAMED]) + (f", … ({len(lines)})" if len(lines) > _LINES_NAMED else "")
    return Skipped(SKIPPED["journal-left-alone"], "journal-left-alone", named)


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
    document: Document,
    cause: str | None,
    rows: Sequence[Row],
    *,
    refused: Reason | None = None,
    in_the_way: Sequence[str] = (),
    posting_permitted: bool = False,
) -> Step | Skipped | None:
    """Return the step for a document with this cause (as shown, `engine.reconciliation.grace`), given the rows of its
    chain.

    None if nothing needs to be done. `refused` is the reason to leave it alone (`engine.sync.refusals`), if any,
    `in_the_way` are the lines that keep its journal from being posted (`engine.sync.journal_obstacles`). Journals are
    posted only if permitted.
    """
    if document.position not in ("missing-actual", "missing-journal-line") or cause is None:
        return None
    if refused is not None and applies(refused, cause):
        return skipped(refused)
    if in_the_way and cause in POSTED_WITH_JOURNAL:
        return journal_left_alone(in_the_way)
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
            return skipped("journal-unknown")
        case "not-observed" | "feed-silent" | "not-read-yet":
            return skipped(cause)
    return Skipped(CAUSES[cause].do, cause)


def step_for_error(
    process: str,
    company: str,
    subject: str | None,
    *,
    in_the_way: Sequence[str] = (),
    posting_permitted: bool = False,
) -> Step | Skipped:
    """Return the step that retries a current error, after a person corrected its cause: its process runs again.

    Import from staging creates the lines of an invoice proposal (`docs/domain/documents.md` §4). General journals are
    handled by `engine.sync.general_journals`. `in_the_way` are the lines that keep the journal from being posted.
    """
    match process:
        case "import-from-staging" | "invoice-proposal":
            return Step("import", company, {"company": company})
        case "integration-journal-posting" if in_the_way:
            return journal_left_alone(in_the_way)
        case "integration-journal-posting" if subject is not None:
            return _posting_step(company, subject, posting_permitted)
        case "dual-write":
            return skipped("dual-write-error")
    return skipped("error-without-journal")


def _posting_step(company: str, journal: str, permitted: bool) -> Step | Skipped:
    if not permitted:
        return skipped("posting-not-permitted")
    return Step("posting", f"{company}/{journal}", {"company": company, "journals": [journal]})


def _approval_step(document: Document, rows: Sequence[Row]) -> Step | Skipped:
    kind = KINDS[document.kind]
    if kind.approval == "approval":
        for row in _of(rows, kind.record_role):
            record = row_id_of(row.id)
            return Step("approval", record, {kind.approval_parameter: record})
        return skipped("record-unknown")
    for row in _of(rows, kind.record_role):
        if row["header"] is not None:
            header = row_id_of(row["header"])
            return Step("confirmation", header, {kind.approval_parameter: header})
    return skipped("header-unknown")


def _resend_step(rows: Sequence[Row]) -> Step | Skipped:
    """Resend the first cost actual that Finance does not have; once it has arrived, the next one is the first."""
    arrived = {row["actual"] for row in _of(rows, "staging")}
    for row in _of(rows, "actual"):
        if row["type"] == "cost" and not row["skip_sync"] and row.id not in arrived:
            actual = row_id_of(row.id)
            return Step("resend", actual, {"actual": actual})
    return skipped("all-arrived")


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
