"""Readiness of a worker on a real broker and database while one of them is not reachable: it keeps responding, and
names which one.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.containers import Broker, Database, Server, until
from tests.support.observed import Worker

pytestmark = [pytest.mark.containers, pytest.mark.requirement("R82")]

NOTICED_SECONDS = 60.0
ANSWER_SECONDS = 5.0


@pytest.fixture
def start(broker: Broker, database: Database, tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    """Starts workers of one installation."""
    store = database.create("readiness")
    with ExitStack() as stack:

        @contextmanager
        def running() -> Iterator[Worker]:
            worker = Worker(tmp_path, broker=broker.url, store=store, prefix=tmp_path.name)
            try:
                yield worker
            finally:
                worker.process.kill()
                worker.process.wait()

        yield lambda: stack.enter_context(running())


def is_at(worker: Worker, state: str, *, ready: bool) -> bool:
    began = time.monotonic()
    code, told = worker.ready()
    assert time.monotonic() - began < ANSWER_SECONDS
    return code == (200 if ready else 503) and told["state"] == state


def test_one_writes_the_other_stands_by_and_both_are_ready(start: Callable[[], Worker]) -> None:
    first = start()
    until(lambda: is_at(first, "projecting", ready=True), NOTICED_SECONDS)
    second = start()
    until(lambda: is_at(second, "standing-by", ready=True), NOTICED_SECONDS)
    assert (first.metrics()["tieout_lease_held",], second.metrics()["tieout_lease_held",]) == (1, 0)
    assert first.metrics()["tieout_lease_epoch",] == 1
    first.end()
    until(lambda: is_at(second, "projecting", ready=True), NOTICED_SECONDS)
    assert second.metrics()["tieout_lease_epoch",] == 2


@pytest.mark.parametrize("away", ["database", "broker"])
def test_a_worker_says_what_is_away_and_is_ready_when_it_is_back(
    start: Callable[[], Worker], broker: Broker, database: Database, away: str
) -> None:
    server: Server = broker if away == "broker" else database
    worker = start()
    until(lambda: is_at(worker, "projecting", ready=True), NOTICED_SECONDS)
    server.stop()
    try:
        until(lambda: worker.ready()[0] == 503, NOTICED_SECONDS)
        assert worker.ready()[1]["reason"]
        assert worker.ask("/healthz")[0] == 200
        assert worker.metrics()["tieout_ready",] == 0
    finally:
        server.start()
    until(lambda: is_at(worker, "projecting", ready=True), NOTICED_SECONDS)
