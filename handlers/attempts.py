"""The attempt log as a port: who tried what how often, whichever process did (R43, R45).

`store.operational.attempts` keeps it in the store; `MemoryAttempts` is its twin for dry runs and tests.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

from engine.sync import attempts
from engine.sync.attempts import Claim, Outcome, Request, Sync


class AttemptLog(Protocol):
    """Counts attempts. Each call is one transaction; times are microseconds since 1970."""

    def request(self, request: Request) -> list[str]:
        """Ask for tasks; returns the names of the documents that will be tried. A document of a run that was asked for
        before is left out.
        """
        ...

    def claim(
        self, holder: str, *, now: int, until: int, chance: float, only: tuple[str, str] | None = None
    ) -> Claim | None:
        """Claim a subject that is due, or `only` the one of this action and name; nobody else sees to it meanwhile.

        None when there is none. `holder` is a name that is used once.
        """
        ...

    def begin(self, claim: Claim, *, now: int, until: int) -> None:
        """Count an attempt for each document, before the call leaves. Raises `ClaimLost`."""
        ...

    def is_acknowledged(self, claim: Claim) -> bool:
        """Whether what `begin` counted outlives the log itself, so that the call may leave. Raises `ClaimLost`."""
        ...

    def renew(self, claim: Claim, *, until: int) -> None:
        """Say that the holder is still at it: an attempt of many calls. Raises `ClaimLost`."""
        ...

    def refund(self, claim: Claim, text: str, *, now: int, wait: int) -> None:
        """Give the attempts back that `begin` counted, and let go of the subject for so long. Raises `ClaimLost`."""
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
        """Say how the attempts ended, and let go of the subject. `changes`: the digest of the surroundings of each
        document, by name. `wait`: when to try again, where the waits do not grow. Raises `ClaimLost`.
        """
        ...

    def close(self, action: str, subject: str, why: str, *, now: int) -> list[str]:
        """Say that a subject needs no attempt any more, also one that waits for a person; returns the documents that
        were open. What is being seen to stays as it is.
        """
        ...

    def syncs(self, documents: Sequence[str] | None = None, *, action: str | None = None) -> list[Sync]:
        """What is known of these documents, or of all, by name and action; of one action if it is named."""
        ...

    def next_due(self) -> int | None:
        """When something is due next; None when nothing waits."""
        ...


class MemoryAttempts:
    """An attempt log that ends with its process."""

    def __init__(self) -> None:
        self._syncs: dict[tuple[str, str], Sync] = {}
        self._runs: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()

    def request(self, request: Request) -> list[str]:
        with self._lock:
            found = [
                sync
                for task in request.tasks
                for queued in [
                    any(sync.attempts.state in attempts.QUEUED for sync in self._of(task.action, task.subject))
                ]
                for document in task.documents
                if self._is_new(request, document, task.action)
                and (
                    sync := attempts.request_document(
                        self._syncs.get((document, task.action)), task, document, request, queued=queued
                    )
                )
            ]
            self._save(found)
        return [sync.document for sync in found if sync.attempts.state == "waiting"]

    def claim(
        self, holder: str, *, now: int, until: int, chance: float, only: tuple[str, str] | None = None
    ) -> Claim | None:
        with self._lock:
            free = [sync for sync in self._syncs.values() if attempts.is_free(sync, now)]
            for first in sorted(free, key=lambda sync: sync.attempts.due):
                if only is not None and only != (first.action, first.subject):
                    continue
                changed = attempts.claimed(self._of(first.action, first.subject), holder, now, until, chance)
                self._save(changed)
                if claim := attempts.claim_of(holder, changed):
                    return claim
            return None

    def begin(self, claim: Claim, *, now: int, until: int) -> None:
        with self._lock:
            self._save(attempts.start_all(self._held(claim), until))

    def is_acknowledged(self, claim: Claim) -> bool:
        """It ends with its process, and so do the calls."""
        with self._lock:
            self._held(claim)
        return True

    def renew(self, claim: Claim, *, until: int) -> None:
        with self._lock:
            self._save(attempts.extend_all(self._held(claim), until))

    def refund(self, claim: Claim, text: str, *, now: int, wait: int) -> None:
        with self._lock:
            self._save(attempts.throttle_all(self._held(claim), text, now, wait))

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
        with self._lock:
            self._save(attempts.end_all(self._held(claim), outcome, text, now, chance, changes, wait))

    def close(self, action: str, subject: str, why: str, *, now: int) -> list[str]:
        with self._lock:
            closed = attempts.close_all(self._of(action, subject), why, now)
            self._save(closed)
        return [sync.document for sync in closed]

    def syncs(self, documents: Sequence[str] | None = None, *, action: str | None = None) -> list[Sync]:
        with self._lock:
            found = [self._syncs[key] for key in sorted(self._syncs)]
        return [
            sync
            for sync in found
            if (documents is None or sync.document in documents) and action in (None, sync.action)
        ]

    def next_due(self) -> int | None:
        with self._lock:
            waiting = [sync for sync in self._syncs.values() if sync.attempts.state in ("waiting", "running")]
        return min((max(sync.attempts.due, sync.until) for sync in waiting), default=None)

    def _is_new(self, request: Request, document: str, action: str) -> bool:
        """Whether a document was not yet requested by this run; it is from now on."""
        if request.run is None:
            return True
        key = (request.run.id, document, action)
        known = key in self._runs
        self._runs.add(key)
        return not known

    def _of(self, action: str, subject: str) -> list[Sync]:
        return [sync for sync in self._syncs.values() if (sync.action, sync.subject) == (action, subject)]

    def _held(self, claim: Claim) -> list[Sync]:
        return attempts.held(self._of(claim.action, claim.subject), claim)

    def _save(self, syncs: Sequence[Sync]) -> None:
        self._syncs.update({(sync.document, sync.action): sync for sync in syncs})
