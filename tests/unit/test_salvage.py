"""What is damaged in an embedded log is named, and what is whole is written into a new one."""

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from streams.embedded.blocks import PAGE_BYTES
from streams.embedded.log import EmbeddedLog
from streams.embedded.salvage import LogState, Stretch, check_whole, examine, salvage
from streams.embedded.sqlite_pages import Pages
from streams.log import LOST, LogBusy, LogDamaged, LogFailed, LogRecord, NewRecord, is_lost
from streams.topics import CHANGES, FINANCE_CHANGES
from tests.unit.test_embedded_log import changed, made, made_before

pytestmark = pytest.mark.requirement("R90")

CHANGED = FINANCE_CHANGES.full_name()


def made_of_blocks(path: Path, blocks: int = 30, size: int = 2_000) -> list[LogRecord]:
    """A log with so many blocks of ten records in each of two partitions; returns its records."""
    chance = random.Random(7)
    now = 1_736_328_000_000
    with closing(EmbeddedLog.open(path, "write", clock=lambda: now)) as log:
        log.create_topics(CHANGES, 2)
        for number in range(blocks):
            now += number % 3
            for partition in (0, 1):
                log.append([NewRecord(CHANGED, b"%d" % n, chance.randbytes(size), (), partition) for n in range(10)])
        return everything(log)


def everything(log: EmbeddedLog) -> list[LogRecord]:
    return [record for partition in (0, 1) for record in log.read(CHANGED, partition, 0, 1 << 30, 1 << 30)]


def damaged(state: LogState) -> dict[tuple[str, int], list[tuple[int, int]]]:
    return {
        (own.topic, own.partition): [(one.first, one.end) for one in own.damaged]
        for own in state.partitions
        if own.damaged
    }


def salvaged(path: Path) -> tuple[LogState, list[LogRecord]]:
    """The state of a log that salvage reports, and the log that it writes."""
    state = salvage(path, path.with_name("new.db"))
    assert not list(path.parent.glob("*.unfinished*"))
    assert examine(path.with_name("new.db")).ok
    with closing(EmbeddedLog.open(path.with_name("new.db"), "write")) as log:
        return state, everything(log)


def test_a_whole_log_is_said_to_be_whole(tmp_path: Path) -> None:
    before = made_of_blocks(tmp_path / "log.db")
    state = examine(tmp_path / "log.db")
    assert state.ok
    assert [(own.topic, own.partition, own.whole, own.end, own.checksums_from) for own in state.partitions] == [
        (CHANGES[1].full_name(), 0, 0, 0, 0),
        (CHANGES[1].full_name(), 1, 0, 0, 0),
        (CHANGED, 0, 300, 300, 0),
        (CHANGED, 1, 300, 300, 0),
    ]
    check_whole(tmp_path / "log.db")
    state, after = salvaged(tmp_path / "log.db")
    assert state.ok
    assert after == before


@pytest.mark.requirement("R71")
def test_lost_records_keep_their_places_and_all_others_are_what_they_were(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    before = made_of_blocks(path)
    identity = examine(path).identity
    # The first, one in the middle, two with a whole one between, and the last.
    for base in (0, 100, 120, 290):
        changed(path, "UPDATE blocks SET checksum = checksum + 1 WHERE id >> 40 = 1 AND id & 0xffff = ?", base)
    changed(path, "DELETE FROM blocks WHERE id >> 40 = 2 AND id & 0xffff IN (50, 60)")
    content = path.read_bytes()
    with pytest.raises(LogDamaged, match="and 2 more"):
        check_whole(path)
    state, after = salvaged(path)
    assert path.read_bytes() == content
    assert damaged(state) == {
        (CHANGED, 0): [(0, 10), (100, 110), (120, 130), (290, 300)],
        (CHANGED, 1): [(50, 70)],
    }
    assert state.partitions[3].damaged == [Stretch(50, 70, "what stood there cannot be found")]
    assert [own.whole for own in state.partitions] == [0, 0, 260, 280]
    lost = {(own.partition, n) for own in state.partitions for one in own.damaged for n in range(one.first, one.end)}
    assert len(after) == len(before) == 600
    for one, other in zip(before, after, strict=True):
        if (one.partition, one.offset) in lost:
            assert is_lost(other)
            assert (other.offset, other.key, other.headers[0][0]) == (one.offset, None, LOST)
        else:
            assert other == one
    again = examine(path.with_name("new.db"))
    assert (again.ok, again.identity) == (True, identity)
    assert [own.lost for own in again.partitions] == [0, 0, 40, 20]


@pytest.mark.requirement("R71")
@pytest.mark.parametrize("page", range(3, 40, 4))
def test_of_a_log_with_a_damaged_page_the_others_are_saved(tmp_path: Path, page: int) -> None:
    path = tmp_path / "log.db"
    before = made_of_blocks(path)
    content = bytearray(path.read_bytes())
    assert len(content) > 40 * PAGE_BYTES
    content[page * PAGE_BYTES : page * PAGE_BYTES + 200] = os.urandom(200)
    path.write_bytes(content)
    assert not examine(path).ok
    state, after = salvaged(path)
    kept = [record for record in after if not is_lost(record)]
    assert set(kept) <= set(before)
    assert len(kept) >= 560, damaged(state)


@pytest.mark.requirement("R71")
def test_blocks_that_only_a_damaged_page_of_the_tree_led_to_are_found(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    before = made_of_blocks(path)
    large = [NewRecord(CHANGED, None, bytes([number]) * 200_000, (), 1) for number in range(9)]
    with closing(EmbeddedLog.open(path, "write")) as log:
        log.append(large)
    with closing(sqlite3.connect(path)) as file:
        [[root]] = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'blocks'").fetchall()
    content = bytearray(path.read_bytes())
    assert content[(root - 1) * PAGE_BYTES] == 5  # no leaf
    content[(root - 1) * PAGE_BYTES : root * PAGE_BYTES] = bytes(PAGE_BYTES)
    path.write_bytes(content)
    assert sum(own.whole for own in examine(path).partitions) == 0
    state, after = salvaged(path)
    assert damaged(state) == {}
    assert after[:-9] == before
    assert [record.value for record in after[-9:]] == [record.value for record in large]


def test_blocks_of_the_format_before_and_those_after_it_are_found_by_their_pages_too(tmp_path: Path) -> None:
    path = made_before(tmp_path / "log.db", *[[b"%d" % number * 9_000] for number in range(10, 20)])
    with closing(EmbeddedLog.open(path, "write")) as log:
        log.append([NewRecord(CHANGED, None, b"after" * 9_000, partition=0)])
        before = everything(log)
    with path.open("rb") as file:
        pages = Pages(file, PAGE_BYTES, 1 << 24)
        found = {id_ & 0xFF: pages.values(place) for id_, place in pages.rows() if id_ >> 40 == 1}
    assert sorted(found) == list(range(11))
    assert [len(values) for _, values in sorted(found.items())] == [4] * 10 + [5]
    assert salvaged(path)[1] == before


def test_a_log_of_the_format_before_is_checked_as_far_as_it_can_be_and_saved(tmp_path: Path) -> None:
    path = made_before(tmp_path / "log.db", [b"0", b"1"], [b"2"], [b"3"])
    state = examine(path)
    assert (state.ok, state.identity, state.partitions[0].checksums_from) == (True, None, None)
    changed(path, "UPDATE blocks SET body = x'c1' WHERE id & 0xff = 2")
    state, after = salvaged(path)
    assert damaged(state) == {(CHANGED, 0): [(2, 3)]}
    assert [record.value for record in after] == [b"0", b"1", None, b"3"]
    assert examine(path.with_name("new.db")).identity


def test_checksums_begin_where_the_format_before_ended(tmp_path: Path) -> None:
    path = made_before(tmp_path / "log.db", [b"0", b"1"], [b"2"])
    with closing(EmbeddedLog.open(path, "write")) as log:
        log.append([NewRecord(CHANGED, None, b"3", partition=0)])
    state = examine(path)
    assert state.ok
    assert [(own.whole, own.checksums_from) for own in state.partitions] == [(4, 3), (0, 0)]


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE log SET identity = 'other'", "the row that has the log's identity is damaged"),
        ("UPDATE partitions SET ends = 5 WHERE place = 1", "the row of tieout.finance.changes, partition 0 is damaged"),
        ("UPDATE partitions SET checked = 5 WHERE place = 1", "partition 0 is damaged"),
    ],
)
def test_a_damaged_row_beside_the_records_costs_no_record(tmp_path: Path, statement: str, fault: str) -> None:
    path = tmp_path / "log.db"
    before = made_of_blocks(path, 3)
    changed(path, statement)
    with pytest.raises(LogDamaged):
        EmbeddedLog.open(path, "read")
    assert fault in "; ".join(examine(path).faults)
    _, after = salvaged(path)
    assert after == before


def test_a_log_is_salvaged_neither_over_a_file_nor_beside_its_writer(tmp_path: Path) -> None:
    path = made(tmp_path / "log.db", 1)
    (tmp_path / "there.db").write_text("something")
    with pytest.raises(LogFailed, match=r"there\.db is there already"):
        salvage(path, tmp_path / "there.db")
    assert (tmp_path / "there.db").read_text() == "something"
    with closing(EmbeddedLog.open(path, "write")), pytest.raises(LogBusy):
        salvage(path, tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()
