"""The status of a worker: ready if it does its work, else the reason."""

from types import SimpleNamespace
from typing import Any

import pytest

from streams.faust_app import Progress
from tieout.worker import status as module
from tieout.worker.status import QUIET_SECONDS, STUCK_SECONDS, WorkerStatus

PLACE = ("tieout.finance.changes", 0)

pytestmark = pytest.mark.requirement("R82")


class Clock:
    """The clocks of the process, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def lease(clock: Clock) -> Any:
    return SimpleNamespace(holder="here/1", epoch=3, seconds=6.0, renewed=clock.now)


def projector(rejected: int = 0) -> Any:
    return SimpleNamespace(rejected=rejected)


def progress(done: int, left: int) -> Progress:
    return Progress(done, {PLACE: left}, 0.0)


def test_a_worker_that_has_just_started_is_not_ready(clock: Clock) -> None:
    assert WorkerStatus().as_json() == {"ready": False, "state": "starting", "reason": "it is starting"}


def test_one_that_writes_is_ready_while_its_lease_is_renewed(clock: Clock) -> None:
    status, held = WorkerStatus(), lease(clock)
    status.record_term(projector(), held)
    status.record_progress(progress(0, 0))
    assert status.as_json() == {"ready": True, "state": "projecting", "lag": 0, "holder": "here/1", "epoch": 3}
    clock.now += 7
    assert not status.holds_lease
    assert status.unready_reason() == "its lease has not been renewed for 7 s: the database does not respond"
    held.renewed = clock.now
    assert (status.holds_lease, status.unready_reason()) == (True, None)


def test_one_that_says_nothing_any_more_is_not_ready(clock: Clock) -> None:
    status = WorkerStatus()
    status.record_term(projector(), None)
    status.record_progress(progress(0, 0))
    clock.now += QUIET_SECONDS + 1
    assert status.unready_reason() == "it has made no progress for 16 s: the broker or the database does not respond"


def test_one_that_is_behind_and_applies_nothing_is_stuck(clock: Clock) -> None:
    status = WorkerStatus()
    status.record_term(projector(), None)
    for _ in range(int(STUCK_SECONDS) + 1):
        status.record_progress(progress(10, 5))
        assert status.unready_reason() is None
        clock.now += 1
    status.record_progress(progress(10, 5))
    assert status.unready_reason() == "5 events are pending and none was applied for 61 s"
    status.record_progress(progress(11, 4))
    assert status.unready_reason() is None


def test_one_with_nothing_to_do_is_ready_however_long(clock: Clock) -> None:
    status = WorkerStatus()
    status.record_term(projector(), None)
    for _ in range(1_000):
        status.record_progress(progress(10, 0))
        clock.now += 1
    assert status.unready_reason() is None


def test_one_that_stands_by_is_ready_as_long_as_the_database_says_who_writes(clock: Clock) -> None:
    status = WorkerStatus()
    status.record_standby("there/1")
    assert status.as_json() == {"ready": True, "state": "standing-by", "writer": "there/1"}
    clock.now += QUIET_SECONDS + 1
    assert status.unready_reason() == "it stands by, and the database has not responded for 16 s"


def test_one_that_handles_is_ready_while_the_store_answers(clock: Clock) -> None:
    status = WorkerStatus()
    status.record_handling()
    assert status.as_json() == {"ready": True, "state": "handling"}
    status.record_handling("the database does not answer")
    assert status.as_json() == {"ready": False, "state": "waiting", "reason": "the database does not answer"}
    status.record_handling()
    assert status.unready_reason() is None


def test_one_that_waits_for_a_server_says_for_which(clock: Clock) -> None:
    status = WorkerStatus()
    status.record_term(projector(), lease(clock))
    status.record_restart("Kafka does not answer")
    assert status.as_json() == {"ready": False, "state": "waiting", "reason": "Kafka does not answer"}
    assert not status.holds_lease


def test_counts_go_on_over_the_reigns(clock: Clock) -> None:
    status, first = WorkerStatus(), projector()
    status.record_term(first, lease(clock))
    status.record_progress(progress(10, 0))
    first.rejected = 2
    status.record_restart("away")
    assert (status.applied, status.rejected, status.restarts) == (10, 2, 1)
    status.record_term(projector(1), lease(clock))
    status.record_progress(progress(5, 0))
    assert (status.applied, status.rejected) == (15, 3)
    status.record_end()
    assert (status.applied, status.rejected) == (15, 3)
    assert status.unready_reason() == "it has ended"
