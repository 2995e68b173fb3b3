"""The pair as a server of its own, asked over HTTP as the real systems are."""

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import httpx
import pytest
from structlog.testing import capture_logs

from handlers.api.connection import Connection
from handlers.errors import Configuration, Transient
from streams.topics import CHANGES
from tests.support.containers import until
from tests.support.pairs import Served, serving
from tests.support.workspace import settings_in
from tieout.bootstrap import open_log
from tieout.pair_service import publish
from tieout.simulator.pair import small_pair
from tieout.simulator.scenario import SimulatedEvent


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(page_rows=40) as served:
        yield served


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
    assert served.dataverse.upsert("msdyn_journals", key, {}, only="create") == "exists"
    assert len(served.pair.tables["msdyn_journal"].rows) == 1
    gone = Connection(served.http, "http://127.0.0.1:9/data", served.finance.connection._tokens)
    with pytest.raises(Transient, match=r"connection to 127\.0\.0\.1 failed") as raised:
        gone.get("TrvExpTranss")
    assert not raised.value.outcome_unknown


def test_a_host_that_does_not_exist_is_named(served: Served) -> None:
    nowhere = Connection(served.http, "http://no-such-host.invalid/data", served.finance.connection._tokens)
    with pytest.raises((Configuration, Transient), match=r"no-such-host\.invalid"):
        nowhere.get("TrvExpTranss")


def test_a_look_at_its_health_is_no_call_to_the_systems(served: Served) -> None:
    assert httpx.get(f"{served.address}/health").text == "ok"
    assert served.pair.calls == []


def test_what_a_pair_sends_waits_until_the_log_takes_it(tmp_path: Path) -> None:
    settings, stop = settings_in(tmp_path), threading.Event()
    events: SimpleQueue[SimulatedEvent] = SimpleQueue()
    small_pair(sink=events.put).feed.send_heartbeats()
    publisher = threading.Thread(target=publish, args=(events, settings, stop))
    # An embedded log has one writer at a time.
    with capture_logs() as logged, open_log(settings, write=True):
        publisher.start()
        until(lambda: any(line["event"] == "pair_events_wait" and line["events"] == 2 for line in logged), 30)
    topics = [topic.full_name(settings.prefix) for topic in CHANGES]

    def arrived() -> bool:
        with open_log(settings, write=False) as log:
            return [log.end_offset(topic, 0) for topic in topics] == [1, 1]

    until(arrived, 30)
    stop.set()
    publisher.join(30)
    assert not publisher.is_alive()
