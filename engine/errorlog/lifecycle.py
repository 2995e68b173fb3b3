"""The life of an error: current until a later run takes it up, then history (R53-R55).

An error is what a process of Finance said in words. Nothing here keeps a state: whether an error is current follows
from the set of what was said and deleted, and from the time at which somebody looks, in whatever order it all came.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

import msgspec

from engine.errorlog.known_messages import recognise
from engine.events.facts import ProcessMessage

INTERRUPTED_AFTER: Final = 24 * 3600 * 1_000_000
"""A run that has not ended and said nothing for so long (microseconds) is interrupted. Finance itself takes a posting
for stuck after a day (`docs/domain/limits.md`).
"""

IMPORT: Final = "import-from-staging"
"""The process whose runs take up all of a company, whatever scope they name."""


class Subject(NamedTuple):
    """What an error is about: what the process named, else its own text."""

    company: str | None
    process: str
    about: str

    @property
    def key(self) -> str:
        """The subject under a short name: a text may be longer than the key of a table."""
        return blake2b(msgspec.json.encode(self), digest_size=16).hexdigest()


def subject_of(message: ProcessMessage) -> Subject:
    """The subject of a message."""
    return Subject(message.company, message.process, message.subject or message.text or "")


def recency(message: ProcessMessage) -> tuple[int, str, str]:
    """Of two errors of a subject the greater is the more recent."""
    return message.evidence.at, message.evidence.source, message.evidence.event


class RunName(NamedTuple):
    """Which run of which process."""

    company: str | None
    process: str
    run: str


class Run(msgspec.Struct, frozen=True):
    """A start of a process and how it went on: when something was last heard of the run, and whether it has ended."""

    company: str | None
    process: str
    run: str
    scope: tuple[str, ...]
    started: int
    heard: int
    ended: bool

    @property
    def everything(self) -> bool:
        """Whether it works on the whole company rather than on journals or proposals that it names."""
        return self.process == IMPORT or not self.scope

    def interrupted(self, now: int) -> bool:
        """Whether it must be taken for dead at `now`; should it end later after all, it was not."""
        return not self.ended and now - self.heard > INTERRUPTED_AFTER


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """A person took the errors of a subject off the current list: those there were up to `until`, and none that came
    after. Times are microseconds since 1970 UTC.
    """

    id: str
    at: int
    who: str
    why: str
    subject: Subject
    until: int


ErrorState = Literal["current", "history", "deleted"]


class ErrorStatus(msgspec.Struct, frozen=True):
    """Where an error stands. `interrupted` is the run that took it up and never ended, so that it is current again;
    `taken_up` is the run for which it is history, None where a later error of its subject came.
    """

    state: ErrorState
    interrupted: Run | None = None
    deletion: Deletion | None = None
    taken_up: Run | None = None

    @property
    def name(self) -> Literal["current", "interrupted", "history", "deleted"]:
        """The state in one word."""
        return "interrupted" if self.interrupted is not None else self.state

    @property
    def settled(self) -> bool:
        """Whether it is no longer current for good, unless a new error of its subject comes (`over`)."""
        return self.state != "current" and (self.taken_up is None or self.taken_up.ended)


def reprocesses(run: Run, error: ProcessMessage) -> bool:
    """Whether a run works again on what an earlier error is about."""
    if (run.company, run.process) != (error.company, error.process):
        return False
    if run.started <= error.evidence.at or run.run == error.run:
        return False
    if run.everything:
        return True
    named = {error.subject, recognise(error.text or "").parameters.get("journal")} - {None, ""}
    if named:
        return not named.isdisjoint(run.scope)
    # It is about all that its own run worked on, so another run must work on all of that.
    return bool(error.scope) and set(error.scope) <= set(run.scope)


def error_status(
    error: ProcessMessage, newest: ProcessMessage, runs: Iterable[Run], deletions: Iterable[Deletion], now: int
) -> ErrorStatus:
    """Where an error stands at `now` (microseconds since 1970 UTC).

    `newest` is the most recent error of its subject, `deletions` are those of the subject, and `runs` hold all that
    started after the error in its company and process.
    """
    if (deletion := _deletion(error, deletions)) is not None:
        return ErrorStatus("deleted", deletion=deletion)
    if recency(error) < recency(newest):
        return ErrorStatus("history")
    taken_up = [run for run in runs if reprocesses(run, error)]
    if at_work := [run for run in taken_up if not run.interrupted(now)]:
        return ErrorStatus("history", taken_up=min(at_work, key=lambda run: (not run.ended, run.started, run.run)))
    return ErrorStatus("current", max(taken_up, key=lambda run: run.started, default=None))


def is_permanent_history(
    error: ProcessMessage, newest: ProcessMessage, runs: Iterable[Run], deletions: Iterable[Deletion]
) -> bool:
    """Whether an error is history for good: nothing that is still to come, or comes late, makes it current again."""
    return (
        recency(error) < recency(newest)
        or _deletion(error, deletions) is not None
        or any(run.ended and reprocesses(run, error) for run in runs)
    )


def _deletion(error: ProcessMessage, deletions: Iterable[Deletion]) -> Deletion | None:
    """The first deletion that holds for an error."""
    found = [deletion for deletion in deletions if error.evidence.at <= deletion.until]
    return min(found, key=lambda deletion: (deletion.at, deletion.id), default=None)


def is_superseded(run: Run, runs: Sequence[Run]) -> bool:
    """Whether a later run that has ended took up all that this one did, so that nothing depends on this one."""
    return any(
        other.ended
        and (other.company, other.process) == (run.company, run.process)
        and other.started > run.started
        and (other.everything or (not run.everything and set(run.scope) <= set(other.scope)))
        for other in runs
    )


def runs_of(messages: Iterable[ProcessMessage]) -> list[Run]:
    """The runs in a set of messages; one that started twice under one name is there twice.

    A message that names no company belongs to the runs of its name in any.
    """
    starts: list[ProcessMessage] = []
    heard: dict[RunName, int] = {}
    ended: set[RunName] = set()
    for message in messages:
        name = RunName(message.company, message.process, message.run)
        heard[name] = max(heard.get(name, message.evidence.at), message.evidence.at)
        if message.stage == "started":
            starts.append(message)
        elif message.stage != "message":
            ended.add(name)
    return [_run(start, heard, ended) for start in starts]


def _run(start: ProcessMessage, heard: Mapping[RunName, int], ended: Set[RunName]) -> Run:
    name = RunName(start.company, start.process, start.run)
    names = (name, name._replace(company=None))
    latest = max(heard.get(name, start.evidence.at) for name in names)
    return Run(*name, start.scope, start.evidence.at, latest, not ended.isdisjoint(names))
