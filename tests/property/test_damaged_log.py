"""For any damaged byte and any truncation of an embedded log, reads return correct records or an error that names the
fault.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streams.embedded.blocks import PAGE_BYTES, Mode
from streams.embedded.log import EmbeddedLog
from streams.embedded.salvage import examine, salvage
from streams.log import EventLog, LogDamaged, LogError, LogRecord, NewRecord, is_lost
from streams.topics import CHANGES, COMMANDS, FINANCE_CHANGES
from tests.support.soak import examples

pytestmark = pytest.mark.requirement("R90")

CHANGED = FINANCE_CHANGES.full_name()
PARTITIONS = 2
ALL = 1 << 30
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
START = 1_736_328_000_000


def made() -> tuple[bytes, dict[str, Any]]:
    """A log's file, of some twenty pages with blocks below and above the size of a page, and what it answers."""
    chance = random.Random(1)
    now = START
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        with closing(EmbeddedLog.open(path, "write", clock=lambda: now)) as log:
            log.create_topics([*CHANGES, COMMANDS], PARTITIONS)
            for number in range(40):
                now += 10
                size = 60_000 if number % 13 == 12 else 2_000
                log.append([record(chance, chance.randrange(size)) for _ in range(1 + number % 5)])
        with closing(EmbeddedLog.open(path, "read")) as log:
            return path.read_bytes(), {name: question(log) for name, question in QUESTIONS.items()}


def record(chance: random.Random, size: int) -> NewRecord:
    topic = chance.choice([CHANGED, CHANGED, COMMANDS.full_name()])
    return NewRecord(topic, chance.choice([None, b"k%d" % size]), chance.randbytes(size), (("ce_id", b"%d" % size),))


def read_all(log: EventLog, topic: str, partition: int) -> Any:
    return log.read(topic, partition, 0, ALL, ALL)


def follow(log: EventLog) -> Any:
    """Read on as a worker does: in pieces, of all partitions, up to the ends."""
    places = {(topic, partition): 0 for topic in log.topics() for partition in range(log.partitions(topic))}
    found: list[LogRecord] = []
    while batches := log.read_together([(*place, offset) for place, offset in places.items()], 7, 20_000):
        for batch in batches:
            places[batch.topic, batch.partition] = batch.next
            found += batch.records
    return sorted(found, key=lambda one: (one.topic, one.partition, one.offset)), log.ends(list(places)) == places


def from_every_offset(log: EventLog) -> Any:
    return [log.read(CHANGED, 1, offset, 1, 1) for offset in range(log.end_offset(CHANGED, 1))]


QUESTIONS: dict[str, Callable[[EventLog], Any]] = {
    "topics": lambda log: log.topics(),
    "one": lambda log: read_all(log, CHANGED, 0),
    "other": lambda log: read_all(log, CHANGED, 1),
    "commands": lambda log: read_all(log, COMMANDS.full_name(), 0),
    "never used": lambda log: read_all(log, CHANGES[1].full_name(), 1),
    "all": follow,
    "offsets": from_every_offset,
    "ends": lambda log: log.ends([(CHANGED, 0), (CHANGED, 1), (CHANGES[1].full_name(), 0)]),
    "times": lambda log: [log.offset_at(CHANGED, 1, START + step) for step in range(0, 420, 15)],
    "identity": lambda log: log.identities([CHANGED]),
}

CONTENT, ANSWERS = made()


def ask(path: Path, mode: Mode) -> Iterator[tuple[str, Any]]:
    """What the log at a path answers; questions that end with an error are left out."""
    with suppress(LogError), closing(EmbeddedLog.open(path, mode)) as log:
        for name, question in QUESTIONS.items():
            with suppress(LogError):
                yield name, question(log)


def check(content: bytes, mode: Mode) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        path.write_bytes(content)
        for name, answer in ask(path, mode):
            assert answer == ANSWERS[name], name


def test_the_whole_log_answers_everything(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(CONTENT)
    assert dict(ask(tmp_path / "log.db", "write")) == ANSWERS
    assert ANSWERS["all"][1]


@pytest.mark.requirement("R71")
@SLOW
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255), st.sampled_from(["read", "write"]))
@example(63, 2 ^ 1, "read")  # the number of the format
@example(63, 2 ^ 1, "write")
def test_a_damaged_byte_is_an_error_and_never_another_record(place: int, change: int, mode: Mode) -> None:
    content = bytearray(CONTENT)
    content[place] ^= change
    check(bytes(content), mode)


@pytest.mark.requirement("R71")
@SLOW
@given(st.integers(0, len(CONTENT) - 1), st.sampled_from(["read", "write"]))
@example(1, "write")
@example(99, "write")
@example(100, "write")
@example(511, "write")
@example(512, "write")
def test_a_log_that_was_cut_off_is_an_error_and_never_a_shorter_log(size: int, mode: Mode) -> None:
    if mode == "write" and size == 0:
        return  # an empty file is where a new log begins; it has another identity
    check(CONTENT[:size], mode)


@pytest.mark.requirement("R71")
@SLOW
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 6_000), st.binary(min_size=1, max_size=16))
def test_a_damaged_stretch_is_an_error_and_never_other_records(place: int, size: int, pattern: bytes) -> None:
    content = bytearray(CONTENT)
    end = min(place + size, len(content))
    content[place:end] = (pattern * size)[: end - place]
    check(bytes(content), "read")


@pytest.mark.requirement("R71")
@settings(SLOW, max_examples=examples(30))
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 40_000), st.binary(min_size=1, max_size=16))
@example(4 * PAGE_BYTES, PAGE_BYTES, b"\0")  # the root of the blocks' tree
def test_what_is_salvaged_of_a_damaged_log_is_what_was_written(place: int, size: int, pattern: bytes) -> None:
    content = bytearray(CONTENT)
    end = min(place + size, len(content))
    content[place:end] = (pattern * size)[: end - place]
    with TemporaryDirectory() as folder:
        path, new = Path(folder) / "log.db", Path(folder) / "new.db"
        path.write_bytes(content)
        try:
            state = salvage(path, new)
        except LogDamaged:
            # The file's own header, or its table of contents.
            assert place < PAGE_BYTES
            return
        assert path.read_bytes() == content
        assert examine(new).ok
        written = {(one.topic, one.partition, one.offset): one for one in ANSWERS["all"][0]}
        with closing(EmbeddedLog.open(new, "write")) as log:
            found = follow(log)[0]
        assert all(is_lost(one) or written[one.topic, one.partition, one.offset] == one for one in found)
        if not state.faults:
            assert len(found) == len(written)
            assert sum(map(is_lost, found)) == sum(
                one.end - one.first for own in state.partitions for one in own.damaged
            )
