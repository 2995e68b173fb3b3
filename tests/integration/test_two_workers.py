"""Two workers for one environment: one writes, the other stands by and acquires the lease, whatever happens to the
first.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import Broker, Database
from tests.support.workers import FAIL_OVER_SECONDS, Environment, Worker, environment

pytestmark = [pytest.mark.containers, pytest.mark.requirement("R71", "R81")]


@pytest.fixture
def place(broker: Broker, database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Environment]:
    name = f"w{abs(hash(request.node.name)) % 10**8}"
    with environment(broker, database, name, tmp_path, partitions=3) as made:
        yield made


def pair(place: Environment) -> tuple[Worker, Worker]:
    """Return the writer and the worker on stand-by, with some events applied."""
    writer = place.writer()
    other = place.stand_by()
    place.feed(1_000)
    place.catch_up()
    return writer, other


def test_the_other_worker_takes_over_within_15_seconds_when_the_writer_is_killed(place: Environment) -> None:
    writer, other = pair(place)
    writer.kill()
    place.feed(500)
    assert other.wait_for_log("worker_started", FAIL_OVER_SECONDS) < FAIL_OVER_SECONDS
    place.check()


def test_a_writer_that_is_paused_loses_its_lease_and_writes_nothing_when_it_wakes(place: Environment) -> None:
    writer, other = pair(place)
    writer.pause()
    place.feed(500)
    assert other.wait_for_log("worker_started", FAIL_OVER_SECONDS) < FAIL_OVER_SECONDS
    place.catch_up()
    epoch = place.execute("SELECT epoch FROM leases")
    writer.resume()
    writer.wait_for_log("standing_by")
    assert place.execute("SELECT epoch FROM leases") == epoch
    assert place.holder() == other.pid
    place.check()


def test_a_worker_that_is_told_to_stop_finishes_and_hands_over_at_once(place: Environment) -> None:
    writer, other = pair(place)
    place.feed_rest()
    writer.terminate()
    assert writer.ends() == 0
    ended = time.monotonic()
    assert writer.logged("worker_stopped")
    # Not after the time of the lease: it was released.
    other.wait_for_log("lease_taken", 3)
    assert time.monotonic() - ended < 4
    place.check()


def test_a_worker_that_stands_by_stops_when_told_to(place: Environment) -> None:
    _, other = pair(place)
    other.terminate()
    assert other.ends(10) == 0
    place.check()
