"""In-memory twins of what the store keeps for handlers and the poller, held to the contracts in `tests/contract/`."""

import threading
from collections.abc import Iterable, Mapping, Sequence

from engine.cursors import Cursor
from engine.sync import attempts
from engine.sync.attempts import Claim, Outcome, Request, Sync


class MemoryCursors:
    """In-memory cursor store; its content ends with its process."""

    def __init__(self) -> None:
        self._cursors: dict[str, Cursor] = {}

    def load(self, table: str) -> Cursor | None:
        """Return the cursor of a table; None if the table was never read."""
        return self._cursors.get(table)

    def save(self, cursor: Cursor) -> None:
        """Save a cursor, replacing the one of the same table."""
        self._cursors[cursor.table] = cursor

    def all(self) -> Iterable[Cursor]:
        """Return every cursor, by table."""
        return [self._cursors[table] for table in sorted(self._cursors)]


class MemoryAttempts:
    """An attempt log in memory."""

    def __init__(self) -> None:
        self._syncs: dict[tuple[str, str], Sync] = {}
        self._runs: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()

    def request(self, request: Request) -> list[str]:
        with self._lock:
            requested = [
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
            self._save(requested)
        return [sync.document for sync in requested if sync.attempts.state == "waiting"]

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
        """Return True: this log is lost only with the process, and so are its calls."""
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
            syncs = [self._syncs[key] for key in sorted(self._syncs)]
        return [
            sync
            for sync in syncs
            if (documents is None or sync.document in documents) and action in (None, sync.action)
        ]

    def next_due(self) -> int | None:
        with self._lock:
            waiting = [sync for sync in self._syncs.values() if sync.attempts.state in ("waiting", "running")]
        return min((max(sync.attempts.due, sync.until) for sync in waiting), default=None)

    def _is_new(self, request: Request, document: str, action: str) -> bool:
        """Return True if the run has not requested this document before, and register that it has now."""
        if request.run is None:
            return True
        key = (request.run.id, document, action)
        is_new = key not in self._runs
        self._runs.add(key)
        return is_new

    def _of(self, action: str, subject: str) -> list[Sync]:
        return [sync for sync in self._syncs.values() if (sync.action, sync.subject) == (action, subject)]

    def _held(self, claim: Claim) -> list[Sync]:
        return attempts.held(self._of(claim.action, claim.subject), claim)

    def _save(self, syncs: Sequence[Sync]) -> None:
        self._syncs.update({(sync.document, sync.action): sync for sync in syncs})
