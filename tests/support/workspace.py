"""The workspace of the demonstration, served in this process."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from engine.sync.attempts import SECOND, Request
from engine.sync.general_journals import task_of
from store.operational.attempts import SqlAttempts
from store.schema.database import connect
from streams import faust_app
from tests.support.stores import body
from tieout import demo_content
from tieout.bootstrap import open_projector, projected_topics
from tieout.maintenance.ingest import ingest, read_line
from tieout.settings import Settings, load
from tieout.simulator import ingest_lines, simulate
from tieout.simulator.pair import listen as pair_listen
from tieout.simulator.pair import serve_in_background as serve_pair
from tieout.simulator.pair import settings_at, small_pair
from tieout.simulator.scenario import SimulatedEvent, ingest_line
from tieout.sync.command_topic import TopicWriter
from tieout.workspace.server import address, listen, serve_in_background

BROWSER: Final = "/usr/bin/chromium"
FLAGS: Final = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

NOT_MADE: Final = (
    "Error encountered while creating journal line entity for journal line record 5431130. "
    "Failed to retrieve data from Dataverse.\n"
    "The project 'P-001002-D' of the line is not in Dataverse: create or synchronise it."
)

JOURNAL: Final = "USPM-000042"
"""A journal whose posting failed twice, for its month is closed."""


def need_a_browser() -> None:
    """Skip the test where no Chromium is, or fail it when one is required."""
    if not Path(BROWSER).exists():
        reason = f"no Chromium at {BROWSER}"
        if os.environ.get("TIEOUT_REQUIRE_BROWSER") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@dataclass(frozen=True)
class Served:
    """Where a workspace is, and the settings behind it."""

    address: str
    settings: Settings


def reported(
    number: int, time: str, process: str, subject: str, text: str | None, stage: str = "message", run: str = "run-1"
) -> dict[str, Any]:
    """Return a process message of Finance."""
    data: dict[str, Any] = {"process": process, "run": run, "company": "USPM", "scope": [subject], "subject": subject}
    if text is not None:
        data["text"] = text
    return {
        "topic": "finance.changes",
        "value": {
            "specversion": "1.0",
            "id": f"report-{number}",
            "source": "/finance/contoso",
            "type": f"tieout.process.{stage}",
            "time": time,
            "data": data,
        },
    }


def posted_expense(number: str, amount: str, company: str = "USPM", **columns: Any) -> dict[str, Any]:
    """An expense that Finance posted on the day of the demonstration."""
    usual = {
        "ProjTransId": number,
        "AmountCurr": amount,
        "AmountMST": amount,
        "ExchangeCode": "USD",
        "ApprovalStatus": 6,
        "Voucher": f"V-{number}",
        "TransDate": "2025-01-08",
        "ProjId": "P-001000-D",
        "CostType": "Flight-Expense",
    }
    value = {
        "specversion": "1.0",
        "id": f"expense-{number[:10]}",
        "source": "/finance/contoso",
        "type": "tieout.row.changed",
        "time": "2025-01-08T15:00:00Z",
        "data": {
            "entity": "TrvExpTrans",
            "id": number,
            "operation": "upsert",
            "company": company,
            "columns": {**usual, **columns},
        },
    }
    return {"topic": "finance.changes", "key": number, "value": value}


def lines(events: list[dict[str, Any]]) -> list[bytes]:
    """Events as `tieout ingest` takes them."""
    return [json.dumps({**event, "value": json.loads(body(event))}).encode() + b"\n" for event in events]


def small_company() -> list[bytes]:
    """Return the small company without its process messages."""
    events = (event for event in simulate("small", 1).events if not event.value["type"].startswith("tieout.process."))
    return list(ingest_lines(events))


def settings_in(folder: Path, today: date = date(2025, 1, 8)) -> Settings:
    """A log and a store of their own."""
    return Settings(
        broker=f"embedded:///{folder / 'log.sqlite'}",
        store=f"sqlite:///{folder / 'store.sqlite'}",
        today=today,
        companies=("USPM",),
    )


def project(settings: Settings, events: list[bytes]) -> None:
    """Put events onto the topics and reconcile them, in a thread: Playwright's event loop may run in this one."""

    def run() -> None:
        with open_projector(settings) as (log, projector):
            ingest(log, enumerate(events, 1), prefix=settings.prefix, refuse=lambda number, reason: None)
            faust_app.run(log, projector, topics=projected_topics(settings), until_caught_up=True)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()


def try_journals(settings: Settings) -> None:
    """What the attempt log holds after a handler has tried two general journals: one that waits for a person, for its
    project was missing in Dataverse, and one whose header failed once. Nothing is reported of them.
    """
    noon = int(datetime(2025, 1, 8, 12, tzinfo=UTC).timestamp()) * SECOND
    engine = connect(settings.store, write=True)
    log = SqlAttempts(engine)
    tasks = (task_of("USPM", "USPM-000095", "2025-01-06T17:45:00Z"), task_of("USPM", "USPM-000096", "2025-01-07"))
    log.request(Request(id="r", at=noon, who="general journals", by_person=False, tasks=tasks, input_fingerprints={}))
    header = "Failed to sync journal header USPM-000096 to Dataverse. Manual synch required at count 5. Count 1."
    failures = [("USPM-000095", NOT_MADE)] * 5 + [("USPM-000096", f"{header}\n503 Service Unavailable.")]
    for number, (journal, text) in enumerate(failures):
        now = noon + number * 300 * SECOND
        claim = log.claim(
            f"worker {number}", now=now, until=now + SECOND, chance=0.0, only=("journal", f"USPM/{journal}")
        )
        assert claim is not None
        log.begin(claim, now=now, until=now + SECOND)
        log.end(claim, "configuration", text, now=now, chance=0.0, changes={}, wait=300 * SECOND)
    engine.dispose()


def demonstrate(settings: Settings) -> None:
    """Do what `tieout demo` does before it serves, in a thread for the reason above."""

    def send(event: SimulatedEvent) -> None:
        record = read_line(ingest_line(event), settings.prefix)
        assert record is not None
        topic_writer.append([record])

    def run() -> None:
        pair = small_pair(sink=send, heartbeats=True)
        with serve_pair(pair, pair_listen()) as at:
            common = {name: getattr(settings, name) for name in ("broker", "store", "today", "companies")}
            demo_content.add(replace(load(settings_at(at)), **common), pair, topic_writer)

    topic_writer = TopicWriter(settings)
    project(settings, list(ingest_lines(simulate("small", 1).events)))
    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    """Serve a workspace on a free port."""
    listening = listen(0)
    with serve_in_background(settings, listening):
        yield Served(address(listening).rstrip("/"), settings)


@contextmanager
def demonstrated(folder: Path) -> Iterator[Served]:
    """The workspace of the demonstration, without its worker and pair, so that nothing changes."""
    settings = settings_in(folder)
    demonstrate(settings)
    with served(settings) as workspace:
        yield workspace
