"""Entity sets come from the metadata of each service, not from a guess at its plurals."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from handlers.api.bounded_exchange import Bounds, client
from handlers.api.connection import Connection
from handlers.api.dataverse import Dataverse
from handlers.api.entity_sets import CACHE_SECONDS, MISS_SECONDS, EntitySets
from handlers.api.finance import Finance
from handlers.errors import Configuration, TargetError, Throttled, Transient
from tests.support.hostile import Hostile, hostile, reply
from tests.support.pairs import Site
from tieout.simulator.pair import dataverse as simulated_dataverse
from tieout.simulator.pair import finance as simulated_finance


def api(server: Hostile) -> Connection:
    return Connection(client(timeout=5.0), f"{server.address}/data", None, bounds=Bounds(exchange_seconds=5.0))


def listed(*found: Mapping[str, Any]) -> bytes:
    return reply(msgspec.json.encode({"value": found}))


def test_the_pairs_metadata_names_every_table_that_it_serves() -> None:
    site = Site()
    for table in simulated_dataverse.TABLES:
        assert list(site.dataverse.pages(site.dataverse.entity_set(table), rows_per_page=1))
    for entity in simulated_finance.TABLES:
        assert list(site.finance.pages(site.finance.entity_set(entity)))
    asked = [call for call in site.pair.calls if call in ("GET /data/", "GET /api/data/v9.2/EntityDefinitions")]
    assert len(asked) == 2


def test_dataverse_names_the_set_of_each_table() -> None:
    definitions: list[dict[str, Any]] = [
        {"LogicalName": "msdyn_actual", "EntitySetName": "actualset"},
        {"LogicalName": "intersection", "EntitySetName": None},
        {"LogicalName": "traversal", "EntitySetName": "../../other"},
        {"LogicalName": "link", "EntitySetName": "https://evil.example.com/x"},
    ]
    with hostile(lambda path: [listed(*definitions)]) as server:
        dataverse = Dataverse(api(server))
        assert dataverse.entity_set("msdyn_actual") == "actualset"
        for entity in ("intersection", "traversal", "link"):
            with pytest.raises(Configuration, match=f"offers no table {entity}"):
                dataverse.entity_set(entity)
    assert server.requested == ["/data/EntityDefinitions?$select=LogicalName,EntitySetName"]


@pytest.mark.parametrize(
    ("entity", "sets", "found"),
    [
        ("ProjTable", ["ProjTables", "ProjTable"], "ProjTables"),
        ("LedgerEntry", ["LedgerEntries", "LedgerEntrys"], "LedgerEntries"),
        ("LedgerEntry", ["LedgerEntrys"], "LedgerEntrys"),
        ("TaxBox", ["TaxBoxes"], "TaxBoxes"),
        ("TrvExpTrans", ["TrvExpTrans"], "TrvExpTrans"),
    ],
)
def test_finance_lists_its_sets_and_the_one_of_an_entity_is_found(entity: str, sets: list[str], found: str) -> None:
    document: list[dict[str, Any]] = [{"name": name, "kind": "EntitySet", "url": name} for name in sets]
    with hostile(lambda path: [listed(*document, {"name": 1}, {})]) as server:
        finance = Finance(api(server))
        assert finance.entity_set(entity) == found
        with pytest.raises(
            Configuration, match=r"Finance offers no table VendTable: .*TIEOUT_POLL=VendTable=EntitySet"
        ):
            finance.entity_set("VendTable")
    assert server.requested == ["/data/"]


def test_a_set_of_the_settings_wins_and_nothing_is_asked() -> None:
    with hostile(lambda path: [b""]) as server:
        assert Finance(api(server), {"TrvExpTrans": "Expenses"}).entity_set("TrvExpTrans") == "Expenses"
    assert server.requested == []


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "400 Bad Request"])
def test_where_the_metadata_may_not_be_read_it_is_said_and_the_usual_name_is_used(status: str) -> None:
    with hostile(lambda path: [reply(b"", status)]) as server:
        dataverse = Dataverse(api(server))
        with capture_logs() as logged:
            assert [dataverse.entity_set(name) for name in ("cdm_company", "msdyn_actual")] == [
                "cdm_companies",
                "msdyn_actuals",
            ]
    assert len(server.requested) == 1
    (line,) = [line for line in logged if line["event"] == "entity_sets_not_read"]
    assert (line["log_level"], line["system"]) == ("warning", "Dataverse")
    assert status[:3] in line["reason"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(b"", "503 Service Unavailable"), Transient),
        (reply(b"", "429 Too Many Requests"), Throttled),
        (reply(b'{"value": 1}'), Transient),
        (b"", Transient),
    ],
)
def test_metadata_that_cannot_be_read_now_is_a_failure_and_no_guess(answer: bytes, kind: type[TargetError]) -> None:
    with hostile(lambda path: [answer]) as server:
        dataverse = Dataverse(api(server))
        for _ in range(2):
            with pytest.raises(kind):
                dataverse.entity_set("msdyn_actual")
    assert len(server.requested) == 2


def test_names_are_cached_for_a_bounded_time_and_read_again_for_a_table_that_is_new() -> None:
    now, known, read = 0.0, {"a": "as"}, []

    def names() -> Mapping[str, str]:
        read.append(now)
        return dict(known)

    sets = EntitySets("Finance", names, lambda entity: (entity,), {}, lambda: now)
    assert [sets.of("a"), sets.of("a")] == ["as", "as"]
    known["b"] = "bs"
    now = MISS_SECONDS / 2
    with pytest.raises(Configuration):
        sets.of("b")
    now = MISS_SECONDS
    assert sets.of("b") == "bs"
    assert read == [0.0, MISS_SECONDS]
    now += CACHE_SECONDS - 1
    assert sets.of("a") == "as"
    now += 1
    known["a"] = "renamed"
    assert sets.of("a") == "renamed"
