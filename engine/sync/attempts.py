"""How often something was tried, and what follows: pure, with the time as an argument (R43, R44).

One counter for each document and action. An attempt counts from before its call leaves; a call that was answered 429
did not happen, so its attempt is given back. Five attempts make a round, then the document waits for a person; a person
who asks for it begins a new round, the recurring job never does. Documents of one subject (the lines of an invoice, all
that a company has to import) share their calls, and nobody else calls for a subject meanwhile.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from engine.errors import TieoutError
from engine.sync.actions import Task

ATTEMPTS_MAX: Final = 5
"""As often as Finance itself tries a general journal (`docs/domain/limits.md`, "Project Operations processes")."""
SECOND: Final = 1_000_000
INITIAL_BACKOFF: Final = 2 * SECOND
BACKOFF_MAX: Final = 15 * 60 * SECOND
THROTTLED_MAX: Final = 2 * 3600 * SECOND
"""What is answered nothing but 429 for so long waits for a person: something else uses up the limits."""

ALWAYS_RETRIED: Final = frozenset({"journal"})
"""Actions that are tried five times whatever the failure: general journals (R44)."""
INTERRUPTED: Final = "the worker ended before it received the response; the call may have taken effect"

AttemptState = Literal["waiting", "running", "done", "blocked", "stopped"]
"""Waiting until it is due; being tried; done, as far as calls can tell; blocked until something changes; stopped, so
that only a person starts it again.
"""

QUEUED: Final = ("waiting", "running")
"""The states of what is queued or in progress: it is attempted without anybody's doing."""

Outcome = Literal["succeeded", "not-needed", "transient", "configuration", "permanent", "interrupted"]


class Exhausted(TieoutError):
    """Five attempts of this round were made: a person decides."""


class Attempts(msgspec.Struct, frozen=True):
    """The counter of one document and action. Times are microseconds since 1970.

    `made` attempts of this `round` count; `calls` is the number of all calls ever begun. `due` is when it may be tried
    next; `since` when it was asked for; `change` what the surroundings looked like (a digest) when it was blocked.
    """

    round: int = 1
    made: int = 0
    calls: int = 0
    state: AttemptState = "waiting"
    due: int = 0
    since: int = 0
    change: str = ""


def requested(
    before: Attempts | None, now: int, *, by_person: bool, change: str, once: bool = False
) -> Attempts | None:
    """After somebody asked for it at a time `now`; None when that changes nothing.

    `change` tells the surroundings now: a digest of the chain, its reference rows and the settings. A person begins a
    new round, unless it is being tried or waits for its first attempt. The recurring job goes on with the round there
    is, and with what is blocked only once its surroundings changed.

    `once`: the request is known to be new, whatever the clock of who made it says.
    """
    if before is None:
        return Attempts(due=now, since=now)
    if before.state == "running":
        return None
    if by_person:
        # The request that began this round comes again, or one before it late.
        if not once and now <= before.since:
            return None
        if before.state == "waiting" and before.made == 0:
            return None
        return replace(before, round=before.round + 1, made=0, state="waiting", due=now, since=now)
    left = before.made < ATTEMPTS_MAX
    if before.state == "done" or (before.state == "blocked" and before.change != change):
        return replace(before, state="waiting", due=now, since=now) if left else replace(before, state="stopped")
    return None


def started(before: Attempts) -> Attempts:
    """After an attempt began: it counts from now on. Raises `Exhausted`."""
    if before.made >= ATTEMPTS_MAX:
        raise Exhausted(f"{ATTEMPTS_MAX} attempts were made in this round")
    return replace(before, made=before.made + 1, calls=before.calls + 1, state="running")


def throttled(before: Attempts, now: int, wait: int) -> Attempts:
    """After the answer 429: the attempt is given back, and the subject waits so many microseconds."""
    given_back = replace(before, made=before.made - 1, state="waiting", due=now + wait)
    return replace(given_back, state="stopped") if now + wait - before.since > THROTTLED_MAX else given_back


def ended(
    before: Attempts,
    outcome: Outcome,
    now: int,
    *,
    chance: float,
    change: str,
    always: bool = False,
    wait: int | None = None,
) -> Attempts:
    """After an attempt ended. `chance` in [0, 1) spreads the waits of many subjects.

    `always`: every failure is tried again up to the last attempt, as general journals are. `wait`: after so many
    microseconds, where the waits do not grow.
    """
    if outcome in ("succeeded", "not-needed"):
        return replace(before, state="done", change="")
    if outcome in ("configuration", "permanent") and not always:
        return replace(before, state="blocked", change=change)
    if before.made >= ATTEMPTS_MAX:
        return replace(before, state="stopped")
    return replace(before, state="waiting", due=now + (backoff(before.made, chance) if wait is None else wait))


def backoff(made: int, chance: float) -> int:
    """How long to wait after so many attempts: twice as long each time, spread over as much again."""
    longest = min(INITIAL_BACKOFF * 2 ** max(made - 1, 0), BACKOFF_MAX)
    return int(longest * (1 + chance))


# --- documents of one subject ----------------------------------------------------------------------------------------


class Sync(msgspec.Struct, frozen=True, kw_only=True):
    """A document that is to be synced, by its name, with what is done for it (`engine.sync.actions`) and its counter.

    `by` asked for it. While it is being seen to, `holder` does so until `until` (microseconds since 1970). `last_at`,
    `last_outcome` and `last_text` tell of the attempt before.
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
    """A sync run: what one person, or the recurring job, requested at once, kept with its result.

    `scope` describes in words what was chosen; `calls` and `documents` count the whole run, of which a request may be
    one part of several.
    """

    id: str
    company: str
    scope: str
    calls: int
    documents: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """That tasks be done: who asks when, a person or the recurring job.

    `changes` are digests of what surrounds each document, by its name: the chain, its reference rows, the settings.
    Without `restart` no document of a subject that is queued or in progress begins a new round. With a `run` each of
    its documents is requested once, however often the request arrives.
    """

    id: str
    at: int
    who: str
    by_person: bool
    tasks: tuple[Task, ...]
    changes: dict[str, str]
    restart: bool = True
    run: SyncRun | None = None


class Claim(msgspec.Struct, frozen=True):
    """The right of one holder to call for a subject: what is done, and the documents it is done for."""

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
    """Somebody else sees to the subject: this holder was silent for too long."""


def request_document(
    before: Sync | None, task: Task, document: str, request: Request, *, queued: bool = False
) -> Sync | None:
    """A document of a task after somebody asked for it; None when that changes nothing: it is being seen to.

    `queued`: some document of the subject, this one included, is queued or in progress. A request without `restart`
    begins no new round for any of them then: what was done joins the call in the round that it has, if attempts are
    left.
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
        change=request.changes.get(document, ""),
        once=request.run is not None,
    )
    if counter is None:
        return None
    return Sync(
        document=document,
        action=task.action,
        subject=task.subject,
        company=task.company,
        # Who asks again may know less of it than who asked first.
        parameters={**(before.parameters if before else {}), **task.parameters},
        attempts=counter,
        by=request.who,
        last_at=before.last_at if before else None,
        last_outcome=before.last_outcome if before else "",
        last_text=before.last_text if before else "",
    )


def is_free(sync: Sync, now: int) -> bool:
    """Whether it may be claimed: it is due, or was being tried, and nobody holds it."""
    due = sync.attempts.state == "running" or (sync.attempts.state == "waiting" and sync.attempts.due <= now)
    return due and sync.until <= now


def claimed(syncs: Sequence[Sync], holder: str, now: int, until: int, chance: float) -> list[Sync]:
    """What changes when `holder` claims a subject, given all its documents; nothing while another holds it.

    An attempt whose holder fell silent was interrupted: nobody knows its outcome, so it counts.
    """
    if any(sync.until > now for sync in syncs):
        return []
    changed = []
    for sync in syncs:
        if sync.attempts.state == "running":
            attempts = ended(sync.attempts, "interrupted", now, chance=chance, change="")
            changed.append(with_outcome(sync, attempts, "interrupted", INTERRUPTED, now))
        elif is_free(sync, now):
            changed.append(replace(sync, holder=holder, until=until))
    return changed


def claim_of(holder: str, syncs: Sequence[Sync]) -> Claim | None:
    """The claim to those of a subject's documents that `holder` holds."""
    held = tuple(sync for sync in syncs if sync.holder == holder)
    return Claim(holder, held[0].action, held[0].subject, held[0].company, held[0].parameters, held) if held else None


def held(syncs: Sequence[Sync], claim: Claim) -> list[Sync]:
    """The documents of a claim, given all of its subject. Raises `ClaimLost` when it holds one of them no more."""
    found = [sync for sync in syncs if sync.holder == claim.holder]
    if len(found) < len(claim.syncs):
        raise ClaimLost(f"{claim.action} of {claim.subject}: somebody else sees to it now.")
    return found


def start_all(syncs: Sequence[Sync], until: int) -> list[Sync]:
    """Documents whose attempt begins; their holder has until then."""
    return [replace(sync, attempts=started(sync.attempts), until=until) for sync in syncs]


def extend_all(syncs: Sequence[Sync], until: int) -> list[Sync]:
    """Documents whose holder is still at it, and has until then."""
    return [replace(sync, until=until) for sync in syncs]


def throttle_all(syncs: Sequence[Sync], text: str, now: int, wait: int) -> list[Sync]:
    """Documents whose attempt was answered 429."""
    return [with_outcome(sync, throttled(sync.attempts, now, wait), "throttled", text, now) for sync in syncs]


def end_all(
    syncs: Sequence[Sync],
    outcome: Outcome,
    text: str,
    now: int,
    chance: float,
    changes: Mapping[str, str],
    wait: int | None = None,
) -> list[Sync]:
    """Documents whose attempt ended; `changes` are the digests of their surroundings, by name; `wait` as `ended`."""
    return [
        with_outcome(
            sync,
            ended(
                sync.attempts,
                outcome,
                now,
                chance=chance,
                change=changes.get(sync.document, ""),
                always=sync.action in ALWAYS_RETRIED,
                wait=wait,
            ),
            outcome,
            text,
            now,
        )
        for sync in syncs
    ]


def close_all(syncs: Sequence[Sync], why: str, now: int) -> list[Sync]:
    """Of these documents those that needed an attempt, and need none any more; one that is being seen to stays."""
    return [
        with_outcome(sync, replace(sync.attempts, state="done", change=""), "not-needed", why, now)
        for sync in syncs
        if sync.attempts.state not in ("done", "running") and sync.until <= now
    ]


def with_outcome(sync: Sync, attempts: Attempts, outcome: str, text: str, now: int) -> Sync:
    """A document after an attempt ended, held by nobody."""
    return replace(sync, attempts=attempts, holder="", until=0, last_at=now, last_outcome=outcome, last_text=text)
