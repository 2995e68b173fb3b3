"""The attempt counter and the state after each attempt: pure functions, with the time as an argument (R43, R44).

There is one counter for each document and action. An attempt counts before its call is sent. A call that was throttled
(429) had no effect, so its attempt is given back. Five attempts are one attempt cycle; then the document needs a
person. A request of a person starts a new attempt cycle, the recurring job never does. Documents of one subject (the
lines of an invoice, everything that a company has to import) share their calls, and no other worker calls for that
subject meanwhile.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from engine.errors import TieoutError
from engine.sync.actions import SYNC_ACTIONS, Task

ATTEMPTS_MAX: Final = 5
"""The number of attempts of a cycle, as in Finance for general journals (`docs/domain/limits.md`, "Project Operations
processes").
"""
SECOND: Final = 1_000_000
INITIAL_BACKOFF: Final = 2 * SECOND
BACKOFF_MAX: Final = 15 * 60 * SECOND
THROTTLED_MAX: Final = 2 * 3600 * SECOND
"""The time after which a subject that receives only 429 stops: another client exhausts the limits."""

ALWAYS_RETRIED: Final = frozenset(name for name, action in SYNC_ACTIONS.items() if action.retries_every_failure)
"""Actions that are attempted five times whatever the failure: general journals (R44)."""
INTERRUPTED: Final = "the worker ended before it received the response; the call may have taken effect"

AttemptState = Literal["waiting", "running", "done", "blocked", "stopped"]
"""waiting: queued until it is due. running: in progress. done: completed, as far as calls can tell. blocked: until its
input fingerprint changes. stopped: until a person requests it.
"""

QUEUED: Final = ("waiting", "running")
"""The states that proceed without action of a person: queued or in progress."""

Outcome = Literal["succeeded", "not-needed", "transient", "configuration", "permanent", "interrupted"]


class Exhausted(TieoutError):
    """All attempts of the cycle were made: a person decides."""

    code = "attempts-exhausted"


class Attempts(msgspec.Struct, frozen=True):
    """The counter of one document and action. Times are microseconds since 1970.

    `round` is the number of the attempt cycle, `made` the number of its attempts that count, `calls` the number of all
    calls. `due` is the time of the next attempt, `since` that of the request, `change` the input fingerprint when it
    was blocked. The names are those of the columns.
    """

    round: int = 1
    made: int = 0
    calls: int = 0
    state: AttemptState = "waiting"
    due: int = 0
    since: int = 0
    change: str = ""


def requested(
    before: Attempts | None, now: int, *, by_person: bool, input_fingerprint: str, once: bool = False
) -> Attempts | None:
    """Return the counter after a request at `now`; None if the request has no effect.

    `input_fingerprint` is the current digest of the inputs of the call: the chain, its reference data and the settings.
    A person starts a new attempt cycle, unless an attempt is running or the first one is due. The recurring job
    continues the current cycle, and a blocked counter only if its input fingerprint has changed.

    `once`: the request is known to be new, whatever the clock of its sender.
    """
    if before is None:
        return Attempts(due=now, since=now)
    if before.state == "running":
        return None
    if by_person:
        # A duplicate of the request that started this cycle, or an older one that arrives late.
        if not once and now <= before.since:
            return None
        if before.state == "waiting" and before.made == 0:
            return None
        return replace(before, round=before.round + 1, made=0, state="waiting", due=now, since=now)
    has_attempts = before.made < ATTEMPTS_MAX
    if before.state == "done" or (before.state == "blocked" and before.change != input_fingerprint):
        return (
            replace(before, state="waiting", due=now, since=now) if has_attempts else replace(before, state="stopped")
        )
    return None


def started(before: Attempts) -> Attempts:
    """Return the counter after an attempt started; it counts from now on. Raises `Exhausted`."""
    if before.made >= ATTEMPTS_MAX:
        raise Exhausted(f"{ATTEMPTS_MAX} attempts were made in this cycle")
    return replace(before, made=before.made + 1, calls=before.calls + 1, state="running")


def throttled(before: Attempts, now: int, wait: int) -> Attempts:
    """Return the counter after a 429: the attempt is given back, and the subject waits for `wait` microseconds."""
    given_back = replace(before, made=before.made - 1, state="waiting", due=now + wait)
    return replace(given_back, state="stopped") if now + wait - before.since > THROTTLED_MAX else given_back


def ended(
    before: Attempts,
    outcome: Outcome,
    now: int,
    *,
    chance: float,
    input_fingerprint: str,
    always: bool = False,
    wait: int | None = None,
) -> Attempts:
    """Return the counter after an attempt ended. `chance` in [0, 1) is the jitter.

    `always`: every failure is retried up to the last attempt, as for general journals. `wait` is a fixed delay in
    microseconds instead of the backoff.
    """
    if outcome in ("succeeded", "not-needed"):
        return replace(before, state="done", change="")
    if outcome in ("configuration", "permanent") and not always:
        return replace(before, state="blocked", change=input_fingerprint)
    if before.made >= ATTEMPTS_MAX:
        return replace(before, state="stopped")
    return replace(before, state="waiting", due=now + (backoff(before.made, chance) if wait is None else wait))


def backoff(made: int, chance: float) -> int:
    """Return the delay after so many attempts, in microseconds: exponential backoff with jitter of up to the same
    length.
    """
    delay = min(INITIAL_BACKOFF * 2 ** max(made - 1, 0), BACKOFF_MAX)
    return int(delay * (1 + chance))


# --- documents of one subject ----------------------------------------------------------------------------------------


class Sync(msgspec.Struct, frozen=True, kw_only=True):
    """A document to sync, by name, with its action (`engine.sync.actions`) and counter.

    `by` is the actor of the request. While it is claimed, `holder` holds it until `until` (microseconds since 1970).
    `last_at`, `last_outcome` and `last_text` describe the previous attempt.
    """

    document: str
    action: str
    subject: str
    company: str
    parameters: dict[str, Any]
    attempts: Attempts
    by: str
    holder: str = ""
    until: int = 0
    last_at: int | None = None
    last_outcome: str = ""
    last_text: str = ""


class SyncRun(msgspec.Struct, frozen=True, kw_only=True):
    """A sync run: the documents that a person or the recurring job requested together, kept with its result.

    `scope` describes the selection in words. `calls` and `documents` count the whole run, which may consist of several
    requests.
    """

    id: str
    company: str
    scope: str
    calls: int
    documents: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request to execute tasks, by a person or the recurring job.

    `input_fingerprints` maps documents to digests of the inputs of their call: the chain, its reference data, the
    settings. Without `restart`, no document of a subject that is queued or in progress starts a new attempt cycle. With
    a `run`, each of its documents is requested once, however often the request arrives.
    """

    id: str
    at: int
    who: str
    by_person: bool
    tasks: tuple[Task, ...]
    input_fingerprints: dict[str, str]
    restart: bool = True
    run: SyncRun | None = None


class Claim(msgspec.Struct, frozen=True):
    """The exclusive right of a holder to call for a subject, with the action and the documents."""

    holder: str
    action: str
    subject: str
    company: str
    parameters: dict[str, Any]
    syncs: tuple[Sync, ...]

    @property
    def documents(self) -> tuple[str, ...]:
        """The names of the documents."""
        return tuple(sync.document for sync in self.syncs)


class ClaimLost(TieoutError):
    """Another worker has claimed the subject, because this one did not extend its claim in time."""

    code = "claim-lost"


def request_document(
    before: Sync | None, task: Task, document: str, request: Request, *, queued: bool = False
) -> Sync | None:
    """Return a document of a task after a request; None if the request has no effect, for example while it is claimed.

    `queued`: a document of the subject, possibly this one, is queued or in progress. A request without `restart` then
    starts no new cycle for any of them: a completed document joins the call within its cycle, if attempts are left.
    """
    if before is not None and before.until > request.at:
        return None
    joins = queued and not request.restart
    if before is not None and joins and (before.attempts.state != "done" or before.attempts.made >= ATTEMPTS_MAX):
        return None
    counter = requested(
        before.attempts if before is not None else None,
        request.at,
        by_person=request.by_person and not joins,
        input_fingerprint=request.input_fingerprints.get(document, ""),
        once=request.run is not None,
    )
    if counter is None:
        return None
    return Sync(
        document=document,
        action=task.action,
        subject=task.subject,
        company=task.company,
        # A repeated request may have fewer parameters than the first one.
        parameters={**(before.parameters if before else {}), **task.parameters},
        attempts=counter,
        by=request.who,
        last_at=before.last_at if before else None,
        last_outcome=before.last_outcome if before else "",
        last_text=before.last_text if before else "",
    )


def is_free(sync: Sync, now: int) -> bool:
    """Return True if it may be claimed: it is due, or was running, and its claim has expired."""
    due = sync.attempts.state == "running" or (sync.attempts.state == "waiting" and sync.attempts.due <= now)
    return due and sync.until <= now


def claimed(syncs: Sequence[Sync], holder: str, now: int, until: int, chance: float) -> list[Sync]:
    """Return the changed documents when `holder` claims a subject, given all its documents; empty while another worker
    holds it.

    A running attempt whose claim expired was interrupted. Its outcome is unknown, so it counts.
    """
    if any(sync.until > now for sync in syncs):
        return []
    changed = []
    for sync in syncs:
        if sync.attempts.state == "running":
            attempts = ended(sync.attempts, "interrupted", now, chance=chance, input_fingerprint="")
            changed.append(with_outcome(sync, attempts, "interrupted", INTERRUPTED, now))
        elif is_free(sync, now):
            changed.append(replace(sync, holder=holder, until=until))
    return changed


def claim_of(holder: str, syncs: Sequence[Sync]) -> Claim | None:
    """Return the claim of `holder` to a subject's documents; None if it holds none."""
    documents = tuple(sync for sync in syncs if sync.holder == holder)
    if not documents:
        return None
    first = documents[0]
    return Claim(holder, first.action, first.subject, first.company, first.parameters, documents)


def held(syncs: Sequence[Sync], claim: Claim) -> list[Sync]:
    """Return the documents of a claim, given all documents of its subject. Raises `ClaimLost` if it no longer holds one
    of them.
    """
    documents = [sync for sync in syncs if sync.holder == claim.holder]
    if len(documents) < len(claim.syncs):
        raise ClaimLost(f"{claim.action} of {claim.subject}: another worker has claimed it.")
    return documents


def start_all(syncs: Sequence[Sync], until: int) -> list[Sync]:
    """Return the documents with a started attempt, claimed until `until`."""
    return [replace(sync, attempts=started(sync.attempts), until=until) for sync in syncs]


def extend_all(syncs: Sequence[Sync], until: int) -> list[Sync]:
    """Return the documents with their claim extended until `until`."""
    return [replace(sync, until=until) for sync in syncs]


def throttle_all(syncs: Sequence[Sync], text: str, now: int, wait: int) -> list[Sync]:
    """Return the documents after a 429."""
    return [with_outcome(sync, throttled(sync.attempts, now, wait), "throttled", text, now) for sync in syncs]


def end_all(
    syncs: Sequence[Sync],
    outcome: Outcome,
    text: str,
    now: int,
    chance: float,
    input_fingerprints: Mapping[str, str],
    wait: int | None = None,
) -> list[Sync]:
    """Return the documents after their attempt ended. `input_fingerprints` are by name; `wait` as in `ended`."""
    return [
        with_outcome(
            sync,
            ended(
                sync.attempts,
                outcome,
                now,
                chance=chance,
                input_fingerprint=input_fingerprints.get(sync.document, ""),
                always=sync.action in ALWAYS_RETRIED,
                wait=wait,
            ),
            outcome,
            text,
            now,
        )
        for sync in syncs
    ]


def close_all(syncs: Sequence[Sync], reason: str, now: int) -> list[Sync]:
    """Return those documents that needed an attempt and need none any more. A running one is unchanged."""
    return [
        with_outcome(sync, replace(sync.attempts, state="done", change=""), "not-needed", reason, now)
        for sync in syncs
        if sync.attempts.state not in ("done", "running") and sync.until <= now
    ]


def with_outcome(sync: Sync, attempts: Attempts, outcome: str, text: str, now: int) -> Sync:
    """Return a document with the outcome of its attempt, released."""
    return replace(sync, attempts=attempts, holder="", until=0, last_at=now, last_outcome=outcome, last_text=text)
