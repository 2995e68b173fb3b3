"""The sync actions on documents and errors, and the handler of each action in the registry (R42)."""

from engine.sync.actions import SYNC_ACTIONS, Step
from engine.sync.attempts import Claim
from handlers.processes import Processes
from handlers.sync_executor import ActionHandler, Precondition
from store.queries.reader import Reader
from tieout.settings import Settings
from tieout.sync.error_retry import still_planned
from tieout.sync.planning import plan_rows


class DocumentSync:
    """Executes the actions on documents and errors: each call starts the process of its action."""

    def __init__(self, processes: Processes, reader: Reader, settings: Settings) -> None:
        self._processes = processes
        self._reader = reader
        self._settings = settings

    def check(self, claim: Claim) -> Precondition:
        """Return whether the documents of a claim, or the errors to retry, still need its call."""
        with self._reader.snapshot() as snapshot:
            rows = snapshot.documents_named(claim.documents)
            current = plan_rows(snapshot, self._settings, rows).documents
            errors = set(claim.documents) - {row.document.document for row in rows}
            has_error = bool(errors) and still_planned(snapshot, claim, errors, self._settings)
        has_document = any(
            isinstance(planned.step, Step)
            and (planned.step.action, planned.step.subject) == (claim.action, claim.subject)
            for planned in current
        )
        fingerprints = {planned.row.document.document: planned.change for planned in current}
        if has_document or has_error:
            return Precondition(True, "", fingerprints)
        causes = sorted({row.cause or row.document.position for row in rows})
        gone = "the error is resolved, or must not be retried" if errors else "the document no longer exists"
        return Precondition(False, f"no longer needed: {', '.join(causes) or gone}", fingerprints)

    def call(self, claim: Claim) -> None:
        """Start the process of the action. Raises `TargetError`."""
        self._processes.start(claim.action, claim.parameters)

    def ended(self, claim: Claim) -> None:
        """Do nothing: the events of the two systems show the effect of a call on its documents."""


def action_handlers(documents: ActionHandler, journals: ActionHandler) -> dict[str, ActionHandler]:
    """Return the handler of each action in the registry, by name."""
    return {
        name: journals if action.subject == "general journal" else documents for name, action in SYNC_ACTIONS.items()
    }
