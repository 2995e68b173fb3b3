"""Rows that are to be read again are counted until they were (R5), in any order of events and responses."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from engine import alerts
from engine.events.facts import microseconds, moment
from engine.events.notices import PATIENCE, UnreadRows, overdue
from engine.mapping.values import parse_time
from store.notices import waiting_rows
from store.projection.batch_plan import DecodedBatch
from store.projection.writer import Writer
from store.schema import tables
from streams.codec import ANSWERED
from streams.log import LogRecord
from streams.projector import take
from tests.support.commandline import Tieout, typist
from tests.support.payloads import ACTUAL, DATAVERSE, EXAMPLES, MISSING, ROW, business, context, encoded, page
from tests.support.stores import MAPS, apply, memory_store

pytestmark = pytest.mark.requirement("R5", "R89")

Record = tuple[str, bytes, tuple[tuple[str, bytes], ...]]

NOTICED = "2025-01-09T02:00:11Z"


def cut(at: str) -> Record:
    """A context of an actual that was cut for its size."""
    created = f"/Date({microseconds(moment(time(at))) // 1_000})/"
    return "dataverse.changes", encoded(context(InputParameters=MISSING, OperationCreatedOn=created)), ()


def time(text: str) -> int:
    at = parse_time(text)
    assert at is not None
    return at


def read(answered: str, modified: str = "2025-01-09T02:00:10Z") -> Record:
    """A page with the actual. The time of its precedence has whole seconds, and is before that of the event."""
    rows = page(DATAVERSE + "msdyn_actuals", {**ACTUAL, "modifiedon": modified})
    return "dataverse.changes", encoded(rows), ((ANSWERED, answered.encode()),)


def part(at: str) -> Record:
    """A context with only the changed columns of the row."""
    columns = {"msdyn_description": "x", "modifiedon": at}
    return "dataverse.changes", encoded(context(columns)), ()


def deleted(at: str) -> Record:
    head = {"specversion": "1.0", "id": f"d {at}", "source": "/dataverse/contoso", "type": "tieout.row.changed"}
    data = {"entity": "msdyn_actual", "id": ROW, "operation": "delete", "columns": {}}
    return "dataverse.changes", encoded({**head, "time": at, "data": data}), ()


def complete(until: str) -> Record:
    head = {"specversion": "1.0", "id": f"h {until}", "source": "/finance/contoso", "type": "tieout.source.complete"}
    return "finance.changes", encoded({**head, "time": until, "data": {"until": until}}), ()


def answered(at: str, **more: Any) -> Record:
    said = {"command": "row-read", "source": "dataverse", "entity": "msdyn_actual", "id": ROW, "at": at}
    return "commands", encoded({**said, "event_id": None, **more}), ()


POSTED = "finance.changes", encoded(business()), ()
OF_POSTED: dict[str, Any] = {
    "source": "finance",
    "entity": "VendorInvoicePostedBusinessEvent",
    "id": None,
    "event_id": "3c47a4cd-6edc-4319-b893-3f862eed65fd",
}
POSTED_AT = "2025-01-08T10:59:58Z"


def taken(records: Sequence[Record], cuts: Sequence[int] = (1,)) -> Engine:
    """A store that took these records, in batches of these sizes."""
    store = memory_store()
    writer = Writer(store, MAPS)
    left, number = list(enumerate(records)), 0
    while left:
        size = cuts[number % len(cuts)]
        some, left, number = left[:size], left[size:], number + 1
        batch = DecodedBatch()
        for offset, (topic, value, headers) in some:
            assert take(LogRecord(f"tieout.{topic}", 0, offset, 0, None, value, headers), batch, MAPS) is None
        apply(writer, batch)
    return store


def waiting(records: Sequence[Record], cuts: Sequence[int] = (1,)) -> list[UnreadRows]:
    with taken(records, cuts).connect() as connection:
        return waiting_rows(connection)


ACTUAL_WAITS = [UnreadRows("msdyn_actual", 1, time(NOTICED))]
POSTED_WAITS = [UnreadRows("VendorInvoicePostedBusinessEvent", 1, time(POSTED_AT))]

CASES: list[tuple[str, list[Record], list[UnreadRows]]] = [
    ("an event that was cut", [cut(NOTICED)], ACTUAL_WAITS),
    ("twice the same", [cut(NOTICED), cut(NOTICED)], ACTUAL_WAITS),
    ("the row was read before", [read("2025-01-09T02:00:10.9Z"), cut(NOTICED)], ACTUAL_WAITS),
    ("the row was read at that time", [cut(NOTICED), read(NOTICED)], []),
    ("the row was read after it", [cut(NOTICED), read("2025-01-09T02:05:00Z")], []),
    ("a part of it came after it", [cut(NOTICED), part("2025-01-09T03:00:00Z")], ACTUAL_WAITS),
    (
        "the row was read after it, and a part came",
        [cut(NOTICED), read("2025-01-09T02:05:00Z"), part("2025-01-09T03:00:00Z")],
        [],
    ),
    (
        "cut again after it was read",
        [cut("2025-01-09T01:00:00Z"), read("2025-01-09T02:00:00Z"), cut(NOTICED)],
        ACTUAL_WAITS,
    ),
    ("the row was deleted before", [deleted("2025-01-09T01:00:00Z"), cut(NOTICED)], ACTUAL_WAITS),
    ("the row was deleted after it", [cut(NOTICED), deleted("2025-01-09T03:00:00Z")], []),
    ("word came that it is answered", [cut(NOTICED), answered(NOTICED)], []),
    ("one before was answered", [cut(NOTICED), answered("2025-01-09T01:00:00Z")], ACTUAL_WAITS),
    ("an event that names no row", [POSTED], POSTED_WAITS),
    (
        "the same, and another event's answer",
        [POSTED, answered(POSTED_AT, **{**OF_POSTED, "event_id": "x"})],
        POSTED_WAITS,
    ),
    ("the same, answered", [POSTED, answered(POSTED_AT, **OF_POSTED)], []),
    ("the same, and its source sent everything", [POSTED, complete(POSTED_AT)], []),
    ("the same, and its source sent less", [POSTED, complete("2025-01-08T10:00:00Z")], POSTED_WAITS),
    ("a heartbeat reads no row", [cut(NOTICED), complete("2025-01-10T00:00:00Z")], ACTUAL_WAITS),
]


@pytest.mark.requirement("R11")
@pytest.mark.parametrize(("records", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_row_waits_until_it_was_read_at_or_after_its_notice_in_whatever_order(
    records: list[Record], expected: list[UnreadRows]
) -> None:
    for order in (records, records[::-1], [*records, *records], [*records[::-1], *records]):
        for cuts in ((1,), (100,)):
            assert waiting(order, cuts) == expected


@pytest.mark.requirement("R11")
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_order_repetition_and_batch_size_leave_the_same_notices(data: st.DataObject) -> None:
    hours = [f"2025-01-09T0{hour}:00:00Z" for hour in range(4)]
    drawn = st.sampled_from([make(at) for make in (cut, read, part, deleted, answered) for at in hours])
    records = data.draw(st.lists(drawn, min_size=1, max_size=6, unique=True))
    arrived = data.draw(st.permutations([*records, *data.draw(st.lists(st.sampled_from(records), max_size=3))]))
    cuts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    assert waiting(arrived, cuts) == waiting(records)


def test_what_a_rebuilt_store_counts_is_what_the_one_in_use_counts() -> None:
    used = taken([cut(NOTICED), POSTED, answered(POSTED_AT, **OF_POSTED)])
    again = taken([answered(POSTED_AT, **OF_POSTED), POSTED, cut(NOTICED)], (100,))
    table = select(tables.notices).order_by(tables.notices.c.key)
    with used.connect() as one, again.connect() as other:
        assert one.execute(table).all() == other.execute(table).all()


def test_the_oldest_of_several_rows_says_since_when_they_wait() -> None:
    second = context(PrimaryEntityId=ROW.replace("ff", "ee", 1), InputParameters=MISSING)
    created = time("2025-01-08T09:38:03Z")
    assert waiting([cut(NOTICED), ("dataverse.changes", encoded(second), ())]) == [
        UnreadRows("msdyn_actual", 2, created)
    ]


@pytest.mark.requirement("R84")
def test_of_rows_that_wait_too_long_an_alert_names_the_table_and_what_to_do() -> None:
    now = time(NOTICED) + PATIENCE
    assert alerts.not_read(overdue(ACTUAL_WAITS, now)) == []
    (alert,) = alerts.not_read(overdue(ACTUAL_WAITS, now + 1))
    assert (alert.key, alert.kind) == ("rows-not-read msdyn_actual", "rows-not-read")
    assert alert.text.startswith(f"msdyn_actual: 1 row was not read since {NOTICED}")
    assert "`tieout poll`" in alert.text
    assert alert.detail == {"table": "msdyn_actual", "rows": 1, "since": NOTICED}


@pytest.mark.requirement("R82")
def test_check_names_the_tables_the_numbers_since_when_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tieout: Tieout = typist(tmp_path, {}, monkeypatch, capfd)
    value = msgspec.json.decode((EXAMPLES / "dataverse-truncated-update.json").read_bytes())
    Path("cut.jsonl").write_bytes(msgspec.json.encode({"topic": "dataverse.changes", "value": value}))
    assert tieout("ingest", "cut.jsonl").code == 0
    assert tieout("run", "--until-caught-up").code == 0
    told = tieout("check", "--json")
    (line,) = [line for line in msgspec.json.decode(told.out)["checks"] if line["check"] == "notices"]
    assert (told.code, line["ok"]) == (1, False)
    assert f"(msdyn_actual: 1), the first since {NOTICED}. Run a worker with the role handle" in line["says"]
    assert line["detail"] == {"msdyn_actual": {"rows": 1, "since": NOTICED}}
    assert tieout("verify").code == 0
    rows = page(DATAVERSE + "msdyn_actuals", ACTUAL)
    later = (moment(time(NOTICED)) + timedelta(minutes=1)).isoformat()
    event = {"topic": "dataverse.changes", "headers": {ANSWERED: later}, "value": rows}
    Path("read.jsonl").write_bytes(msgspec.json.encode(event))
    assert tieout("ingest", "read.jsonl").code == 0
    assert tieout("run", "--until-caught-up").code == 0
    told = tieout("check")
    assert "no row is waiting to be read again" in told.out
