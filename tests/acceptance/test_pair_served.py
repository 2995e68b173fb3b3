"""The pair as a server of its own, asked over HTTP as the real systems are."""

import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from handlers.connection import Connection
from handlers.dataverse import Dataverse
from handlers.errors import Transient
from handlers.finance import Finance
from handlers.tokens import ClientCredentials
from tests.support.containers import free_port
from tieout.simulator.pair import Pair, small_pair
from tieout.simulator.pair.pair import CLIENT_ID, SECRET, TOKEN_PATH
from tieout.simulator.pair.serving import server


class Served:
    """A pair behind a port, and connectors to it."""

    def __init__(self, pair: Pair, port: int) -> None:
        self.pair = pair
        self.address = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(timeout=1.0)
        tokens = ClientCredentials(
            self.http,
            address=self.address + TOKEN_PATH,
            client_id=CLIENT_ID,
            secret=SECRET,
            scope=f"{self.address}/.default",
            clock=time.monotonic,
        )

        def connection(api: str) -> Connection:
            return Connection(self.http, f"{self.address}/{api}", tokens, may_change=lambda: True)

        self.dataverse = Dataverse(connection("api/data/v9.2"))
        self.finance = Finance(connection("data"))


@pytest.fixture
def served() -> Iterator[Served]:
    pair, port = small_pair(page_rows=40), free_port()
    running = server(pair, port)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not running.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield Served(pair, port)
    running.force_exit = running.should_exit = True
    thread.join(10)


def test_both_apis_are_served_at_one_address_by_the_pairs_own_clock(served: Served) -> None:
    pages = list(served.dataverse.pages("msdyn_expenses"))
    assert sum(len(page.rows) for page in pages) == len(served.pair.tables["msdyn_expense"].rows)
    assert pages[0].answered.year == 2025
    assert len(list(served.finance.pages("TrvExpTranss"))) > 2


@pytest.mark.requirement("R44", "R45")
def test_answers_that_are_lost_on_a_real_connection_are_told_from_calls_that_never_left(served: Served) -> None:
    key = {"msdyn_description": "USPM/000095 'x'"}
    for fault in ("lost", "timeout"):
        served.pair.faults.next(fault, "msdyn_journals")
        with pytest.raises(Transient) as raised:
            served.dataverse.upsert("msdyn_journals", key, {}, only="create")
        assert raised.value.outcome_unknown
    assert served.dataverse.upsert("msdyn_journals", key, {}, only="create") == "there"
    assert len(served.pair.tables["msdyn_journal"].rows) == 1
    gone = Connection(served.http, "http://127.0.0.1:9/data", served.finance.connection._tokens)
    with pytest.raises(Transient, match=r"connection to 127\.0\.0\.1 failed") as raised:
        gone.get("TrvExpTranss")
    assert not raised.value.outcome_unknown


def test_a_host_that_does_not_exist_is_named(served: Served) -> None:
    from handlers.errors import Configuration

    nowhere = Connection(served.http, "http://no-such-host.invalid/data", served.finance.connection._tokens)
    with pytest.raises((Configuration, Transient), match=r"no-such-host\.invalid"):
        nowhere.get("TrvExpTranss")
