"""Seeing to what is to be synced: claim a subject, count the attempt, make the call, say how it ended (R42–R45).

Tenacity drives the attempts, and whether to stop, how long to wait and whether to go on is read from the attempt log:
another process may have made the attempts before.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from engine.sync.attempts import SECOND, Claim, ClaimLost, Outcome
from handlers.attempts import AttemptLog
from handlers.errors import Configuration, TargetError, Throttled, Transient

IN_PROCESS_WAIT_MAX: Final = 20 * SECOND
"""A subject that may be tried again within so long is waited for; any other is left to whoever comes by then."""
CLAIM_LEASE: Final = 5 * 60 * SECOND
"""How long a holder may be silent: longer than the limiter's patience and the longest call together."""
ACKNOWLEDGEMENT_SECONDS_MAX: Final = 20.0
"""How long a call waits until its attempt is safe."""
POLL_SECONDS: Final = 0.05
NOT_ACKNOWLEDGED: Final = (
    "nothing was sent: the attempt is not on the state topic yet, so a loss of the store would forget it. A worker "
    "that projects puts it there: it may be busy; if this stays, see that one runs and that its broker answers"
)
THROTTLED_SECONDS: Final = 30.0
"""What Finance's own sample waits when an answer does not say (`docs/domain/limits.md`)."""

log = structlog.get_logger(__name__)

Subject = tuple[str, str]
"""An action and the name of what it is done for."""


class Precondition(msgspec.Struct, frozen=True):
    """Whether a claim's documents still ask for its call, else why not; and the digest of what surrounds each of them,
    by name. `wait`: so many microseconds after a failure it is tried again, where the waits do not grow.
    """

    still: bool
    why: str
    changes: Mapping[str, str]
    wait: int | None = None


class SyncExecutor:
    """Sees to subjects, one at a time; several of these may share an attempt log.

    `call` does what a claim says and raises `TargetError`; `needed` looks whether it is still asked for; `ended` hears
    of each claim whose end is recorded. `publish` is called once an attempt is counted, and has it made safe where
    nobody else does. `clock` gives microseconds since 1970, `sleep` waits seconds, `chance` gives a number in [0, 1).
    """

    def __init__(
        self,
        attempts: AttemptLog,
        call: Callable[[Claim], None],
        needed: Callable[[Claim], Precondition],
        *,
        name: str,
        clock: Callable[[], int],
        sleep: Callable[[float], None],
        chance: Callable[[], float],
        ended: Callable[[Claim], None] = lambda claim: None,
        publish: Callable[[], None] = lambda: None,
    ) -> None:
        self._attempts = attempts
        self._call = call
        self._needed = needed
        self._ended = ended
        self._publish = publish
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._chance = chance

    def execute_next(self) -> bool:
        """See to the subject that is due for the longest time; False when none is."""
        claim = self._claim(None)
        if claim is None:
            return False
        subject = (claim.action, claim.subject)
        waiting: list[Claim | None] = [claim]

        def attempt() -> None:
            # The first time round it is claimed already.
            held = waiting.pop() if waiting else self._claim(subject)
            if held is not None:
                self._attempt(held)

        try:
            Retrying(
                stop=_stop_as_recorded(self._attempts, claim, self._clock),
                wait=_wait_as_recorded(self._attempts, claim, self._clock),
                retry=retry_if_exception_type((Throttled, Transient)),
                sleep=self._sleep,
                reraise=True,
            )(attempt)
        except TargetError:
            pass  # recorded, and told in the log
        except ClaimLost as lost:
            log.warning("claim_lost", action=claim.action, subject=claim.subject, reason=str(lost))
        return True

    def _claim(self, only: Subject | None) -> Claim | None:
        now = self._clock()
        holder = f"{self._name} {uuid.uuid4().hex[:12]}"
        return self._attempts.claim(holder, now=now, until=now + CLAIM_LEASE, chance=self._chance(), only=only)

    def _attempt(self, claim: Claim) -> None:
        """One attempt, recorded before its call leaves. Raises what the call raised."""
        action, subject, documents = claim.action, claim.subject, len(claim.documents)
        needed = self._needed(claim)
        if not needed.still:
            self._end(claim, "not-needed", needed.why, needed)
            log.info("sync_not_needed", action=action, subject=subject, documents=documents, reason=needed.why)
            return
        now = self._clock()
        self._attempts.begin(claim, now=now, until=now + CLAIM_LEASE)
        log.info("attempt_begun", action=action, subject=subject, documents=documents)
        try:
            self._await_safety(claim)
            self._call(claim)
        except Throttled as error:
            wait = THROTTLED_SECONDS if error.retry_after is None else error.retry_after
            self._attempts.refund(claim, str(error), now=self._clock(), wait=int(wait * SECOND))
            log.info(
                "attempt_throttled",
                action=action,
                subject=subject,
                documents=documents,
                seconds=wait,
                reason=str(error),
            )
            raise
        except TargetError as error:
            self._end(claim, outcome_of(error), str(error), needed)
            log.warning(
                "attempt_failed",
                action=action,
                subject=subject,
                documents=documents,
                outcome=outcome_of(error),
                reason=str(error),
            )
            raise
        self._end(claim, "succeeded", "", needed)
        log.info("attempt_succeeded", action=action, subject=subject, documents=documents)

    def _await_safety(self, claim: Claim) -> None:
        """Return once a loss of the attempt log cannot take what `begin` counted. Raises `Throttled`: the attempt is
        given back, for the call has not left.
        """
        self._publish()
        for _ in range(int(ACKNOWLEDGEMENT_SECONDS_MAX / POLL_SECONDS)):
            if self._attempts.is_acknowledged(claim):
                return
            self._sleep(POLL_SECONDS)
        raise Throttled(NOT_ACKNOWLEDGED, retry_after=None)

    def _end(self, claim: Claim, outcome: Outcome, text: str, needed: Precondition) -> None:
        now, chance = self._clock(), self._chance()
        self._attempts.end(claim, outcome, text, now=now, chance=chance, changes=needed.changes, wait=needed.wait)
        self._ended(claim)


def outcome_of(error: TargetError) -> Outcome:
    """The class of a failure that used an attempt (R44)."""
    if isinstance(error, Transient):
        return "transient"
    return "configuration" if isinstance(error, Configuration) else "permanent"


class _AsRecorded:
    def __init__(self, attempts: AttemptLog, claim: Claim, clock: Callable[[], int]) -> None:
        self._attempts = attempts
        self._claim = claim
        self._clock = clock

    def _left(self) -> int | None:
        """Microseconds until the first of the documents may be tried again; None when none of them will be."""
        own = [sync for sync in self._attempts.syncs(self._claim.documents) if sync.action == self._claim.action]
        due = min((sync.attempts.due for sync in own if sync.attempts.state == "waiting"), default=None)
        return None if due is None else max(due - self._clock(), 0)


class _stop_as_recorded(_AsRecorded, stop_base):  # noqa: N801 - as Tenacity names its conditions
    """Stop when the log says that no attempt is left, or that the next one lies further ahead than we wait."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        left = self._left()
        return left is None or left > IN_PROCESS_WAIT_MAX


class _wait_as_recorded(_AsRecorded, wait_base):  # noqa: N801
    """Wait as long as the log says."""

    def __call__(self, retry_state: RetryCallState) -> float:
        return (self._left() or 0) / SECOND
