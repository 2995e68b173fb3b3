"""The limiter against servers that enforce the documented limits; the clock is virtual, nothing waits."""

import heapq
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handlers.api.service_limits import DOCUMENTED, Bucket, Limiter, Limits
from handlers.errors import Throttled, Transient
from tests.support.soak import examples
from tieout.simulator.pair.service_limits import ServiceProtection

ACTIONS = 20_000
WINDOW = DOCUMENTED.window_seconds


class Run(NamedTuple):
    finished: float
    refused: int


def run(actions: int, workers: int, seconds: Callable[[], float], way: Callable[[], float]) -> Run:
    """Workers make calls as the bucket permits; `way` is the travel time of a request or a response."""
    bucket, server = Bucket(), ServiceProtection()
    due: list[tuple[float, int, str, int, float]] = []
    now, number, left, idle = 0.0, 0, actions, workers

    def later(at: float, what: str, ticket: int = 0, took: float = 0.0) -> None:
        nonlocal number
        number += 1
        heapq.heappush(due, (at, number, what, ticket, took))

    waking = False
    while left or idle < workers:
        while left and idle and not waking:
            wait = bucket.wait(now)
            if wait > 0:
                if wait != float("inf"):
                    waking = True
                    later(now + wait, "wake")
                break
            idle, left = idle - 1, left - 1
            later(now + way(), "arrive", bucket.begin(now))
        now, _, what, ticket, took = heapq.heappop(due)
        if what == "wake":
            waking = False
        elif what == "arrive":
            if (refusal := server.arrive(now)) is None:
                took = seconds()
                later(now + took, "leave", ticket, took)
            else:
                later(now + way(), "refused", ticket, refusal.retry_after)
        elif what == "leave":
            server.leave(now, took)
            later(now + way(), "answered", ticket)
        elif what == "refused":
            bucket.throttled(ticket, now, took)
            idle, left = idle + 1, left + 1
        else:
            bucket.end(ticket, now)
            idle += 1
    return Run(now, server.refused)


def ideal(actions: int, workers: int, seconds: float) -> float:
    """Return the minimum duration: the allowance of each limit is available at the start, and again in each window."""
    each_window = min(DOCUMENTED.requests, DOCUMENTED.execution_seconds / seconds)
    at_work = actions * seconds / min(workers, DOCUMENTED.at_once)
    whole_windows = -(-actions // each_window) - 1
    rest = actions - whole_windows * each_window
    return max(at_work, whole_windows * WINDOW + rest * seconds / min(workers, DOCUMENTED.at_once))


LOADS = [
    ("requests bind", 52, 0.05, 0.001),
    ("requests bind, and execution time nearly", 52, 0.19, 0.004),
    ("execution time binds", 52, 0.5, 0.01),
    ("long calls", 52, 4.0, 0.02),
    ("more workers than may run at once", 200, 0.27, 0.005),
    ("one worker", 1, 0.05, 0.001),
]


@pytest.mark.requirement("R46")
@pytest.mark.parametrize(("workers", "seconds", "way"), [load[1:] for load in LOADS], ids=[load[0] for load in LOADS])
def test_20_000_actions_never_exceed_the_limits_and_waste_no_more_than_a_twentieth(
    workers: int, seconds: float, way: float
) -> None:
    chance = Random(7)
    done = run(ACTIONS, workers, lambda: seconds * chance.uniform(0.6, 1.4), lambda: way * chance.uniform(0.5, 1.5))
    assert done.refused == 0
    least = ideal(ACTIONS, workers, seconds)
    # Round trips cannot be distinguished from execution, so they count as execution.
    assert done.finished <= 1.05 * least + 4 * seconds, (done, least)


@pytest.mark.requirement("R46")
@settings(max_examples=examples(40), deadline=None)
# A call whose window ends as the next one is sent: by a rounding it counted for the server, and not for us.
@example(seed=6739, workers=52, usual=2.469910216544156, slow=7.303254133982696, way=0.0)
@given(
    seed=st.integers(0, 2**32),
    workers=st.integers(1, 80),
    usual=st.floats(0.01, 3.0),
    slow=st.floats(1.0, 30.0),
    way=st.floats(0.0, 0.5),
)
def test_whatever_calls_take_no_limit_is_exceeded(
    seed: int, workers: int, usual: float, slow: float, way: float
) -> None:
    """One call in fifty takes up to thirty times as long."""
    chance = Random(seed)
    done = run(
        2_000,
        workers,
        lambda: usual * (slow if chance.random() < 0.02 else chance.uniform(0.5, 1.5)),
        lambda: way * chance.random(),
    )
    assert done.refused == 0


class Clock:
    """A clock that advances on every sleep."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def throttle(limiter: Limiter, retry_after: float | None) -> None:
    with pytest.raises(Throttled), limiter.slot("GET x"):
        raise Throttled("GET x: 429. Wait.", retry_after=retry_after)


@pytest.mark.requirement("R46")
def test_a_429_stops_every_call_as_long_as_it_says() -> None:
    clock = Clock()
    limiter = Limiter(clock, clock.sleep)
    throttle(limiter, 17)
    assert limiter.wait() == 17
    with limiter.slot("GET y"):
        assert clock.now == 1_017


@pytest.mark.requirement("R44")
def test_without_retry_after_the_wait_doubles_until_a_call_goes_well() -> None:
    clock = Clock()
    limiter = Limiter(clock, clock.sleep)
    waits = []
    for _ in range(4):
        throttle(limiter, None)
        waits.append(limiter.wait())
    assert waits == [2, 4, 8, 16]
    with pytest.raises(Transient), limiter.slot("GET x"):
        raise Transient("GET x: 503. Try again later.")
    throttle(limiter, None)
    assert limiter.wait() == 2


def test_an_answer_to_a_call_that_left_before_the_429_does_not_end_the_wait() -> None:
    bucket = Bucket()
    early, late = bucket.begin(0), bucket.begin(0)
    bucket.throttled(late, 1, 30)
    bucket.end(early, 2)
    assert bucket.wait(2) == 29
    assert bucket.wait(31) == 0


@pytest.mark.requirement("R44")
def test_a_wait_beyond_the_deadline_is_given_up_before_anything_is_sent() -> None:
    clock = Clock()
    limiter = Limiter(clock, clock.sleep, wait_seconds_max=60)
    throttle(limiter, 300)
    with pytest.raises(Throttled, match="not sent") as raised, limiter.slot("GET x"):
        raise AssertionError("nothing may be sent")
    assert raised.value.retry_after == 300
    assert clock.now == 1_000


def test_a_call_that_takes_more_than_the_whole_allowance_may_leave_alone() -> None:
    bucket = Bucket(Limits(execution_seconds=10))
    bucket.end(bucket.begin(0), 50)
    # A millisecond more: by a rounding, the system may count it that long.
    assert bucket.wait(50) == pytest.approx(300.001)
    assert bucket.wait(350.002) == 0


@pytest.mark.requirement("R46")
def test_threads_share_the_allowance_of_their_user() -> None:
    """In real time, against small limits: eight threads, and no call is refused."""
    limits = Limits(window_seconds=0.4, requests=20, execution_seconds=10.0, at_once=3)
    limiter = Limiter(time.monotonic, time.sleep, limits=limits)
    server = ServiceProtection(window=0.4, requests=20, execution_seconds=10.0, at_once=3)
    lock, most, running = threading.Lock(), 0, 0

    def call(_number: int) -> None:
        nonlocal most, running
        with limiter.slot("GET x"):
            with lock:
                assert server.arrive(time.monotonic()) is None
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            with lock:
                running -= 1
                server.leave(time.monotonic(), 0.01)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(70)))
    assert (server.refused, most) == (0, 3)
