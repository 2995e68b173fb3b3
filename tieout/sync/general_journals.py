"""General journals for workers and pages: requests their sync, reports attempts to the error log, and returns their
status (R60–R63).

The attempt log is the only state. Attempts are reported to the error log as messages of a process, one run for each
attempt. The ids of the messages are derived from the attempt, so that reporting is idempotent and may be repeated.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import httpx
import msgspec
import structlog
from sqlalchemy.exc import DBAPIError

from engine.errorlog.known_messages import catalogued, recognise
from engine.errorlog.lifecycle import subject_of
from engine.errors import TieoutError
from engine.events.facts import ProcessMessage, iso
from engine.mapping.compiler import Maps
from engine.sync.attempts import ATTEMPTS_MAX, SECOND, Claim, Request, Sync
from engine.sync.general_journals import (
    ACTION,
    PROCESS,
    STEP_OF,
    Journal,
    JournalStep,
    decide_next_step,
    failure,
    name_of,
    number_in,
    task_of,
)
from handlers.attempts import AttemptLog
from handlers.change_events import SourceEvent, process_event, source_of
from handlers.errors import TargetError
from handlers.general_journals import ColumnNames, GeneralJournals
from handlers.sync_executor import CLAIM_LEASE, Precondition
from store.errorlog.error_log import ErrorEntry, ErrorQuery
from store.operational.attempts import Attempt
from store.queries.reader import Reader
from store.queries.snapshot import Snapshot
from tieout.settings import Settings
from tieout.sync.requests import request_of

EVERY_SECONDS: Final = 300
"""The interval of the corresponding process of Finance (`docs/domain/limits.md`), and the retry delay of journals that
a person requested if `TIEOUT_JOURNALS_EVERY` is 0.
"""

CONFIRMED: Final = "Dataverse has confirmed it"
NOTHING: Final = "Finance has not posted it, or it has no project lines"
NOT_CONFIGURED: Final = (
    "general journals are not brought to Dataverse here: no setting says how (TIEOUT_PROCESS_JOURNAL)"
)

_FAILED: Final = ("transient", "configuration", "permanent", "interrupted")
_OPEN: Final = ("waiting", "running", "stopped")
_ERRORS_AT_ONCE: Final = 1_000

log = structlog.get_logger(__name__)


def column_names(maps: Maps, settings: Settings) -> ColumnNames:
    """Return the columns that identify rows, from the maps and the settings."""

    def column(entity: str, field: str) -> str:
        return next(mapped.columns[0] for mapped in maps.entities[entity].fields if mapped.name == field)

    contract_line, _, name = settings.journals_contract_line.partition("=")
    return ColumnNames(
        currency=column("transactioncurrency", "code"),
        project=column("msdyn_project", "number"),
        category=column("msdyn_transactioncategory", "number"),
        contract_line=contract_line,
        contract_line_name=name,
    )


class GeneralJournalSync:
    """Syncs general journals in a worker. `report` publishes events to the change topics; `clock` returns microseconds
    since 1970.
    """

    def __init__(
        self,
        journals: GeneralJournals,
        attempts: AttemptLog,
        reader: Reader,
        settings: Settings,
        report: Callable[[Sequence[SourceEvent]], None],
        clock: Callable[[], int],
    ) -> None:
        self._journals = journals
        self._attempts = attempts
        self._reader = reader
        self._settings = settings
        self._report = report
        self._clock = clock
        self._host = httpx.URL(settings.finance or "").host
        # Posted journals do not change, so those that Dataverse has confirmed are not read again.
        self._settled: set[tuple[str, str]] = set()

    # --- requests -----------------------------------------------------------------------------------------------------

    def request_unconfirmed(self) -> list[str]:
        """Request the sync of the journals that are posted in Finance and not confirmed in Dataverse, and return the
        names of those that will be attempted. Journals that were confirmed meanwhile are closed, even after five
        attempts (R60, R63). Raises `TargetError`.
        """
        posted = self._journals.posted(self._settings.companies or (), self._settled)
        confirmed = self._journals.confirmed(posted)
        is_open = {sync.document for sync in self._attempts.syncs(action=ACTION) if sync.attempts.state in _OPEN}
        for journal in confirmed:
            name = name_of(journal.company, journal.number)
            if name not in is_open or self._attempts.close(ACTION, name, CONFIRMED, now=self._clock()):
                self._settled.add((journal.company, journal.number))
        requested = self._attempts.request(
            Request(
                id="general journals",
                at=self._clock(),
                who="general journals",
                by_person=False,
                tasks=tuple(task_of(one.company, one.number, one.at) for one in posted if one not in confirmed),
                input_fingerprints={},
            )
        )
        self._report_missing(is_open)
        return requested

    # --- one journal --------------------------------------------------------------------------------------------------

    def check(self, claim: Claim) -> Precondition:
        """Return the precondition of an attempt, from the state of the journal in both systems. It holds if they do not
        respond: the attempt will report the error.
        """
        wait = (self._settings.journals_every or EVERY_SECONDS) * SECOND
        if not self._settings.process_journal:
            return Precondition(False, NOT_CONFIGURED, {})
        try:
            pair = self._journals.read_pair(claim.company, claim.parameters["journal"])
        except TargetError:
            return Precondition(True, "", {}, wait)
        next_step = decide_next_step(pair.journal, pair.twin, _attempts_made(claim))
        why = CONFIRMED if next_step.step == "closed" else NOTHING
        return Precondition(not next_step.over, why if next_step.over else "", {}, wait)

    def call(self, claim: Claim) -> None:
        """Make one attempt. Raises `TargetError`."""

        def renew() -> None:
            self._attempts.renew(claim, until=self._clock() + CLAIM_LEASE)

        self._journals.sync(claim.company, claim.parameters["journal"], _attempts_made(claim), renew)

    def ended(self, claim: Claim) -> None:
        """Report the outcome of an attempt, once it is in the attempt log."""
        self._report_attempts(claim.documents)

    # --- reporting ----------------------------------------------------------------------------------------------------

    def _report_missing(self, is_open: Collection[str]) -> None:
        """Report attempts that were not reported when they ended: the log was unavailable, or the worker was killed."""
        with self._reader.snapshot() as snapshot:
            current = snapshot.error_log(ErrorQuery(process=PROCESS, limit=_ERRORS_AT_ONCE))
        with_error = {
            name_of(entry.message.company, entry.message.subject)
            for entry in current
            if entry.message.company and entry.message.subject
        }
        self._report_attempts(sorted(with_error.union(is_open)))

    def _report_attempts(self, documents: Collection[str]) -> None:
        try:
            syncs = self._attempts.syncs(list(documents), action=ACTION)
            events = [event for sync in syncs for event in self._unreported(sync)]
            if events:
                self._report(events)
        except (TieoutError, DBAPIError) as error:
            reason = str(error.orig).strip() if isinstance(error, DBAPIError) else str(error)
            log.warning("journals_not_reported", journals=len(documents), reason=reason)

    def _unreported(self, sync: Sync) -> Iterator[SourceEvent]:
        """Yield the events of a journal that have not arrived: a run for each attempt that ended, and one for a journal
        that was closed without an attempt.
        """
        oldest = self._clock() - self._settings.error_history_days * 86_400 * SECOND
        with self._reader.snapshot() as snapshot:
            ended = [
                attempt
                for attempt in snapshot.attempts(sync.document)
                if attempt.action == ACTION
                and attempt.outcome in ("succeeded", *_FAILED)
                # The reports of older attempts may have been purged.
                and (attempt.ended or 0) > oldest
            ]
            runs = {f"{sync.document} {attempt.call}": attempt for attempt in ended}
            closed = f"{sync.document} closed {sync.last_at}"
            ends = {_event(run, "end") for run in (*runs, closed)}
            arrived = snapshot.reported(source_of("finance", self._host), ends)
        for run, attempt in sorted(runs.items(), key=lambda item: item[1].call):
            if _event(run, "end") not in arrived:
                yield from self._of_attempt(sync, run, attempt)
        if sync.last_outcome == "not-needed" and sync.last_at and _event(closed, "end") not in arrived:
            yield from self._run(sync, closed, sync.last_at, sync.last_at + 1, None)

    def _of_attempt(self, sync: Sync, run: str, attempt: Attempt) -> Iterator[SourceEvent]:
        text: str | None = None
        if attempt.outcome == "interrupted":
            text = self._interrupted(sync, attempt.number or ATTEMPTS_MAX)
        elif attempt.outcome != "succeeded":
            text = attempt.text.partition("\n")[0]
        yield from self._run(sync, run, attempt.begun, attempt.ended or attempt.begun, text)

    def _interrupted(self, sync: Sync, count: int) -> str | None:
        """Return the message for an attempt whose worker was killed. The failed step is unknown, so the message names
        the next step; None if no step is left.
        """
        number = str(sync.parameters["journal"])
        try:
            pair = self._journals.read_pair(sync.company, number)
        except TargetError:
            return failure(Journal(number, 0, False, ()), "header", count)
        next_step = decide_next_step(pair.journal, pair.twin, 0)
        return None if next_step.over else failure(pair.journal, next_step.step, count)

    def _run(self, sync: Sync, run: str, started: int, ended: int, text: str | None) -> Iterator[SourceEvent]:
        """Yield the events of a run on one journal; `text` is the message of a failed run."""
        number = sync.parameters["journal"]
        data: dict[str, Any] = {"process": PROCESS, "run": run, "company": sync.company, "scope": [number]}
        yield process_event(self._host, _event(run, "start"), "started", iso(started), data)
        if text is not None:
            message = {"subject": number, "text": text}
            yield process_event(self._host, _event(run, "message"), "message", iso(ended), data | message)
        stage = "finished" if text is None else "failed"
        yield process_event(self._host, _event(run, "end"), stage, iso(ended), data)


def _attempts_made(claim: Claim) -> int:
    """Return the number of attempts in this attempt cycle before the current one."""
    return claim.syncs[0].attempts.made


def _event(run: str, what: str) -> str:
    return f"{PROCESS} {run} {what}"


# --- status -----------------------------------------------------------------------------------------------------------

State = Literal["waiting", "running", "waits-for-a-person", "through", "reported"]
"""Queued; in progress; needs attention; confirmed in Dataverse; reported by Finance, which still retries it."""


class JournalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The sync status of a general journal. Times are microseconds since 1970."""

    company: str
    journal: str
    posted: str | None
    """The day on which Finance posted it."""
    state: State
    step: JournalStep | None
    """The last step that failed."""
    count: int
    """The number of attempts in this attempt cycle, at most five."""
    round: int
    """The number of the attempt cycle."""
    next: int | None
    """The time of the next attempt."""
    last: int | None
    outcome: str
    code: str
    error: str
    """The last message in the error log."""
    reason: str
    """The cause of the error, such as the response of a system."""
    todo: str
    about: str
    """The subject in the error log."""

    def as_json(self) -> dict[str, Any]:
        """Return the members of the JSON output."""
        members = msgspec.structs.asdict(self)
        del members["about"]
        for name in ("next", "last"):
            members[name] = None if members[name] is None else iso(members[name])
        return {**members, "of": ATTEMPTS_MAX, "retry": retry_command(self)}


STATE_LABELS: Final[Mapping[State, str]] = {
    "waiting": "queued",
    "running": "in progress",
    "waits-for-a-person": "needs attention",
    "through": "through",
    "reported": "retried by Finance",
}
"""The labels of the states, for people."""


def retry_command(status: JournalStatus) -> str | None:
    """Return the command that starts a new attempt cycle; None for a confirmed journal."""
    name = name_of(status.company, status.journal)
    return None if status.state == "through" else f"tieout journals sync {name}"


def journal_statuses(
    snapshot: Snapshot, company: str | None = None, *, everything: bool = False
) -> list[JournalStatus]:
    """Return the general journals that are not confirmed, of a company or of all, by company and number. They include
    the journals for which Finance itself has reported an error; `everything` adds the confirmed journals.
    """
    entries = snapshot.error_log(ErrorQuery(company=company, process=PROCESS, limit=_ERRORS_AT_ONCE))
    named = [(number_in(entry.message.subject or entry.message.text or ""), entry) for entry in entries]
    names = [name_of(entry.message.company or "", number) for number, entry in named if number]
    syncs = snapshot.syncs(action=ACTION, without_done=not everything)
    if not everything:
        # A confirmed journal is listed only for an error that was reported after its confirmation.
        syncs += snapshot.syncs(names, action=ACTION)
    statuses = {sync.document: _of_sync(sync) for sync in syncs}
    for number, entry in named:
        name = name_of(entry.message.company or "", number or "")
        if number and (name not in statuses or _is_later(entry.message, statuses[name])):
            statuses[name] = _of_error(number, entry)
    selected = [
        status
        for status in statuses.values()
        if (everything or status.state != "through") and company in (None, status.company)
    ]
    return sorted(selected, key=lambda status: (status.company, status.journal))


def journals_needing_attention(snapshot: Snapshot, company: str | None = None) -> list[JournalStatus]:
    """Return the general journals that need attention, attempted by tieout or by Finance."""
    return [status for status in journal_statuses(snapshot, company) if status.state == "waits-for-a-person"]


_STATES: Final[dict[str, State]] = {
    "waiting": "waiting",
    "running": "running",
    "blocked": "waits-for-a-person",
    "stopped": "waits-for-a-person",
    "done": "through",
}


def _of_error(number: str, entry: ErrorEntry) -> JournalStatus:
    """Return the status of a journal for which Finance reported an error."""
    message = entry.message
    known = recognise(message.text or "")
    count = min(int(known.parameters.get("count", entry.count)), ATTEMPTS_MAX)
    return JournalStatus(
        company=message.company or "",
        journal=number,
        posted=None,
        # After five attempts Finance leaves the journal to a person, as tieout does (R61).
        state="waits-for-a-person" if count == ATTEMPTS_MAX else "reported",
        step=STEP_OF.get(known.code),
        count=count,
        round=1,
        next=None,
        last=message.evidence.at,
        outcome="",
        code=known.code,
        error=message.text or "",
        reason="",
        todo=_remedy(known.code),
        about=subject_of(message).about,
    )


def _of_sync(sync: Sync) -> JournalStatus:
    """Return the status of a journal that tieout attempted."""
    error, _, reason = sync.last_text.partition("\n")
    if not reason and sync.last_outcome not in _FAILED:
        error, reason = "", error  # throttled, or not needed: nothing was reported
    if sync.last_outcome == "interrupted":
        error, reason = "", error
    code = recognise(error).code if error else ""
    state = _STATES[sync.attempts.state]
    posted = str(sync.parameters.get("posted") or "")[:10]
    return JournalStatus(
        company=sync.company,
        journal=str(sync.parameters["journal"]),
        posted=posted or None,
        state=state,
        step=STEP_OF.get(code),
        count=sync.attempts.made,
        round=sync.attempts.round,
        next=sync.attempts.due if state == "waiting" else None,
        last=sync.last_at,
        outcome=sync.last_outcome,
        code=code,
        error=error,
        reason=reason,
        todo=_remedy(code),
        about=str(sync.parameters["journal"]),
    )


def _is_later(error: ProcessMessage, status: JournalStatus) -> bool:
    """Return True if an error was reported after a journal was confirmed. An earlier error is current only until the
    report of the confirmation arrives.
    """
    return status.state == "through" and error.evidence.at > (status.last or 0)


def request_journals(snapshot: Snapshot, names: Iterable[str], who: str) -> Request:
    """Return the request of a person to sync journals (`USPM/USPM-000095`); each starts a new attempt cycle (R62)."""
    journals = sorted(set(names))
    syncs = {sync.document: sync for sync in snapshot.syncs(journals, action=ACTION)}
    tasks = []
    for name in journals:
        company, _, number = name.partition("/")
        posted = syncs[name].parameters.get("posted") if name in syncs else None
        tasks.append(task_of(company, number, posted))
    scope = f"{len(tasks)} general {'journal' if len(tasks) == 1 else 'journals'}"
    return request_of(tasks, {}, who=who, scope=scope)


def _remedy(code: str) -> str:
    known = catalogued(code)
    return known.resolution if known else ""
