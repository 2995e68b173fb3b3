"""What is particular to the event log in a file."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from streams.embedded.blocks import APPLICATION_ID, OFFSET_BITS
from streams.embedded.log import BLOCK_BYTES_MAX, EmbeddedLog
from streams.log import (
    EventLog,
    LogBusy,
    LogDamaged,
    LogFailed,
    LogMissing,
    LogReadOnly,
    NewRecord,
    RecordTooLarge,
    TopicMissing,
)
from streams.topics import CHANGES, FINANCE_CHANGES

CHANGED = FINANCE_CHANGES.full_name()
ROOT = Path(__file__).parents[2]


def made(path: Path, records: int = 0) -> Path:
    """Make a log with some records in partition 0, and close it."""
    log = EmbeddedLog.open(path, "write")
    log.create_topics(CHANGES, 1)
    log.append([NewRecord(CHANGED, None, b"%d" % number) for number in range(records)])
    log.close()
    return path


def values(log: EventLog) -> list[bytes | None]:
    return [record.value for record in log.read(CHANGED, 0, 0, 1_000_000, 1_000_000_000)]


@pytest.mark.requirement("R71")
def test_a_second_writer_is_told_the_file_the_process_and_what_to_do(tmp_path: Path) -> None:
    path = made(tmp_path / "log.db")
    code = (
        "import sys; from streams.embedded.log import EmbeddedLog; log = EmbeddedLog.open(sys.argv[1], 'write');"
        "print('open', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(LogBusy) as refused:
            EmbeddedLog.open(path, "write")
        writer.kill()
    assert str(path) in str(refused.value)
    assert f"(id {writer.pid})" in str(refused.value)
    assert "stop it first" in str(refused.value)
    EmbeddedLog.open(path, "write").close()


def test_a_second_writer_in_the_same_process_is_refused_too(tmp_path: Path) -> None:
    log = EmbeddedLog.open(tmp_path / "log.db", "write")
    with pytest.raises(LogBusy, match=rf"\(id {os.getpid()}\)"):
        EmbeddedLog.open(tmp_path / "log.db", "write")
    log.close()
    EmbeddedLog.open(tmp_path / "log.db", "write").close()


def test_readers_see_what_the_writer_appends_and_need_no_lock(tmp_path: Path) -> None:
    writer = EmbeddedLog.open(tmp_path / "log.db", "write")
    reader = EmbeddedLog.open(tmp_path / "log.db", "read")
    with pytest.raises(TopicMissing):
        reader.partitions(CHANGED)
    writer.create_topics(CHANGES, 1)
    writer.append([NewRecord(CHANGED, b"k", b"first")])
    assert values(reader) == [b"first"]
    writer.append([NewRecord(CHANGED, b"k", b"second")])
    assert values(reader) == [b"first", b"second"]
    assert reader.end_offset(CHANGED, 0) == 2
    reader.close()
    writer.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    reader = EmbeddedLog.open(made(tmp_path / "log.db", 1), "read")
    with pytest.raises(LogReadOnly, match="opened for reading"):
        reader.append([NewRecord(CHANGED, b"k", b"v")])
    with pytest.raises(LogReadOnly):
        reader.create_topics(CHANGES, 1)
    assert values(reader) == [b"0"]
    reader.close()


def test_reading_a_log_that_is_not_there_says_so_and_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(LogMissing, match=r"no event log .*log\.db yet"):
        EmbeddedLog.open(tmp_path / "log.db", "read")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_new_log_is_made(tmp_path: Path) -> None:
    made(tmp_path / "state" / "of" / "log.db")


@pytest.mark.parametrize("content", [b"hello", b"# a text file\n" * 1000, os.urandom(100_000)])
@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_file_that_is_no_database_is_not_touched(tmp_path: Path, content: bytes, mode: str) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(content)
    with pytest.raises(LogDamaged, match="is not an event log"):
        EmbeddedLog.open(path, "read" if mode == "read" else "write")
    assert path.read_bytes() == content


def test_another_program_s_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as store:
        store.execute("CREATE TABLE documents (id INTEGER)")
    store.close()
    before = path.read_bytes()
    with pytest.raises(LogDamaged, match="but not an event log"):
        EmbeddedLog.open(path, "write")
    assert path.read_bytes() == before


def test_a_log_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "log.db")
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 3")
    file.close()
    with pytest.raises(LogDamaged, match="has format 3"):
        EmbeddedLog.open(path, "write")


def test_a_damaged_page_is_an_error_and_not_an_empty_answer(tmp_path: Path) -> None:
    path = made(tmp_path / "log.db", 50_000)
    content = bytearray(path.read_bytes())
    content[-100_000:] = os.urandom(100_000)
    path.write_bytes(content)
    with pytest.raises(LogDamaged, match=r"is damaged .*`tieout log salvage FILE`"):
        values(EmbeddedLog.open(path, "read"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogFailed, match="cannot be written"):
        EmbeddedLog.open(tmp_path / "file" / "log.db", "write")


def test_a_closed_log_says_that_it_is_closed(tmp_path: Path) -> None:
    log = EmbeddedLog.open(made(tmp_path / "log.db"), "read")
    log.close()
    with pytest.raises(LogFailed, match="is closed"):
        log.end_offset(CHANGED, 0)


def test_the_largest_record_has_16_mib_and_the_message_says_what_to_do(tmp_path: Path) -> None:
    log = EmbeddedLog.open(tmp_path / "log.db", "write")
    log.create_topics(CHANGES, 1)
    log.append([NewRecord(CHANGED, None, b"x" * 16 * 1024 * 1024)])
    with pytest.raises(RecordTooLarge, match=r"16,777,217 bytes and the event log takes 16,777,216: send less"):
        log.append([NewRecord(CHANGED, b"k", b"x" * 16 * 1024 * 1024)])
    with pytest.raises(RecordTooLarge):
        log.append([NewRecord(CHANGED, None, None, (("h", b"x" * 16 * 1024 * 1024),))])
    assert log.end_offset(CHANGED, 0) == 1
    log.close()


def test_appends_of_several_threads_do_not_get_in_each_other_s_way(tmp_path: Path) -> None:
    log = EmbeddedLog.open(tmp_path / "log.db", "write")
    log.create_topics(CHANGES, 2)

    def append(name: int) -> None:
        for number in range(50):
            log.append([NewRecord(CHANGED, b"%d" % name, b"%d %d" % (name, number))] * 3)

    threads = [threading.Thread(target=append, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [r for partition in (0, 1) for r in log.read(CHANGED, partition, 0, 10_000, 1_000_000)]
    for name in range(4):
        mine = [r.value for r in found if r.key == b"%d" % name]
        assert mine == [b"%d %d" % (name, number) for number in range(50) for _ in range(3)]
    log.close()


def test_an_append_larger_than_a_block_can_be_read_from_any_offset(tmp_path: Path) -> None:
    log = EmbeddedLog.open(tmp_path / "log.db", "write")
    log.create_topics(CHANGES, 1)
    body = b"x" * (BLOCK_BYTES_MAX // 5)
    log.append([NewRecord(CHANGED, None, b"%d" % number + body) for number in range(23)])
    for offset in range(23):
        (found,) = log.read(CHANGED, 0, offset, 1, 1)
        assert found.offset == offset
        assert found.value == b"%d" % offset + body
    log.close()


@pytest.mark.requirement("R71")
def test_a_writer_killed_in_the_middle_leaves_whole_appends_and_all_that_it_was_told_were_done(tmp_path: Path) -> None:
    path = made(tmp_path / "log.db")
    code = (
        "import sys; from streams.embedded.log import EmbeddedLog; from streams.log import NewRecord\n"
        "log = EmbeddedLog.open(sys.argv[1], 'write')\n"
        "for n in range(1000000):\n"
        f"    log.append([NewRecord({CHANGED!r}, None, b'%d' % n)] * 7); print(n, flush=True)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    done = [writer.stdout.readline() for _ in range(20)]
    writer.send_signal(signal.SIGKILL)
    done += writer.stdout.readlines()
    writer.wait()
    writer.stdout.close()
    told = sum(line.endswith("\n") for line in done)
    log = EmbeddedLog.open(path, "write")
    found = values(log)
    assert len(found) % 7 == 0
    assert len(found) // 7 in (told, told + 1)
    assert found == [b"%d" % number for number in range(len(found) // 7) for _ in range(7)]
    log.close()


# --- damage, and the format before ------------------------------------------------------------------------------------


def changed(path: Path, statement: str, *parameters: object) -> None:
    """Change a log's file behind its back."""
    with closing(sqlite3.connect(path)) as file, file:
        assert file.execute(statement, parameters).rowcount > 0


def made_before(path: Path, *blocks: list[bytes]) -> Path:
    """A log of the format before this one, with these blocks in partition 0 of two."""
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("PRAGMA page_size = 32768")
        file.execute("PRAGMA journal_mode = WAL")
        file.execute(
            "CREATE TABLE partitions (place INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL, "
            "UNIQUE (topic, partition))"
        )
        file.execute(
            "CREATE TABLE blocks (id INTEGER PRIMARY KEY, count INTEGER NOT NULL, time INTEGER NOT NULL, "
            "body BLOB NOT NULL)"
        )
        file.executemany("INSERT INTO partitions VALUES (?, ?, ?)", [(1, CHANGED, 0), (2, CHANGED, 1)])
        end = 1 << OFFSET_BITS
        for bodies in blocks:
            body = msgspec.msgpack.encode([(None, value, ()) for value in bodies])
            file.execute("INSERT INTO blocks VALUES (?, ?, 1736328000000, ?)", (end, len(bodies), body))
            end += len(bodies)
        file.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        file.execute("PRAGMA user_version = 1")
    return path


@pytest.mark.requirement("R71")
@pytest.mark.parametrize(
    ("statement", "why"),
    [
        (
            "UPDATE blocks SET body = CAST(replace(body, '12', '13') AS BLOB) WHERE id & 0xff = 10",
            "checksum is not that of its",
        ),
        ("UPDATE blocks SET time = time + 1 WHERE id & 0xff = 10", "checksum is not that of its content"),
        ("UPDATE blocks SET count = count - 1 WHERE id & 0xff = 10", "checksum is not that of its content"),
        ("UPDATE blocks SET checksum = NULL WHERE id & 0xff = 10", "checksum is not that of its content"),
        ("UPDATE blocks SET body = 'text' WHERE id & 0xff = 10", "its row is not one of a block"),
        ("DELETE FROM blocks WHERE id & 0xff = 10", "what stood there cannot be found"),
    ],
)
def test_a_damaged_block_is_named_with_its_records_and_those_before_it_are_read(
    tmp_path: Path, statement: str, why: str
) -> None:
    with closing(EmbeddedLog.open(tmp_path / "log.db", "write")) as log:
        log.create_topics(CHANGES, 1)
        for base in (0, 10, 20):
            log.append([NewRecord(CHANGED, None, b"%d" % number) for number in range(base, base + 10)])
    changed(tmp_path / "log.db", statement)
    with closing(EmbeddedLog.open(tmp_path / "log.db", "read")) as log:
        assert [record.offset for record in log.read(CHANGED, 0, 0, 10, 1_000)] == list(range(10))
        assert [record.offset for record in log.read(CHANGED, 0, 25, 10, 1_000)] == list(range(25, 30))
        with pytest.raises(LogDamaged) as raised:
            log.read(CHANGED, 0, 0, 20, 1_000)
    assert f"at {CHANGED}, partition 0, offsets 10 to 19 (10 records): " in str(raised.value)
    assert why in str(raised.value)
    assert "`tieout log salvage FILE`" in str(raised.value)


@pytest.mark.requirement("R71")
def test_a_last_block_that_is_gone_is_missed_by_readers_and_by_the_next_writer(tmp_path: Path) -> None:
    path = made(tmp_path / "log.db", 10)
    changed(path, "DELETE FROM blocks")
    with closing(EmbeddedLog.open(path, "read")) as log, pytest.raises(LogDamaged, match="offsets 0 to 9"):
        values(log)
    with pytest.raises(LogDamaged, match="offset 9"):
        EmbeddedLog.open(path, "write")


def test_a_block_in_the_place_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    with closing(EmbeddedLog.open(tmp_path / "log.db", "write")) as log:
        log.create_topics(CHANGES, 2)
        for partition in (0, 1):
            log.append([NewRecord(CHANGED, None, b"%d" % partition, partition=partition)])
    changed(
        tmp_path / "log.db",
        "UPDATE blocks SET (checksum, body) = (SELECT checksum, body FROM blocks AS other WHERE other.id > blocks.id)"
        f"WHERE id >> {OFFSET_BITS} = 1",
    )
    with closing(EmbeddedLog.open(tmp_path / "log.db", "read")) as log, pytest.raises(LogDamaged):
        values(log)


def test_every_log_has_an_identity_of_its_own_that_it_keeps(tmp_path: Path) -> None:
    identities = []
    for name in ("one.db", "one.db", "other.db"):
        with closing(EmbeddedLog.open(tmp_path / name, "write")) as log:
            log.create_topics(CHANGES, 1)
            log.append([NewRecord(CHANGED, None, b"")])
            identities.append(log.identities([CHANGED])[CHANGED])
    assert identities[0] == identities[1] != identities[2]
    with closing(EmbeddedLog.open(tmp_path / "one.db", "read")) as log:
        assert log.identities([CHANGED]) == {CHANGED: identities[0]}


@pytest.mark.requirement("R74")
def test_a_log_of_the_format_before_is_read_as_it_is(tmp_path: Path) -> None:
    path = made_before(tmp_path / "log.db", [b"0", b"1"], [b"2"])
    before = path.read_bytes()
    with closing(EmbeddedLog.open(path, "read")) as log:
        assert values(log) == [b"0", b"1", b"2"]
        assert log.identities([CHANGED]) == {}
        assert log.end_offset(CHANGED, 0) == 3
        assert log.offset_at(CHANGED, 0, 0) == 0
    assert path.read_bytes() == before


@pytest.mark.requirement("R74")
def test_a_log_of_the_format_before_gets_its_identity_and_checksums_from_its_end_on(tmp_path: Path) -> None:
    path = made_before(tmp_path / "log.db", [b"0", b"1"], [b"2"])
    reader = EmbeddedLog.open(path, "read")
    with closing(EmbeddedLog.open(path, "write")) as log:
        log.append([NewRecord(CHANGED, None, b"3", partition=0), NewRecord(CHANGED, None, b"4", partition=1)])
        identity = log.identities([CHANGED])[CHANGED]
        # A log that was open meanwhile continues.
        assert values(reader) == [b"0", b"1", b"2", b"3"]
    reader.close()
    with closing(EmbeddedLog.open(path, "read")) as log:
        assert values(log) == [b"0", b"1", b"2", b"3"]
        assert log.identities([CHANGED]) == {CHANGED: identity}
    changed(path, "UPDATE blocks SET checksum = checksum + 1 WHERE checksum IS NOT NULL")
    with closing(EmbeddedLog.open(path, "read")) as log:
        assert len(log.read(CHANGED, 0, 0, 3, 1_000)) == 3
        with pytest.raises(LogDamaged, match="offset 3"):
            values(log)


def test_a_block_without_checksum_is_held_to_what_it_says_of_itself(tmp_path: Path) -> None:
    path = made_before(tmp_path / "log.db", [b"0", b"1"], [b"2"])
    changed(path, "UPDATE blocks SET count = 3 WHERE count = 2")
    with closing(EmbeddedLog.open(path, "read")) as log, pytest.raises(LogDamaged, match="2 records instead of 3"):
        values(log)
