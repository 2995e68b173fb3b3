"""From records of the log to the store: what is taken, what is rejected, what is to be read again (R5, R7, R85)."""

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.events.facts import iso, time_order
from store.operational.attempts import SqlAttempts
from store.projection.writer import Writer
from streams.codec import ANSWERED
from streams.codec.environments import from_setting
from streams.embedded.log import EmbeddedLog
from streams.log import Batch, NewRecord
from streams.projector import Projector, RejectedEvent, read_rejection
from streams.topics import TOPICS
from tests.support.payloads import (
    ACTUAL,
    DATAVERSE,
    EXAMPLES,
    MISSING,
    ROW,
    business,
    context,
    data_event,
    encoded,
    page,
    target,
)
from tests.support.stores import MAPS, canonical, memory_store

MEGABYTE = 1024 * 1024


class World:
    """A log and a store, and what came of the events given to them."""

    def __init__(self, folder: Path, environments: tuple[str, ...] | None = None) -> None:
        self.log = EmbeddedLog.open(folder / "log.sqlite", "write")
        self.log.create_topics(list(TOPICS.values()), 1, prefix="tieout")
        self.store = memory_store()
        self.projector = Projector(Writer(self.store, MAPS), self.log, MAPS, environments=from_setting(environments))
        self.read = 0

    def take(
        self, *values: bytes, headers: tuple[tuple[str, bytes], ...] = (), topic: str = "dataverse.changes"
    ) -> None:
        topic = f"tieout.{topic}"
        self.log.append([NewRecord(topic, None, value, headers) for value in values])
        records = self.log.read(topic, 0, self.read, 1_000, MEGABYTE)
        self.projector.apply([Batch(topic, 0, self.read, records)])
        self.read += len(values)
        while self.projector.work():
            pass

    def published(self, topic: str) -> list[Any]:
        return [
            msgspec.json.decode(record.value or b"null")
            for record in self.log.read(f"tieout.{topic}", 0, 0, 1_000, MEGABYTE)
        ]

    def rejected(self) -> list[RejectedEvent]:
        return [
            read_rejection(record.value or b"") for record in self.log.read("tieout.rejected", 0, 0, 1_000, MEGABYTE)
        ]

    def records(self) -> set[str]:
        return {line["record"] for line in map(msgspec.json.decode, canonical(self.store)) if "record" in line}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.requirement("R5")
def test_an_event_cut_for_its_size_becomes_a_wish_to_read_the_row_again(world: World) -> None:
    world.take((EXAMPLES / "dataverse-truncated-update.json").read_bytes())
    (command,) = world.published("commands")
    assert command.items() >= {"command": "read", "source": "dataverse", "entity": "msdyn_actual", "id": ROW}.items()
    assert (command["truncated"], command["at"]) == (True, "2025-01-09T02:00:11Z")
    assert (world.rejected(), world.records()) == ([], set())


@pytest.mark.requirement("R3")
def test_a_business_event_becomes_a_wish_to_read_what_its_keys_name(world: World) -> None:
    world.take(encoded(business()))
    (command,) = world.published("commands")
    assert (command["entity"], command["id"]) == ("VendorInvoicePostedBusinessEvent", None)
    assert (command["company"], command["columns"]) == ("USPM", {"InvoiceId": "Inv-6"})


@pytest.mark.requirement("R7")
def test_a_row_of_no_map_is_rejected_even_when_it_is_only_to_be_read_again(world: World) -> None:
    world.take(encoded(context({"a": 1}, PrimaryEntityName="contact", InputParameters=MISSING)))
    assert [event.reason.split(":")[0] for event in world.rejected()] == ["the entity 'contact' is in no map"]
    assert world.published("commands") == []


@pytest.mark.requirement("R7")
def test_of_a_batch_the_good_is_applied_and_the_whole_is_kept_for_the_bad(world: World) -> None:
    other = context({"a": 1}, PrimaryEntityName="contact", InputParameters=[])
    unknown = {**context({"a": 1}), "PrimaryEntityName": "contact", "InputParameters": None}
    batch = encoded([context({"msdyn_description": "x"}), {}, other, unknown])
    world.take(batch)
    (event,) = world.rejected()
    assert event.value == batch
    assert event.reason.startswith("event 2 of 4: not an event this version knows")
    assert "; the entity 'contact' is in no map" in event.reason
    assert "; the entity 'contact' is in no map" in event.reason
    assert [key for key in world.records() if "msdyn_actual:" in key]


def test_an_event_of_a_megabyte_is_taken_like_any_other(world: World) -> None:
    large = context({"msdyn_description": "x" * (MEGABYTE - 2_000), "msdyn_amount": 7})
    world.take(encoded(large), encoded(context({})))
    assert (world.rejected(), len(world.records())) == ([], 1)


def expense(number: int, columns: dict[str, Any]) -> dict[str, Any]:
    """A context of one of many expenses."""
    row = f"{number:08x}-2cd4-ef11-a730-0022480431d9"
    own = target(columns, LogicalName="msdyn_expense", Id=row)
    return context(
        PrimaryEntityName="msdyn_expense", PrimaryEntityId=row, InputParameters=[{"key": "Target", "value": own}]
    )


def test_thousands_of_rows_that_claim_to_be_one_document_are_a_finding_and_keep_nobody_else(world: World) -> None:
    columns = {"ProjTransId": "PT1", "AmountCurr": "1.00", "ApprovalStatus": 6}
    data = {"entity": "TrvExpTrans", "id": "1", "operation": "upsert", "company": "USPM", "columns": columns}
    head = {"specversion": "1.0", "id": "e", "source": "/finance/contoso", "type": "tieout.row.changed"}
    world.take(encoded({**head, "time": "2025-01-08T09:37:24Z", "data": data}))
    for first in range(0, 3_000, 500):
        numbers = range(first, first + 500)
        world.take(*[encoded(expense(number, {"assumed_externalexpenseid": "PT1"})) for number in numbers])
    world.take(encoded(context({"msdyn_amount": 7})))
    lines = list(map(msgspec.json.decode, canonical(world.store)))
    assert (world.rejected(), len(world.records())) == ([], 3_002)
    found = [line["findings"] for line in lines if "chain" in line and len(line.get("records", ())) == 3_001]
    assert [finding["code"] for finding in found[0]].count("chain-too-large") == 1


def test_clocks_that_are_years_off_lose_nothing(world: World) -> None:
    for at in ("/Date(4102444800000)/", "/Date(-62000000000000)/", "/Date(0)/"):
        world.take(encoded(context({"msdyn_amount": 7}, OperationCreatedOn=at)))
    assert (world.rejected(), len(world.records())) == ([], 1)
    # The empty time of .NET is no time: a change that ranks before all others would be lost without a word.
    world.take(encoded(context({"msdyn_amount": 8}, OperationCreatedOn="/Date(-62135596800000)/")))
    assert "is no time" in world.rejected()[0].reason


@pytest.mark.requirement("R9")
def test_a_page_is_applied_row_by_row_by_the_time_its_poller_says(world: World) -> None:
    answer = encoded(page(DATAVERSE + "msdyn_actuals", ACTUAL, {}))
    world.take(answer, headers=((ANSWERED, b"2025-01-09T12:00:00Z"),))
    world.take(answer)
    assert len(world.records()) == 1
    first, second = world.rejected()
    assert first.reason.startswith("row 2 of msdyn_actuals: the row names no id")
    assert "row 1 of msdyn_actuals: the row cannot be ordered" in second.reason


@pytest.mark.requirement("R85")
def test_the_same_row_of_another_environment_is_kept_out(tmp_path: Path) -> None:
    """Two pairs of systems on one broker: ids are unique within a pair only, so each store takes its own alone."""
    worlds = {}
    event = encoded(context({"msdyn_description": "ours"}, OrganizationName="ours", OrganizationId=MISSING))
    other = encoded(context({"msdyn_description": "theirs"}, OrganizationName="theirs", OrganizationId=MISSING))
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        worlds[name] = World(tmp_path / name, environments=(name,))
        worlds[name].take(event, other)
    for world in worlds.values():
        assert len(world.records()) == 1
        assert len(world.rejected()) == 1
    (refused,) = worlds["ours"].rejected()
    assert refused.reason.startswith("the environment 'theirs' at $.OrganizationId")
    assert refused.value == other


# --- commands ---------------------------------------------------------------------------------------------------------


DELETION = {
    "command": "delete-error",
    "id": "d1",
    "at": "2025-01-08T19:00:00Z",
    "who": "ann",
    "why": "mended",
    "company": "USPM",
    "process": "invoice-proposal",
    "subject": "PI-1",
    "until": "2025-01-08T17:30:00.5Z",
}


@pytest.mark.requirement("R55")
def test_a_deletion_is_applied_once_and_the_commands_of_others_are_let_be(world: World) -> None:
    for _ in range(2):
        world.take(encoded(DELETION), encoded({"command": "poll"}), encoded({"command": "read"}), topic="commands")
    (kept,) = [line["deletion"] for line in map(msgspec.json.decode, canonical(world.store)) if "deletion" in line]
    assert (kept["id"], kept["who"], kept["why"], kept["subject"]) == ("d1", "ann", "mended", "PI-1")
    assert kept["until"] == 1736357400500000
    assert world.rejected() == []
    assert world.projector.offsets() == {("tieout.commands", 0): 6}


@pytest.mark.requirement("R7", "R55")
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ({**DELETION, "until": "yesterday"}, "until is 'yesterday', which is no time"),
        ({**DELETION, "why": " "}, "who asks for it and why"),
        ({**DELETION, "process": "posting"}, "unknown process 'posting'"),
        ({**DELETION, "who": None}, "Expected `str`, got `null` - at `$.who`"),
        ({**DELETION, "why": "a\0b"}, "not a command: one of its texts holds the character NUL"),
        ([DELETION], "not a command: Expected `object`, got `array`"),
    ],
)
def test_a_deletion_that_cannot_be_meant_is_rejected(world: World, command: Any, reason: str) -> None:
    world.take(encoded(command), topic="commands")
    (refused,) = world.rejected()
    assert reason in refused.reason


SYNC: dict[str, Any] = {
    "command": "sync",
    "id": "s1",
    "at": iso(time.time_ns() // 1_000),
    "who": "anna",
    "by_person": True,
    "tasks": [
        {
            "action": "import",
            "subject": "USPM",
            "company": "USPM",
            "parameters": {"company": "USPM"},
            "documents": ["USPM/1", "USPM/2"],
        }
    ],
    "changes": {"USPM/1": "a", "USPM/2": "b"},
}


@pytest.mark.requirement("R40")
def test_a_sync_is_on_the_list_of_the_handlers_once_in_the_transaction_of_its_offset(world: World) -> None:
    world.take(encoded(SYNC), encoded(SYNC), topic="commands")
    syncs = SqlAttempts(world.store).syncs()
    assert [(sync.document, sync.action, sync.by, sync.attempts.state) for sync in syncs] == [
        ("USPM/1", "import", "anna", "waiting"),
        ("USPM/2", "import", "anna", "waiting"),
    ]
    assert {sync.attempts.round for sync in syncs} == {1}
    assert world.rejected() == []


@pytest.mark.requirement("R40")
def test_a_sync_of_long_ago_is_not_followed_by_a_store_that_reads_the_topic_anew(world: World) -> None:
    world.take(encoded({**SYNC, "at": "2025-01-08T17:30:00Z"}), topic="commands")
    assert SqlAttempts(world.store).syncs() == []


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ({**SYNC, "at": "soon"}, "sync: at is 'soon', which is no time"),
        ({**SYNC, "who": ""}, "who asks for it"),
        ({**SYNC, "tasks": [{**SYNC["tasks"][0], "action": "approve everything"}]}, "Invalid enum value"),
    ],
)
def test_a_sync_that_cannot_be_meant_is_rejected(world: World, command: Any, reason: str) -> None:
    world.take(encoded(command), topic="commands")
    (refused,) = world.rejected()
    assert reason in refused.reason


# --- rows of Finance, whichever way they come -------------------------------------------------------------------------


def staging_row(world: World) -> dict[str, Any]:
    lines = map(msgspec.json.decode, canonical(world.store))
    (line,) = [line for line in lines if "ProjCDSActualsImport" in line.get("record", "")]
    assert isinstance(line, dict)
    return line


def data_event_with(**columns: Any) -> bytes:
    return encoded(data_event({f"mserp_{name}": value for name, value in columns.items()}))


@pytest.mark.requirement("R3")
def test_a_staging_row_is_one_record_by_data_event_and_by_page(world: World) -> None:
    world.take(data_event_with(dataareaid="uspm", voucher="USPM-000051"))
    world.take((EXAMPLES / "fno-odata-page.json").read_bytes(), headers=((ANSWERED, b"2025-01-08T11:00:00Z"),))
    row = staging_row(world)
    assert row["record"].endswith(":5637151326")
    columns = {name: cell["value"] for name, cell in row["columns"].items()}
    # The page was read after the event: its empty voucher counts, and so do the columns that only it contains.
    assert (columns["Voucher"], columns["TransactionCurrencyId"], columns["@company"]) == (None, "USD", "USPM")
    assert world.rejected() == []


ACTUAL_ID = f"row:{time_order(ROW)}"


@pytest.mark.requirement("R3")
@pytest.mark.parametrize(
    ("columns", "joins"),
    [
        ({"actualid": ROW.upper()}, True),
        ({"primaryfield": f"{{{ROW.upper()}}}"}, True),
        ({"primaryfield": f"uspm|{{{ROW.upper()}}}"}, True),
        ({"primaryfield": f"{ROW}|{ROW}"}, False),
        ({"primaryfield": "uspm|PT-1"}, False),
        ({"amount": 100}, False),
    ],
)
def test_a_staging_row_finds_its_actual_also_by_its_primary_field(
    world: World, columns: dict[str, Any], joins: bool
) -> None:
    world.take(data_event_with(**columns))
    assert [token for token in staging_row(world)["joins"] if token.startswith("row:")] == [ACTUAL_ID] * joins
