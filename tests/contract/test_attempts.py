"""What every attempt log promises, whichever it is (R43, R45)."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Engine, text

from engine.sync.actions import Task
from engine.sync.attempts import ATTEMPTS_MAX, SECOND, Claim, ClaimLost, Outcome, Request, Sync, SyncRun
from handlers.attempts import AttemptLog
from store.operational.attempts import SqlAttempts, attempts_of, save_request
from store.schema.dialects.postgresql import MAX_LOCKS
from tests.support.memory_ports import MemoryAttempts
from tests.support.soak import examples
from tests.support.stores import memory_store

HOUR = 3_600 * SECOND


def task(subject: str = "USPM/1", *documents: str, action: str = "export") -> Task:
    return Task(action, subject, "USPM", {"recId": "1"}, documents or (subject,))  # type: ignore[arg-type]


def request(
    *tasks: Task, at: int = 0, by_person: bool = True, change: str = "as it was", restart: bool = True, run: str = ""
) -> Request:
    names = [document for each in tasks for document in each.documents]
    return Request(
        id="r",
        at=at,
        who="anna",
        by_person=by_person,
        tasks=tasks,
        input_fingerprints=dict.fromkeys(names, change),
        restart=restart,
        run=SyncRun(id=run, company="USPM", scope="a test", calls=len(tasks), documents=len(names)) if run else None,
    )


def claim(log: AttemptLog, now: int, holder: str = "one") -> Claim:
    found = log.claim(holder, now=now, until=now + 60 * SECOND, chance=0.0)
    assert found is not None
    return found


def attempt(log: AttemptLog, now: int, outcome: Outcome, holder: str = "one") -> None:
    held = claim(log, now, holder)
    log.begin(held, now=now, until=now + 60 * SECOND)
    log.end(held, outcome, outcome, now=now, chance=0.0, changes=dict.fromkeys(held.documents, "as it was"))


def only(log: AttemptLog) -> Sync:
    (sync,) = log.syncs()
    return sync


class AttemptLogContract:
    """What every attempt log promises."""

    @pytest.fixture
    def log(self) -> AttemptLog:
        raise NotImplementedError

    def test_what_nobody_asked_for_is_never_tried(self, log: AttemptLog) -> None:
        assert log.claim("one", now=HOUR, until=2 * HOUR, chance=0.0) is None
        assert (log.syncs(), log.next_due()) == ([], None)

    @pytest.mark.requirement("R43")
    def test_an_attempt_counts_before_its_call_leaves(self, log: AttemptLog) -> None:
        assert log.request(request(task())) == ["USPM/1"]
        held = claim(log, 0)
        assert only(log).attempts.made == 0
        log.begin(held, now=1, until=HOUR)
        assert (only(log).attempts.made, only(log).attempts.state) == (1, "running")

    @pytest.mark.requirement("R43")
    def test_five_attempts_make_a_round_and_a_restart_grants_no_more(self, log: AttemptLog) -> None:
        log.request(request(task()))
        for number in range(ATTEMPTS_MAX):
            attempt(log, number * HOUR, "transient")
        assert (only(log).attempts.state, only(log).attempts.made) == ("stopped", ATTEMPTS_MAX)
        assert log.claim("two", now=100 * HOUR, until=101 * HOUR, chance=0.0) is None
        assert log.next_due() is None

    @pytest.mark.requirement("R43")
    def test_only_a_person_begins_a_new_round(self, log: AttemptLog) -> None:
        log.request(request(task()))
        for number in range(ATTEMPTS_MAX):
            attempt(log, number * HOUR, "transient")
        assert log.request(request(task(), at=9 * HOUR, by_person=False, change="otherwise")) == []
        assert log.request(request(task(), at=9 * HOUR)) == ["USPM/1"]
        assert (only(log).attempts.round, only(log).attempts.made) == (2, 0)
        attempt(log, 9 * HOUR, "succeeded")
        assert (only(log).attempts.state, only(log).attempts.calls) == ("done", ATTEMPTS_MAX + 1)

    @pytest.mark.requirement("R43")
    def test_a_confirmation_begins_no_new_round_for_a_subject_that_is_queued_or_in_progress(
        self, log: AttemptLog
    ) -> None:
        shared = task("USPM", "USPM/1", "USPM/2", action="import")
        log.request(request(shared))
        attempt(log, 0, "transient")
        assert [sync.attempts.made for sync in log.syncs()] == [1, 1]
        assert log.request(request(shared, at=SECOND, restart=False)) == []
        held = claim(log, HOUR)
        log.begin(held, now=HOUR, until=2 * HOUR)
        assert log.request(request(shared, at=HOUR + 1, restart=False)) == []
        log.end(held, "succeeded", "", now=HOUR + 2, chance=0.0, changes={})
        assert {(sync.attempts.round, sync.attempts.made) for sync in log.syncs()} == {(1, 2)}
        assert log.request(request(shared, at=2 * HOUR, restart=False)) == ["USPM/1", "USPM/2"]
        assert {(sync.attempts.round, sync.attempts.made) for sync in log.syncs()} == {(2, 0)}

    @pytest.mark.requirement("R43")
    def test_of_a_subject_that_is_queued_what_is_new_joins_and_what_ended_begins_no_new_round(
        self, log: AttemptLog
    ) -> None:
        log.request(request(task("USPM", "USPM/1", action="import")))
        attempt(log, 0, "permanent")
        log.request(request(task("USPM", "USPM/2", action="import"), at=1))
        everything = task("USPM", "USPM/1", "USPM/2", "USPM/3", action="import")
        assert log.request(request(everything, at=2, restart=False)) == ["USPM/3"]
        assert [(sync.document, sync.attempts.state) for sync in log.syncs()] == [
            ("USPM/1", "blocked"),
            ("USPM/2", "waiting"),
            ("USPM/3", "waiting"),
        ]

    @pytest.mark.requirement("R43")
    def test_a_run_that_arrives_twice_requests_each_document_once(self, log: AttemptLog) -> None:
        assert log.request(request(task("USPM/1"), run="run-1")) == ["USPM/1"]
        attempt(log, 0, "succeeded")
        assert log.request(request(task("USPM/1"), at=HOUR, run="run-1")) == []
        assert log.request(request(task("USPM/1"), task("USPM/2"), at=HOUR, run="run-1")) == ["USPM/2"]
        assert log.syncs(["USPM/1"])[0].attempts.state == "done"
        assert log.request(request(task("USPM/1"), at=HOUR, run="run-2")) == ["USPM/1"]

    @pytest.mark.requirement("R43")
    def test_a_request_of_a_person_that_arrives_twice_begins_one_round(self, log: AttemptLog) -> None:
        log.request(request(task()))
        attempt(log, 0, "permanent")
        assert log.request(request(task(), at=HOUR)) == ["USPM/1"]
        attempt(log, HOUR, "permanent")
        assert log.request(request(task(), at=HOUR)) == []
        assert log.request(request(task(), at=HOUR - 1)) == []
        assert only(log).attempts.round == 2
        assert log.request(request(task(), at=2 * HOUR)) == ["USPM/1"]

    @pytest.mark.requirement("R43")
    def test_a_run_of_a_person_whose_clock_is_behind_begins_a_round_once(self, log: AttemptLog) -> None:
        log.request(request(task(), at=HOUR, run="first"))
        attempt(log, HOUR, "permanent")
        assert log.request(request(task(), at=HOUR - SECOND, run="second")) == ["USPM/1"]
        attempt(log, HOUR, "permanent")
        assert log.request(request(task(), at=HOUR - SECOND, run="second")) == []
        assert only(log).attempts.round == 2

    @pytest.mark.requirement("R43")
    def test_an_attempt_that_was_answered_429_is_given_back(self, log: AttemptLog) -> None:
        log.request(request(task()))
        for number in range(7):
            held = claim(log, number * 60 * SECOND)
            log.begin(held, now=number * 60 * SECOND, until=HOUR)
            log.refund(held, "wait", now=number * 60 * SECOND, wait=30 * SECOND)
            assert (only(log).attempts.made, only(log).attempts.calls) == (0, number + 1)
            assert log.claim("one", now=number * 60 * SECOND + 29 * SECOND, until=HOUR, chance=0.0) is None
        assert log.next_due() == 6 * 60 * SECOND + 30 * SECOND

    @pytest.mark.requirement("R44")
    def test_a_failure_that_may_pass_waits_longer_each_time(self, log: AttemptLog) -> None:
        log.request(request(task()))
        now, waits = 0, []
        for _ in range(ATTEMPTS_MAX - 1):
            attempt(log, now, "transient")
            waits.append(only(log).attempts.due - now)
            assert log.claim("one", now=now + waits[-1] - 1, until=100 * HOUR, chance=0.0) is None
            now += waits[-1]
        assert waits == [2 * SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND]

    @pytest.mark.requirement("R44")
    @pytest.mark.parametrize("outcome", ["configuration", "permanent"])
    def test_a_failure_that_cannot_pass_waits_for_a_change_or_a_person(self, log: AttemptLog, outcome: Outcome) -> None:
        log.request(request(task()))
        attempt(log, 0, outcome)
        assert only(log).attempts.state == "blocked"
        assert log.claim("one", now=HOUR, until=2 * HOUR, chance=0.0) is None
        assert log.request(request(task(), at=HOUR, by_person=False)) == []
        assert log.request(request(task(), at=HOUR, by_person=False, change="mended")) == ["USPM/1"]
        assert (only(log).attempts.round, only(log).attempts.made) == (1, 1)
        attempt(log, HOUR, outcome)
        assert log.request(request(task(), at=2 * HOUR)) == ["USPM/1"]
        assert (only(log).attempts.round, only(log).attempts.made) == (2, 0)

    @pytest.mark.requirement("R44")
    def test_a_general_journal_is_tried_five_times_whatever_the_failure(self, log: AttemptLog) -> None:
        log.request(request(task(action="journal")))
        for number in range(ATTEMPTS_MAX):
            attempt(log, number * HOUR, "configuration")
        assert only(log).attempts.state == "stopped"

    @pytest.mark.requirement("R60")
    def test_where_waits_do_not_grow_it_is_tried_again_after_as_long_as_was_said(self, log: AttemptLog) -> None:
        log.request(request(task(action="journal")))
        for number in range(2):
            held = claim(log, number * HOUR)
            log.begin(held, now=number * HOUR, until=2 * HOUR)
            log.end(held, "permanent", "", now=number * HOUR, chance=0.5, changes={}, wait=HOUR)
            assert (only(log).attempts.state, only(log).attempts.due) == ("waiting", (number + 1) * HOUR)

    @pytest.mark.requirement("R63")
    def test_what_needs_no_attempt_any_more_is_closed_also_when_it_waits_for_a_person(self, log: AttemptLog) -> None:
        log.request(request(task("USPM/1", action="journal"), task("USPM/2", action="journal"), task("USPM/1")))
        for number in range(ATTEMPTS_MAX):
            held = log.claim("one", now=number * HOUR, until=100 * HOUR, chance=0.0, only=("journal", "USPM/1"))
            assert held is not None
            log.begin(held, now=number * HOUR, until=100 * HOUR)
            log.end(held, "permanent", "no", now=number * HOUR, chance=0.0, changes={})
        assert log.close("journal", "USPM/1", "confirmed", now=9 * HOUR) == ["USPM/1"]
        closed, other = log.syncs(action="journal")
        assert (closed.attempts.state, closed.attempts.made, closed.last_text) == ("done", ATTEMPTS_MAX, "confirmed")
        assert (closed.last_outcome, closed.last_at) == ("not-needed", 9 * HOUR)
        assert (other.attempts.state, log.syncs(["USPM/1"], action="export")[0].attempts.state) == (
            "waiting",
            "waiting",
        )
        assert log.close("journal", "USPM/1", "confirmed", now=9 * HOUR) == []
        assert log.close("journal", "USPM/3", "confirmed", now=9 * HOUR) == []

    @pytest.mark.requirement("R45")
    def test_what_is_being_seen_to_is_not_closed(self, log: AttemptLog) -> None:
        log.request(request(task(action="journal")))
        held = claim(log, 0)
        assert log.close("journal", "USPM/1", "confirmed", now=1) == []
        log.begin(held, now=2, until=HOUR)
        assert log.close("journal", "USPM/1", "confirmed", now=2 * HOUR) == []
        assert only(log).attempts.state == "running"

    @pytest.mark.requirement("R45")
    def test_a_holder_that_is_still_at_it_keeps_its_claim(self, log: AttemptLog) -> None:
        log.request(request(task()))
        held = claim(log, 0)
        log.begin(held, now=0, until=60 * SECOND)
        log.renew(held, until=HOUR)
        assert log.claim("two", now=61 * SECOND, until=HOUR, chance=0.0) is None
        assert log.claim("two", now=HOUR, until=2 * HOUR, chance=0.0) is None  # it is found interrupted
        with pytest.raises(ClaimLost):
            log.renew(held, until=3 * HOUR)

    def test_who_asks_again_may_know_less_of_what_the_call_is_given(self, log: AttemptLog) -> None:
        log.request(request(Task("journal", "USPM/1", "USPM", {"journal": "1", "posted": "2025-01-06"}, ("USPM/1",))))
        log.request(request(Task("journal", "USPM/1", "USPM", {"journal": "1"}, ("USPM/1",)), at=1))
        attempt(log, 2, "succeeded")
        log.request(request(Task("journal", "USPM/1", "USPM", {"journal": "1"}, ("USPM/1",)), at=3))
        assert only(log).parameters == {"journal": "1", "posted": "2025-01-06"}

    @pytest.mark.requirement("R45")
    def test_two_workers_never_see_to_one_subject(self, log: AttemptLog) -> None:
        log.request(request(task("USPM", "USPM/1", "USPM/2", action="import")))
        assert claim(log, 0).documents == ("USPM/1", "USPM/2")
        assert log.claim("two", now=1, until=HOUR, chance=0.0) is None
        log.request(request(task("USPM", "USPM/3", action="import"), at=2))
        assert log.claim("two", now=3, until=HOUR, chance=0.0) is None

    @pytest.mark.requirement("R43")
    def test_an_attempt_whose_worker_fell_silent_was_interrupted_and_counts(self, log: AttemptLog) -> None:
        log.request(request(task()))
        held = claim(log, 0)
        log.begin(held, now=0, until=60 * SECOND)
        assert log.claim("two", now=59 * SECOND, until=HOUR, chance=0.0) is None
        assert log.next_due() == 60 * SECOND
        assert log.claim("two", now=60 * SECOND, until=HOUR, chance=0.0) is None  # it waits now, as after a failure
        sync = only(log)
        assert (sync.last_outcome, sync.attempts.made, sync.attempts.state) == ("interrupted", 1, "waiting")
        assert claim(log, 62 * SECOND, "two").documents == ("USPM/1",)
        with pytest.raises(ClaimLost, match="another worker"):
            log.end(held, "succeeded", "", now=63 * SECOND, chance=0.0, changes={})

    def test_a_claim_that_came_to_nothing_is_free_again_and_counted_nothing(self, log: AttemptLog) -> None:
        log.request(request(task()))
        claim(log, 0)
        assert claim(log, 60 * SECOND, "two").syncs[0].attempts.made == 0

    def test_what_is_not_needed_any_more_is_done_without_an_attempt(self, log: AttemptLog) -> None:
        log.request(request(task()))
        log.end(claim(log, 0), "not-needed", "reconciled meanwhile", now=1, chance=0.0, changes={})
        assert (only(log).attempts.state, only(log).attempts.calls) == ("done", 0)

    def test_what_is_due_first_comes_first(self, log: AttemptLog) -> None:
        log.request(request(task("USPM/2"), at=5))
        log.request(request(task("USPM/1"), at=9))
        assert [claim(log, 10, name).subject for name in ("one", "two")] == ["USPM/2", "USPM/1"]
        assert [sync.document for sync in log.syncs(["USPM/1"])] == ["USPM/1"]

    def test_one_subject_can_be_claimed_by_its_name(self, log: AttemptLog) -> None:
        log.request(request(task("USPM/1"), task("USPM/2")))
        found = log.claim("one", now=1, until=HOUR, chance=0.0, only=("export", "USPM/2"))
        assert found is not None
        assert found.documents == ("USPM/2",)
        assert log.claim("two", now=1, until=HOUR, chance=0.0, only=("export", "USPM/2")) is None
        assert log.claim("two", now=1, until=HOUR, chance=0.0, only=("export", "USPM/3")) is None


class TestMemoryAttempts(AttemptLogContract):
    @pytest.fixture
    def log(self) -> AttemptLog:
        return MemoryAttempts()


class TestSqliteAttempts(AttemptLogContract):
    @pytest.fixture
    def engine(self, sqlite_store: Engine) -> Engine:
        return sqlite_store

    @pytest.fixture
    def log(self, engine: Engine) -> AttemptLog:
        return SqlAttempts(engine)

    def test_every_call_is_told_with_its_outcome(self, log: AttemptLog, engine: Engine) -> None:
        log.request(request(task()))
        attempt(log, 0, "transient")
        held = claim(log, HOUR)
        log.begin(held, now=HOUR, until=2 * HOUR)
        log.refund(held, "wait", now=HOUR + 1, wait=0)
        log.begin(claim(log, 2 * HOUR), now=2 * HOUR, until=3 * HOUR)
        with engine.connect() as connection:
            told = attempts_of(connection, "USPM/1")
        assert [(one.call, one.number, one.outcome, one.ended) for one in told] == [
            (3, 2, "", None),
            (2, None, "throttled", HOUR + 1),
            (1, 1, "transient", 0),
        ]


@pytest.mark.containers
class TestPostgresAttempts(AttemptLogContract):
    @pytest.fixture
    def engine(self, postgres_store: Engine) -> Engine:
        return postgres_store

    @pytest.fixture
    def log(self, engine: Engine) -> AttemptLog:
        return SqlAttempts(engine)

    @pytest.mark.requirement("R40", "R45")
    def test_a_large_request_takes_no_more_locks_than_a_server_can_give(self, engine: Engine) -> None:
        tasks = [task(f"USPM/{number}") for number in range(1_000)]
        with engine.begin() as connection:
            assert len(save_request(connection, request(*tasks))) == len(tasks)
            held = connection.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar_one()
        # Of some 6,400 in all.
        assert 0 < held <= MAX_LOCKS

    @pytest.mark.requirement("R45")
    def test_of_many_workers_that_race_each_subject_has_one(self, engine: Engine) -> None:
        subjects = [task(f"USPM/{number}", f"USPM/{number}", f"USPM/{number}b") for number in range(20)]
        SqlAttempts(engine).request(request(*subjects))

        def work(number: int) -> list[str]:
            log = SqlAttempts(engine)
            taken: list[str] = []
            while (found := log.claim(f"worker {number} {len(taken)}", now=1, until=HOUR, chance=0.0)) is not None:
                log.begin(found, now=1, until=HOUR)
                taken.append(found.subject)
            return taken

        with ThreadPoolExecutor(6) as pool:
            taken = [subject for several in pool.map(work, range(6)) for subject in several]
        assert sorted(taken) == sorted(each.subject for each in subjects)
        assert {sync.attempts.made for sync in SqlAttempts(engine).syncs()} == {1}


class LogBesideModel(RuleBasedStateMachine):
    """Any order of requests, claims, calls, answers and silent workers; the model counts calls by hand."""

    def make(self) -> AttemptLog:
        return MemoryAttempts()

    @initialize()
    def begin(self) -> None:
        self.log = self.make()
        self.now = 0
        self.claims: list[Claim] = []
        self.calling: set[str] = set()
        self.counted: dict[str, int] = {}

    @rule(document=st.sampled_from("abc"), by_person=st.booleans(), change=st.sampled_from("xy"))
    def save_request(self, document: str, by_person: bool, change: str) -> None:
        before = {sync.document: sync.attempts for sync in self.log.syncs()}
        self.log.request(request(task("one", document), at=self.now, by_person=by_person, change=change))
        (after,) = self.log.syncs([document])
        if document not in before or after.attempts.round > before[document].round:
            assert document not in before or by_person
            self.counted[document] = 0

    @rule()
    def take(self) -> None:
        found = self.log.claim(f"worker {self.now}", now=self.now, until=self.now + 60 * SECOND, chance=0.5)
        self.now += 1
        if found is not None:
            assert not any(self.alive(other) for other in self.claims), "two at the same subject"
            self.claims.append(found)

    @rule(seconds=st.sampled_from([1, 30, 90, 4_000]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(outcome=st.sampled_from(["succeeded", "transient", "configuration", "throttled", "silence"]))
    def call(self, outcome: str) -> None:
        if not self.claims:
            return
        held = self.claims.pop()
        try:
            self.log.begin(held, now=self.now, until=self.now + 60 * SECOND)
        except ClaimLost:
            assert not self.alive(held)
            return
        for document in held.documents:
            self.counted[document] += 1
            assert self.counted[document] <= ATTEMPTS_MAX
        if outcome == "throttled":
            self.log.refund(held, "", now=self.now, wait=SECOND)
            for document in held.documents:
                self.counted[document] -= 1
        elif outcome != "silence":
            changes = dict.fromkeys(held.documents, "x")
            self.log.end(held, outcome, "", now=self.now, chance=0.5, changes=changes)  # type: ignore[arg-type]

    def alive(self, claim: Claim) -> bool:
        return any(sync.holder == claim.holder and sync.until > self.now for sync in self.log.syncs())

    @invariant()
    def counts_what_was_called(self) -> None:
        assert {sync.document: sync.attempts.made for sync in self.log.syncs()} == self.counted


class SqlLogBesideModel(LogBesideModel):
    def make(self) -> AttemptLog:
        return SqlAttempts(memory_store())


LogBesideModel.TestCase.settings = settings(max_examples=examples(200), stateful_step_count=40, deadline=None)
SqlLogBesideModel.TestCase.settings = settings(max_examples=examples(25), stateful_step_count=30, deadline=None)
TestMemoryLogBesideModel = pytest.mark.requirement("R43")(LogBesideModel.TestCase)
TestSqlLogBesideModel = pytest.mark.requirement("R43")(SqlLogBesideModel.TestCase)
