"""Two environments on one broker and one database server: neither sees, holds or changes anything of the other."""

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from streams.log import NewRecord
from streams.topics import FINANCE_CHANGES, POSITIONS, REJECTED
from tests.support.containers import Broker, Database
from tests.support.workers import FAIL_OVER_SECONDS, Environment, environment

pytestmark = [pytest.mark.containers, pytest.mark.requirement("R85")]

ROW = "5637144576"
"""A RecId that both Finance environments have given out: it is unique within one of them only."""

OWN_MAP = """
schema = 1
version = "1"
source = "finance"

[entities.TrvExpTrans]
columns.project = "FabrikamProject"
"""


def expense(organisation: str, company: str, amount: str) -> bytes:
    """The row as that organisation's Finance has it."""
    columns = {
        "ProjTransId": "000001",
        "AmountCurr": amount,
        "AmountMST": amount,
        "ExchangeCode": "USD",
        "ApprovalStatus": 6,
        "Voucher": "V-1",
        "TransDate": "2025-01-08",
        "ProjId": "P-1",
        "FabrikamProject": "F-1",
    }
    data = {"entity": "TrvExpTrans", "id": ROW, "operation": "upsert", "company": company, "columns": columns}
    head = {"specversion": "1.0", "id": f"{organisation}-1", "source": f"/finance/{organisation}"}
    return json.dumps({**head, "type": "tieout.row.changed", "time": "2025-01-08T09:37:24Z", "data": data}).encode()


CONTOSO, FABRIKAM = expense("contoso", "USPM", "100.00"), expense("fabrikam", "GBPM", "250.00")


def send(place: Environment, *values: bytes) -> None:
    topic = FINANCE_CHANGES.full_name(place.name)
    place.log.append([NewRecord(topic, ROW.encode(), value) for value in values])


def shown(place: Environment, *command: str) -> list[Any]:
    return [json.loads(line) for line in place.output_of(*command, "--json").splitlines()]


def documents(place: Environment) -> list[Any]:
    dates = ("--from", "2025-01-01", "--to", "2025-01-31")
    return shown(place, "documents", "--company", place.environ["TIEOUT_COMPANIES"], "--view", "all", *dates)


@pytest.fixture
def contoso_and_fabrikam(
    broker: Broker, database: Database, tmp_path: Path
) -> Iterator[tuple[Environment, Environment]]:
    """Both with a prefix, a database, companies, an organisation and maps of their own."""
    (tmp_path / "fabrikam.toml").write_text(OWN_MAP, encoding="utf-8")
    own = {
        "contoso": {"TIEOUT_COMPANIES": "USPM"},
        "fabrikam": {"TIEOUT_COMPANIES": "GBPM", "TIEOUT_MAPS": str(tmp_path / "fabrikam.toml")},
    }
    with ExitStack() as stack:
        made = []
        for name, settings in own.items():
            (tmp_path / name).mkdir()
            place = stack.enter_context(environment(broker, database, name, tmp_path / name))
            place.environ |= {"TIEOUT_ENVIRONMENTS": name, "TIEOUT_TODAY": "2025-01-08", **settings}
            made.append(place)
        yield made[0], made[1]


def test_each_environment_has_topics_settings_maps_and_a_lock_of_its_own(
    contoso_and_fabrikam: tuple[Environment, Environment],
) -> None:
    contoso, fabrikam = contoso_and_fabrikam
    # Both write at a time: neither waits for the lease of the other.
    writers = contoso.writer(), fabrikam.writer()
    assert (contoso.holder(), fabrikam.holder()) == tuple(writer.pid for writer in writers)
    # The events of both organisations reach both topics, as where one endpoint was set up for the wrong environment.
    for place in contoso_and_fabrikam:
        send(place, CONTOSO, FABRIKAM)
        place.catch_up()
    for place, shown_as, other, value in (
        (contoso, ("USPM/000001", "100.00", "P-1"), "fabrikam", FABRIKAM),
        (fabrikam, ("GBPM/000001", "250.00", "F-1"), "contoso", CONTOSO),
    ):
        (row,) = documents(place)
        assert (row["document"], row["amount"], row["project"]) == shown_as
        (refused,) = shown(place, "rejected", "list")
        assert f"'{other}' at $.source is none of this installation's ({place.name})" in refused["reason"]
        assert (refused["topic"], b64decode(refused["value"])) == (FINANCE_CHANGES.full_name(place.name), value)
        # And nothing of it reaches the topics that others read.
        place.check_published()
        assert set(place.last_values(POSITIONS.full_name(place.name))) == {row["document"].encode()}
        assert len(list(place.everything(REJECTED.full_name(place.name)))) == 1


def test_a_writer_that_dies_is_followed_by_its_own_stand_by_and_the_other_environment_goes_on(
    contoso_and_fabrikam: tuple[Environment, Environment],
) -> None:
    contoso, fabrikam = contoso_and_fabrikam
    writer, other = contoso.writer(), contoso.stand_by()
    theirs = fabrikam.writer()
    epoch = fabrikam.execute("SELECT epoch FROM leases")
    writer.kill()
    send(fabrikam, FABRIKAM)
    fabrikam.catch_up()
    other.wait_for_log("worker_started", FAIL_OVER_SECONDS)
    assert contoso.holder() == other.pid
    assert (fabrikam.holder(), fabrikam.execute("SELECT epoch FROM leases")) == (theirs.pid, epoch)
    assert [row["amount"] for row in documents(fabrikam)] == ["250.00"]
    assert contoso.offsets().keys().isdisjoint(fabrikam.offsets())


def test_a_worker_with_the_prefix_of_one_environment_and_the_store_of_the_other_is_refused(
    contoso_and_fabrikam: tuple[Environment, Environment],
) -> None:
    contoso, fabrikam = contoso_and_fabrikam
    contoso.make()
    send(contoso, CONTOSO)
    assert contoso.start("run", "--role", "project", "--until-caught-up").ends() == 0
    before = contoso.dump()
    fabrikam.make()
    send(fabrikam, FABRIKAM)
    lost = contoso.start("run", "--role", "project", "--until-caught-up", TIEOUT_PREFIX=fabrikam.name)
    assert lost.ends() == 1
    assert "contoso.finance.changes: topics of another environment (TIEOUT_PREFIX)" in lost.errors
    assert contoso.dump() == before
