"""General journals when workers are killed between any two of their steps (R43, R45)."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Engine

from engine.sync.attempts import ATTEMPTS_MAX, Sync
from store.errorlog.error_log import ErrorEntry, ErrorQuery
from store.operational.attempts import SqlAttempts
from store.projection.batch_plan import DecodedBatch
from store.projection.writer import Writer
from store.queries.reader import Reader
from store.schema.database import connect, migrate
from streams.codec import decode
from tests.support.pairs import Served, serving
from tests.support.stores import MAPS, add, apply

NUMBER = "USPM-000095"
LINES = ["5431130/cost", "5431130/sales", "5431131/cost", "5431131/sales", "5431132/cost"]
STEPS = 11
"""Claiming, beginning, the header, five lines, confirming, ending, reporting."""
NEVER = 1_000
KILLED = -9
KILLS = 8

Worker = Callable[[int], int]


@pytest.fixture
def served() -> Iterator[Served]:
    """The pair, with one journal that waits."""
    with serving() as served:
        headers = served.pair.tables["LedgerJournalTable"].rows
        others = [row.id for row in headers.values() if row.text("JournalNum") != NUMBER]
        for record in others:
            del headers[record]
        yield served


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = connect(f"sqlite:///{tmp_path / 'store.sqlite'}", write=True)
    migrate(engine)
    return engine


@pytest.fixture
def worker(tmp_path: Path, served: Served, engine: Engine) -> Worker:
    """A worker an hour after the one before, killed before a step; its exit code."""
    now = int(time.time())
    hours = iter(range(1, 1_000))
    (tmp_path / "reports").touch()

    def run(step: int) -> int:
        store, reports = f"sqlite:///{tmp_path / 'store.sqlite'}", str(tmp_path / "reports")
        command = [sys.executable, "-m", "tests.support.journal_worker", store, served.address, reports]
        when = str(now + next(hours) * 3_600)
        done = subprocess.run([*command, when, str(step)], check=False, timeout=60, capture_output=True, text=True)
        assert done.returncode in (0, KILLED), done.stderr
        arrive(engine, tmp_path / "reports")
        return done.returncode

    return run


def arrive(engine: Engine, reports: Path) -> None:
    """Let what was reported arrive in the error log, once more all of it: it counts once."""
    batch = DecodedBatch()
    for line in reports.read_bytes().splitlines():
        for fact in decode(line, [("content-type", b"application/cloudevents+json")]):
            add(batch, fact)
    apply(Writer(engine, MAPS, ["USPM"]), batch)


def only(engine: Engine) -> Sync:
    (sync,) = SqlAttempts(engine).syncs()
    return sync


def errors(engine: Engine, *, history: bool = False) -> list[ErrorEntry]:
    with Reader(engine, MAPS, today=None).snapshot() as snapshot:
        return snapshot.error_log(ErrorQuery(history=history))


def held(served: Served) -> tuple[int, list[str], bool]:
    """What Dataverse holds: journals, lines by their keys, whether it is confirmed."""
    tables = served.pair.tables
    journals = list(tables["msdyn_journal"].rows.values())
    lines = [line.text("msdyn_externaldescription") for line in tables["msdyn_journalline"].rows.values()]
    return len(journals), sorted(lines), any(row.columns.get("msdyn_isposted") is True for row in journals)


def writes(served: Served) -> Counter[str]:
    """How often each row was to be written, and the journal confirmed."""
    return Counter(call for call in served.pair.calls if call.startswith(("PATCH", "POST")))


@pytest.mark.requirement("R43", "R45")
@pytest.mark.parametrize("step", range(STEPS))
def test_a_worker_killed_before_this_step_leaves_a_journal_that_the_next_one_brings_through(
    served: Served, engine: Engine, worker: Worker, step: int
) -> None:
    assert worker(step) == KILLED
    assert only(engine).attempts.made <= 1
    # The next finds the attempt interrupted; the one after it may try again.
    assert [worker(NEVER), worker(NEVER)] == [0, 0]
    assert held(served) == (1, LINES, True)
    assert set(writes(served).values()) == {1}
    assert (only(engine).attempts.state, errors(engine)) == ("done", [])
    assert only(engine).attempts.made <= 2


@pytest.mark.requirement("R43", "R45", "R61")
def test_however_often_workers_are_killed_five_attempts_make_a_round_and_the_log_ends_at_count_five(
    served: Served, engine: Engine, worker: Worker
) -> None:
    chance = Random(61)
    served.pair.refusals["msdyn_journalline"] = "The project is closed for new transactions."
    for _ in range(KILLS):
        worker(chance.randrange(7))
        made = only(engine).attempts.made if SqlAttempts(engine).syncs() else 0
        assert max(writes(served).values(), default=0) <= made <= ATTEMPTS_MAX
    while only(engine).attempts.state != "stopped":
        worker(NEVER)
    for _ in range(2):
        worker(NEVER)
    assert max(writes(served).values()) <= ATTEMPTS_MAX
    assert (only(engine).attempts.made, held(served)) == (ATTEMPTS_MAX, (1, [], False))
    (error,) = errors(engine)
    assert error.message.text == "Failed to sync journal line to Dataverse. Manual synch required at count 5. Count 5."
    counts = [entry.message.text[-8:] for entry in errors(engine, history=True) if entry.message.text]
    assert sorted(counts) == [f"Count {number}." for number in range(1, ATTEMPTS_MAX + 1)]
