"""How a worker stands, for those who look at it from outside: written by the worker as it goes, read at any time.

Everything here is a plain value that is replaced, so nobody waits for anybody, and nothing is asked of a server.
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
"""A worker that lives tells how far it is every second; a large batch takes some."""

STUCK_SECONDS: Final = 60.0
"""With events to apply, one that commits nothing for so long is stuck."""


class WorkerStatus:
    """One worker, from its start to its end, over all its reigns."""

    def __init__(self) -> None:
        self.state: State = "starting"
        self.reason = "it has just been started"
        self.writer: str | None = None
        """Who holds the lease while this one stands by."""
        self.lease: Lease | None = None
        self.restarts = 0
        self.rate = 0.0
        self.lag: Mapping[PartitionId, int] = {}
        self.applied_at: float | None = None
        """When something was last applied: seconds since 1970."""
        self._rejected_before = self._applied_before = 0
        self._applied_now = 0
        self._projector: Projector | None = None
        self._heard = self._current = -math.inf

    # --- what the worker tells ---------------------------------------------------------------------------------------

    def record_standby(self, writer: str | None) -> None:
        """Another worker, `writer`, holds the lease, as the database just said."""
        self.state, self.writer = "standing-by", writer
        self._heard = time.monotonic()

    def record_term(self, projector: Projector, lease: Lease | None) -> None:
        """A reign begins; without a lease on an embedded log."""
        self._settle()
        self._projector, self.lease = projector, lease
        self._heard = self._current = time.monotonic()
        self.state = "projecting"

    def record_progress(self, progress: Progress) -> None:
        """How far this reign is."""
        self._heard = time.monotonic()
        if progress.done != self._applied_now:
            self.applied_at = time.time()
        if progress.done != self._applied_now or not progress.left:
            self._current = self._heard
        self._applied_now, self.lag, self.rate = progress.done, progress.lag, progress.rate

    def record_restart(self, reason: str) -> None:
        """A server is away, or the lease was lost: the worker starts again."""
        self._settle()
        self.restarts += 1
        self.state, self.reason = "waiting", reason

    def record_incompatibility(self, reason: str) -> None:
        """The store was built under other maps or companies: the worker waits until they fit."""
        self.state, self.reason = "waiting", reason

    def record_handling(self, failure: str | None = None) -> None:
        """A handler asked the store for work; `failure` says why the store did not answer."""
        if failure is not None:
            self.reason = failure
        self.state = "handling" if failure is None else "waiting"

    def record_end(self) -> None:
        """The worker ends."""
        self._settle()
        self.state = "stopped"

    def _settle(self) -> None:
        """Keep the counts of the reign that ended."""
        self._applied_before, self._applied_now = self.applied, 0
        self._rejected_before = self.rejected
        self._projector = self.lease = None
        self.rate = 0.0

    # --- what is asked -----------------------------------------------------------------------------------------------

    @property
    def applied(self) -> int:
        """Records applied since the process started."""
        return self._applied_before + self._applied_now

    @property
    def rejected(self) -> int:
        """Events put on the rejected topic since the process started."""
        projector = self._projector
        return self._rejected_before + (projector.rejected if projector is not None else 0)

    @property
    def holds_lease(self) -> bool:
        """Whether it may write, as far as it knows: its lease is not older than it lasts."""
        lease = self.lease
        return lease is not None and time.monotonic() - lease.renewed < lease.seconds

    def unready_reason(self) -> str | None:
        """Why this worker does not do its part; None when it does: it writes, stands by for one that does, or handles
        what Sync asks for.
        """
        now = time.monotonic()
        quiet = now - self._heard
        if self.state == "standing-by":
            return (
                f"it stands by, and the database has not answered for {quiet:.0f} s" if quiet > QUIET_SECONDS else None
            )
        if self.state == "handling":
            return None
        if self.state != "projecting":
            return {"starting": "it is starting", "stopped": "it has ended"}.get(self.state, self.reason)
        if self.lease is not None and not self.holds_lease:
            return f"its lease has not been renewed for {now - self.lease.renewed:.0f} s: the database does not answer"
        if quiet > QUIET_SECONDS:
            return f"it has not got on for {quiet:.0f} s: the broker or the database does not answer"
        if now - self._current > STUCK_SECONDS:
            behind = sum(self.lag.values())
            return f"{behind:,} events wait and nothing was applied for {now - self._current:.0f} s"
        return None

    def as_json(self) -> dict[str, Any]:
        """The state in short, for `/readyz`."""
        reason = self.unready_reason()
        told: dict[str, Any] = {"ready": reason is None, "state": self.state}
        if reason is not None:
            told["reason"] = reason
        if self.state == "standing-by":
            told["writer"] = self.writer
        if self.state == "projecting":
            told["lag"] = sum(self.lag.values())
            if (lease := self.lease) is not None:
                told |= {"holder": lease.holder, "epoch": lease.epoch}
        return told
