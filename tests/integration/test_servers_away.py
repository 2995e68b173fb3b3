"""A broker or a database that goes away, cuts connections or refuses commits: the worker waits, nothing is lost."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.containers import Broker, Database, free_port, until
from tests.support.workers import Environment, environment

pytestmark = [pytest.mark.containers, pytest.mark.requirement("R71", "R81")]

PIECES = 5


@pytest.fixture
def place(broker: Broker, database: Database, tmp_path: Path) -> Iterator[Environment]:
    with environment(broker, database, f"s{time.time_ns() % 10**9}", tmp_path, partitions=3) as made:
        yield made


def feed_while(place: Environment, trouble: Callable[[], object]) -> None:
    """Let the trouble come while the worker is busy."""
    place.feed(place.unfed // 3)
    trouble()
    place.feed(place.unfed // 3)


@pytest.mark.parametrize("how", ["restarted", "killed and started"])
def test_a_broker_that_goes_away_and_comes_back(place: Environment, broker: Broker, how: str) -> None:
    worker = place.writer()
    place.feed(place.unfed // 2)
    if how == "restarted":
        broker.restart()
    else:
        broker.kill()
        broker.start()
    place.check()
    assert worker.process.poll() is None


def test_a_worker_can_be_stopped_while_the_broker_is_away(place: Environment, broker: Broker) -> None:
    worker = place.writer()
    place.feed(place.unfed // 2)
    broker.pause()
    try:
        worker.terminate()
        worker.ends(100)
    finally:
        broker.resume()
    place.writer()
    place.check()


def test_a_database_that_is_restarted(place: Environment, database: Database) -> None:
    worker = place.writer()
    feed_while(place, database.restart)
    place.check()
    assert worker.process.poll() is None


def test_connections_that_are_cut_again_and_again(place: Environment) -> None:
    worker = place.writer()
    for _ in range(PIECES):
        place.feed(place.unfed // PIECES)
        time.sleep(0.3)
        place.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name LIKE 'tieout writer%%'"
        )
    place.check()
    assert worker.process.poll() is None


REFUSALS = {
    "a trigger that raises at the commit": ("P0001", "closed for the audit"),
    "a disk that is full": ("53100", "could not extend file: No space left on device"),
}


@contextmanager
def refusing(place: Environment, code: str, text: str) -> Iterator[None]:
    """Every commit that touches a chain fails at its very end."""
    place.execute(
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{text}' USING ERRCODE = '{code}'; END $$"
    )
    place.execute(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON chains DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    yield
    place.execute("DROP TRIGGER refuse ON chains")
    place.execute("DROP FUNCTION refuse")


@pytest.mark.parametrize("refusal", REFUSALS)
def test_commits_that_are_refused_for_a_while(place: Environment, refusal: str) -> None:
    code, text = REFUSALS[refusal]
    worker = place.writer()
    place.feed(500)
    place.catch_up()
    before, stood = place.dump(), place.offsets()
    with refusing(place, code, text):
        place.feed(500)
        worker.wait_for_log("worker_starts_again")
        assert text in worker.logged("worker_starts_again")[0]["reason"]
        assert (place.dump(), place.offsets()) == (before, stood)
    place.check()


def test_a_disk_that_is_full_in_the_middle_of_a_copy(place: Environment) -> None:
    """Limit a table to a few pages by a trigger on its rows, so that the COPY fails."""
    worker = place.writer()
    place.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
    )
    place.execute("CREATE TRIGGER full_disk BEFORE INSERT ON records FOR EACH ROW EXECUTE FUNCTION full_disk()")
    place.feed(500)
    worker.wait_for_log("worker_starts_again")
    place.execute("DROP TRIGGER full_disk ON records")
    place.check()


@pytest.mark.parametrize("arguments", [("run", "--role", "project"), ("run", "--port", "0")], ids=" ".join)
def test_a_database_that_is_away_at_the_start_is_waited_for(
    place: Environment, database: Database, arguments: tuple[str, ...]
) -> None:
    database.stop()
    try:
        worker = place.start(*arguments)
        worker.wait_for_log("worker_starts_again")
        assert "does not answer" in worker.logged("worker_starts_again")[0]["reason"]
    finally:
        database.start()
    worker.wait_for_log("worker_started")
    place.check()


def test_a_database_that_is_away_when_the_workspace_or_a_handler_starts_is_waited_for(
    place: Environment, database: Database
) -> None:
    place.make()
    metrics = free_port()
    nowhere = dict.fromkeys(("TIEOUT_FINANCE", "TIEOUT_DATAVERSE"), "http://127.0.0.1:9")
    application = {"TIEOUT_TENANT": "contoso", "TIEOUT_CLIENT_ID": "tieout", "TIEOUT_CLIENT_SECRET": "unsaid"}
    outgoing = {"TIEOUT_OUTGOING": "true", "TIEOUT_METRICS": f"127.0.0.1:{metrics}"}

    def ready() -> tuple[int, str]:
        answer = httpx.get(f"http://127.0.0.1:{metrics}/readyz")
        return answer.status_code, answer.json()["state"]

    database.stop()
    try:
        workspace = place.start("run", "--role", "workspace", "--port", "0")
        handler = place.start("run", "--role", "handle", **nowhere, **application, **outgoing)
        workspace.wait_for_log("worker_starts_again")
        handler.wait_for_log("worker_starts_again")
    finally:
        database.start()
    workspace.wait_for_log("workspace_started")
    until(lambda: _answers(ready, (200, "handling")), 30)
    database.stop()
    try:
        handler.wait_for_log("handler_waits")
        assert ready() == (503, "waiting")
    finally:
        database.start()
    until(lambda: ready() == (200, "handling"), 30)
    handler.terminate()
    assert handler.ends() == 0


def _answers(ask: Callable[[], tuple[int, str]], wanted: tuple[int, str]) -> bool:
    try:
        return ask() == wanted
    except httpx.TransportError:
        return False
