"""What every event log promises, whichever it is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from streams.embedded.log import EmbeddedLog
from streams.log import EventLog, LogRecord, NewRecord, OffsetOutOfRange, RecordTooLarge, TopicMismatch, TopicMissing
from streams.topics import CHANGES, DATAVERSE_CHANGES, FINANCE_CHANGES, TOPICS

CHANGED = FINANCE_CHANGES.full_name()
PARTITIONS = 3
ALL = 1_000_000
RECORD_BYTES_MAX = 1024 * 1024


class Clock(Protocol):
    def __call__(self) -> int: ...

    def set(self, milliseconds: int) -> None: ...


class SetClock:
    """A clock that only changes when it is set."""

    def __init__(self) -> None:
        self.now = 1_736_328_000_000

    def __call__(self) -> int:
        return self.now

    def set(self, milliseconds: int) -> None:
        self.now = milliseconds


def record(
    number: int, *, partition: int | None = None, value: bytes | None = None, key: bytes | None = b""
) -> NewRecord:
    key = f"row-{number}".encode() if key == b"" else key
    return NewRecord(CHANGED, key, f"event {number}".encode() if value is None else value, partition=partition)


def everything(log: EventLog, topic: str = CHANGED) -> list[LogRecord]:
    return [
        found
        for partition in range(log.partitions(topic))
        for found in log.read(topic, partition, log.start_offset(topic, partition), ALL, ALL * 1000)
    ]


class EventLogContract:
    """What every event log promises."""

    @pytest.fixture
    def clock(self) -> Clock:
        return SetClock()

    @pytest.fixture
    def log(self, clock: Clock, tmp_path: Path) -> Iterator[EventLog]:
        log = self.open(tmp_path, clock)
        log.create_topics(CHANGES, PARTITIONS)
        yield log
        log.close()

    def open(self, place: Path, clock: Clock) -> EventLog:
        """Return the log at a place, with records of at most `RECORD_BYTES_MAX`; the same one for the same place."""
        raise NotImplementedError

    @pytest.mark.requirement("R73")
    def test_topics_are_made_under_their_full_names_with_as_many_partitions_as_asked_for(self, log: EventLog) -> None:
        assert log.topics() == {CHANGED: PARTITIONS, DATAVERSE_CHANGES.full_name(): PARTITIONS}
        assert log.check_topics(CHANGES, PARTITIONS) == []

    @pytest.mark.requirement("R73")
    def test_making_topics_again_changes_nothing(self, log: EventLog) -> None:
        log.append([record(1)])
        log.create_topics(list(TOPICS.values()), PARTITIONS)
        assert len(everything(log)) == 1
        assert len(log.topics()) == len(TOPICS)

    @pytest.mark.requirement("R73")
    def test_a_topic_with_another_number_of_partitions_is_reported_and_left_alone(self, log: EventLog) -> None:
        with pytest.raises(TopicMismatch, match=r"tieout\.finance\.changes has 3 partitions and the settings say 4"):
            log.create_topics(CHANGES, PARTITIONS + 1)
        assert log.partitions(CHANGED) == PARTITIONS

    @pytest.mark.requirement("R73")
    def test_a_missing_topic_is_reported(self, log: EventLog) -> None:
        problems = log.check_topics(CHANGES, PARTITIONS, prefix="other")
        assert [problem.split(" is missing")[0] for problem in problems] == [
            "Topic other.finance.changes",
            "Topic other.dataverse.changes",
        ]

    def test_a_topic_keeps_its_identity(self, log: EventLog, clock: Clock, tmp_path: Path) -> None:
        log.append([record(1)])
        before = log.identities([CHANGED])
        assert before[CHANGED].partition(":")[0] in ("log", "topic")
        log.close()
        again = self.open(tmp_path, clock)
        try:
            again.create_topics(list(TOPICS.values()), PARTITIONS)
            assert again.identities([CHANGED]) == before
        finally:
            again.close()

    def test_environments_with_different_prefixes_do_not_meet(self, log: EventLog) -> None:
        log.create_topics([FINANCE_CHANGES], 1, prefix="test")
        log.append([record(1)])
        assert everything(log, "test.finance.changes") == []

    def test_a_new_partition_is_empty(self, log: EventLog) -> None:
        assert (log.start_offset(CHANGED, 0), log.end_offset(CHANGED, 0)) == (0, 0)
        assert log.read(CHANGED, 0, 0, ALL, ALL) == []
        assert log.offset_at(CHANGED, 0, 0) == 0

    def test_a_record_comes_back_as_it_was_given(self, log: EventLog, clock: Clock) -> None:
        headers = (("ce_id", b"\x00\xff"), ("ce_id", b"again"), ("währung", b""))
        given = NewRecord(CHANGED, b"\x00key", b"\x80 not text", headers, partition=1)
        assert log.append([given]) == [(1, 0)]
        assert log.read(CHANGED, 1, 0, ALL, ALL) == [
            LogRecord(CHANGED, 1, 0, clock(), b"\x00key", b"\x80 not text", headers)
        ]

    def test_no_key_and_no_value_are_told_from_empty_ones(self, log: EventLog) -> None:
        log.append([NewRecord(CHANGED, None, None, partition=0), NewRecord(CHANGED, b"", b"", partition=0)])
        assert [(found.key, found.value) for found in log.read(CHANGED, 0, 0, ALL, ALL)] == [(None, None), (b"", b"")]

    def test_what_is_asked_for_comes_in_one_read_if_it_is_there(self, log: EventLog) -> None:
        # More than a broker returns in one response.
        for _ in range(3):
            log.append([record(number, partition=0, value=b"x" * 4_000) for number in range(1_000)])
        assert log.end_offset(CHANGED, 0) == 3_000
        assert len(log.read(CHANGED, 0, 100, 2_700, 1 << 26)) == 2_700
        assert len(log.read(CHANGED, 0, 100, ALL, 1 << 26)) == 2_900

    def test_several_partitions_are_read_together_in_proportion_to_what_is_left_of_each(self, log: EventLog) -> None:
        for partition, count in ((0, 30), (1, 10), (2, 0)):
            log.append([record(number, partition=partition) for number in range(count)])
        places = [(CHANGED, 0, 10), (CHANGED, 1, 0), (CHANGED, 2, 0)]
        some = log.read_together(places, 15, ALL)
        assert [(batch.partition, batch.follows, batch.next) for batch in some] == [(0, 10, 20), (1, 0, 5)]
        rest = log.read_together([(CHANGED, 0, 20), (CHANGED, 1, 5), (CHANGED, 2, 0)], ALL, ALL)
        assert [(batch.partition, batch.first, batch.last) for batch in rest] == [(0, 20, 29), (1, 5, 9)]
        assert log.read_together([(CHANGED, 0, 30), (CHANGED, 1, 10), (CHANGED, 2, 0)], ALL, ALL) == []

    def test_a_short_partition_is_read_whole_beside_a_long_one(self, log: EventLog) -> None:
        for partition, count in ((0, 300), (1, 12)):
            log.append([record(number, partition=partition) for number in range(count)])
        some = log.read_together([(CHANGED, 0, 0), (CHANGED, 1, 0)], 100, ALL)
        assert sorted((batch.partition, len(batch)) for batch in some) == [(0, 88), (1, 12)]

    def test_what_is_read_together_keeps_to_the_limits_of_all(self, log: EventLog) -> None:
        log.append(
            [record(number, partition=partition, value=b"x" * 100) for number in range(9) for partition in (0, 1)]
        )
        places = [(CHANGED, 0, 0), (CHANGED, 1, 0)]
        assert sum(len(batch) for batch in log.read_together(places, 1, ALL)) == 1
        assert sum(len(batch) for batch in log.read_together(places, 7, ALL)) == 7
        assert sum(len(batch) for batch in log.read_together(places, ALL, 400)) == 4

    def test_a_place_after_the_end_is_refused_also_among_others(self, log: EventLog) -> None:
        log.append([record(1, partition=0)])
        with pytest.raises(OffsetOutOfRange, match="7 was asked for"):
            log.read_together([(CHANGED, 0, 0), (CHANGED, 1, 7)], ALL, ALL)

    def test_reading_goes_on_from_any_offset_whatever_was_read_before(self, log: EventLog) -> None:
        log.append([record(number, partition=0) for number in range(20)])
        for offset, count in ((0, 5), (5, 5), (3, 4), (12, 8), (0, 20), (20, 1)):
            found = log.read(CHANGED, 0, offset, count, ALL)
            assert [each.offset for each in found] == list(range(offset, min(offset + count, 20)))
        log.append([record(20, partition=0)])
        assert [each.offset for each in log.read(CHANGED, 0, 20, ALL, ALL)] == [20]

    def test_offsets_follow_each_other_over_appends_of_any_size(self, log: EventLog) -> None:
        placed = []
        for size in (1, 3, 500, 0, 2):
            placed += log.append([record(number, partition=2) for number in range(size)])
        assert placed == [(2, offset) for offset in range(506)]
        assert [found.offset for found in log.read(CHANGED, 2, 0, ALL, ALL)] == list(range(506))

    def test_the_places_of_records_are_returned_in_the_order_they_were_given(self, log: EventLog) -> None:
        records = [record(number) for number in range(300)]
        placed = log.append(records)
        found = {(r.partition, r.offset): r.value for r in everything(log)}
        assert [found[place] for place in placed] == [r.value for r in records]

    def test_records_of_one_key_are_in_one_partition_in_their_order(self, log: EventLog) -> None:
        log.append([record(number, key=f"row-{number % 7}".encode()) for number in range(100)])
        by_key: dict[bytes | None, list[tuple[int, bytes | None]]] = {}
        for found in everything(log):
            by_key.setdefault(found.key, []).append((found.partition, found.value))
        assert len(by_key) == 7
        for key, values in by_key.items():
            number = int((key or b"").removeprefix(b"row-"))
            assert len({partition for partition, _ in values}) == 1
            assert [value for _, value in values] == [f"event {n}".encode() for n in range(number, 100, 7)]

    def test_keys_use_all_partitions(self, log: EventLog) -> None:
        assert {partition for partition, _ in log.append([record(number) for number in range(100)])} == {0, 1, 2}

    def test_records_without_a_key_are_kept_all_the_same(self, log: EventLog) -> None:
        log.append([record(number, key=None) for number in range(10)])
        assert sorted(found.value or b"" for found in everything(log)) == [f"event {n}".encode() for n in range(10)]

    @pytest.mark.parametrize(("offset", "max_records"), [(0, 1), (0, 7), (5, 5), (49, 2), (50, 1), (99, 10)])
    def test_reading_starts_at_the_offset_and_ends_at_the_number_asked_for(
        self, log: EventLog, offset: int, max_records: int
    ) -> None:
        for start in (0, 50):
            log.append([record(number, partition=0) for number in range(start, start + 50)])
        wanted = list(range(100))[offset : offset + max_records]
        assert [found.offset for found in log.read(CHANGED, 0, offset, max_records, ALL)] == wanted

    def test_reading_ends_when_the_bytes_are_reached(self, log: EventLog) -> None:
        for _ in range(3):
            log.append([record(1, partition=0, key=None, value=b"x" * 100)] * 10)
        assert len(log.read(CHANGED, 0, 0, ALL, 500)) == 5
        assert len(log.read(CHANGED, 0, 15, ALL, 301)) == 4

    def test_a_record_larger_than_the_bytes_asked_for_is_still_read(self, log: EventLog) -> None:
        log.append([record(1, partition=0, value=b"x" * 500_000), record(2, partition=0)])
        assert [found.offset for found in log.read(CHANGED, 0, 0, ALL, 1)] == [0]
        assert [found.offset for found in log.read(CHANGED, 0, 1, ALL, 1)] == [1]

    def test_many_large_records_in_one_append_keep_their_order(self, log: EventLog) -> None:
        log.append([record(number, partition=0, value=b"%03d" % number + b"x" * 50_000) for number in range(30)])
        assert [(r.value or b"")[:3] for r in log.read(CHANGED, 0, 3, ALL, ALL * 10)] == [
            b"%03d" % n for n in range(3, 30)
        ]

    @pytest.mark.parametrize("offset", [-1, 6, 1000])
    def test_an_offset_that_the_log_never_gave_is_an_error(self, log: EventLog, offset: int) -> None:
        log.append([record(number, partition=0) for number in range(5)])
        assert log.read(CHANGED, 0, 5, ALL, ALL) == []
        with pytest.raises(OffsetOutOfRange, match=f"{offset} was asked for"):
            log.read(CHANGED, 0, offset, ALL, ALL)

    def test_times_are_those_of_the_append_and_never_fall(self, log: EventLog, clock: Clock) -> None:
        start = clock()
        for time in (start, start + 10, start - 5000, start + 20):
            clock.set(time)
            log.append([record(1, partition=0)])
        times = [found.timestamp for found in log.read(CHANGED, 0, 0, ALL, ALL)]
        assert times == [start, start + 10, start + 10, start + 20]

    def test_the_offset_at_a_time_is_that_of_the_first_record_not_before_it(self, log: EventLog, clock: Clock) -> None:
        start = clock()
        for step in range(20):
            clock.set(start + 10 * step)
            log.append([record(number, partition=0) for number in range(step % 3 + 1)])
        times = [found.timestamp for found in log.read(CHANGED, 0, 0, ALL, ALL)]
        for time in range(start - 1, start + 200):
            assert log.offset_at(CHANGED, 0, time) == sum(1 for earlier in times if earlier < time)

    @pytest.mark.parametrize("call", ["partitions", "append", "read", "start_offset", "end_offset", "offset_at"])
    def test_a_topic_that_does_not_exist_is_named(self, log: EventLog, call: str) -> None:
        calls: dict[str, Callable[[], object]] = {
            "partitions": lambda: log.partitions("tieout.orders"),
            "append": lambda: log.append([NewRecord("tieout.orders", b"", b"")]),
            "read": lambda: log.read("tieout.orders", 0, 0, 1, 1),
            "start_offset": lambda: log.start_offset("tieout.orders", 0),
            "end_offset": lambda: log.end_offset("tieout.orders", 0),
            "offset_at": lambda: log.offset_at("tieout.orders", 0, 0),
        }
        with pytest.raises(TopicMissing, match=r"tieout\.orders"):
            calls[call]()

    def test_a_partition_that_does_not_exist_is_named(self, log: EventLog) -> None:
        with pytest.raises(TopicMissing, match="no partition 3"):
            log.read(CHANGED, PARTITIONS, 0, 1, 1)
        with pytest.raises(TopicMissing, match="no partition 3"):
            log.append([record(1, partition=PARTITIONS)])

    @pytest.mark.requirement("R71")
    def test_an_append_with_one_bad_record_appends_nothing(self, log: EventLog) -> None:
        log.append([record(0, partition=0)])
        with pytest.raises(RecordTooLarge):
            log.append([record(1, partition=0), record(2, partition=0, value=b"x" * (RECORD_BYTES_MAX + 1))])
        with pytest.raises(TopicMissing):
            log.append([record(1, partition=0), NewRecord("tieout.orders", b"", b"")])
        assert log.append([record(3, partition=0)]) == [(0, 1)]
        assert [found.value for found in log.read(CHANGED, 0, 0, ALL, ALL)] == [b"event 0", b"event 3"]

    @pytest.mark.requirement("R71")
    def test_what_was_appended_is_there_after_the_log_is_opened_again(
        self, log: EventLog, clock: Clock, tmp_path: Path
    ) -> None:
        log.append([record(number) for number in range(1000)])
        before = everything(log)
        log.close()
        again = self.open(tmp_path, clock)
        try:
            assert everything(again) == before
            assert again.append([record(1, partition=1)]) == [(1, sum(found.partition == 1 for found in before))]
        finally:
            again.close()

    def test_closing_twice_does_nothing(self, log: EventLog) -> None:
        log.close()
        log.close()


class TestEmbeddedLog(EventLogContract):
    def open(self, place: Path, clock: Clock) -> EventLog:
        return EmbeddedLog.open(place / "log.db", "write", record_bytes_max=RECORD_BYTES_MAX, clock=clock)
