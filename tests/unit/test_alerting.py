"""Alerts of a store and its log, and their delivery to a receiver that may be unreachable (R84)."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import Engine, text

from engine.alerts import Alert
from engine.errors import SettingError
from engine.sync.attempts import ATTEMPTS_MAX
from handlers.errors import Configuration, TargetError, Transient
from handlers.webhook import ATTEMPTS, Webhook
from store.operational.alerts import SqlAlerts
from store.schema.database import connect
from tests.support.desks import Desk
from tests.support.http_service import Asked, Reply, answering
from tests.support.journaling import JOURNAL, JournalDesk
from tests.support.payloads import MISSING, context
from tests.support.stores import memory_store
from tests.support.workspace import lines, project, settings_in, small_company
from tieout.settings import Settings, load
from tieout.worker import alerting
from tieout.worker.alerting import CLAIM_LEASE, AlertConditions, AlertDispatcher

pytestmark = pytest.mark.requirement("R84")

ADDRESS = "https://hooks.example.com/workflows/key-nobody-may-see?sig=secret"
FINANCE_ROW = "00004951-0000-0000-5e1a-005001000000"
SILENT = Alert("feed-silent finance", "feed-silent", None, "Finance is silent.")
NOT_UNDERSTOOD = {"topic": "finance.changes", "value": {"not": "an event"}}


# --- the receiver ---------------------------------------------------------------------------------------------------


def webhook(*answers: int | Exception) -> tuple[Webhook, list[httpx.Request], list[float]]:
    """A webhook whose receiver answers so, the last one for ever; what it got, and how long was waited."""
    left = list(answers)
    got: list[httpx.Request] = []
    waited: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        got.append(request)
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, Exception):
            raise one
        return httpx.Response(one)

    http = httpx.Client(transport=httpx.MockTransport(answer))
    return Webhook(http, ADDRESS, stop=threading.Event(), sleep=waited.append), got, waited


def test_an_alert_is_one_post_of_a_cloud_event() -> None:
    sender, got, _ = webhook(202)
    sender.send({"specversion": "1.0", "id": "a"})
    (request,) = got
    assert (request.method, str(request.url)) == ("POST", ADDRESS)
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert json.loads(request.content) == {"specversion": "1.0", "id": "a"}


@pytest.mark.parametrize("away", [503, 429, 408, httpx.ConnectError("away"), httpx.ReadTimeout("slow")])
def test_a_receiver_that_is_away_is_tried_again_and_waited_for_longer_each_time(away: Any) -> None:
    sender, got, waited = webhook(away, away, 200)
    sender.send({})
    assert len(got) == 3
    assert 1 <= waited[0] < waited[1]


def test_a_receiver_that_stays_away_is_given_up_for_now() -> None:
    sender, got, _ = webhook(503)
    with pytest.raises(Transient, match="answered 503"):
        sender.send({})
    assert len(got) == ATTEMPTS


def test_a_worker_that_ends_does_not_wait_for_a_receiver_that_is_away() -> None:
    stop = threading.Event()
    got: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        got.append(request)
        stop.set()
        return httpx.Response(503)

    http = httpx.Client(transport=httpx.MockTransport(answer))
    with pytest.raises(Transient):
        Webhook(http, ADDRESS, stop=stop, sleep=time.sleep).send({})
    assert len(got) == 1


@pytest.mark.parametrize("refusal", [400, 401, 404, 410, 302])
def test_a_receiver_that_refuses_is_not_tried_again(refusal: int) -> None:
    sender, got, _ = webhook(refusal)
    with pytest.raises(Configuration, match="TIEOUT_WEBHOOK"):
        sender.send({})
    assert len(got) == 1


@pytest.mark.parametrize("end", [503, 400, httpx.ConnectError(f"to {ADDRESS}"), httpx.InvalidURL(ADDRESS)])
def test_no_text_holds_more_of_the_address_than_its_host(end: Any) -> None:
    sender, _, _ = webhook(end)
    with pytest.raises(TargetError) as raised:
        sender.send({})
    for shown in (str(raised.value), repr(sender)):
        assert "hooks.example.com" in shown
        assert "key-nobody-may-see" not in shown
        assert "secret" not in shown


def test_the_client_logs_no_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    sender, _, _ = webhook(200)
    sender.send({})
    assert "key-nobody-may-see" not in caplog.text


# --- settings -------------------------------------------------------------------------------------------------------


def test_the_address_is_hidden_where_settings_are_shown() -> None:
    settings = load({"TIEOUT_WEBHOOK": ADDRESS}, Path("/nowhere"))
    assert settings.webhook == ADDRESS
    assert settings.shown()["webhook"] == "***"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBHOOK", "http://hooks.example.com/key"),
        ("WEBHOOK", "hooks.example.com/key"),
        ("WEBHOOK", "https://"),
        ("WEBHOOK", "https://user:key@hooks.example.com"),
        ("WEBHOOK", "https://hooks.example.com:port/key"),
        ("WEBHOOK", "https://hooks.example.com/a key"),
        ("ALERT_AMOUNT", "ten"),
        ("ALERT_AMOUNT", "-1"),
        ("ALERT_AMOUNT", "0.00001"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named_and_no_secret_is_said(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"TIEOUT_{name}") as raised:
        load({f"TIEOUT_{name}": value}, Path("/nowhere"))
    assert "key" not in str(raised.value)


# --- conditions ------------------------------------------------------------------------------------------------------


def stands(settings: Settings) -> list[Alert]:
    """The alerts of a store and its log."""
    engine = connect(settings.store, write=True)
    try:
        return AlertConditions(engine, settings)()[0]
    finally:
        engine.dispose()


def keys(settings: Settings) -> list[str]:
    return [alert.key for alert in stands(settings)]


def test_what_stands_follows_the_store_and_the_log(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    project(settings, small_company())
    assert keys(settings) == []
    project(settings, lines([NOT_UNDERSTOOD]))
    (key,) = keys(settings)
    assert key.startswith("events-rejected 20")


def test_of_a_feed_that_is_silent_is_told(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, today=date(2025, 1, 9))
    project(settings, small_company())
    assert keys(settings) == ["feed-silent dataverse", "feed-silent finance"]


def test_of_periods_about_to_be_closed_the_amount_is_looked_at_and_of_no_other(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    project(settings, small_company())
    # Of the 37,000.00 of the screenshot, 18,200.00 are in January, which has not ended.
    limited = msgspec.structs.replace(settings, alert_amount="4000")
    assert keys(limited) == ["amount-before-close USPM 2024-11-01", "amount-before-close USPM 2024-12-01"]


@pytest.mark.requirement("R5")
def test_what_rests_on_rows_that_were_not_read_yet_is_in_no_amount_that_is_told(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(settings_in(tmp_path), alert_amount="0")
    entity = "mserp_projadvancedjournallineentity"
    cut = context(PrimaryEntityName=entity, PrimaryEntityId=FINANCE_ROW, InputParameters=MISSING)
    project(settings, small_company())
    november = "amount-before-close USPM 2024-11-01"
    before = {alert.key: alert.detail.get("amount") for alert in stands(settings)}
    project(settings, lines([{"topic": "finance.changes", "value": cut}]))
    after = {alert.key: alert.detail.get("amount") for alert in stands(settings)}
    assert "rows-not-read ProjAdvancedJournalLine" in after
    # 3,300.00 of documents whose journal line was not seen.
    assert (before[november], after[november]) == ("5800.00", "2500.00")


def test_of_a_company_whose_currency_is_not_known_no_amount_is_told(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    project(settings, [line for line in small_company() if b'"entity":"Ledger"' not in line])
    assert keys(msgspec.structs.replace(settings, alert_amount="1")) == []


def test_a_store_that_somebody_wrote_to_fails_the_self_check(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    project(settings, small_company())
    engine = connect(settings.store, write=True)
    with engine.begin() as connection:
        connection.execute(text("UPDATE documents SET missing_actual = missing_actual + 1 WHERE views & 1 <> 0"))
    engine.dispose()
    assert keys(settings) == ["self-check-failed tiles"]


def test_five_failures_are_an_alert_until_a_person_syncs_again() -> None:
    desk = Desk()
    exported = next(
        task.documents[0] for task in desk.plan().tasks if task.action == "export" and len(task.documents) == 1
    )
    desk.site.pair.faults.next("unavailable", "exportDocument", times=ATTEMPTS_MAX)
    desk.sync(exported)
    look = AlertConditions(desk.engine, desk.settings)
    assert f"waits-for-person export {exported}" in [alert.key for alert in look()[0]]
    desk.sync(exported)
    assert [alert.key for alert in look()[0] if alert.kind == "waits-for-person"] == []


def test_a_general_journal_that_failed_five_times_is_an_alert_as_well() -> None:
    desk = JournalDesk()
    desk.site.pair.refusals["msdyn_journal"] = "A privilege is missing."
    desk.runs(ATTEMPTS_MAX)
    stand = {alert.key: alert.text for alert in AlertConditions(desk.engine, desk.settings)()[0]}
    says = stand[f"waits-for-person journal {JOURNAL}"]
    assert says.startswith(f"{JOURNAL}: journal stopped after 5 attempts and needs attention.")
    assert "A privilege is missing" in says


# --- delivery --------------------------------------------------------------------------------------------------------


class Receiver:
    """The alerts that were sent, and whether the receiver is reachable."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.there = True

    def __call__(self, event: Mapping[str, Any]) -> None:
        if not self.there:
            raise Transient("away")
        self.events.append(event)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(event["data"]["alert"], event["type"].rpartition(".")[2]) for event in self.events]


@pytest.fixture
def engine() -> Engine:
    return memory_store()


def dispatcher(
    engine: Engine, standing: list[Alert], receiver: Receiver, clock: Callable[[], int] = lambda: 1
) -> AlertDispatcher:
    return AlertDispatcher(
        lambda: (list(standing), {"feed-silent"}), SqlAlerts(engine), receiver, prefix="tieout", clock=clock
    )


def test_begin_and_end_are_told_once_also_after_a_restart(engine: Engine) -> None:
    standing, receiver = [SILENT], Receiver()
    for _ in range(3):
        one = dispatcher(engine, standing, receiver)
        one.evaluate()
        one.send_due()
    assert receiver.told == [("feed-silent finance", "began")]
    standing.clear()
    for _ in range(3):
        one = dispatcher(engine, standing, receiver)
        one.evaluate()
        one.send_due()
    assert receiver.told == [("feed-silent finance", "began"), ("feed-silent finance", "ended")]


def test_what_could_not_be_told_is_told_when_the_receiver_is_back(engine: Engine) -> None:
    receiver, now = Receiver(), [1]
    one = dispatcher(engine, [SILENT], receiver, lambda: now[0])
    receiver.there = False
    one.evaluate()
    one.send_due()
    receiver.there = True
    one.send_due()
    assert receiver.told == []  # the claimant may still be sending it
    now[0] += CLAIM_LEASE
    one.send_due()
    assert receiver.told == [("feed-silent finance", "began")]


# --- the worker -----------------------------------------------------------------------------------------------------


@pytest.fixture
def listening() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver on this machine, and the alerts that it received."""
    got: list[dict[str, Any]] = []

    def answer(asked: Asked) -> Reply:
        got.append(json.loads(asked.body))
        return 202, {}, b""

    with answering(answer) as address:
        yield f"{address}/key", got


def test_a_worker_tells_an_alert_when_its_turn_comes_and_two_tell_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listening: tuple[str, list[dict[str, Any]]]
) -> None:
    address, got = listening
    settings = settings_in(tmp_path)
    project(settings, [*small_company(), *lines([NOT_UNDERSTOOD])])
    told = msgspec.structs.replace(settings, webhook=address)
    # Turns that are shorter than a minute.
    monkeypatch.setattr(alerting, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(alerting, "current_minute", lambda: f"{time.time():020.1f}")
    with alerting.alerting(told), alerting.alerting(told):
        deadline = time.monotonic() + 30
        while not got and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
    assert [event["type"] for event in got] == ["tieout.alert.began"]
    assert got[0]["data"]["text"].startswith("1 event of ")
    with alerting.alerting(settings):
        pass  # without an address nothing is started
