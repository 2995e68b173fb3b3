"""The lifecycle of an error: current until a later run reprocesses its subject, then history (R53-R55).

An error is a message of a Finance process. No status is stored: it is a function of the set of messages and deletions
and of the time of the query, independent of the order in which they arrived.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

import msgspec

from engine.errorlog.known_messages import recognise
from engine.events.facts import ProcessMessage

INTERRUPTED_AFTER: Final = 24 * 3600 * 1_000_000
"""The time in microseconds without a message after which an unfinished run counts as interrupted.

Finance itself treats a posting as stuck after a day (`docs/domain/limits.md`).
"""


class Subject(NamedTuple):
    """The subject of an error: what the process named, otherwise the text of the message."""

    company: str | None
    process: str
    about: str

    @property
    def key(self) -> str:
        """A fixed-size digest of the subject, because a text may exceed the size of an index key."""
        return blake2b(msgspec.json.encode(self), digest_size=16).hexdigest()


def subject_of(message: ProcessMessage) -> Subject:
    """Return the subject of a message."""
    return Subject(message.company, message.process, message.subject or message.text or "")


def recency(message: ProcessMessage) -> tuple[int, str, str]:
    """Sort key of the errors of a subject; the greatest is the most recent."""
    return message.evidence.at, message.evidence.source, message.evidence.event


class Run(msgspec.Struct, frozen=True):
    """A run of a process: its start, the time of its last message, and whether it has ended. Times are microseconds
    since 1970 UTC.
    """

    company: str | None
    process: str
    run: str
    scope: tuple[str, ...]
    started: int
    heard: int
    ended: bool

    @property
    def everything(self) -> bool:
        """Return True if it covers the whole company instead of the journals, proposals or projects that it names.

        Since Finance 10.0.47, Import from staging may run for selected projects.
        """
        return not self.scope

    def interrupted(self, now: int) -> bool:
        """Return True if it counts as interrupted at `now`. If its end arrives later, it was not."""
        return not self.ended and now - self.heard > INTERRUPTED_AFTER


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """A person deleted the errors of a subject from the current list, up to the one of the time `until`; later ones are
    unaffected.

    Times are microseconds since 1970 UTC. `who` is the actor, `why` the reason.
    """

    id: str
    at: int
    who: str
    why: str
    subject: Subject
    until: int


ErrorState = Literal["current", "history", "deleted"]


class ErrorStatus(msgspec.Struct, frozen=True):
    """The status of an error.

    `interrupted` is the run that reprocessed it and never ended, so that it is current again. `taken_up` is the run
    that reprocessed it, None if it is history because of a later error of its subject.
    """

    state: ErrorState
    interrupted: Run | None = None
    deletion: Deletion | None = None
    taken_up: Run | None = None

    @property
    def name(self) -> Literal["current", "interrupted", "history", "deleted"]:
        """The status as one word."""
        return "interrupted" if self.interrupted is not None else self.state

    @property
    def is_final(self) -> bool:
        """Return True if it stays history or deleted, unless a new error of its subject arrives."""
        return self.state != "current" and (self.taken_up is None or self.taken_up.ended)


def reprocesses(run: Run, error: ProcessMessage) -> bool:
    """Return True if a run reprocesses the subject of an earlier error."""
    if (run.company, run.process) != (error.company, error.process):
        return False
    if run.started <= error.evidence.at or run.run == error.run:
        return False
    if run.everything:
        return True
    named = {error.subject, recognise(error.text or "").parameters.get("journal")} - {None, ""}
    if named:
        return not named.isdisjoint(run.scope)
    # The error concerns the whole scope of its run, so another run must cover that scope.
    return bool(error.scope) and set(error.scope) <= set(run.scope)


def error_status(
    error: ProcessMessage, newest: ProcessMessage, runs: Iterable[Run], deletions: Iterable[Deletion], now: int
) -> ErrorStatus:
    """Return the status of an error at `now` (microseconds since 1970 UTC).

    `newest` is the most recent error of its subject, `deletions` are those of the subject. `runs` contains all runs of
    its company and process that started after the error.
    """
    if (deletion := _deletion(error, deletions)) is not None:
        return ErrorStatus("deleted", deletion=deletion)
    if recency(error) < recency(newest):
        return ErrorStatus("history")
    later_runs = [run for run in runs if reprocesses(run, error)]
    if effective := [run for run in later_runs if not run.interrupted(now)]:
        return ErrorStatus("history", taken_up=min(effective, key=lambda run: (not run.ended, run.started, run.run)))
    return ErrorStatus("current", max(later_runs, key=lambda run: run.started, default=None))


def is_permanent_history(
    error: ProcessMessage, newest: ProcessMessage, runs: Iterable[Run], deletions: Iterable[Deletion]
) -> bool:
    """Return True if no event that arrives later, in whatever order, can make the error current again."""
    return (
        recency(error) < recency(newest)
        or _deletion(error, deletions) is not None
        or any(run.ended and reprocesses(run, error) for run in runs)
    )


def _deletion(error: ProcessMessage, deletions: Iterable[Deletion]) -> Deletion | None:
    """Return the first deletion that covers an error."""
    covering = [deletion for deletion in deletions if error.evidence.at <= deletion.until]
    return min(covering, key=lambda deletion: (deletion.at, deletion.id), default=None)


def is_superseded(run: Run, runs: Sequence[Run]) -> bool:
    """Return True if a later run that has ended reprocessed everything that this one did, so that no status depends on
    this one.
    """
    return any(
        other.ended
        and (other.company, other.process) == (run.company, run.process)
        and other.started > run.started
        and (other.everything or (not run.everything and set(run.scope) <= set(other.scope)))
        for other in runs
    )
