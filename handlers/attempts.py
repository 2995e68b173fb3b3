"""The attempt log as a port: counters and claims of sync attempts, shared by all processes (R43, R45).

`store.operational.attempts` implements it in the store.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from engine.sync.attempts import Claim, Outcome, Request, Sync


class AttemptLog(Protocol):
    """Attempt counters and claims. Each method is one transaction; times are microseconds since 1970."""

    def request(self, request: Request) -> list[str]:
        """Request tasks and return the names of the documents that will be attempted.

        Idempotent for requests with a run: a document that its run requested before is ignored.
        """
        ...

    def claim(
        self, holder: str, *, now: int, until: int, chance: float, only: tuple[str, str] | None = None
    ) -> Claim | None:
        """Claim a subject that is due and return the claim; None if none is due.

        `only` restricts the claim to one subject, by action and name. No other holder can claim the subject before
        `until`. `holder` identifies the claim: a name that is used once only, so that an outdated claim is refused.
        """
        ...

    def begin(self, claim: Claim, *, now: int, until: int) -> None:
        """Count an attempt for each document, before its call is made. Raises `ClaimLost`."""
        ...

    def is_acknowledged(self, claim: Claim) -> bool:
        """Return True once the attempts that `begin` counted would survive the loss of the log, so that the call may be
        made. Raises `ClaimLost`.
        """
        ...

    def renew(self, claim: Claim, *, until: int) -> None:
        """Extend the claim to `until`, during an attempt of many calls. Raises `ClaimLost`."""
        ...

    def refund(self, claim: Claim, text: str, *, now: int, wait: int) -> None:
        """Give back the attempts that `begin` counted and release the subject, which is due again after `wait`
        microseconds. Raises `ClaimLost`.
        """
        ...

    def end(
        self,
        claim: Claim,
        outcome: Outcome,
        text: str,
        *,
        now: int,
        chance: float,
        changes: Mapping[str, str],
        wait: int | None = None,
    ) -> None:
        """Record the outcome of the attempts and release the subject. Raises `ClaimLost`.

        `changes` are the input fingerprints of the documents, by name. `wait` is a constant retry delay in
        microseconds; without it the delay grows exponentially. `chance`, in [0, 1), is the jitter.
        """
        ...

    def close(self, action: str, subject: str, why: str, *, now: int) -> list[str]:
        """Close a subject that needs no further attempt, even one that needs attention, and return the documents that
        were open. Attempts in progress are not changed.
        """
        ...

    def syncs(self, documents: Sequence[str] | None = None, *, action: str | None = None) -> list[Sync]:
        """Return the counters of these documents, or of all, ordered by name and action; of one action if given."""
        ...

    def next_due(self) -> int | None:
        """Return the time at which the next subject is due; None if nothing is queued or in progress."""
        ...
