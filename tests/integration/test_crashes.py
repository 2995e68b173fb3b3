"""A writer that dies at any point: nothing is lost, nothing counts twice, the published state equals the stored one."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from tests.support.containers import Broker, Database, until
from tests.support.points import DIED, POINTS
from tests.support.soak import SOAK
from tests.support.workers import CATCH_UP_SECONDS, Environment, Worker, environment

pytestmark = [pytest.mark.containers, pytest.mark.requirement("R71", "R81")]

KILLS = int(os.environ.get("TIEOUT_KILLS") or (200 if SOAK else 20))


@pytest.fixture
def place(broker: Broker, database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Environment]:
    with environment(broker, database, f"c{time.time_ns() % 10**9}", tmp_path, partitions=3) as made:
        yield made


def test_a_writer_killed_at_random_moments_loses_and_repeats_nothing(place: Environment) -> None:
    """Events continue to arrive, and another worker acquires the lease each time: the one on stand-by or, if the lease
    must expire first, the one that was started meanwhile.
    """
    chance = random.Random(KILLS)
    workers = [place.writer(), place.stand_by()]
    for kill in range(KILLS):
        place.feed(chance.randint(1, 2 * place.unfed // (KILLS - kill)))
        time.sleep(chance.expovariate(1 / 0.3))
        place.feed(1)
        writer, successor = workers
        writer.kill()
        if not SOAK:
            place.expire_lease()
        workers = _taken_over([successor, place.start()])
    place.check()


def _taken_over(workers: list[Worker]) -> list[Worker]:
    """The workers once one of them projects, that one first."""
    until(lambda: any(worker.logged("worker_started") for worker in workers), CATCH_UP_SECONDS)
    return sorted(workers, key=lambda worker: not worker.logged("worker_started"))


class Dying:
    """Starts workers that die at points of the write path."""

    def __init__(self, place: Environment, log: Path) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.support.points"],
                env=place.whole_environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    def at(self, point: str, number: int) -> bool:
        """Run a worker that dies when it comes by the point for this time; False if it never did, and caught up."""
        assert self._server.stdin
        self._server.stdin.write(f"{number} {point}\n".encode())
        self._server.stdin.flush()
        died = self._told() == f"died {point}"
        assert self._told() == f"ended {DIED}" if died else self._last == "ended 0", self._log.read_text()
        return died

    def _told(self) -> str:
        assert self._server.stdout
        self._last = self._server.stdout.readline().decode().strip()
        return self._last

    def close(self) -> None:
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait()


def test_a_writer_that_dies_at_any_point_of_the_write_path_loses_and_repeats_nothing(
    place: Environment, tmp_path: Path
) -> None:
    """At each point for the first time, the second, and so on until a worker does not come by so often."""
    place.make()
    with closing(Dying(place, tmp_path / "workers.log")) as dying:
        for point in POINTS:
            for number in count():
                place.feed(30)
                place.expire_lease()
                if not dying.at(point, number):
                    break
            assert number > 0, f"no worker came by: {point}"
            place.check_published()
    assert place.unfed > 0, "too few events for so many points"
    place.writer()
    place.check()


@pytest.mark.parametrize(
    "point",
    ["before the commit", "before it is published", *(["before its transaction", "before rows are inserted"] * SOAK)],
)
def test_a_writer_that_sleeps_at_a_point_and_wakes_overtaken_writes_and_publishes_nothing(
    place: Environment, point: str
) -> None:
    place.make()
    place.feed(1_200)
    sleeper = place.start(point, module="tests.support.points")
    sleeper.wait_for_log("stopped")
    other = place.start()
    other.wait_for_log("worker_started")
    place.feed(1_000)
    place.catch_up()
    before = place.dump()
    sleeper.resume()
    sleeper.wait_for_log("standing_by")
    assert place.holder() == other.pid
    assert place.dump() == before
    place.check_published()
    place.check()
