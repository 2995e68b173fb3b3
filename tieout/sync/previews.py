"""The preview of a sync, and its confirmation: made by the same rules as `tieout sync --dry-run` (R40).

A preview carries the id of the request that it becomes, and what it showed. Confirmed, it is resolved again from the
store, so that nothing but what was shown is requested, and nothing that changed meanwhile. Confirmed twice it is one
request, for the attempt log executes each document of a run once.
"""

import base64
import binascii
import re
import uuid
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from engine.calendar import Company, Window
from engine.errorlog.known_messages import recognise
from engine.errors import NotFound, QueryError
from engine.reconciliation.documents import Document
from engine.sync.actions import PROCESS_NOT_SET, Skipped, Step, Task, tasks
from engine.sync.attempts import Request
from engine.sync.general_journals import task_of
from store.errorlog.error_log import ErrorEntry, ErrorQuery
from store.queries.grid_query import GridQuery
from store.queries.snapshot import Snapshot
from tieout.settings import Settings
from tieout.sync import connectors, error_retry
from tieout.sync.connectors import is_configured
from tieout.sync.general_journals import NOT_CONFIGURED, STATE_LABELS, JournalStatus, journal_statuses
from tieout.sync.planning import (
    MORE_NAMES,
    RECURRING,
    RECURRING_SCOPE,
    Limits,
    Plan,
    TooManyCalls,
    plan,
    plan_of,
    plan_rows,
)
from tieout.sync.requests import request_of
from tieout.worker.handling import NO_ADDRESSES, OUTGOING_OFF, ready

CALLS_MAX: Final = 10_000
"""The largest number of calls that a page starts."""
DOCUMENTS_MAX: Final = 100_000
"""The largest number of documents that a page syncs: the preview of more would take over a minute."""
TOKEN_MAX: Final = 4 * 1024 * 1024
"""Characters in the token of a form."""
LIMITS: Final = Limits(CALLS_MAX, DOCUMENTS_MAX)
_UNPACKED_MAX: Final = 16 * 1024 * 1024
SCOPE_MAX: Final = 300
_EVERY: Final = 1_000_000

SCOPES: Final[Mapping[str, str]] = {
    "recurring": RECURRING_SCOPE,
    "not-run": f"{RECURRING_SCOPE}, not run: {{reason}}",
    "who": RECURRING,
    "window": "All documents, {start} to {end}",
    "document": "Document {name}",
    "journal": "General journal {number}",
    "journals": "General journals",
    "error": "Error of {name}",
    "errors": "{number} errors",
}
"""The scopes of syncs that a run records, except those of grids, and who requested the recurring job; in English.
Placeholders are those of `str.format`.
"""

Kind = Literal["documents", "journals", "errors"]
"""The kind of subject that a sync is requested for."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A selected document, general journal or error, with its step, or the reason why it is left unchanged.

    `cause` is a code: the cause of a document, the state of a journal, the message code of an error. `amount` is the
    unreconciled amount of a document, in units of 1/10000 of its accounting `currency`.
    """

    name: str
    company: str
    cause: str
    step: Step | Skipped
    change: str = ""
    amount: int | None = None
    currency: str | None = None


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The preview of a sync. `queued` are the calls, by action and subject, that are queued or in progress already:
    they are made without this sync.
    """

    id: str
    kind: Kind
    company: str
    scope: str
    candidates: Sequence[Candidate]
    queued: Collection[tuple[str, str]] = frozenset()
    job: bool = False

    @property
    def tasks(self) -> list[Task]:
        """The calls, in order."""
        return tasks((one.name, one.company, one.step) for one in self.synced if isinstance(one.step, Step))

    @property
    def synced(self) -> list[Candidate]:
        """The candidates that a call is made for."""
        return [one for one in self.candidates if isinstance(one.step, Step) and not self._is_queued(one.step)]

    @property
    def waiting(self) -> list[Candidate]:
        """The candidates whose call is queued or in progress already."""
        return [one for one in self.candidates if isinstance(one.step, Step) and self._is_queued(one.step)]

    def _is_queued(self, step: Step) -> bool:
        return (step.action, step.subject) in self.queued

    @property
    def left(self) -> list[Candidate]:
        """The candidates that are left unchanged."""
        return [one for one in self.candidates if isinstance(one.step, Skipped)]

    @property
    def token(self) -> str:
        """The token of its form: the id of the request and the calls shown. Raises `TooManyCalls`."""
        calls: list[tuple[str, str, list[str]]] = [
            (task.action, task.subject, list(task.documents)) for task in self.tasks
        ]
        form = msgspec.json.encode(PreviewForm(self.id, self.kind, self.company, self.scope, calls, self.job))
        token = base64.urlsafe_b64encode(zlib.compress(form)).decode()
        if _exceeds_limits(form) or len(token) > TOKEN_MAX:
            raise TooManyCalls(MORE_NAMES)
        return token


class PreviewForm(msgspec.Struct, frozen=True, array_like=True):
    """The content of the form of a preview: its calls by action and subject, with the names of their documents."""

    id: str
    kind: Kind
    company: str
    scope: str
    calls: list[tuple[str, str, list[str]]]
    job: bool = False

    @property
    def names(self) -> list[str]:
        """The names of all documents, sorted."""
        return sorted({name for _, _, names in self.calls for name in names})


def read_token(token: str) -> PreviewForm:
    """Decode the token of a form. Raises `QueryError` for a token that no preview created."""
    try:
        if len(token) > TOKEN_MAX:
            raise ValueError
        unpacking = zlib.decompressobj()
        body = unpacking.decompress(base64.urlsafe_b64decode(token.encode("ascii")), _UNPACKED_MAX)
        if unpacking.unconsumed_tail or not unpacking.eof or _exceeds_limits(body):
            raise ValueError
        form = msgspec.json.decode(body, type=PreviewForm)
        texts = [form.scope, form.company, *(subject for _, subject, _ in form.calls), *form.names]
        # No name contains NUL, and databases cannot store it.
        if (
            not re.fullmatch(r"[0-9a-f-]{36}", form.id, re.ASCII)
            or len(form.scope) > SCOPE_MAX
            or "\0" in "".join(texts)
        ):
            raise ValueError
    except (ValueError, binascii.Error, zlib.error, msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise QueryError("the form is invalid: open the preview again.") from None
    if len(form.calls) > CALLS_MAX:
        raise QueryError(
            "the form has more than %(limit)s calls: open the preview again.", limit=format(CALLS_MAX, ",")
        )
    return form


def _exceeds_limits(body: bytes) -> bool:
    """Return True if a form exceeds the limits of a preview. Checked before decoding, because many short texts use a
    lot of memory.
    """
    texts = 2 * (DOCUMENTS_MAX + 2 * CALLS_MAX)
    # Names may contain quotes and brackets themselves.
    return len(body) > _UNPACKED_MAX or body.count(b"[") > 2 * CALLS_MAX + 10_000 or body.count(b'"') > 2 * texts


# --- selections ------------------------------------------------------------------------------------------------------


def of_window(
    snapshot: Snapshot, settings: Settings, company: Company, window: Window, *, job: bool = False
) -> Preview:
    """Preview the sync of all unreconciled documents in a window. Raises `TooManyCalls`."""
    scope = RECURRING_SCOPE if job else SCOPES["window"].format(start=window.start, end=window.end)
    return _of_documents(
        snapshot,
        company.code,
        scope,
        plan(snapshot, settings, company, window, limits=LIMITS),
        settings=settings,
        job=job,
    )


def of_rows(
    snapshot: Snapshot, settings: Settings, company: Company, queries: Iterable[GridQuery], scope: str
) -> Preview:
    """Preview the sync of the rows of grids. Raises `TooManyCalls`."""
    return _of_documents(snapshot, company.code, scope, plan_of(snapshot, settings, queries, LIMITS), settings=settings)


def of_document(snapshot: Snapshot, settings: Settings, company: Company, name: str) -> Preview:
    """Preview the sync of one document, even within its normal processing time. Raises `QueryError` if it does not
    exist.
    """
    rows = [view.row for view in snapshot.chain(name)]
    if any(row.document.company not in (None, company.code) for row in rows):
        raise NotFound(
            "there is no document %(name)r in %(company)s: open it in its own company.", name=name, company=company.code
        )
    planned = plan_rows(snapshot, settings, rows)
    return _of_documents(snapshot, company.code, SCOPES["document"].format(name=name), planned, settings=settings)


def _of_documents(
    snapshot: Snapshot, company: str, scope: str, planned: Plan, *, settings: Settings, job: bool = False
) -> Preview:
    candidates = [
        Candidate(
            name=document.row.document.document,
            company=document.row.document.company or company,
            cause=document.row.cause or document.row.document.position,
            step=_available(settings, document.step),
            change=document.change,
            amount=_open_amount(document.row.document),
            currency=document.row.document.accounting_currency,
        )
        for document in planned.documents
    ]
    return _preview("documents", snapshot, company, scope, candidates, job=job)


def _open_amount(document: Document) -> int | None:
    amounts = document.accounting
    return None if amounts is None else amounts.unreconciled


def of_journals(snapshot: Snapshot, company: Company, numbers: Collection[str] | None = None) -> Preview:
    """Preview the sync of general journals that are not confirmed in Dataverse: those with these numbers, or all of a
    company. Raises `QueryError` for a number that is not among them.
    """
    statuses = {status.journal: status for status in journal_statuses(snapshot, company.code)}
    if unknown := sorted(set(numbers or ()) - set(statuses)):
        raise NotFound(
            "there is no unconfirmed general journal %(number)r here: it may have been confirmed meanwhile.",
            number=unknown[0],
        )
    selected = [statuses[number] for number in sorted(statuses if numbers is None else set(numbers))]
    single = selected[0].journal if numbers and len(selected) == 1 else None
    scope = SCOPES["journals"] if single is None else SCOPES["journal"].format(number=single)
    return _preview("journals", snapshot, company.code, scope, [_of_journal(status) for status in selected])


def _of_journal(status: JournalStatus) -> Candidate:
    task = task_of(status.company, status.journal, status.posted)
    step = Step(task.action, task.subject, task.parameters)
    return Candidate(name=task.subject, company=status.company, cause=STATE_LABELS[status.state], step=step)


def of_errors(
    snapshot: Snapshot, settings: Settings, company: Company, is_selected: Callable[[ErrorEntry], bool]
) -> Preview:
    """Preview the retry of the processes of current errors. Raises `QueryError` if no selected error is current."""
    current = snapshot.error_log(ErrorQuery(company=company.code, limit=_EVERY))
    entries = [entry for entry in current if is_selected(entry)]
    if not entries:
        raise QueryError("no selected error is current: it may have been resolved or deleted meanwhile.")
    candidates = [_of_error(retry) for retry in error_retry.plan(snapshot, entries, settings)]
    number = len(candidates)
    scope = SCOPES["error"].format(name=candidates[0].name) if number == 1 else SCOPES["errors"].format(number=number)
    return _preview("errors", snapshot, company.code, scope, candidates)


def _of_error(retry: error_retry.Retry) -> Candidate:
    message = retry.entry.message
    step = retry.step
    if step is None:
        task = task_of(message.company or "", retry.journal or "")
        step = Step(task.action, task.subject, task.parameters)
    code = recognise(message.text or "").code
    return Candidate(name=retry.name, company=message.company or "", cause=code, step=step)


def _preview(
    kind: Kind, snapshot: Snapshot, company: str, scope: str, candidates: Sequence[Candidate], *, job: bool = False
) -> Preview:
    calls = {(one.step.action, one.step.subject) for one in candidates if isinstance(one.step, Step)}
    return Preview(
        id=str(uuid.uuid4()),
        kind=kind,
        company=company,
        scope=_truncated(scope),
        candidates=candidates,
        queued=snapshot.queued(calls),
        job=job,
    )


def _truncated(scope: str) -> str:
    """Return a scope within the length that a run stores."""
    return scope if len(scope) <= SCOPE_MAX else f"{scope[: SCOPE_MAX - 1]}…"


# --- confirmation ----------------------------------------------------------------------------------------------------


class Confirmed(msgspec.Struct, frozen=True):
    """A confirmed preview: its request, and the names that were shown and need another step now."""

    request: Request
    changed: list[str]


def confirm(snapshot: Snapshot, settings: Settings, company: Company, form: PreviewForm, who: str) -> Confirmed:
    """Return the request by `who` of the steps that were shown and are still needed. Raises `QueryError` as the
    preview.
    """
    if form.company != company.code:
        raise QueryError("the form is of another company: open the preview again.")
    current: dict[tuple[str, str, str], Candidate] = {}
    for candidate in _replan(snapshot, settings, company, form):
        if isinstance(candidate.step, Step):
            current[candidate.name, candidate.step.action, candidate.step.subject] = candidate
    shown = [(name, action, subject) for action, subject, names in form.calls for name in names]
    unchanged = [current[key] for key in shown if key in current]
    calls = tasks((one.name, one.company, one.step) for one in unchanged if isinstance(one.step, Step))
    changes = {one.name: one.change for one in unchanged if one.change}
    request = request_of(
        calls,
        changes,
        who=who,
        scope=form.scope,
        company=company.code,
        by_person=not form.job,
        restart=False,
        run=form.id,
    )
    return Confirmed(request, sorted(key[0] for key in shown if key not in current))


def _replan(snapshot: Snapshot, settings: Settings, company: Company, form: PreviewForm) -> Sequence[Candidate]:
    names = set(form.names)
    match form.kind:
        case "documents":
            planned = plan_rows(snapshot, settings, snapshot.documents_named(form.names))
            candidates = _of_documents(snapshot, company.code, form.scope, planned, settings=settings).candidates
            return [one for one in candidates if one.company == company.code]
        case "journals":
            return [one for one in of_journals(snapshot, company).candidates if one.name in names]
        case "errors":
            current = snapshot.error_log(ErrorQuery(company=company.code, limit=_EVERY))
            retries = error_retry.plan(snapshot, current, settings)
            return [_of_error(retry) for retry in retries if retry.name in names]


# --- obstacles -------------------------------------------------------------------------------------------------------


OBSTACLE: Final = "obstacle"
"""The code of the obstacles that settings make, in texts."""


def obstacles_of_settings() -> list[str]:
    """Return the obstacles that settings can make."""
    return [_sentence(reason) for reason in (NO_ADDRESSES, OUTGOING_OFF, NOT_CONFIGURED)]


def obstacles(settings: Settings, kind: Kind) -> list[str]:
    """Return the reasons why no sync can start: outgoing calls are off, a system does not respond, a prerequisite is
    missing (R48, R49). Calls both systems.
    """
    if (reason := ready(settings)) is not None:
        return [_sentence(reason)]
    if kind == "journals" and not settings.process_journal:
        return [_sentence(NOT_CONFIGURED)]
    return [_sentence(reason) for reason in connectors.obstacles(settings)]


def _available(settings: Settings, step: Step | Skipped) -> Step | Skipped:
    """Return the step, or the reason why its call cannot be made: the systems are connected, but no setting names the
    process.
    """
    if isinstance(step, Skipped) or not is_configured(settings) or getattr(settings, f"process_{step.action}"):
        return step
    return Skipped(PROCESS_NOT_SET[step.action], step.action)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
