"""General journals as a worker sees to them and as people look at them: which to take, what to report, how they stand
(R60–R63).

Nothing is kept beside the attempt log. What it says is reported to the error log as messages of a process, one run for
each attempt; their ids follow from the attempt, so one that may not have been sent is sent again.
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
from engine.sync.attempts import ATTEMPTS_MAX, INTERRUPTED, SECOND, Claim, Request, Sync
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
from store.errorlog.error_log import ErrorQuery
from store.operational.attempts import Attempt
from store.queries.snapshot import Reader, Snapshot
from tieout.settings import Settings
from tieout.sync.requests import request_of

EVERY_SECONDS: Final = 300
"""As often as Finance's own process runs (`docs/domain/limits.md`); what a person asked for is tried again so often
where nothing is taken by itself.
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
    """The columns by which rows are found, as the maps and the settings have them."""

    def column(entity: str, field: str) -> str:
        return next(found.columns[0] for found in maps.entities[entity].fields if found.name == field)

    contract_line, _, name = settings.journals_contract_line.partition("=")
    return ColumnNames(
        currency=column("transactioncurrency", "code"),
        project=column("msdyn_project", "number"),
        category=column("msdyn_transactioncategory", "number"),
        contract_line=contract_line,
        contract_line_name=name,
    )


class GeneralJournalSync:
    """What a worker does for general journals. `report` puts events onto the change topics; `clock` gives microseconds
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
        # Posted journals do not change: those that Dataverse has confirmed need not be looked at again.
        self._settled: set[tuple[str, str]] = set()

    # --- taking -------------------------------------------------------------------------------------------------------

    def request_unconfirmed(self) -> list[str]:
        """Ask for the journals that Finance has posted and Dataverse not confirmed, and close those that it confirmed
        meanwhile, also after five attempts (R60, R63); the names of those that will be tried. Raises `TargetError`.
        """
        posted = self._journals.posted(self._settings.companies or (), self._settled)
        confirmed = self._journals.confirmed(posted)
        is_open = {sync.document for sync in self._attempts.syncs(action=ACTION) if sync.attempts.state in _OPEN}
        for journal in confirmed:
            name = name_of(journal.company, journal.number)
            if name not in is_open or self._attempts.close(ACTION, name, CONFIRMED, now=self._clock()):
                self._settled.add((journal.company, journal.number))
        asked = self._attempts.request(
            Request(
                id="general journals",
                at=self._clock(),
                who="general journals",
                by_person=False,
                tasks=tuple(task_of(one.company, one.number, one.at) for one in posted if one not in confirmed),
                input_fingerprints={},
            )
        )
        self._tell_what_is_left(is_open)
        return asked

    # --- one journal --------------------------------------------------------------------------------------------------

    def needed(self, claim: Claim) -> Precondition:
        """Whether a journal still needs an attempt, by what both systems hold. When they cannot be asked, the attempt
        will say so.
        """
        wait = (self._settings.journals_every or EVERY_SECONDS) * SECOND
        if not self._settings.process_journal:
            return Precondition(False, NOT_CONFIGURED, {})
        try:
            pair = self._journals.read_pair(claim.company, claim.parameters["journal"])
        except TargetError:
            return Precondition(True, "", {}, wait)
        next_step = decide_next_step(pair.journal, pair.twin, _made(claim))
        why = CONFIRMED if next_step.step == "closed" else NOTHING
        return Precondition(not next_step.over, why if next_step.over else "", {}, wait)

    def call(self, claim: Claim) -> None:
        """One attempt. Raises `TargetError`."""

        def keep() -> None:
            self._attempts.renew(claim, until=self._clock() + CLAIM_LEASE)

        self._journals.sync(claim.company, claim.parameters["journal"], _made(claim), keep)

    def ended(self, claim: Claim) -> None:
        """Report how an attempt ended, once the attempt log says so."""
        self._tell(claim.documents)

    # --- reporting ----------------------------------------------------------------------------------------------------

    def _tell_what_is_left(self, is_open: Collection[str]) -> None:
        """Report what could not be when it happened: the log was away, or the worker was killed."""
        with self._reader.snapshot() as snapshot:
            current = snapshot.error_log(ErrorQuery(process=PROCESS, limit=_ERRORS_AT_ONCE))
        through = {
            name_of(entry.message.company, entry.message.subject)
            for entry in current
            if entry.message.company and entry.message.subject
        }
        self._tell(sorted(through.union(is_open)))

    def _tell(self, documents: Collection[str]) -> None:
        try:
            events = [
                event for sync in self._attempts.syncs(list(documents), action=ACTION) for event in self._of(sync)
            ]
            if events:
                self._report(events)
        except (TieoutError, DBAPIError) as error:
            reason = str(error.orig).strip() if isinstance(error, DBAPIError) else str(error)
            log.warning("journals_not_reported", journals=len(documents), reason=reason)

    def _of(self, sync: Sync) -> Iterator[SourceEvent]:
        """What is to be reported of a journal and has not arrived: a run for each attempt that ended, and one that
        closed it without.
        """
        oldest = self._clock() - self._settings.error_history_days * 86_400 * SECOND
        with self._reader.snapshot() as snapshot:
            ended = [
                attempt
                for attempt in snapshot.attempts(sync.document)
                if attempt.action == ACTION
                and attempt.outcome in ("succeeded", *_FAILED)
                # What is older may have been purged.
                and (attempt.ended or 0) > oldest
            ]
            runs = {f"{sync.document} {attempt.call}": attempt for attempt in ended}
            closed = f"{sync.document} closed {sync.last_at}"
            known = snapshot.reported(source_of("finance", self._host), {_event(run, "end") for run in (*runs, closed)})
        for run, attempt in sorted(runs.items(), key=lambda item: item[1].call):
            if _event(run, "end") not in known:
                yield from self._of_attempt(sync, run, attempt)
        if sync.last_outcome == "not-needed" and sync.last_at and _event(closed, "end") not in known:
            yield from self._run(sync, closed, sync.last_at, sync.last_at + 1, None)

    def _of_attempt(self, sync: Sync, run: str, attempt: Attempt) -> Iterator[SourceEvent]:
        text: str | None = None
        if attempt.outcome == "interrupted":
            text = self._interrupted(sync, attempt.number or ATTEMPTS_MAX)
        elif attempt.outcome != "succeeded":
            text = attempt.text.partition("\n")[0]
        yield from self._run(sync, run, attempt.begun, attempt.ended or attempt.begun, text)

    def _interrupted(self, sync: Sync, count: int) -> str | None:
        """What the log says of an attempt whose worker was killed: nobody knows at which step, so the one that is to be
        done now; None when nothing is.
        """
        number = str(sync.parameters["journal"])
        try:
            pair = self._journals.read_pair(sync.company, number)
        except TargetError:
            return failure(Journal(number, 0, False, ()), "header", count)
        next_step = decide_next_step(pair.journal, pair.twin, 0)
        return None if next_step.over else failure(pair.journal, next_step.step, count)

    def _run(self, sync: Sync, run: str, started: int, ended: int, text: str | None) -> Iterator[SourceEvent]:
        """The messages of a run on one journal; with a text it failed."""
        number = sync.parameters["journal"]
        said: dict[str, Any] = {"process": PROCESS, "run": run, "company": sync.company, "scope": [number]}
        yield process_event(self._host, _event(run, "start"), "started", iso(started), said)
        if text is not None:
            more = {"subject": number, "text": text}
            yield process_event(self._host, _event(run, "message"), "message", iso(ended), said | more)
        stage = "finished" if text is None else "failed"
        yield process_event(self._host, _event(run, "end"), stage, iso(ended), said)


def _made(claim: Claim) -> int:
    """Attempts of this round before the one that is about to begin."""
    return claim.syncs[0].attempts.made


def _event(run: str, what: str) -> str:
    return f"{PROCESS} {run} {what}"


# --- how they stand ---------------------------------------------------------------------------------------------------

State = Literal["waiting", "running", "waits-for-a-person", "through", "reported"]
"""Queued for its time; in progress; a person must act; confirmed in Dataverse; reported by Finance, which still retries
it itself.
"""


class JournalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a general journal stands. Times are microseconds since 1970."""

    company: str
    journal: str
    posted: str | None
    """The day on which Finance posted it."""
    state: State
    step: JournalStep | None
    """The step that failed last."""
    count: int
    """Attempts of this round, of five."""
    round: int
    next: int | None
    """When it is tried again."""
    last: int | None
    outcome: str
    code: str
    error: str
    """What was logged last, in the product's words."""
    reason: str
    """What stands behind it."""
    todo: str
    about: str
    """Under which name the error log has it."""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        told = msgspec.structs.asdict(self)
        del told["about"]
        for name in ("next", "last"):
            told[name] = None if told[name] is None else iso(told[name])
        return {**told, "of": ATTEMPTS_MAX, "retry": retry_command(self)}


STATE_LABELS: Final[Mapping[State, str]] = {
    "waiting": "queued",
    "running": "in progress",
    "waits-for-a-person": "needs attention",
    "through": "through",
    "reported": "retried by Finance",
}
"""How a general journal stands, for people."""


def retry_command(standing: JournalStatus) -> str | None:
    """The command that begins a new round; None for a journal that is through."""
    name = name_of(standing.company, standing.journal)
    return None if standing.state == "through" else f"tieout journals sync {name}"


def journal_statuses(
    snapshot: Snapshot, company: str | None = None, *, everything: bool = False
) -> list[JournalStatus]:
    """The general journals that are not through, of a company or of all, with those that Finance reports about by
    itself; with `everything` also those that are through. By company and number.
    """
    entries = snapshot.error_log(ErrorQuery(company=company, process=PROCESS, limit=_ERRORS_AT_ONCE))
    named = [(number_in(entry.message.subject or entry.message.text or ""), entry) for entry in entries]
    names = [name_of(entry.message.company or "", number) for number, entry in named if number]
    syncs = snapshot.syncs(action=ACTION, without_done=not everything)
    if not everything:
        # A journal that is through is listed only for an error that was reported since.
        syncs += snapshot.syncs(names, action=ACTION)
    found = {sync.document: _of_sync(sync) for sync in syncs}
    for number, entry in named:
        message = entry.message
        name = name_of(message.company or "", number or "")
        if number and (name not in found or _said_since(found[name], message)):
            known = recognise(message.text or "")
            count = min(int(known.parameters.get("count", entry.count)), ATTEMPTS_MAX)
            found[name] = JournalStatus(
                company=message.company or "",
                journal=number,
                posted=None,
                # At five of five Finance leaves it to a person, as we do (R61).
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
                todo=_todo(known.code),
                about=subject_of(message).about,
            )
    wanted = [
        one for one in found.values() if (everything or one.state != "through") and company in (None, one.company)
    ]
    return sorted(wanted, key=lambda one: (one.company, one.journal))


def journals_needing_attention(snapshot: Snapshot, company: str | None = None) -> list[JournalStatus]:
    """The general journals that a person must see to, whoever attempted them."""
    return [one for one in journal_statuses(snapshot, company) if one.state == "waits-for-a-person"]


_STATES: Final[dict[str, State]] = {
    "waiting": "waiting",
    "running": "running",
    "blocked": "waits-for-a-person",
    "stopped": "waits-for-a-person",
    "done": "through",
}


def _of_sync(sync: Sync) -> JournalStatus:
    words, _, reason = sync.last_text.partition("\n")
    if not reason and sync.last_outcome not in _FAILED:
        words, reason = "", words  # throttled, or not needed: nothing was logged
    if words == INTERRUPTED:
        words, reason = "", words
    code = recognise(words).code if words else ""
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
        error=words,
        reason=reason,
        todo=_todo(code),
        about=str(sync.parameters["journal"]),
    )


def _said_since(through: JournalStatus, error: ProcessMessage) -> bool:
    """Whether an error came after a journal was through: until our own report arrives, that before it is current."""
    return through.state == "through" and error.evidence.at > (through.last or 0)


def request_journals(snapshot: Snapshot, names: Iterable[str], who: str) -> Request:
    """A person's wish that journals (`USPM/USPM-000095`) be synced: each begins a new round (R62)."""
    wanted = sorted(set(names))
    known = {sync.document: sync for sync in snapshot.syncs(wanted, action=ACTION)}
    tasks = []
    for name in wanted:
        company, _, number = name.partition("/")
        posted = known[name].parameters.get("posted") if name in known else None
        tasks.append(task_of(company, number, posted))
    scope = f"{len(tasks)} general {'journal' if len(tasks) == 1 else 'journals'}"
    return request_of(tasks, {}, who=who, scope=scope)


def _todo(code: str) -> str:
    known = catalogued(code)
    return known.resolution if known else ""
