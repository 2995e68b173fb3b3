"""The service protection limits of one environment and user, kept from our side (R46, `docs/domain/limits.md`).

Both systems count, for each user over the last 300 seconds, requests and their combined execution time, and how many
run at once; over any of these they answer 429. `Bucket` decides and reads no clock; `Limiter` waits.
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
"""Seconds by which a call counts longer here: two ways to reckon the end of a window differ by a rounding."""
_LONGEST_GUESSED_WAIT: Final = 300.0
"""Without `Retry-After` waits double, but after a whole window the allowance is there again."""


class Limits(msgspec.Struct, frozen=True):
    """What the systems document for one user. They count it for each of their web servers; we do not know how many
    there are, and keep to one.
    """

    window_seconds: float = 300.0
    requests: int = 6_000
    execution_seconds: float = 1_200.0
    at_once: int = 52


DOCUMENTED: Final = Limits()


class Bucket:
    """What one user has used of the limits. Times are seconds of any clock that only grows.

    A call counts from when it is sent until a window after its answer, and a margin: whenever between the two the
    system counted it, it never counts a call that we have forgotten. While a call runs, its time is taken to be that of
    the calls before it, or what it has taken already if that is more.
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
        """Seconds until one more call may leave, 0 when it may now; infinite when a running one must end first."""
        self._forget(now)
        if now < self._stopped_until:
            return self._stopped_until - now
        if len(self._running) >= self._limits.at_once:
            return math.inf
        return max(self._wait_for_requests(now), self._wait_for_time(now))

    def _wait_for_requests(self, now: float) -> float:
        over = len(self._done) + len(self._running) + 1 - self._limits.requests
        if over <= 0:
            return 0.0
        return self._rolls_off(over - 1) - now if over <= len(self._done) else math.inf

    def _wait_for_time(self, now: float) -> float:
        """A call that alone takes longer than the allowance may go when nothing else counts."""
        running = sum(max(now - sent, self._usual_seconds) for sent in self._running.values())
        over = self._done_seconds + running + self._usual_seconds - self._limits.execution_seconds
        if over <= 0 or not (self._done or self._running):
            return 0.0
        for place, (_, seconds) in enumerate(self._done):
            over -= seconds
            if over <= 0:
                return self._rolls_off(place) - now
        return math.inf if self._running else self._rolls_off(len(self._done) - 1) - now

    def _rolls_off(self, place: int) -> float:
        return self._done[place][0] + self._limits.window_seconds + _MARGIN

    def begin(self, now: float) -> int:
        """A call leaves; returns its ticket."""
        self._calls += 1
        self._running[self._calls] = now
        return self._calls

    def end(self, ticket: int, now: float) -> None:
        """A call was answered, or will never be."""
        sent = self._count(ticket, now)
        if sent >= self._stopped_until:
            self._throttled_in_a_row = 0

    def throttled(self, ticket: int, now: float, retry_after: float | None) -> None:
        """A call was answered 429: all wait as long as the system says, or 2, 4, 8, … seconds when it does not.

        Sending during the wait makes it longer; the answer to a call that left before may only make it longer, too.
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
        # Follows a change of load within some twenty calls, and one slow call hardly moves it.
        self._usual_seconds += (seconds - self._usual_seconds) / min(20, self._calls)
        return sent

    def _forget(self, now: float) -> None:
        while self._done and self._rolls_off(0) <= now:
            self._done_seconds -= self._done.popleft()[1]
        if not self._done:
            self._done_seconds = 0.0


class Limiter:
    """Lets calls of one environment and user leave as the limits allow; for several threads.

    `clock` gives seconds that only grow, `sleep` waits so many. `patience_seconds` is how long a call may wait here
    before it is given up (R44: obeying `Retry-After` has a deadline).
    """

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        *,
        limits: Limits = DOCUMENTED,
        patience_seconds: float = 1_800.0,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._patience = patience_seconds
        self._bucket = Bucket(limits)
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, call: str) -> Iterator[None]:
        """Waits until `call` may leave, and counts it until the block ends.

        Raises `Throttled` when its turn does not come within the patience: nothing was sent then. A `Throttled` that
        leaves the block stops all calls.
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
        """Seconds until a call could leave; infinite while one must come back first."""
        with self._changed:
            return self._bucket.wait(self._clock())

    def _take(self, call: str) -> int:
        deadline = self._clock() + self._patience
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
                    f"{call}: not sent. The limits of the system leave room in {wait:.0f} seconds only. It goes on by "
                    "itself then.",
                    retry_after=wait,
                )
            self._sleep(wait)
