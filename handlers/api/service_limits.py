"""The service protection limits of one environment and user, observed by the client (R46, `docs/domain/limits.md`).

Both systems count, for each user and a sliding window of 300 seconds, the requests, their combined execution time and
the concurrent requests; above any of these limits they respond with 429. `Bucket` decides without a clock of its own;
`Limiter` waits.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from handlers.errors import Throttled

_MARGIN: Final = 0.001
"""Seconds by which a call counts longer, because the end of a window is subject to rounding."""
_LONGEST_GUESSED_WAIT: Final = 300.0
"""The limit of exponential backoff without `Retry-After`: after a whole window the full allowance is available."""


class Limits(msgspec.Struct, frozen=True):
    """The documented limits for one user. The systems apply them to each of their web servers; the number of servers is
    unknown, so one is assumed.
    """

    window_seconds: float = 300.0
    requests: int = 6_000
    execution_seconds: float = 1_200.0
    at_once: int = 52


DOCUMENTED: Final = Limits()


class Bucket:
    """The usage of the limits by one user. Times are seconds of a monotonic clock.

    A call counts from the moment it is sent until a window and a margin after its response. The system counts it at
    some moment between the two, so it never counts a call that has expired here. The execution time of a running call
    is estimated as the average of the calls before it, or as the time it has taken so far if that is more.
    """

    def __init__(self, limits: Limits = DOCUMENTED) -> None:
        self._limits = limits
        self._done: deque[tuple[float, float]] = deque()
        self._done_seconds = 0.0
        self._running: dict[int, float] = {}
        self._calls = 0
        self._usual_seconds = 0.0
        self._stopped_until = -math.inf
        self._throttled_in_a_row = 0

    def wait(self, now: float) -> float:
        """Return the seconds until another call may be sent: 0 if now, infinite if a running call must end first."""
        self._expire(now)
        if now < self._stopped_until:
            return self._stopped_until - now
        if len(self._running) >= self._limits.at_once:
            return math.inf
        return max(self._wait_for_requests(now), self._wait_for_time(now))

    def _wait_for_requests(self, now: float) -> float:
        over = len(self._done) + len(self._running) + 1 - self._limits.requests
        if over <= 0:
            return 0.0
        return self._expires_at(over - 1) - now if over <= len(self._done) else math.inf

    def _wait_for_time(self, now: float) -> float:
        """Return the wait for execution time. A call that alone exceeds the limit is sent when no other call counts."""
        running = sum(max(now - sent, self._usual_seconds) for sent in self._running.values())
        over = self._done_seconds + running + self._usual_seconds - self._limits.execution_seconds
        if over <= 0 or not (self._done or self._running):
            return 0.0
        for index, (_, seconds) in enumerate(self._done):
            over -= seconds
            if over <= 0:
                return self._expires_at(index) - now
        return math.inf if self._running else self._expires_at(len(self._done) - 1) - now

    def _expires_at(self, index: int) -> float:
        return self._done[index][0] + self._limits.window_seconds + _MARGIN

    def begin(self, now: float) -> int:
        """Register a call that is sent and return its ticket."""
        self._calls += 1
        self._running[self._calls] = now
        return self._calls

    def end(self, ticket: int, now: float) -> None:
        """Register the end of a call, with or without a response."""
        sent = self._count(ticket, now)
        if sent >= self._stopped_until:
            self._throttled_in_a_row = 0

    def throttled(self, ticket: int, now: float, retry_after: float | None) -> None:
        """Register a response 429: all calls wait for `retry_after`, or 2, 4, 8, … seconds without it.

        A call during the wait prolongs it. The response to a call that was sent before can prolong it only as well.
        """
        self._count(ticket, now)
        self._throttled_in_a_row += 1
        guess = min(2.0 ** min(self._throttled_in_a_row, 30), _LONGEST_GUESSED_WAIT)
        self._stopped_until = max(self._stopped_until, now + (guess if retry_after is None else retry_after))

    def _count(self, ticket: int, now: float) -> float:
        sent = self._running.pop(ticket)
        seconds = now - sent
        self._done.append((now, seconds))
        self._done_seconds += seconds
        # A moving average over some twenty calls: it follows a change of load, and one slow call has little effect.
        self._usual_seconds += (seconds - self._usual_seconds) / min(20, self._calls)
        return sent

    def _expire(self, now: float) -> None:
        while self._done and self._expires_at(0) <= now:
            self._done_seconds -= self._done.popleft()[1]
        if not self._done:
            self._done_seconds = 0.0


class Limiter:
    """Delays the calls of one environment and user to stay within the limits; thread-safe.

    `clock` is monotonic, in seconds, and `sleep` waits seconds. `wait_seconds_max` is how long a call may wait for its
    slot (R44: observing `Retry-After` has a deadline).
    """

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        *,
        limits: Limits = DOCUMENTED,
        wait_seconds_max: float = 1_800.0,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._wait_max = wait_seconds_max
        self._bucket = Bucket(limits)
        self._changed = threading.Condition()

    @contextmanager
    def slot(self, call: str) -> Iterator[None]:
        """Wait for a slot and hold it until the block ends; `call` names the request in errors.

        Raises `Throttled` if no slot is free within `wait_seconds_max`; no request was sent then. A `Throttled` that
        the block raises delays all calls.
        """
        ticket = self._take(call)
        throttled: Throttled | None = None
        try:
            yield
        except Throttled as error:
            throttled = error
            raise
        finally:
            with self._changed:
                if throttled is None:
                    self._bucket.end(ticket, self._clock())
                else:
                    self._bucket.throttled(ticket, self._clock(), throttled.retry_after)
                self._changed.notify_all()

    def wait(self) -> float:
        """Return the seconds until a call may be sent; infinite while a running call must end first."""
        with self._changed:
            return self._bucket.wait(self._clock())

    def _take(self, call: str) -> int:
        deadline = self._clock() + self._wait_max
        while True:
            with self._changed:
                now = self._clock()
                wait = self._bucket.wait(now)
                if wait <= 0:
                    return self._bucket.begin(now)
                if math.isinf(wait):
                    self._changed.wait()
                    continue
            if now + wait > deadline:
                raise Throttled(
                    f"{call}: not sent. The limits of the system allow it in {wait:.0f} seconds, when it is retried "
                    "automatically.",
                    retry_after=wait,
                )
            self._sleep(wait)
