"""The sync executor: claims a subject, persists the attempt, makes the call and persists the outcome (R42–R45).

Tenacity drives the attempts. Whether to stop and how long to wait is read from the attempt log, because another process
may have made the previous attempts.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec
import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from engine.sync.attempts import SECOND, Claim, ClaimLost, Outcome
from handlers.attempts import AttemptLog
from handlers.errors import Configuration, TargetError, Throttled, Transient

IN_PROCESS_WAIT_MAX: Final = 20 * SECOND
"""The longest retry delay, in microseconds, that the executor waits itself. A later retry is left in the queue, for any
executor to claim.
"""
CLAIM_LEASE: Final = 5 * 60 * SECOND
"""The duration of a claim, in microseconds: longer than the wait of the limiter and the longest call together."""
ACKNOWLEDGEMENT_SECONDS_MAX: Final = 20.0
"""How long a call waits until its attempt is on the state topic."""
POLL_SECONDS: Final = 0.05
NOT_ACKNOWLEDGED: Final = (
    "nothing was sent: the attempt is not on the state topic yet, so it would be lost with the store. A projecting "
    "worker publishes it and may be busy; if this persists, check that one is running and that its broker responds"
)
THROTTLED_SECONDS: Final = 30.0
"""The delay after a response 429 without `Retry-After`, as in the sample code of Finance (`docs/domain/limits.md`)."""

log = structlog.get_logger(__name__)

Subject = tuple[str, str]
"""The action and the name of its subject."""


class Precondition(msgspec.Struct, frozen=True):
    """The precondition of a call, checked before it: whether the documents of its claim still need it, and the reason
    if not.

    `fingerprints` are the input fingerprints of the documents, by name. `retry_delay`, in microseconds, replaces the
    exponential backoff after a failure.
    """

    holds: bool
    reason: str
    fingerprints: Mapping[str, str]
    retry_delay: int | None = None


class ActionHandler(Protocol):
    """Executes an action of the registry `engine.sync.actions.SYNC_ACTIONS` for a claim."""

    def check(self, claim: Claim) -> Precondition:
        """Return the precondition of the call, checked just before it."""
        ...

    def call(self, claim: Claim) -> None:
        """Make the call. Raises `TargetError`."""
        ...

    def ended(self, claim: Claim) -> None:
        """Handle the outcome, once it is in the attempt log."""
        ...


class SyncExecutor:
    """Executes subjects, one at a time; several executors may share an attempt log.

    `handlers` execute the actions, by name. `publish` is called once an attempt is counted, and publishes it where no
    worker does. `clock` returns microseconds since 1970, `sleep` waits seconds, `chance` returns a number in [0, 1).
    """

    def __init__(
        self,
        attempts: AttemptLog,
        handlers: Mapping[str, ActionHandler],
        *,
        name: str,
        clock: Callable[[], int],
        sleep: Callable[[float], None],
        chance: Callable[[], float],
        publish: Callable[[], None] = lambda: None,
    ) -> None:
        self._attempts = attempts
        self._handlers = handlers
        self._publish = publish
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._chance = chance

    def execute_next(self) -> bool:
        """Execute the subject that has been due for the longest time; return False if none is due."""
        claim = self._claim(None)
        if claim is None:
            return False
        subject = (claim.action, claim.subject)
        first: list[Claim | None] = [claim]

        def attempt() -> None:
            # The first attempt uses the claim that exists already.
            current = first.pop() if first else self._claim(subject)
            if current is not None:
                self._attempt(current)

        try:
            Retrying(
                stop=_stop_as_recorded(self._attempts, claim, self._clock),
                wait=_wait_as_recorded(self._attempts, claim, self._clock),
                retry=retry_if_exception_type((Throttled, Transient)),
                sleep=self._sleep,
                reraise=True,
            )(attempt)
        except TargetError:
            pass  # recorded in the attempt log, and logged
        except ClaimLost as lost:
            log.warning("claim_lost", action=claim.action, subject=claim.subject, reason=str(lost))
        return True

    def _claim(self, only: Subject | None) -> Claim | None:
        now = self._clock()
        holder = f"{self._name} {uuid.uuid4().hex[:12]}"
        return self._attempts.claim(holder, now=now, until=now + CLAIM_LEASE, chance=self._chance(), only=only)

    def _attempt(self, claim: Claim) -> None:
        """Make one attempt, which is recorded before its call. Raises the error of the call."""
        action, subject, documents = claim.action, claim.subject, len(claim.documents)
        precondition = self._handlers[action].check(claim)
        if not precondition.holds:
            self._end(claim, "not-needed", precondition.reason, precondition)
            log.info("sync_not_needed", action=action, subject=subject, documents=documents, reason=precondition.reason)
            return
        now = self._clock()
        self._attempts.begin(claim, now=now, until=now + CLAIM_LEASE)
        log.info("attempt_begun", action=action, subject=subject, documents=documents)
        try:
            self._await_acknowledgement(claim)
            self._handlers[action].call(claim)
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
            self._end(claim, outcome_of(error), str(error), precondition)
            log.warning(
                "attempt_failed",
                action=action,
                subject=subject,
                documents=documents,
                outcome=outcome_of(error),
                reason=str(error),
            )
            raise
        self._end(claim, "succeeded", "", precondition)
        log.info("attempt_succeeded", action=action, subject=subject, documents=documents)

    def _await_acknowledgement(self, claim: Claim) -> None:
        """Return once the attempts that `begin` counted would survive the loss of the attempt log. Raises `Throttled`
        otherwise: the attempts are given back, because no call was made.
        """
        self._publish()
        for _ in range(int(ACKNOWLEDGEMENT_SECONDS_MAX / POLL_SECONDS)):
            if self._attempts.is_acknowledged(claim):
                return
            self._sleep(POLL_SECONDS)
        raise Throttled(NOT_ACKNOWLEDGED, retry_after=None)

    def _end(self, claim: Claim, outcome: Outcome, text: str, precondition: Precondition) -> None:
        changes, wait = precondition.fingerprints, precondition.retry_delay
        now, chance = self._clock(), self._chance()
        self._attempts.end(claim, outcome, text, now=now, chance=chance, changes=changes, wait=wait)
        self._handlers[claim.action].ended(claim)


def outcome_of(error: TargetError) -> Outcome:
    """Return the outcome of an attempt that failed with this error (R44)."""
    if isinstance(error, Transient):
        return "transient"
    return "configuration" if isinstance(error, Configuration) else "permanent"


class _AsRecorded:
    def __init__(self, attempts: AttemptLog, claim: Claim, clock: Callable[[], int]) -> None:
        self._attempts = attempts
        self._claim = claim
        self._clock = clock

    def _delay(self) -> int | None:
        """Return the microseconds until the first document is due again; None if no retry is left."""
        own = [sync for sync in self._attempts.syncs(self._claim.documents) if sync.action == self._claim.action]
        due = min((sync.attempts.due for sync in own if sync.attempts.state == "waiting"), default=None)
        return None if due is None else max(due - self._clock(), 0)


class _stop_as_recorded(_AsRecorded, stop_base):  # noqa: N801 - as Tenacity names its conditions
    """Stop if the attempt log has no retry, or one that is due later than the executor waits."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        delay = self._delay()
        return delay is None or delay > IN_PROCESS_WAIT_MAX


class _wait_as_recorded(_AsRecorded, wait_base):  # noqa: N801
    """Wait until the retry in the attempt log is due."""

    def __call__(self, retry_state: RetryCallState) -> float:
        return (self._delay() or 0) / SECOND
