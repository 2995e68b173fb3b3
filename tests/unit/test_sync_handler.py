"""What the handler does with each answer, on a clock of its own: no test here waits."""

import pytest
from structlog.testing import capture_logs

from engine.sync.actions import Task
from engine.sync.attempts import ATTEMPTS_MAX, SECOND, Claim, Outcome, Request, Sync
from handlers.errors import Changed, Configuration, OutgoingOff, Permanent, TargetError, Throttled, Transient
from handlers.sync_executor import IN_PROCESS_WAIT_MAX, Precondition, SyncExecutor, outcome_of
from tests.support.memory_ports import MemoryAttempts


class World:
    """A handler whose calls are answered from a list, whose clock moves when it sleeps."""

    def __init__(self, *answers: TargetError | None) -> None:
        self.answers = list(answers)
        self.now = 1_000 * SECOND
        self.slept: list[float] = []
        self.made_when_called: list[int] = []
        self.log = MemoryAttempts()
        self.still = True
        self.ended_claims: list[str] = []
        self.executor = SyncExecutor(
            self.log,
            {"export": self},
            name="worker",
            clock=lambda: self.now,
            sleep=self.sleep,
            chance=lambda: 0.0,
        )

    def ask(self, *names: str, by_person: bool = True) -> None:
        tasks = tuple(Task("export", name, "USPM", {}, (name,)) for name in names or ("USPM/1",))
        changes = {name: "as it was" for task in tasks for name in task.documents}
        self.log.request(
            Request(id="r", at=self.now, who="anna", by_person=by_person, tasks=tasks, input_fingerprints=changes)
        )

    def check(self, claim: Claim) -> Precondition:
        return Precondition(self.still, "it is reconciled", dict.fromkeys(claim.documents, "as it was"))

    def ended(self, claim: Claim) -> None:
        self.ended_claims.append(claim.subject)

    def call(self, claim: Claim) -> None:
        self.now += SECOND
        self.made_when_called += [sync.attempts.made for sync in self.log.syncs(claim.documents)]
        if (answer := self.answers.pop(0)) is not None:
            raise answer

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += int(seconds * SECOND)

    def only(self) -> Sync:
        (sync,) = self.log.syncs()
        return sync


def away() -> Transient:
    return Transient("does not answer")


def test_nothing_is_done_when_nothing_is_due() -> None:
    assert World().executor.execute_next() is False


@pytest.mark.requirement("R43")
def test_an_attempt_is_recorded_before_its_call_leaves() -> None:
    world = World(None)
    world.ask()
    assert world.executor.execute_next() is True
    assert world.made_when_called == [1]
    assert (world.only().attempts.state, world.only().last_outcome) == ("done", "succeeded")
    assert world.ended_claims == ["USPM/1"]


@pytest.mark.requirement("R44")
def test_a_failure_that_may_pass_is_tried_again_at_growing_distances() -> None:
    world = World(away(), away(), away(), None)
    world.ask()
    world.executor.execute_next()
    assert world.slept == [2, 4, 8]
    assert world.only().attempts.made == 4


@pytest.mark.requirement("R43")
def test_five_failures_stop_it_and_no_sixth_call_leaves() -> None:
    world = World(*[away()] * ATTEMPTS_MAX)
    world.ask()
    while world.executor.execute_next():
        world.now += IN_PROCESS_WAIT_MAX
    world.now += 10**12
    assert world.executor.execute_next() is False
    assert world.answers == []
    assert world.only().attempts.state == "stopped"


@pytest.mark.requirement("R44")
@pytest.mark.parametrize(
    "error", [Configuration("the currency is missing"), Permanent("a rule refuses"), OutgoingOff("off")]
)
def test_a_failure_that_cannot_pass_is_not_tried_again(error: TargetError) -> None:
    world = World(error)
    world.ask()
    world.executor.execute_next()
    assert (world.slept, world.only().attempts.state, world.only().last_text) == ([], "blocked", str(error))


@pytest.mark.requirement("R43")
def test_an_answer_429_uses_no_attempt_and_is_obeyed() -> None:
    world = World(Throttled("too many", retry_after=7.0), Throttled("too many", retry_after=3.0), None)
    world.ask()
    world.executor.execute_next()
    assert world.slept == [7, 3]
    assert (world.made_when_called, world.only().attempts.made, world.only().attempts.calls) == ([1, 1, 1], 1, 3)


@pytest.mark.requirement("R44")
def test_a_long_wait_is_left_to_whoever_comes_by_then() -> None:
    world = World(Throttled("too many", retry_after=300.0), None)
    world.ask()
    assert world.executor.execute_next() is True
    assert world.slept == []
    assert world.executor.execute_next() is False
    world.now += 300 * SECOND
    assert world.executor.execute_next() is True
    assert world.only().attempts.state == "done"


@pytest.mark.requirement("R44")
def test_waiting_for_429_has_a_deadline() -> None:
    world = World(*[Throttled("too many", retry_after=1_800.0)] * 10)
    world.ask()
    for _ in range(10):
        world.executor.execute_next()
        world.now += 1_800 * SECOND
    assert world.only().attempts.state == "stopped"
    assert world.only().attempts.made == 0


def test_what_needs_it_no_more_is_not_called() -> None:
    world = World()
    world.ask()
    world.still = False
    world.executor.execute_next()
    assert (world.only().attempts.state, world.only().attempts.calls) == ("done", 0)
    assert world.only().last_text == "it is reconciled"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Transient("503"), "transient"),
        (Changed("412"), "transient"),
        (Configuration("401"), "configuration"),
        (Permanent("400"), "permanent"),
        (TargetError("unknown"), "permanent"),
    ],
)
@pytest.mark.requirement("R44")
def test_each_failure_has_its_class(error: TargetError, outcome: Outcome) -> None:
    assert outcome_of(error) == outcome


def test_one_that_fails_does_not_keep_the_others() -> None:
    world = World(Permanent("a rule refuses"), None, None)
    world.ask("USPM/1", "USPM/2", "USPM/3")
    while world.executor.execute_next():
        pass
    assert [sync.attempts.state for sync in world.log.syncs()] == ["blocked", "done", "done"]


@pytest.mark.requirement("R82")
def test_each_attempt_is_in_the_log_with_its_reason() -> None:
    world = World(away(), None)
    world.ask()
    with capture_logs() as told:
        world.executor.execute_next()
    assert [line["event"] for line in told] == [
        "attempt_begun",
        "attempt_failed",
        "attempt_begun",
        "attempt_succeeded",
    ]
    assert told[1] == {
        "event": "attempt_failed",
        "log_level": "warning",
        "action": "export",
        "subject": "USPM/1",
        "documents": 1,
        "outcome": "transient",
        "reason": "does not answer",
    }


@pytest.mark.requirement("R82")
def test_an_attempt_that_is_given_back_is_in_the_log_with_how_long_it_waits() -> None:
    world = World(Throttled("busy", retry_after=17.0), None)
    world.ask()
    with capture_logs() as told:
        world.executor.execute_next()
    (throttled,) = [line for line in told if line["event"] == "attempt_throttled"]
    assert (throttled["action"], throttled["subject"], throttled["documents"]) == ("export", "USPM/1", 1)
    assert throttled["seconds"] >= 17
