"""Tables of a broken or hostile server do not stop the poller of the others."""

import time
from collections.abc import Iterable

import msgspec
import pytest

from handlers.api.bounded_exchange import Bounds
from handlers.api.dataverse import Dataverse
from handlers.api.finance import Finance
from handlers.api.service_limits import Limiter
from handlers.change_events import SourceEvent
from handlers.errors import (
    Throttled,
)
from handlers.poll import Poller, Table
from tests.support.hostile import API, Script, connection, hostile, reply, rows
from tests.support.memory_ports import MemoryCursors
from tests.unit.test_hostile_servers import BROKEN, IN_TIME, ODD, SLOW, TOO_LARGE, always, refusal

NAME_COLUMNS = reply(
    msgspec.json.encode(
        {
            "value": [
                {"LogicalName": "msdyn_actual", "EntitySetName": "msdyn_actuals"},
                {"LogicalName": "msdyn_expense", "EntitySetName": "expenses_of_this_service"},
            ]
        }
    )
)
HEALTHY = {"@odata.etag": 'W/"1"', "msdyn_expenseid": "0f1c0000-0000-4000-8000-000000000001"}
FAILURES: dict[str, Script] = {
    **{name: script for name, script, _ in TOO_LARGE},
    **dict(SLOW),
    **{name: always(reply(body)) for name, body, _ in ODD},
    **{name: always(*pieces) for name, pieces, _ in BROKEN},
    "a link to elsewhere": always(rows(nextLink="http://evil.example.com/")),
    "a circle": always(rows(nextLink="msdyn_actuals?$skiptoken=1")),
    "no context": always(reply(b'{"value": [{"a": 1}]}')),
    "a context that is a number": always(reply(b'{"value": [{"a": 1}], "@odata.context": 1}')),
    "throttled": refusal(Retry_After="1"),
}


@pytest.mark.requirement("R9", "R44")
@pytest.mark.parametrize("failure", FAILURES)
def test_a_table_that_fails_is_named_and_the_others_go_on(failure: str) -> None:
    def script(path: str) -> Iterable[bytes]:
        if "EntityDefinitions" in path:
            return [NAME_COLUMNS]
        if "expenses_of_this_service" in path:
            return [rows(HEALTHY, deltaLink="expenses_of_this_service?$deltatoken=1")]
        return FAILURES[failure](path)

    sent: list[SourceEvent] = []
    began = time.monotonic()
    with hostile(script) as server:
        api = connection(server)
        tables = [Table("dataverse", "msdyn_actual"), Table("dataverse", "msdyn_expense")]
        poller = Poller(Finance(api), Dataverse(api), MemoryCursors(), sent.extend, tables, complete=["dataverse"])
        failed, healthy = poller.once()
        again, _ = poller.once()
    assert failed.fault
    assert again.fault
    assert (healthy.fault, healthy.rows) == ("", 1)
    assert failed.complete_until is None
    assert b"tieout.source.complete" not in b"".join(event.value for event in sent)
    assert time.monotonic() - began < 3 * IN_TIME


@pytest.mark.requirement("R9", "R46")
def test_a_system_that_asks_for_a_long_wait_does_not_keep_the_tables_of_the_other() -> None:
    slept: list[float] = []
    finance_rows = rows({"@odata.etag": 'W/"1"'})
    document = reply(b'{"value": [{"name": "ProjTables"}]}')
    with (
        hostile(
            lambda path: [NAME_COLUMNS] if "EntityDefinitions" in path else refusal(Retry_After="1799")(path)
        ) as waiting,
        hostile(lambda path: [document if path == f"{API}/" else finance_rows]) as healthy,
    ):
        dataverse = Dataverse(connection(waiting, limiter=Limiter(time.monotonic, slept.append)))
        tables = [
            Table("dataverse", "msdyn_actual"),
            Table("dataverse", "msdyn_expense"),
            Table("finance", "ProjTable"),
        ]
        poller = Poller(Finance(connection(healthy)), dataverse, MemoryCursors(), lambda events: None, tables)
        actuals, expenses, projects = poller.once()
    assert "429" in actuals.fault
    assert expenses.fault == actuals.fault
    assert (projects.fault, projects.rows) == ("", 1)
    assert slept == []
    assert len(waiting.requested) == 2


@pytest.mark.requirement("R9")
def test_a_read_that_was_too_long_is_continued_by_the_next_poll() -> None:
    def script(path: str) -> list[bytes]:
        number = int(path.rpartition("=")[2]) if "skiptoken" in path else 0
        link = f"msdyn_actuals?$skiptoken={number + 1}"
        return [
            NAME_COLUMNS
            if "EntityDefinitions" in path
            else rows({"n": number}, **({"nextLink": link} if number < 9 else {}))
        ]

    sent: list[SourceEvent] = []
    with hostile(script) as server:
        api = connection(server, Bounds(pages=4))
        tables = [Table("dataverse", "msdyn_actual")]
        poller = Poller(Finance(api), Dataverse(api), MemoryCursors(), sent.extend, tables)
        cursors = [poller.once()[0] for _ in range(3)]
    assert [(cursor.rows, bool(cursor.fault)) for cursor in cursors] == [(4, True), (8, True), (10, False)]
    assert len(sent) == 10


@pytest.mark.requirement("R9")
def test_a_cursor_of_another_address_begins_anew() -> None:
    cursors = MemoryCursors()

    def script(path: str) -> list[bytes]:
        return [
            NAME_COLUMNS
            if "Definitions" in path
            else rows({"n": 1}, deltaLink=f"{servers[-1]}{API}/msdyn_actuals?$deltatoken=1")
        ]

    servers: list[str] = []
    for _ in range(2):
        with hostile(script) as server:
            servers.append(server.address)
            api = connection(server)
            poller = Poller(
                Finance(api), Dataverse(api), cursors, lambda events: None, [Table("dataverse", "msdyn_actual")]
            )
            (cursor,) = poller.once()
        assert (cursor.fault, cursor.rows) == ("", 1)
    assert server.requested[-1] == f"{API}/msdyn_actuals"


@pytest.mark.requirement("R46")
def test_a_wait_without_end_is_not_waited_for() -> None:
    slept: list[float] = []
    limiter = Limiter(time.monotonic, slept.append)
    with hostile(refusal(Retry_After="1000000000000")) as server:
        api = Dataverse(connection(server, limiter=limiter))
        for _ in range(3):
            with pytest.raises(Throttled):
                api.read("msdyn_actuals", "1")
    assert slept == []
    assert len(server.requested) == 1
