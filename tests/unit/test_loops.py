"""A loop of a worker survives any failure of one iteration, and records when it ran last."""

import threading

import pytest
from sqlalchemy.exc import OperationalError

from engine.errors import QueryError
from store.operational.loops import last_runs
from tests.support.stores import memory_store
from tieout.worker.loops import repeat


@pytest.mark.requirement("R82")
def test_a_turn_that_fails_in_any_way_is_kept_with_its_reason_and_the_next_one_comes() -> None:
    engine, stop = memory_store(), threading.Event()
    failures: list[Exception] = [
        QueryError("no period is open"),
        OperationalError("SELECT a secret", {}, Exception("the server is away")),
        KeyError("a secret"),
    ]
    seen: list[str] = []

    script = iter([*failures, False, True])

    def turn() -> bool:
        with engine.connect() as connection:
            seen.extend(one.failed for one in last_runs(connection))
        step = next(script)
        if isinstance(step, Exception):
            raise step
        if step:
            stop.set()
        return bool(step)

    repeat("recurring sync", turn, engine, stop, 0.0)
    assert seen == ["no period is open", "the server is away", "KeyError", "KeyError"]
    with engine.connect() as connection:
        (last,) = last_runs(connection)
    assert (last.name, last.failed, last.at > 0) == ("recurring sync", "", True)
