"""Accepted environments without a setting: the first name of each kind and system is pinned (R85)."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import Rejected
from store.operational.pins import pins, unpin
from store.projection.writer import Writer
from store.schema.database import connect, migrate
from streams.codec import decode
from streams.codec.environments import Environments
from streams.embedded.log import EmbeddedLog
from streams.log import NewRecord
from streams.projector import Projector
from streams.topics import TOPICS
from tests.support.commandline import Tieout, typist
from tests.support.stores import MAPS
from tieout.bootstrap import environments_of
from tieout.settings import Settings

pytestmark = pytest.mark.requirement("R85")

ONE, OTHER = "7f1d2c60-4a3b-ee11-8ef3-000d3a1b2c3d", "00000001-4a3b-ee11-8ef3-000d3a1b2c3d"


def row(source: str, number: int = 1, **data: Any) -> dict[str, Any]:
    told = {"entity": "TrvExpTrans", "id": str(number), "operation": "upsert", "columns": {"AmountCurr": "1.00"}}
    kind = {"specversion": "1.0", "id": f"e{number}", "type": "tieout.row.changed", "time": "2025-01-08T09:00:00Z"}
    return {**kind, "source": source, "data": {**told, **data}}


def context(organisation: str | None = None, name: str | None = None) -> dict[str, Any]:
    target = {"key": "Target", "value": {"Id": ONE, "LogicalName": "msdyn_expense", "Attributes": []}}
    return {
        "MessageName": "Update",
        "PrimaryEntityName": "msdyn_expense",
        "PrimaryEntityId": ONE,
        "OperationCreatedOn": "/Date(1736326800000)/",
        "OrganizationId": organisation,
        "OrganizationName": name,
        "InputParameters": [target],
    }


def page(host: str, api: str = "data") -> dict[str, Any]:
    return {"@odata.context": f"https://{host}/{api}/$metadata#Vendors", "value": []}


def takes(environments: Environments, event: dict[str, Any]) -> bool:
    """Whether an event is accepted, as the projector asks."""
    before = environments.refusals
    try:
        decode(json.dumps(event).encode(), environments=environments, undated=True)
    except Rejected:
        environments.drop()
        if environments.refusals == before:
            raise
        return False
    environments.confirm()
    return True


def test_the_first_name_of_each_kind_and_system_is_pinned_and_others_are_refused() -> None:
    here = Environments()
    assert takes(here, row("/finance/harbour"))
    assert takes(here, row("/finance/HARBOUR"))
    assert not takes(here, row("/finance/harbour-uat"))
    # The other system, and other kinds of names, are pinned independently.
    assert takes(here, row("/dataverse/anything"))
    assert takes(here, context(ONE, "unq7f1d"))
    assert takes(here, page("harbour.operations.dynamics.com"))
    assert not takes(here, page("harbour-uat.operations.dynamics.com"))
    assert not takes(here, context(OTHER, "unq0001"))
    assert here.take_new_pins() == {
        ("finance", "source"): "harbour",
        ("dataverse", "source"): "anything",
        ("dataverse", "organisation id"): ONE,
        ("dataverse", "organisation name"): "unq7f1d",
        ("finance", "host"): "harbour.operations.dynamics.com",
    }
    assert here.take_new_pins() == {}


def test_one_name_that_is_pinned_is_enough_and_no_name_at_all_is_accepted() -> None:
    here = Environments()
    assert takes(here, context(ONE))
    assert takes(here, context(ONE, "a name"))
    assert takes(here, context(ONE, "renamed"))
    assert takes(here, context(OTHER, "a name"))
    assert takes(here, context())
    assert not takes(here, context(OTHER, "renamed"))
    assert not takes(here, context(OTHER))


def test_an_event_that_is_not_understood_pins_nothing() -> None:
    here = Environments()
    with pytest.raises(Rejected, match=r"\$\.data"):
        decode(json.dumps(row("/finance/evil", operation="nonsense")).encode(), environments=here)
    with pytest.raises(Rejected, match="entity"):
        decode(json.dumps(row("/finance/evil", entity="")).encode(), environments=here)
    here.drop()
    assert takes(here, row("/finance/harbour"))
    assert not takes(here, row("/finance/evil"))


def test_addresses_in_the_settings_are_pinned_from_the_start_without_their_ports() -> None:
    settings = Settings(finance="http://127.0.0.1:8090", dataverse="https://harbour.crm4.dynamics.com")
    here = environments_of(settings, {})
    assert takes(here, page("127.0.0.1:9999"))
    assert not takes(here, page("elsewhere.operations.dynamics.com"))
    # Events of tieout's poller are pinned under the host, which is no name of other events.
    assert takes(here, row("/finance/127.0.0.1:8090"))
    assert takes(here, row("/finance/harbour"))
    assert not takes(here, row("/finance/harbour-uat"))
    assert not takes(here, row("/dataverse/harbour-uat.crm4.dynamics.com"))
    assert here.take_new_pins() == {
        ("finance", "host"): "127.0.0.1",
        ("dataverse", "host"): "harbour.crm4.dynamics.com",
        ("finance", "source"): "harbour",
    }


def test_a_new_address_in_the_settings_is_taken_beside_the_one_that_is_pinned() -> None:
    here = environments_of(Settings(finance="https://new.example.com"), {("finance", "host"): "old.example.com"})
    assert takes(here, page("old.example.com"))
    assert takes(here, page("new.example.com"))
    assert not takes(here, page("third.example.com"))


def test_a_host_is_known_however_it_is_written() -> None:
    here = environments_of(Settings(finance="https://[2001:db8::1]:8443"), {})
    assert takes(here, page("[2001:DB8::1]:8443"))
    assert takes(here, row("/finance/[2001:db8::1]"))
    assert not takes(here, page("[2001:db8::2]:8443"))
    named = Environments(("https://harbour.example.com:8443/", "quay.example.com:1", "/finance/pier", "[::1]:80"))
    for host in ("harbour.example.com", "HARBOUR.example.com.:9", "quay.example.com", "[::1]"):
        assert takes(named, page(host)), host
    assert takes(named, row("/finance/pier"))
    assert not takes(named, page("[::2]:80"))


def test_a_name_with_control_characters_is_never_pinned() -> None:
    here = Environments()
    assert takes(here, row("/finance/har\x1bbour"))
    assert here.take_new_pins() == {}


def test_names_of_the_setting_count_alone() -> None:
    here = Environments(("harbour",), pins={("finance", "source"): "quay"})
    assert takes(here, row("/finance/harbour"))
    assert not takes(here, row("/finance/quay"))
    assert here.take_new_pins() == {}


class World:
    """A log with what projects it, started again as often as one likes."""

    def __init__(self, folder: Path) -> None:
        self.store = connect(f"sqlite:///{folder / 'store.sqlite'}", write=True)
        migrate(self.store)
        self.log = EmbeddedLog.open(folder / "log.sqlite", "write")
        self.log.create_topics(list(TOPICS.values()), 1, prefix="tieout")
        self.start()

    def start(self) -> None:
        self.projector = Projector(
            Writer(self.store, MAPS), self.log, MAPS, environments=environments_of(Settings(), self.pinned())
        )

    def pinned(self) -> dict[tuple[str, str], str]:
        with self.store.connect() as connection:
            return pins(connection)

    def take(self, *events: dict[str, Any]) -> int:
        """Apply events; how many were rejected."""
        records = [NewRecord("tieout.finance.changes", None, json.dumps(event).encode()) for event in events]
        first = self.log.append(records)[0][1]
        before = self.projector.rejected
        self.projector.apply(self.log.read_together([("tieout.finance.changes", 0, first)], 100, 10**6))
        return self.projector.rejected - before

    def close(self) -> None:
        self.log.close()
        self.store.dispose()


def test_pins_are_kept_with_the_events_that_made_them_and_outlive_the_worker(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.take(row("/finance/harbour"), row("/finance/harbour-uat", 2)) == 1
    assert world.pinned() == {("finance", "source"): "harbour"}
    world.start()
    assert world.take(row("/finance/harbour-uat", 3), row("/finance/harbour", 4)) == 1
    assert unpin(world.store, "HARBOUR") == [("finance", "source")]
    world.start()
    assert world.take(row("/finance/harbour-uat", 5), row("/finance/harbour", 6)) == 1
    assert world.pinned() == {("finance", "source"): "harbour-uat"}
    world.close()


@pytest.fixture
def tieout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tieout:
    return typist(tmp_path, {"TIEOUT_TODAY": "2025-01-08"}, monkeypatch, capfd)


def ingested(tieout: Tieout, *events: dict[str, Any]) -> None:
    lines = b"".join(json.dumps({"topic": "finance.changes", "value": event}).encode() + b"\n" for event in events)
    assert tieout("ingest", "-", stdin=lines).code == 0
    assert tieout("run", "--role", "project", "--until-caught-up").code == 0


@pytest.mark.requirement("R72")
def test_the_check_lists_what_is_pinned_and_removes_it(tieout: Tieout, tmp_path: Path) -> None:
    ingested(tieout, row("/finance/harbour"), row("/finance/harbour-uat", 2))
    assert "pinned: harbour (finance, source)" in tieout("check").out
    (refused,) = tieout("rejected", "list", "--json").lines
    assert (
        "'harbour-uat' at $.source is not this installation's: events of finance come from 'harbour'"
        in (refused["reason"])
    )
    assert tieout("check").code == 0
    assert tieout("verify").code == 0
    assert "'quay' is not pinned" in tieout("check", "--unpin", "quay").err
    done = tieout("check", "--unpin", "harbour")
    assert (done.code, "no longer pinned as source of finance" in done.err) == (0, True)
    assert "none is pinned yet" in tieout("check").out
    ingested(tieout, row("/finance/harbour-uat", 3))
    assert "pinned: harbour-uat" in tieout("check").out
    # A rebuilt store does not contain the events of the wrong environment.
    assert tieout("verify").code == 1
    assert tieout("replay", "--yes").code == 0
    assert tieout("verify").code == 0


def test_a_store_that_is_made_anew_takes_the_pins_over(tieout: Tieout, tmp_path: Path) -> None:
    ingested(tieout, row("/finance/harbour"))
    ingested(tieout, row("/finance/harbour-uat", 2))
    assert tieout("check", "--unpin", "harbour").code == 0
    ingested(tieout, row("/finance/harbour-uat", 3))
    for path in (tmp_path / ".tieout").glob("store.sqlite*"):
        path.unlink()
    assert tieout("run", "--role", "project", "--until-caught-up").code == 0
    assert "pinned: harbour-uat" in tieout("check").out
