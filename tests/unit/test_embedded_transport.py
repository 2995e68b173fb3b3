"""Runs of a projection on the embedded log, through Faust."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from engine.errors import LeaseLost
from streams.embedded.log import EmbeddedLog
from streams.faust_app import Progress, run
from streams.log import Batch, LogDamaged, NewRecord, OffsetOutOfRange, TopicMissing
from streams.topics import CHANGES

TOPICS = [topic.full_name() for topic in CHANGES]
PARTITIONS = 3
ROOT = Path(__file__).parents[2]


class Ledger:
    """A projection in memory, with the compare-and-set of the real one; its state outlives runs as a store does."""

    def __init__(self) -> None:
        self.next: dict[tuple[str, int], int] = {}
        self.values: dict[tuple[str, int], list[bytes | None]] = {}
        self.sizes: list[int] = []
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.before_apply: Callable[[Batch], None] = lambda batch: None
        self.pending = 0

    def offsets(self) -> Mapping[tuple[str, int], int]:
        self.threads.add(threading.current_thread().name)
        return dict(self.next)

    def apply(self, batches: Sequence[Batch]) -> None:
        self.threads.add(threading.current_thread().name)
        self.calls.append("apply")
        for batch in batches:
            place = batch.topic, batch.partition
            if self.next.get(place, 0) != batch.follows:
                raise LeaseLost(f"{place} stands at {self.next.get(place, 0)}, not {batch.follows}")
            self.before_apply(batch)
            assert [record.offset for record in batch.records] == list(range(batch.first, batch.next))
            assert (batch.follows, batch.last) == (batch.first, batch.next - 1)
        for batch in batches:
            place = batch.topic, batch.partition
            self.values.setdefault(place, []).extend(record.value for record in batch.records)
            self.next[place] = batch.next
        self.sizes.append(sum(len(batch) for batch in batches))

    def work(self) -> bool:
        self.threads.add(threading.current_thread().name)
        self.calls.append("work")
        self.pending = max(self.pending - 1, 0)
        return self.pending > 0

    def settle(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.calls.append("settle")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    log = EmbeddedLog.open(tmp_path / "log.db", "write")
    log.create_topics(CHANGES, PARTITIONS)
    yield log
    log.close()


def append(log: EmbeddedLog, count: int, start: int = 0) -> None:
    log.append([NewRecord(TOPICS[n % 2], b"row-%d" % (n // 2), b"%d" % n) for n in range(start, start + count)])


def in_log(log: EmbeddedLog) -> dict[tuple[str, int], list[bytes | None]]:
    found = {
        (topic, partition): [record.value for record in log.read(topic, partition, 0, 1_000_000, 1_000_000_000)]
        for topic in TOPICS
        for partition in range(PARTITIONS)
    }
    return {place: values for place, values in found.items() if values}


@pytest.mark.requirement("R71")
def test_every_record_of_every_partition_is_applied_once_and_in_order(log: EmbeddedLog) -> None:
    append(log, 10_000)
    ledger = Ledger()
    run(log, ledger, topics=TOPICS, until_caught_up=True, batch_records=700)
    assert ledger.values == in_log(log)
    assert sum(ledger.sizes) == 10_000


def test_a_run_on_an_empty_log_ends(log: EmbeddedLog) -> None:
    ledger = Ledger()
    run(log, ledger, topics=TOPICS, until_caught_up=True)
    assert ledger.sizes == []


def test_batches_are_as_large_as_asked_for_when_there_is_much_to_read(log: EmbeddedLog) -> None:
    append(log, 10_000)
    ledger = Ledger()
    run(log, ledger, topics=TOPICS, until_caught_up=True, batch_records=500)
    assert max(ledger.sizes) == 500
    assert sum(size == 500 for size in ledger.sizes) >= 10_000 // 500 - len(TOPICS) * PARTITIONS


def test_batches_end_at_the_bytes_asked_for(log: EmbeddedLog) -> None:
    log.append([NewRecord(TOPICS[0], b"k", b"x" * 1000)] * 100)
    ledger = Ledger()
    run(log, ledger, topics=TOPICS, until_caught_up=True, batch_bytes=10_000)
    assert ledger.sizes == [10] * 10


def test_partitions_take_turns_so_that_a_long_one_does_not_starve_the_others(log: EmbeddedLog) -> None:
    log.append([NewRecord(TOPICS[0], None, b"long", partition=0)] * 1000)
    log.append([NewRecord(TOPICS[1], None, b"short", partition=0)] * 100)
    ledger = Ledger()
    order: list[str] = []
    ledger.before_apply = lambda batch: order.append(batch.topic)
    run(log, ledger, topics=TOPICS, until_caught_up=True, batch_records=50)
    assert {*order[:2]} == {*TOPICS}
    assert {*order[2:4]} == {*TOPICS}


@pytest.mark.requirement("R71")
def test_a_later_run_goes_on_where_the_projection_stands(log: EmbeddedLog) -> None:
    append(log, 1000)
    ledger = Ledger()
    run(log, ledger, topics=TOPICS, until_caught_up=True)
    run(log, ledger, topics=TOPICS, until_caught_up=True)
    append(log, 500, start=1000)
    run(log, ledger, topics=TOPICS, until_caught_up=True)
    assert ledger.values == in_log(log)
    assert sum(ledger.sizes) == 1500


@pytest.mark.requirement("R71")
@pytest.mark.parametrize("failing", [1, 2, 5])
def test_an_error_while_applying_ends_the_run_and_no_batch_is_applied_after_it(log: EmbeddedLog, failing: int) -> None:
    append(log, 3000)
    ledger = Ledger()

    def fail(batch: Batch) -> None:
        if ledger.calls.count("apply") == failing:
            raise ZeroDivisionError("the disk is full")

    ledger.before_apply = fail
    with pytest.raises(ZeroDivisionError, match="the disk is full"):
        run(log, ledger, topics=TOPICS, until_caught_up=True, batch_records=100)
    assert ledger.calls.count("apply") == failing
    assert len(ledger.sizes) == failing - 1
    ledger.before_apply = lambda batch: None
    run(log, ledger, topics=TOPICS, until_caught_up=True, batch_records=100)
    assert ledger.values == in_log(log)


@pytest.mark.requirement("R71")
def test_a_writer_that_was_overtaken_stops(log: EmbeddedLog) -> None:
    append(log, 3000)
    ledger = Ledger()

    def overtake(batch: Batch) -> None:
        for place in [(topic, partition) for topic in TOPICS for partition in range(PARTITIONS)]:
            ledger.next[place] = 777

    ledger.before_apply = overtake
    with pytest.raises(LeaseLost):
        run(log, ledger, topics=TOPICS, until_caught_up=True, batch_records=100)


def test_an_error_of_the_pending_work_ends_the_run(log: EmbeddedLog) -> None:
    class Failing(Ledger):
        def work(self) -> bool:
            raise ZeroDivisionError("no outbox")

    with pytest.raises(ZeroDivisionError, match="no outbox"):
        run(log, Failing(), topics=TOPICS)


def test_an_error_of_whoever_is_told_the_progress_ends_the_run(log: EmbeddedLog) -> None:
    def fail(progress: Progress) -> None:
        raise ZeroDivisionError("no terminal")

    with pytest.raises(ZeroDivisionError, match="no terminal"):
        run(log, Ledger(), topics=TOPICS, on_progress=fail, progress_seconds=0)


def test_an_error_of_the_log_while_reading_ends_the_run(log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LogDamaged("a bad sector")

    append(log, 1)
    monkeypatch.setattr(log, "read", fail)
    with pytest.raises(LogDamaged, match="a bad sector"):
        run(log, Ledger(), topics=TOPICS)


@pytest.mark.requirement("R71")
def test_a_projection_that_is_ahead_of_the_log_is_an_error(log: EmbeddedLog) -> None:
    append(log, 10)
    ledger = Ledger()
    ledger.next[TOPICS[0], 0] = 1000
    with pytest.raises(OffsetOutOfRange, match="1000 was asked for: is this the log that was read before"):
        run(log, ledger, topics=TOPICS)


def test_a_topic_that_is_missing_is_an_error_at_the_start(log: EmbeddedLog) -> None:
    with pytest.raises(TopicMissing, match=r"other\.changes"):
        run(log, Ledger(), topics=["other.changes"])


def test_pending_work_is_driven_to_its_end(log: EmbeddedLog) -> None:
    append(log, 10)
    ledger = Ledger()
    ledger.pending = 200
    run(log, ledger, topics=TOPICS, until_caught_up=True)
    assert ledger.pending == 0
    assert ledger.calls[-1] == "settle"


def test_a_piece_of_work_is_done_between_two_batches(log: EmbeddedLog) -> None:
    append(log, 5000)
    ledger = Ledger()
    ledger.pending = 1_000_000
    stop = threading.Event()

    def stop_at_last(batch: Batch) -> None:
        if sum(ledger.sizes) >= 4_000:
            stop.set()

    ledger.before_apply = stop_at_last
    run(log, ledger, topics=TOPICS, stop=stop, batch_records=100)
    assert ledger.calls[:20] == ["apply", "work"] * 10


def test_work_that_appends_to_what_is_read_is_read_before_the_run_ends(log: EmbeddedLog) -> None:
    class Echo(Ledger):
        def work(self) -> bool:
            if len(log.topics()) and log.end_offset(TOPICS[0], 0) < 5:
                log.append([NewRecord(TOPICS[0], None, b"again", partition=0)])
            return False

    ledger = Echo()
    run(log, ledger, topics=TOPICS, until_caught_up=True)
    assert len(ledger.values[TOPICS[0], 0]) == 5


def test_all_calls_of_a_projection_come_from_one_thread(log: EmbeddedLog) -> None:
    append(log, 100)
    ledger = Ledger()
    ledger.pending = 5
    run(log, ledger, topics=TOPICS, until_caught_up=True)
    assert len(ledger.threads) == 1
    assert threading.current_thread().name not in ledger.threads


def test_what_is_appended_while_the_worker_waits_is_applied_soon(log: EmbeddedLog) -> None:
    ledger, stop, applied = Ledger(), threading.Event(), threading.Event()
    ledger.before_apply = lambda batch: applied.set()
    worker = threading.Thread(target=run, args=(log, ledger), kwargs={"topics": TOPICS, "stop": stop})
    worker.start()
    waits = []
    for number in range(5):
        time.sleep(0.3)
        applied.clear()
        start = time.monotonic()
        append(log, 1, start=number)
        assert applied.wait(5)
        waits.append(time.monotonic() - start)
    stop.set()
    worker.join(5)
    assert not worker.is_alive()
    assert min(waits) < 0.3
    assert ledger.values == in_log(log)


def test_progress_counts_what_is_done_and_what_is_left(log: EmbeddedLog) -> None:
    append(log, 5000)
    seen: list[Progress] = []
    run(
        log,
        Ledger(),
        topics=TOPICS,
        until_caught_up=True,
        batch_records=100,
        on_progress=seen.append,
        progress_seconds=0,
    )
    assert (seen[0].done, seen[0].left) == (0, 5000) or seen[0].left + seen[0].done >= 5000 - 100
    assert (seen[-1].done, seen[-1].left) == (5000, 0)
    assert seen[-1].rate > 0
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)


def test_a_run_writes_no_file_and_leaves_logging_and_signals_as_they_were(
    log: EmbeddedLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    before = (
        logging.root.handlers[:],
        logging.root.level,
        signal.getsignal(signal.SIGTERM),
        signal.getsignal(signal.SIGINT),
    )
    run(log, Ledger(), topics=TOPICS, until_caught_up=True)
    assert before == (
        logging.root.handlers,
        logging.root.level,
        signal.getsignal(signal.SIGTERM),
        signal.getsignal(signal.SIGINT),
    )
    assert list(folder.iterdir()) == []


WORKER = """
import json, sys, time
from streams.faust_app import run
from streams.embedded.log import EmbeddedLog
from streams.topics import CHANGES

class Slow:
    def __init__(self, path):
        self.path, self.next = path, {}
    def offsets(self):
        return self.next
    def apply(self, batches):
        print("applying", flush=True)
        time.sleep(0.5)
        self.next.update({(batch.topic, batch.partition): batch.next for batch in batches})
        with open(self.path, "a") as file:
            file.write(json.dumps(sum(len(batch) for batch in batches)) + "\\n")
    def work(self):
        return False
    def settle(self):
        pass

log = EmbeddedLog.open(sys.argv[1], "write")
run(log, Slow(sys.argv[2]), topics=[topic.full_name() for topic in CHANGES], batch_records=10)
log.close()
print("closed", flush=True)
"""


def slow_worker(tmp_path: Path) -> tuple["subprocess.Popen[str]", Path]:
    log = EmbeddedLog.open(tmp_path / "log.db", "write")
    log.create_topics(CHANGES, PARTITIONS)
    append(log, 1000)
    log.close()
    applied = tmp_path / "applied"
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(tmp_path / "log.db"), str(applied)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return worker, applied


@pytest.mark.requirement("R71")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_batch_in_hand_finish_and_takes_no_other(tmp_path: Path, number: signal.Signals) -> None:
    worker, applied = slow_worker(tmp_path)
    assert worker.stdout is not None
    while worker.stdout.readline() != "applying\n":
        assert worker.poll() is None
    worker.send_signal(number)
    out, _ = worker.communicate(timeout=10)
    assert worker.returncode == 0, out
    assert out.endswith("closed\n")
    assert "Traceback" not in out
    assert "applying" not in out
    lines = [json.loads(line) for line in applied.read_text().splitlines()]
    assert lines == [10]


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    worker, applied = slow_worker(tmp_path)
    assert worker.stdout is not None
    while worker.stdout.readline() != "applying\n":
        assert worker.poll() is None
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=10)
    assert worker.returncode == -signal.SIGTERM
    assert not applied.exists()
