"""The counter of attempts when workers are killed between any two of their steps (R43)."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from engine.sync.actions import Task
from engine.sync.attempts import ATTEMPTS_MAX, Request, Sync
from store.operational.attempts import SqlAttempts
from store.schema.database import connect
from tests.support.attempting import publish, settings_in
from tests.support.soak import SOAK
from tieout.bootstrap import open_projector

KILLED = -9
STEPS = 9
"""Before and after claiming, beginning, publishing that it began, calling and ending."""
KILLS = 100 if SOAK else 6

Worker = Callable[[int], int]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    (tmp_path / "calls").touch()
    return tmp_path / "calls"


@pytest.fixture
def log(tmp_path: Path) -> SqlAttempts:
    return opened(tmp_path)


def opened(folder: Path) -> SqlAttempts:
    """The attempt log of a store, made from the topics if need be."""
    settings = settings_in(folder)
    with open_projector(settings) as (_, projector):
        publish(projector)
    return SqlAttempts(connect(settings.store, write=True))


@pytest.fixture
def worker(tmp_path: Path, calls: Path, log: SqlAttempts) -> Worker:
    """A worker an hour after the one before, killed before a step; its exit code."""
    hours = iter(range(1, 1_000))

    def run(step: int) -> int:
        now = str(next(hours) * 3_600)
        command = [sys.executable, "-m", "tests.support.attempting", str(tmp_path)]
        return subprocess.run([*command, str(calls), now, str(step)], check=False, timeout=60).returncode

    return run


def ask(log: SqlAttempts) -> None:
    export = Task("export", "USPM/1", "USPM", {}, ("USPM/1",))
    log.request(Request(id="r", at=0, who="anna", by_person=True, tasks=(export,), input_fingerprints={}))


def only(log: SqlAttempts) -> Sync:
    (sync,) = log.syncs()
    return sync


def called(calls: Path) -> int:
    return len(calls.read_text().splitlines())


@pytest.mark.requirement("R43")
@pytest.mark.parametrize("step", range(STEPS))
def test_a_worker_killed_at_this_step_leaves_a_counter_that_holds_every_call(
    log: SqlAttempts, worker: Worker, calls: Path, step: int
) -> None:
    ask(log)
    assert worker(step) == KILLED
    assert called(calls) <= only(log).attempts.made <= 1
    # The first one after it finds the attempt interrupted, the second may try again.
    assert [worker(STEPS), worker(STEPS)] == [0, 0]
    assert 1 <= called(calls) <= only(log).attempts.made


@pytest.mark.requirement("R43")
def test_however_often_workers_are_killed_no_sixth_call_leaves_in_a_round(
    log: SqlAttempts, worker: Worker, calls: Path
) -> None:
    chance = Random(43)
    kills, before = 0, 0
    ask(log)
    while kills < KILLS:
        if only(log).attempts.state == "stopped":
            # A person asks again.
            before = called(calls)
            ask(log)
        kills += worker(chance.randrange(STEPS)) == KILLED
        assert called(calls) - before <= only(log).attempts.made <= ATTEMPTS_MAX
    while only(log).attempts.state != "stopped":
        worker(STEPS)
    for _ in range(3):
        worker(STEPS)
    assert called(calls) - before <= ATTEMPTS_MAX
    assert only(log).attempts.made == ATTEMPTS_MAX


@pytest.mark.requirement("R43", "R71", "R74")
def test_no_sixth_call_leaves_when_the_store_is_deleted_after_any_kill(
    log: SqlAttempts, worker: Worker, calls: Path, tmp_path: Path
) -> None:
    chance = Random(71)
    kills, before = 0, 0
    ask(log)
    opened(tmp_path)  # the request is on the topic, as one that came by a worker is
    while kills < KILLS // 2:
        kills += worker(chance.randrange(STEPS)) == KILLED
        for path in tmp_path.glob("store.sqlite*"):
            path.unlink()
        log = opened(tmp_path)
        assert called(calls) - before <= only(log).attempts.made <= ATTEMPTS_MAX
        if only(log).attempts.state == "stopped":
            before = called(calls)
            ask(log)
            opened(tmp_path)
    while only(log).attempts.state != "stopped":
        worker(STEPS)
    assert called(calls) - before <= ATTEMPTS_MAX
    assert only(log).attempts.made == ATTEMPTS_MAX
