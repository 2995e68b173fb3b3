"""Rows that are read from the APIs: whole tables, what changed since, and single rows after a notice (R5, R9)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.chains.records import merge, new_record, record_key
from engine.cursors import Cursor
from engine.events.facts import Change, Evidence, Heartbeat, iso
from engine.mapping.values import parse_time
from engine.reconciliation.documents import Document
from handlers.api.dataverse import Dataverse
from handlers.change_events import EVENT_BYTES_MAX, SourceEvent, System, events_of_page
from handlers.errors import Configuration, Permanent, Transient
from handlers.poll import Poller, Table
from handlers.row_refresh import RowReader
from streams.codec import decode
from streams.embedded.log import EmbeddedLog
from streams.log import EventLog, NewRecord, RecordTooLarge
from streams.projector import notice
from streams.topics import COMMANDS, DEFAULT_PREFIX
from tests.support.memory_ports import MemoryCursors
from tests.support.memory_world import MemoryWorld
from tests.support.pairs import Site
from tests.support.payloads import context, encoded
from tests.support.stores import MAPS
from tieout.simulator import simulate
from tieout.sync import row_refresh

TABLES = [Table(entity.source, entity.entity) for entity in MAPS.entities.values() if entity.role.name != "later"]


class Feed:
    """What a poller sent, and a poller that sends it."""

    def __init__(self, site: Site, tables: Sequence[Table] = TABLES, cursors: MemoryCursors | None = None) -> None:
        self.site = site
        self.events: list[SourceEvent] = []
        self.cursors = cursors or MemoryCursors()
        self.poller = Poller(
            site.finance, site.dataverse, self.cursors, self.events.extend, tables, complete=["finance", "dataverse"]
        )

    def facts(self) -> list[Any]:
        return [fact for event in self.events for fact in decode(event.value, event.headers)]

    def changes(self) -> list[Change]:
        return [fact for fact in self.facts() if isinstance(fact, Change)]


def documents(changes: list[Change]) -> dict[str, Document]:
    world = MemoryWorld(changes, MAPS, ["USPM"])
    return {
        document.document: document
        for chain in world.chains
        for document in chain.documents
        if document.kind == "expense"
    }


def standing(found: dict[str, Document]) -> dict[str, tuple[Any, ...]]:
    return {key: (one.position, one.cause, one.excluded, one.amounts) for key, one in found.items()}


@pytest.mark.requirement("R9")
def test_whole_tables_say_of_every_expense_what_its_events_say() -> None:
    feed = Feed(Site(page_rows=100))
    feed.poller.once()
    story = [
        fact
        for event in simulate("small", deliver=False).events
        for fact in decode(msgspec.json.encode(event.value))
        if isinstance(fact, Change)
    ]
    assert standing(documents(feed.changes())) == standing(documents(story))


@pytest.mark.requirement("R9")
def test_a_second_pass_brings_from_dataverse_what_changed_and_nothing_else() -> None:
    site = Site()
    feed = Feed(site, [Table("dataverse", "msdyn_expense")])
    feed.poller.once()
    feed.events.clear()
    feed.poller.once()
    assert feed.changes() == []
    site.clock.sleep(60)
    changed, gone = list(site.pair.tables["msdyn_expense"].rows)[:2]
    site.pair.write("msdyn_expense", changed, {"statecode": 1})
    site.pair.delete("msdyn_expense", gone)
    feed.poller.once()
    assert [(change.operation, change.id) for change in feed.changes()] == [("upsert", changed), ("delete", gone)]


@pytest.mark.requirement("R9")
@pytest.mark.parametrize(("system", "entity"), [("finance", "TrvExpTrans"), ("dataverse", "msdyn_actual")])
@pytest.mark.parametrize("pages_before_the_crash", range(6))
def test_a_poller_that_dies_goes_on_where_it_was(pages_before_the_crash: int, system: System, entity: str) -> None:
    """The page it sent without saving its cursor comes once more: as the same event."""

    class Died(Exception):
        pass

    site = Site(page_rows=20 if system == "finance" else 25)
    tables = [Table(system, entity)]
    first = Feed(site, tables)

    def send(events: Sequence[SourceEvent]) -> None:
        first.events.extend(events)
        if len(first.events) > pages_before_the_crash:
            raise Died

    first.poller = Poller(site.finance, site.dataverse, first.cursors, send, tables)
    with pytest.raises(Died):
        first.poller.once()
    asked = len(site.pair.calls)
    second = Feed(site, tables, first.cursors)
    second.events = first.events
    second.poller = Poller(site.finance, site.dataverse, first.cursors, second.events.extend, tables)
    second.poller.once()
    assert {change.id for change in second.changes()} == set(site.pair.tables[entity].rows)
    assert len(second.events) - len({event.value for event in second.events}) == 1
    assert len(site.pair.calls) - asked == 7 - pages_before_the_crash


@pytest.mark.requirement("R9")
def test_a_token_that_is_too_old_begins_anew() -> None:
    site = Site()
    feed = Feed(site, [Table("dataverse", "msdyn_expense")])
    feed.poller.once()
    site.clock.days(8)
    feed.events.clear()
    (cursor,) = feed.poller.once()
    assert len(feed.changes()) == len(site.pair.tables["msdyn_expense"].rows)
    assert cursor.fault == ""


@pytest.mark.requirement("R9")
def test_a_table_that_cannot_be_read_says_why_and_the_others_go_on() -> None:
    site = Site()
    tables = [Table("finance", "Unknown"), Table("finance", "TrvExpTrans")]
    tables.append(Table("dataverse", "msdyn_actual"))
    feed = Feed(site, tables)
    site.pair.faults.next("unavailable", "msdyn_actuals")
    unknown, expenses, actuals = feed.poller.once()
    assert "Finance offers no table Unknown" in unknown.fault
    assert (expenses.fault, expenses.passes) == ("", 1)
    assert "503" in actuals.fault
    assert feed.cursors.load(actuals.table) == actuals
    assert [fact for fact in feed.facts() if isinstance(fact, Heartbeat)] == []
    *_, actuals = feed.poller.once()
    assert (actuals.fault, actuals.passes) == ("", 1)
    beats = [fact for fact in feed.facts() if isinstance(fact, Heartbeat)]
    assert [beat.source for beat in beats] == ["dataverse"]


@pytest.mark.requirement("R9", "R21")
def test_the_heartbeat_says_what_the_table_that_is_furthest_behind_allows() -> None:
    site = Site(pace=lambda request: 10.0)
    feed = Feed(site)
    feed.poller.once()
    beats = {fact.source: fact.until for fact in feed.facts() if isinstance(fact, Heartbeat)}
    for system, until in beats.items():
        cursors = [cursor for cursor in feed.cursors.all() if cursor.table.startswith(f"{system}/")]
        assert until == min(cursor.complete_until or 0 for cursor in cursors)
    assert iso(beats["dataverse"]) > "2025-01-08T18:00"
    feed.events.clear()
    feed.poller.once()
    later = {fact.source: fact.until for fact in feed.facts() if isinstance(fact, Heartbeat)}
    assert all(later[system] > beats[system] for system in beats)


def test_without_every_table_nothing_is_said_to_be_complete() -> None:
    site = Site()
    cursors, events = MemoryCursors(), list[SourceEvent]()
    tables = [Table("dataverse", "msdyn_actual")]
    Poller(site.finance, site.dataverse, cursors, events.extend, tables).once()
    assert all(b"tieout.source.complete" not in event.value for event in events)


def test_a_large_page_goes_out_in_small_events_with_its_digits() -> None:
    rows = [b'{"@odata.etag":"W/\\"1\\"","msdyn_amount":%d.10,"text":"%s"}' % (n, b"x" * 1_000) for n in range(1_000)]
    body = b'{"@odata.context":"https://o/api/data/v9.2/$metadata#msdyn_actuals","value":[%s]}' % b",".join(rows)
    events = list(events_of_page("dataverse", "msdyn_actual", body, Site().clock.now()))
    assert len(events) > 3
    assert max(len(event.value) for event in events) < EVENT_BYTES_MAX + 2_000
    assert b"".join(event.value for event in events).count(b".10,") == 1_000


# --- R5 ---------------------------------------------------------------------------------------------------------------


def command(entity: str, row_id: str, **more: Any) -> dict[str, Any]:
    """The command that the projector puts on the commands topic."""
    at = parse_time(more.pop("at", "2025-01-08T17:00:00Z"))
    assert at is not None
    change = Change(
        "notify",
        more.pop("source", "dataverse"),
        entity,
        row_id,
        Evidence(at, 0, b"", "/dataverse/contoso", "event-1"),
        more.pop("columns", {}),
        truncated=True,
        **more,
    )
    written: dict[str, Any] = msgspec.json.decode(notice(change).value or b"")
    assert written["command"] == "read"
    return written


def reread_rows(site: Site, wanted: dict[str, Any]) -> list[Change]:
    events = RowReader(site.finance, site.dataverse).read(wanted)
    return [fact for event in events for fact in decode(event.value, event.headers) if isinstance(fact, Change)]


@pytest.mark.requirement("R5")
def test_a_notice_leads_to_the_whole_row() -> None:
    site = Site()
    row = next(iter(site.pair.tables["msdyn_actual"].rows.values()))
    (change,) = reread_rows(site, command("msdyn_actual", row.id))
    assert (change.operation, change.entity, change.id) == ("upsert", "msdyn_actual", row.id)
    assert change.columns["msdyn_amount"] == row.text("msdyn_amount")


GONE = "0f1c0000-0000-4000-8000-000000000001"


@pytest.mark.requirement("R5")
def test_a_row_that_is_gone_comes_as_deleted_at_the_time_of_its_notice() -> None:
    (change,) = reread_rows(Site(), command("msdyn_actual", GONE, at="2025-01-08T12:00:00Z"))
    assert (change.operation, change.id, iso(change.evidence.at)) == ("delete", GONE, "2025-01-08T12:00:00Z")


@pytest.mark.requirement("R5", "R12")
def test_a_row_that_was_not_found_never_hides_one_that_was_made_after_the_notice() -> None:
    entity_map = MAPS.entities["msdyn_actual"]
    (gone,) = reread_rows(Site(), command("msdyn_actual", GONE, at="2025-01-08T12:00:00Z"))
    record = merge(new_record(entity_map, record_key(entity_map, GONE)), gone, entity_map)
    for at, exists in (("2025-01-08T11:59:59Z", False), ("2025-01-08T12:00:01Z", True)):
        made = context({"modifiedon": at}, MessageName="Create", PrimaryEntityId=GONE)
        made["InputParameters"][0]["value"]["Id"] = GONE
        (change,) = decode(encoded(made))
        assert isinstance(change, Change)
        assert merge(record, change, entity_map).exists is exists


@pytest.mark.requirement("R5")
def test_a_notice_from_a_clock_that_runs_ahead_is_no_later_than_the_answer() -> None:
    (change,) = reread_rows(Site(), command("msdyn_actual", GONE, at="2031-01-01T00:00:00Z"))
    assert iso(change.evidence.at) < "2025-01-08T18:01"


@pytest.mark.requirement("R5")
def test_several_notices_about_a_row_are_answered_at_once_as_of_the_latest(tmp_path: Path) -> None:
    site, sent = Site(), list[NewRecord]()
    times = ("2025-01-08T11:00:00Z", "2025-01-08T12:00:00.5Z", "2025-01-08T10:00:00Z")
    with closing(EmbeddedLog.open(tmp_path / "log.db", "write")) as log:
        log.create_topics([COMMANDS], 1)
        asked = [msgspec.json.encode(command("msdyn_actual", GONE, at=at)) for at in times]
        log.append([NewRecord(COMMANDS.full_name(), GONE.encode(), value) for value in asked])
        row_reader = RowReader(site.finance, site.dataverse)
        row_refresh.reread_rows(log, DEFAULT_PREFIX, row_reader, MemoryCursors(), sent.extend)
    event, answer = sent
    (fact,) = decode(event.value, event.headers)
    assert iso(fact.evidence.at) == "2025-01-08T12:00:00.500000Z"
    assert msgspec.json.decode(answer.value or b"") == {
        "command": "row-read",
        "source": "dataverse",
        "entity": "msdyn_actual",
        "id": GONE,
        "at": "2025-01-08T12:00:00.500000Z",
        "event_id": "event-1",
    }


class Notices:
    """A commands topic with notices about rows of three tables, and who reads them."""

    def __init__(self, log: EventLog) -> None:
        self.site = Site()
        self.cursors = MemoryCursors()
        self.sent: list[NewRecord] = []
        self._log = log
        log.create_topics([COMMANDS], 1)

    def ask(self, *rows: tuple[str, str]) -> None:
        asked = [msgspec.json.encode(command(entity, row)) for entity, row in rows]
        self._log.append([NewRecord(COMMANDS.full_name(), None, value) for value in asked])

    def read(self, enough: Callable[[int], bool] = lambda rows: False) -> dict[str, tuple[int, bool]]:
        """Rows and whether there was a fault, by cursor; what was answered is in `answered`."""
        row_reader = RowReader(self.site.finance, self.site.dataverse)
        done = row_refresh.reread_rows(self._log, DEFAULT_PREFIX, row_reader, self.cursors, self.sent.extend, enough)
        return {cursor.table: (cursor.rows, bool(cursor.fault)) for cursor in done}

    @property
    def answered(self) -> list[str]:
        values = [msgspec.json.decode(one.value or b"") for one in self.sent if one.topic == COMMANDS.full_name()]
        return [value["id"] for value in values]


@pytest.fixture
def notices(tmp_path: Path) -> Iterator[Notices]:
    with closing(EmbeddedLog.open(tmp_path / "log.db", "write")) as log:
        yield Notices(log)


@pytest.mark.requirement("R5")
def test_a_table_that_cannot_be_read_does_not_keep_the_rows_of_others_and_is_read_later(notices: Notices) -> None:
    actuals = list(notices.site.pair.tables["msdyn_actual"].rows)[:3]
    expenses = list(notices.site.pair.tables["msdyn_expense"].rows)[:2]
    first, second, third = (("msdyn_actual", row) for row in actuals)
    notices.ask(first, ("msdyn_expense", expenses[0]), second)
    notices.site.pair.faults.next("unavailable", "msdyn_actuals", times=2)
    assert notices.read() == {"commands/0/msdyn_actual": (0, True), "commands/0": (1, False)}
    assert notices.answered == [expenses[0]]
    # Still away: what came since waits behind, that of the others does not.
    notices.ask(third, ("msdyn_expense", expenses[1]))
    assert notices.read() == {"commands/0/msdyn_actual": (0, True), "commands/0": (1, False)}
    assert notices.answered == expenses
    assert notices.read() == {"commands/0/msdyn_actual": (3, False)}
    assert notices.answered == [*expenses, *actuals]
    assert notices.read() == {}


@pytest.mark.requirement("R5")
def test_what_is_enough_for_now_is_gone_on_with_where_it_ended(notices: Notices) -> None:
    rows = list(notices.site.pair.tables["msdyn_actual"].rows)[:5]
    notices.ask(*(("msdyn_actual", row) for row in rows))
    numbers = [notices.read(lambda read: read >= 2)["commands/0"][0] for _ in range(3)]
    assert numbers == [2, 2, 1]
    assert notices.answered == rows


@pytest.mark.requirement("R5")
def test_a_row_that_is_too_large_for_its_topic_does_not_keep_the_others(notices: Notices) -> None:
    first, second = list(notices.site.pair.tables["msdyn_actual"].rows)[:2]
    notices.ask(("msdyn_actual", first), ("msdyn_actual", second))
    sent: list[NewRecord] = []

    def send(records: Sequence[NewRecord]) -> None:
        if first.encode() in (records[0].value or b""):
            raise RecordTooLarge("a record has 17 MB and the event log takes 16")
        sent.extend(records)

    row_reader = RowReader(notices.site.finance, notices.site.dataverse)
    (cursor,) = row_refresh.reread_rows(notices._log, DEFAULT_PREFIX, row_reader, notices.cursors, send)
    assert (cursor.rows, cursor.fault, len(sent)) == (1, "", 2)
    assert notices.read() == {}


@pytest.mark.requirement("R5")
@pytest.mark.parametrize("value", [b"{", b"[]", b'{"command": "read"}', b'{"command":"read","source":1,"entity":"a"}'])
def test_a_command_that_is_none_is_passed_over(tmp_path: Path, value: bytes) -> None:
    with closing(EmbeddedLog.open(tmp_path / "log.db", "write")) as log:
        notices = Notices(log)
        log.append([NewRecord(COMMANDS.full_name(), None, value)])
        row = next(iter(notices.site.pair.tables["msdyn_actual"].rows))
        notices.ask(("msdyn_actual", row))
        notices.read()
        assert notices.answered == [row]


@pytest.mark.requirement("R5")
def test_a_row_of_finance_is_found_by_its_rec_id() -> None:
    site = Site()
    row = site.pair.tables.first("TrvExpTrans", "ProjTransId", "USPM-PT000487")
    assert row is not None
    (change,) = reread_rows(site, command("TrvExpTrans", row.id, source="finance", company="USPM"))
    assert (change.id, change.columns["ProjTransId"]) == (row.id, "USPM-PT000487")


@pytest.mark.requirement("R5")
def test_a_business_event_leads_to_the_invoice_and_its_lines() -> None:
    site = Site()
    posted = site.pair.tables.first("VendInvoiceJour", "InvoiceId", "Inv-6")
    assert posted is not None
    columns = {"InvoiceId": "Inv-6", "InvoiceAccount": posted.text("InvoiceAccount")}
    wanted = command("VendorInvoicePostedBusinessEvent", "", source="finance", company="USPM", columns=columns)
    assert sorted(change.entity for change in reread_rows(site, wanted)) == ["VendInvoiceJour", "VendInvoiceTrans"]


@pytest.mark.requirement("R5")
@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (command("mserp_projcdsactualsimportentity", "", source="finance"), "names no row"),
        (command("TrvExpTrans", "x", source="finance"), "no RecId"),
        (command("VendorInvoicePostedBusinessEvent", "", source="finance"), "InvoiceId, InvoiceAccount"),
    ],
)
def test_a_notice_that_says_too_little_is_left_to_the_poller(wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(Permanent, match=says):
        reread_rows(Site(), wanted)


@pytest.mark.requirement("R5")
def test_what_cannot_be_read_now_is_no_deleted_row() -> None:
    site = Site()
    row = next(iter(site.pair.tables["msdyn_actual"].rows))
    site.dataverse.read("msdyn_actuals", row)
    site.pair.faults.next("unavailable", "msdyn_actuals")
    with pytest.raises(Transient):
        reread_rows(site, command("msdyn_actual", row))
    elsewhere = RowReader(site.finance, Dataverse(site.dataverse.connection, {"msdyn_actual": "nosuchset"}))
    with pytest.raises(Configuration):
        elsewhere.read(command("msdyn_actual", row))


def test_a_cursor_is_shown_with_what_it_knows() -> None:
    feed = Feed(Site(page_rows=50), [Table("finance", "TrvExpTrans")])
    seen: list[Cursor] = []
    feed.poller.once(seen.append)
    assert [cursor.rows for cursor in seen] == [50, 100, 126]
    assert [cursor.began is None for cursor in seen] == [False, False, True]
