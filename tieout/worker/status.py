"""The status of a worker, for observers: the worker records it, and metrics and probes read it at any time.

All members are plain values that are replaced, so no lock is needed and no server is called.
"""

import math
import time
from collections.abc import Mapping
from typing import Any, Final, Literal

from store.lease import Lease
from streams.faust_app import Progress
from streams.log import PartitionId
from streams.projector import Projector

State = Literal["starting", "standing-by", "projecting", "handling", "waiting", "stopped"]

QUIET_SECONDS: Final = 15.0
"""The longest silence of a healthy worker: it records progress every second, and a large batch takes several."""

STUCK_SECONDS: Final = 60.0
"""A worker with events to apply that commits nothing for this long is stuck."""


class WorkerStatus:
    """The status of one worker from its start to its end, over all its terms."""

    def __init__(self) -> None:
        self.state: State = "starting"
        self.reason = "it has just been started"
        self.writer: str | None = None
        """The holder of the lease while this worker stands by."""
        self.lease: Lease | None = None
        self.restarts = 0
        self.rate = 0.0
        self.lag: Mapping[PartitionId, int] = {}
        self.applied_at: float | None = None
        """The time at which a record was last applied: seconds since 1970."""
        self._rejected_before = self._applied_before = 0
        self._applied_in_term = 0
        self._projector: Projector | None = None
        self._responded = self._current = -math.inf

    # --- recorded by the worker --------------------------------------------------------------------------------------

    def record_standby(self, writer: str | None) -> None:
        """Record that another worker, `writer`, holds the lease according to the database."""
        self.state, self.writer = "standing-by", writer
        self._responded = time.monotonic()

    def record_term(self, projector: Projector, lease: Lease | None) -> None:
        """Record the start of a term. An embedded log has no lease."""
        self._end_term()
        self._projector, self.lease = projector, lease
        self._responded = self._current = time.monotonic()
        self.state = "projecting"

    def record_progress(self, progress: Progress) -> None:
        """Record the progress of this term."""
        self._responded = time.monotonic()
        if progress.done != self._applied_in_term:
            self.applied_at = time.time()
        if progress.done != self._applied_in_term or not progress.left:
            self._current = self._responded
        self._applied_in_term, self.lag, self.rate = progress.done, progress.lag, progress.rate

    def record_restart(self, reason: str) -> None:
        """Record that a server failed or the lease was lost, and that the worker restarts."""
        self._end_term()
        self.restarts += 1
        self.state, self.reason = "waiting", reason

    def record_incompatibility(self, reason: str) -> None:
        """Record that the store was built with other maps or companies, and that the worker waits until they match."""
        self.state, self.reason = "waiting", reason

    def record_handling(self, failure: str | None = None) -> None:
        """Record that a handler polled the store; `failure` is the reason if the store did not respond."""
        if failure is not None:
            self.reason = failure
        self.state = "handling" if failure is None else "waiting"

    def record_end(self) -> None:
        """Record the end of the worker."""
        self._end_term()
        self.state = "stopped"

    def _end_term(self) -> None:
        """Add the counts of the term that ended to the totals."""
        self._applied_before, self._applied_in_term = self.applied, 0
        self._rejected_before = self.rejected
        self._projector = self.lease = None
        self.rate = 0.0

    # --- read by observers -------------------------------------------------------------------------------------------

    @property
    def applied(self) -> int:
        """Records applied since the process started."""
        return self._applied_before + self._applied_in_term

    @property
    def rejected(self) -> int:
        """Events published to the rejected topic since the process started."""
        projector = self._projector
        return self._rejected_before + (projector.rejected if projector is not None else 0)

    @property
    def holds_lease(self) -> bool:
        """True while the lease that this worker acquired has not expired by its own clock."""
        lease = self.lease
        return lease is not None and time.monotonic() - lease.renewed < lease.seconds

    def unready_reason(self) -> str | None:
        """Return the reason why the worker is not ready; None if it writes, stands by, or executes sync requests."""
        now = time.monotonic()
        quiet = now - self._responded
        if self.state == "standing-by":
            return (
                f"it stands by, and the database has not responded for {quiet:.0f} s" if quiet > QUIET_SECONDS else None
            )
        if self.state == "handling":
            return None
        if self.state != "projecting":
            return {"starting": "it is starting", "stopped": "it has ended"}.get(self.state, self.reason)
        if self.lease is not None and not self.holds_lease:
            return f"its lease has not been renewed for {now - self.lease.renewed:.0f} s: the database does not respond"
        if quiet > QUIET_SECONDS:
            return f"it has made no progress for {quiet:.0f} s: the broker or the database does not respond"
        if now - self._current > STUCK_SECONDS:
            behind = sum(self.lag.values())
            return f"{behind:,} events are pending and none was applied for {now - self._current:.0f} s"
        return None

    def as_json(self) -> dict[str, Any]:
        """Return the members of the response of `/readyz`."""
        reason = self.unready_reason()
        members: dict[str, Any] = {"ready": reason is None, "state": self.state}
        if reason is not None:
            members["reason"] = reason
        if self.state == "standing-by":
            members["writer"] = self.writer
        if self.state == "projecting":
            members["lag"] = sum(self.lag.values())
            if (lease := self.lease) is not None:
                members |= {"holder": lease.holder, "epoch": lease.epoch}
        return members
