"""Service protection limits per user, as both systems enforce them (`docs/domain/limits.md`)."""

from collections import deque
from dataclasses import dataclass, field
from math import ceil


@dataclass(frozen=True, slots=True)
class ThrottledResponse:
    """The reason of a 429, and the seconds after which the request may be repeated."""

    code: str
    message: str
    retry_after: int


@dataclass(slots=True)
class ServiceProtection:
    """Usage of one user over the last 300 seconds. Times are monotonic, in seconds.

    Requests during a wait extend it.
    """

    window: float = 300.0
    requests: int = 6_000
    execution_seconds: float = 1_200.0
    at_once: int = 52
    refused: int = 0
    """Number of requests answered with 429."""
    _arrived: deque[float] = field(default_factory=deque)
    _took: deque[tuple[float, float]] = field(default_factory=deque)
    _seconds: float = 0.0
    _running: int = 0

    def arrive(self, now: float) -> ThrottledResponse | None:
        """Count a request: None when it is accepted, and must `leave` later."""
        self._expire(now)
        self._arrived.append(now)
        refusal = self._refusal(now)
        if refusal is None:
            self._running += 1
        else:
            self.refused += 1
        return refusal

    def leave(self, now: float, seconds: float) -> None:
        """End a request that took `seconds`."""
        self._running -= 1
        self._took.append((now, seconds))
        self._seconds += seconds

    def left(self) -> tuple[int, float]:
        """Return the remaining requests and seconds, as in the debug headers."""
        return max(0, self.requests - len(self._arrived)), max(0.0, self.execution_seconds - self._seconds)

    def _refusal(self, now: float) -> ThrottledResponse | None:
        if self._running >= self.at_once:
            return ThrottledResponse(
                "0x80072326", f"Number of concurrent requests exceeded the limit of {self.at_once}.", retry_after=5
            )
        if len(self._arrived) > self.requests:
            # The request that must leave the window first; each request during the wait extends it.
            first = self._arrived[len(self._arrived) - self.requests - 1]
            return ThrottledResponse(
                "0x80072322",
                f"Number of requests exceeded the limit of {self.requests} over the time window of "
                f"{self.window:.0f} seconds.",
                retry_after=max(1, ceil(first + self.window - now)),
            )
        if self._seconds > self.execution_seconds:
            return ThrottledResponse(
                "0x80072321",
                "Combined execution time of incoming requests exceeded limit of "
                f"{self.execution_seconds * 1000:,.0f} milliseconds over time window of {self.window:.0f} seconds. "
                "Decrease number of concurrent requests or reduce the duration of requests and try again later.",
                retry_after=max(1, ceil(self._took[0][0] + self.window - now)),
            )
        return None

    def _expire(self, now: float) -> None:
        while self._arrived and self._arrived[0] <= now - self.window:
            self._arrived.popleft()
        while self._took and self._took[0][0] <= now - self.window:
            self._seconds -= self._took.popleft()[1]
