"""Sync runs in the store: what was requested, and the progress, on each database (R40, R41, R47)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from engine.sync.actions import Task
from engine.sync.attempts import SECOND, Outcome, Request, SyncRun
from store.operational.attempts import SqlAttempts
from store.operational.sync_runs import DONE, FAILED, OPEN, RunProgress, documents_of, run_of, runs_of

HOUR = 3_600 * SECOND


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.containers)])
def engine(request: pytest.FixtureRequest) -> Engine:
    store: Engine = request.getfixturevalue(f"{request.param}_store")
    return store


@pytest.fixture
def log(engine: Engine) -> SqlAttempts:
    return SqlAttempts(engine)


def request(
    *names: str, run: str = "run-1", at: int = 0, of: int | None = None, by_person: bool = True, restart: bool = False
) -> Request:
    tasks = tuple(Task("export", name, "USPM", {}, (name,)) for name in names)
    made = SyncRun(id=run, company="USPM", scope="a test", calls=len(names), documents=of or len(names))
    return Request(
        id=run, at=at, who="anna", by_person=by_person, tasks=tasks, input_fingerprints={}, restart=restart, run=made
    )


def attempt(log: SqlAttempts, name: str, now: int, outcome: Outcome | None) -> None:
    """An attempt for a document; with no outcome its handler is killed, and its claim runs out a minute later."""
    held = log.claim(f"{name} {now}", now=now, until=now + 60 * SECOND, chance=0.0, only=("export", name))
    assert held is not None
    log.begin(held, now=now, until=now + 60 * SECOND)
    if outcome is not None:
        log.end(held, outcome, f"{outcome}!", now=now, chance=0.0, changes={})


def look(engine: Engine, run: str, now: int) -> RunProgress:
    with engine.connect() as connection:
        found = run_of(connection, run, now)
    assert found is not None
    return found


@pytest.mark.requirement("R47")
def test_a_run_tells_how_far_each_of_its_documents_is(log: SqlAttempts, engine: Engine) -> None:
    names = [f"USPM/{number}" for number in range(7)]
    log.request(request(*names, of=8))
    attempt(log, names[0], SECOND, "succeeded")
    attempt(log, names[1], SECOND, "permanent")
    attempt(log, names[2], SECOND, "transient")
    for number in range(5):
        attempt(log, names[3], number * HOUR, "transient")
    now = 5 * HOUR
    attempt(log, names[4], now - 70 * SECOND, None)
    attempt(log, names[5], now - SECOND, None)
    found = look(engine, "run-1", now)
    assert found.counts == {
        "export": {
            "succeeded": 1,
            "blocked": 1,
            "retrying": 1,
            "needs-attention": 1,
            "interrupted": 1,
            "running": 1,
            "queued": 1,
        }
    }
    assert (found.arrived, found.documents, found.joined, found.finished) == (7, 8, 0, False)
    assert (found.who, found.scope, found.by_person) == ("anna", "a test", True)
    with engine.connect() as connection:
        told = documents_of(connection, "run-1", now, None)
        part = documents_of(connection, "run-1", now, 2, 1)
    assert [one.document for one in told][:2] == [names[3], names[1]]
    assert part == told[1:3]
    assert {(one.state, one.outcome) for one in told} >= {("blocked", "permanent"), ("interrupted", "interrupted")}


@pytest.mark.requirement("R40")
def test_a_run_is_finished_once_nothing_happens_any_more_without_a_person(log: SqlAttempts, engine: Engine) -> None:
    log.request(request("USPM/1", "USPM/2"))
    attempt(log, "USPM/1", 10 * SECOND, "succeeded")
    half = look(engine, "run-1", 11 * SECOND)
    assert (half.finished, half.remaining(11 * SECOND)) == (False, 10 * SECOND)
    attempt(log, "USPM/2", 20 * SECOND, "permanent")
    done = look(engine, "run-1", 20 * SECOND)
    assert (done.finished, done.remaining(20 * SECOND)) == (True, 0)


@pytest.mark.requirement("R47")
def test_what_waits_for_its_next_attempt_takes_at_least_until_then(log: SqlAttempts, engine: Engine) -> None:
    log.request(request("USPM/1", "USPM/2"))
    assert look(engine, "run-1", SECOND).remaining(SECOND) is None
    attempt(log, "USPM/1", SECOND, "succeeded")
    held = log.claim("one", now=SECOND, until=HOUR, chance=0.0)
    assert held is not None
    log.begin(held, now=SECOND, until=HOUR)
    log.refund(held, "429", now=SECOND, wait=300 * SECOND)
    assert look(engine, "run-1", 2 * SECOND).remaining(2 * SECOND) == 299 * SECOND


@pytest.mark.requirement("R43")
def test_a_finished_run_keeps_what_it_came_to_when_a_later_one_begins_again(log: SqlAttempts, engine: Engine) -> None:
    log.request(request("USPM/1"))
    attempt(log, "USPM/1", SECOND, "permanent")
    log.request(request("USPM/1", run="run-2", at=HOUR))
    first, second = (look(engine, name, HOUR) for name in ("run-1", "run-2"))
    assert (first.count("blocked"), first.finished, first.ended_at) == (1, True, SECOND)
    with engine.connect() as connection:
        (kept,) = documents_of(connection, "run-1", HOUR, None)
    assert (kept.outcome, kept.text, kept.made) == ("permanent", "permanent!", 1)
    assert (second.count("queued"), second.joined, second.finished) == (1, 0, False)
    log.request(request("USPM/1", run="run-3", at=HOUR + 1))
    third = look(engine, "run-3", HOUR + 1)
    assert (third.joined, third.count("queued")) == (1, 1)
    attempt(log, "USPM/1", HOUR + 2, "succeeded")
    assert [look(engine, name, 2 * HOUR).count("succeeded") for name in ("run-1", "run-2", "run-3")] == [0, 1, 1]


@pytest.mark.requirement("R47")
def test_a_document_whose_subject_is_queued_joins_its_call_and_tells_of_no_earlier_one(
    log: SqlAttempts, engine: Engine
) -> None:
    def imported(*names: str, run: str, at: int) -> Request:
        task = Task("import", "USPM", "USPM", {}, names)
        made = SyncRun(id=run, company="USPM", scope="a test", calls=1, documents=len(names))
        return Request(
            id=run, at=at, who="anna", by_person=True, tasks=(task,), input_fingerprints={}, restart=False, run=made
        )

    log.request(imported("USPM/1", "USPM/2", run="run-1", at=0))
    held = log.claim("one", now=1, until=HOUR, chance=0.0)
    assert held is not None
    log.begin(held, now=1, until=HOUR)
    log.end(held, "succeeded", "", now=2, chance=0.0, changes={})
    log.request(imported("USPM/1", run="run-2", at=HOUR))
    log.request(imported("USPM/2", run="run-3", at=HOUR))
    third = look(engine, "run-3", HOUR)
    assert (third.joined, third.count("retrying"), third.finished, third.last_at) == (1, 1, False, None)
    held = log.claim("two", now=HOUR, until=2 * HOUR, chance=0.0)
    assert held is not None
    assert held.documents == ("USPM/1", "USPM/2")


@pytest.mark.requirement("R47")
def test_a_run_that_no_handler_moves_is_stalled(log: SqlAttempts, engine: Engine) -> None:
    log.request(request("USPM/1", "USPM/2"))
    assert [look(engine, "run-1", now * SECOND).stalled(now * SECOND) for now in (14, 16)] == [False, True]
    attempt(log, "USPM/1", 20 * SECOND, "succeeded")
    assert [look(engine, "run-1", now * SECOND).stalled(now * SECOND) for now in (34, 36)] == [False, True]
    assert look(engine, "run-1", 36 * SECOND).remaining(36 * SECOND) is None
    attempt(log, "USPM/2", 40 * SECOND, None)  # its call may take two minutes
    assert [look(engine, "run-1", now * SECOND).stalled(now * SECOND) for now in (90, 190)] == [False, True]


@pytest.mark.requirement("R41")
def test_the_last_runs_of_a_company_are_listed_and_a_run_without_calls_is_one(log: SqlAttempts, engine: Engine) -> None:
    log.request(request("USPM/1"))
    log.request(request(run="run-2", at=HOUR, by_person=False))
    with engine.connect() as connection:
        assert [one.id for one in runs_of(connection, "USPM", HOUR, 10)] == ["run-2", "run-1"]
        (job,) = runs_of(connection, "USPM", HOUR, 10, by_person=False)
        assert runs_of(connection, "GBPM", HOUR, 10) == []
    assert (job.id, job.documents, job.finished) == ("run-2", 0, True)


def test_old_runs_are_purged_with_their_documents(log: SqlAttempts, engine: Engine) -> None:
    log.request(request("USPM/1"))
    log.request(request("USPM/2", run="run-2", at=HOUR))
    assert log.purge_runs(HOUR) == 1
    with engine.connect() as connection:
        assert run_of(connection, "run-1", HOUR) is None
        assert documents_of(connection, "run-1", HOUR, None) == []
        assert len(documents_of(connection, "run-2", HOUR, None)) == 1
    assert len(log.syncs()) == 2


def test_every_state_of_a_document_is_open_failed_or_done() -> None:
    assert len({*OPEN, *FAILED, *DONE}) == len(OPEN) + len(FAILED) + len(DONE)


COUNTS = st.dictionaries(st.sampled_from([*OPEN, *FAILED, *DONE]), st.integers(0, 1_000))


@given(COUNTS, st.integers(0, 10**15), st.integers(0, 10**15), st.none() | st.integers(0, 10**15))
def test_the_remaining_time_is_never_negative_and_nothing_once_finished(
    counts: dict[str, int], at: int, last: int, due: int | None
) -> None:
    total = sum(counts.values())
    run = RunProgress(
        id="r",
        at=at,
        who="",
        by_person=True,
        company="",
        scope="",
        calls=1,
        documents=total,
        arrived=total,
        counts={"export": counts},  # type: ignore[dict-item]
        due=due,
        last_at=max(at, last),
        ended_at=max(at, last),
    )
    left = run.remaining(max(at, last))
    assert left is None or left >= 0
    if run.finished and total:
        assert left == 0
