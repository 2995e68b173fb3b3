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
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, Literal

import msgspec

from engine.calendar import Company, Window
from engine.errorlog.known_messages import recognise
from engine.errors import QueryError
from engine.reconciliation.documents import Document
from engine.sync.actions import ACTION_TEXTS, Skipped, Step, Task, tasks
from engine.sync.attempts import Request
from engine.sync.general_journals import task_of
from store.errorlog.error_log import ErrorEntry, ErrorQuery
from store.queries.grid_query import GridQuery
from store.queries.snapshot import Snapshot
from tieout.settings import Settings
from tieout.sync import connectors, error_retry
from tieout.sync.command_topic import current_user
from tieout.sync.connectors import is_configured
from tieout.sync.general_journals import NOT_CONFIGURED, STATE_LABELS, JournalStatus, journal_statuses
from tieout.sync.planning import NARROW, RECURRING_SCOPE, Limits, Plan, TooManyCalls, plan, plan_of, plan_rows
from tieout.sync.requests import request_of
from tieout.worker.handling import ready

CALLS_MAX: Final = 10_000
"""More calls than these are not started from a page."""
DOCUMENTS_MAX: Final = 100_000
"""Nor more documents: their preview would take a minute."""
TOKEN_MAX: Final = 4 * 1024 * 1024
"""Characters of a form's token."""
LIMITS: Final = Limits(CALLS_MAX, DOCUMENTS_MAX)
_UNPACKED_MAX: Final = 16 * 1024 * 1024
SCOPE_MAX: Final = 300
_EVERY: Final = 1_000_000

Kind = Literal["documents", "journals", "errors"]
"""What a sync is requested for."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A document, a general journal or an error that was chosen: what Sync does for it, or why it is left unchanged.

    `cause` is a code: why a document waits, how a journal stands, which message an error is. `amount` is what of a
    document is not reconciled, in units of 1/10000 of its accounting `currency`.
    """

    name: str
    company: str
    cause: str
    step: Step | Skipped
    change: str = ""
    amount: int | None = None
    currency: str | None = None


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a sync would do. `queued` are the calls, by action and subject, that are queued or in progress already: they
    are made without this sync.
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
        """What its form carries: the id of the request, and what was shown. Raises `TooManyCalls`."""
        shown: list[tuple[str, str, list[str]]] = [
            (task.action, task.subject, list(task.documents)) for task in self.tasks
        ]
        form = msgspec.json.encode(Shown(self.id, self.kind, self.company, self.scope, shown, self.job))
        token = base64.urlsafe_b64encode(zlib.compress(form)).decode()
        if _too_much(form) or len(token) > TOKEN_MAX:
            raise TooManyCalls(f"this sync names too much for one page. {NARROW}")
        return token


class Shown(msgspec.Struct, frozen=True, array_like=True):
    """What the form of a preview carries: its calls by action and subject, with the names of their documents."""

    id: str
    kind: Kind
    company: str
    scope: str
    calls: list[tuple[str, str, list[str]]]
    job: bool = False

    @property
    def names(self) -> list[str]:
        return sorted({name for _, _, names in self.calls for name in names})


def read_token(token: str) -> Shown:
    """What a form carries. Raises `QueryError` for what no preview of ours made."""
    try:
        if len(token) > TOKEN_MAX:
            raise ValueError
        unpacking = zlib.decompressobj()
        body = unpacking.decompress(base64.urlsafe_b64decode(token.encode("ascii")), _UNPACKED_MAX)
        if unpacking.unconsumed_tail or not unpacking.eof or _too_much(body):
            raise ValueError
        shown = msgspec.json.decode(body, type=Shown)
        texts = [shown.scope, shown.company, *(subject for _, subject, _ in shown.calls), *shown.names]
        # No database keeps NUL, and no name has it.
        if (
            not re.fullmatch(r"[0-9a-f-]{36}", shown.id, re.ASCII)
            or len(shown.scope) > SCOPE_MAX
            or "\0" in "".join(texts)
        ):
            raise ValueError
    except (ValueError, binascii.Error, zlib.error, msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise QueryError("this form cannot be read: open the preview again.") from None
    if len(shown.calls) > CALLS_MAX:
        raise QueryError(f"this form has more than {CALLS_MAX:,} calls: open the preview again.")
    return shown


def _too_much(body: bytes) -> bool:
    """Whether a form holds more than a preview may, judged before it is decoded: small texts take much memory."""
    texts = 2 * (DOCUMENTS_MAX + 2 * CALLS_MAX)
    # Names may hold quotes and brackets themselves.
    return len(body) > _UNPACKED_MAX or body.count(b"[") > 2 * CALLS_MAX + 10_000 or body.count(b'"') > 2 * texts


# --- what is chosen --------------------------------------------------------------------------------------------------


def of_window(
    snapshot: Snapshot, settings: Settings, company: Company, window: Window, *, job: bool = False
) -> Preview:
    """Everything in a window that is not reconciled. Raises `TooManyCalls`."""
    scope = RECURRING_SCOPE if job else f"All documents, {window.start} to {window.end}"
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
    """The rows of grids. Raises `TooManyCalls`."""
    return _of_documents(snapshot, company.code, scope, plan_of(snapshot, settings, queries, LIMITS), settings=settings)


def of_document(snapshot: Snapshot, settings: Settings, company: Company, name: str) -> Preview:
    """One document, also while it is on its way. Raises `QueryError` where there is none."""
    rows = [view.row for view in snapshot.chain(name)]
    if any(row.document.company not in (None, company.code) for row in rows):
        raise QueryError(f"there is no document {name!r} in {company.code}: open it in its own company.")
    planned = plan_rows(snapshot, settings, rows)
    return _of_documents(snapshot, company.code, f"Document {name}", planned, settings=settings)


def _of_documents(
    snapshot: Snapshot, company: str, scope: str, planned: Plan, *, settings: Settings, job: bool = False
) -> Preview:
    found = [
        Candidate(
            name=one.row.document.document,
            company=one.row.document.company or company,
            cause=one.row.cause or one.row.document.position,
            step=_available(settings, one.step),
            change=one.change,
            amount=_open_amount(one.row.document),
            currency=one.row.document.accounting_currency,
        )
        for one in planned.documents
    ]
    return _made("documents", snapshot, company, scope, found, job=job)


def _open_amount(document: Document) -> int | None:
    amounts = document.accounting
    return None if amounts is None else amounts.missing_actual + amounts.missing_journal_line


def of_journals(snapshot: Snapshot, company: Company, numbers: Collection[str] | None = None) -> Preview:
    """General journals that are not confirmed in Dataverse: those of these numbers, or all of a company. Raises
    `QueryError` for a number that is not among them.
    """
    known = {one.journal: one for one in journal_statuses(snapshot, company.code)}
    if unknown := sorted(set(numbers or ()) - set(known)):
        raise QueryError(
            f"there is no unconfirmed general journal {unknown[0]!r} here: it may have been confirmed meanwhile."
        )
    chosen = [known[number] for number in sorted(known if numbers is None else set(numbers))]
    scope = f"General journal {chosen[0].journal}" if numbers and len(chosen) == 1 else "General journals"
    return _made("journals", snapshot, company.code, scope, [_of_journal(one) for one in chosen])


def _of_journal(one: JournalStatus) -> Candidate:
    task = task_of(one.company, one.journal, one.posted)
    step = Step(task.action, task.subject, task.parameters)
    return Candidate(name=task.subject, company=one.company, cause=STATE_LABELS[one.state], step=step)


def of_errors(
    snapshot: Snapshot, settings: Settings, company: Company, chosen: Callable[[ErrorEntry], bool]
) -> Preview:
    """Current errors: their processes run again. Raises `QueryError` where none of those chosen is current."""
    entries = [entry for entry in snapshot.error_log(ErrorQuery(company=company.code, limit=_EVERY)) if chosen(entry)]
    if not entries:
        raise QueryError("there is no error like this that is current: it was resolved or deleted meanwhile.")
    found = [_of_error(one) for one in error_retry.plan(entries, settings)]
    scope = f"Error of {found[0].name}" if len(found) == 1 else f"{len(found)} errors"
    return _made("errors", snapshot, company.code, scope, found)


def _of_error(one: error_retry.Retry) -> Candidate:
    message = one.entry.message
    step = one.step
    if step is None:
        task = task_of(message.company or "", one.journal or "")
        step = Step(task.action, task.subject, task.parameters)
    code = recognise(message.text or "").code
    return Candidate(name=one.name, company=message.company or "", cause=code, step=step)


def _made(
    kind: Kind, snapshot: Snapshot, company: str, scope: str, found: Sequence[Candidate], *, job: bool = False
) -> Preview:
    wanted = {(one.step.action, one.step.subject) for one in found if isinstance(one.step, Step)}
    queued = snapshot.queued(wanted)
    return Preview(
        id=str(uuid.uuid4()), kind=kind, company=company, scope=_cut(scope), candidates=found, queued=queued, job=job
    )


def _cut(scope: str) -> str:
    """A scope as long as a run keeps one."""
    return scope if len(scope) <= SCOPE_MAX else f"{scope[: SCOPE_MAX - 1]}…"


# --- confirmed -------------------------------------------------------------------------------------------------------


class Confirmed(msgspec.Struct, frozen=True):
    """What a confirmed preview becomes: its request, and the names that were shown and need something else now."""

    request: Request
    changed: list[str]


def confirm(snapshot: Snapshot, settings: Settings, company: Company, shown: Shown) -> Confirmed:
    """The request of what was shown and is still to be done in the same way. Raises `QueryError` as the preview."""
    if shown.company != company.code:
        raise QueryError("this form is of another company: open the preview again.")
    now: dict[tuple[str, str, str], Candidate] = {}
    for one in _again(snapshot, settings, company, shown):
        if isinstance(one.step, Step):
            now[one.name, one.step.action, one.step.subject] = one
    wanted = [(name, action, subject) for action, subject, names in shown.calls for name in names]
    kept = [now[key] for key in wanted if key in now]
    calls = tasks((one.name, one.company, one.step) for one in kept if isinstance(one.step, Step))
    changes = {one.name: one.change for one in kept if one.change}
    request = request_of(
        calls,
        changes,
        who=current_user(),
        scope=shown.scope,
        company=company.code,
        by_person=not shown.job,
        restart=False,
        run=shown.id,
    )
    return Confirmed(request, sorted(name for name, action, subject in wanted if (name, action, subject) not in now))


def _again(snapshot: Snapshot, settings: Settings, company: Company, shown: Shown) -> Sequence[Candidate]:
    names = set(shown.names)
    match shown.kind:
        case "documents":
            planned = plan_rows(snapshot, settings, snapshot.documents_named(shown.names))
            found = _of_documents(snapshot, company.code, shown.scope, planned, settings=settings).candidates
            return [one for one in found if one.company == company.code]
        case "journals":
            return [one for one in of_journals(snapshot, company).candidates if one.name in names]
        case "errors":
            errors = error_retry.plan(snapshot.error_log(ErrorQuery(company=company.code, limit=_EVERY)), settings)
            return [_of_error(one) for one in errors if one.name in names]


# --- what stands in the way ------------------------------------------------------------------------------------------


def obstacles(settings: Settings, kind: Kind) -> list[str]:
    """Why no sync can start: outgoing calls are off, a system does not answer, a prerequisite is missing (R48, R49).

    It asks both systems, so it takes as long as their answers.
    """
    if (reason := ready(settings)) is not None:
        return [_sentence(reason)]
    if kind == "journals" and not settings.process_journal:
        return [_sentence(NOT_CONFIGURED)]
    return [_sentence(reason) for reason in connectors.obstacles(settings)]


def _available(settings: Settings, step: Step | Skipped) -> Step | Skipped:
    """A step, or why its call cannot be made: where the systems are connected, but no setting says how to call."""
    if isinstance(step, Skipped) or not is_configured(settings) or getattr(settings, f"process_{step.action}"):
        return step
    return Skipped(f"No setting says how to {ACTION_TEXTS[step.action]}: set TIEOUT_PROCESS_{step.action.upper()}.")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
