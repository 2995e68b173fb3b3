"""A workspace to look at: the small company with errors and a rejected event, served in this process."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from engine.attempts import SECOND, Request
from engine.journals import task_of
from store.attempts import SqlAttempts
from store.database import connect
from streams import app
from tests.support.stores import body
from tieout.bootstrap import open_projector, projected_topics
from tieout.ingest import ingest
from tieout.settings import Settings
from tieout.simulator import ingest_lines, simulate
from tieout.workspace.server import address, beside, listen

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

JOURNAL: Final = "USPM-000041"

NOT_MADE: Final = (
    "Error encountered while creating journal line entity for journal line record 5431130. "
    "Failed to retrieve data from Dataverse.\n"
    "The project 'P-001002-D' of the line is not in Dataverse: create or synchronise it."
)


@dataclass(frozen=True)
class Served:
    """Where a workspace is, and the settings behind it."""

    address: str
    settings: Settings


def reported(
    number: int, time: str, process: str, subject: str, text: str | None, stage: str = "message", run: str = "run-1"
) -> dict[str, Any]:
    """What a process of Finance reported."""
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


_PERIOD = "No open fiscal period was found for the specified accounting date 12/18/2024."
_FAILED = (
    "Integration journal (USPM-000043): Line with RecId (68719478042) and Voucher (USPM-000431) failed to post due to "
    "(Voucher USPM-000431 does not balance as per 12/11/2024. Debit 650.00, credit 0.00)."
)
_MISMATCH = (
    "Invoice proposal wasn't processed because of mismatched billed sales actuals with Dataverse. "
    "Please try again later. Contact your administrator if issue still exists."
)
ERRORS: Final = [
    reported(1, "2025-01-05T02:00:00Z", "integration-journal-posting", JOURNAL, None, "started", "run-1"),
    reported(2, "2025-01-05T02:01:00Z", "integration-journal-posting", JOURNAL, _PERIOD, "message", "run-1"),
    reported(3, "2025-01-05T02:02:00Z", "integration-journal-posting", JOURNAL, None, "failed", "run-1"),
    reported(4, "2025-01-07T02:00:00Z", "integration-journal-posting", JOURNAL, None, "started", "run-2"),
    reported(5, "2025-01-07T02:01:00Z", "integration-journal-posting", JOURNAL, _PERIOD, "message", "run-2"),
    reported(6, "2025-01-07T02:02:00Z", "integration-journal-posting", JOURNAL, None, "failed", "run-2"),
    reported(7, "2025-01-06T03:00:00Z", "integration-journal-posting", "USPM-000043", _FAILED, run="run-3"),
    reported(8, "2025-01-08T06:30:00Z", "import-from-staging", "PI-000217", _MISMATCH, run="run-4"),
    reported(
        9,
        "2025-01-08T07:00:00Z",
        "general-journal-sync",
        "USPM-015270",
        "Failed to sync journal header USPM-015270 to Dataverse. Manual synch required at count 5. Count 3.",
        run="run-5",
    ),
    reported(
        10, "2025-01-04T09:00:00Z", "invoice-proposal", "PI-000198", "The number sequence is used up.", run="run-6"
    ),
    reported(11, "2025-01-04T11:00:00Z", "invoice-proposal", "PI-000198", None, "started", "run-7"),
    reported(12, "2025-01-04T11:01:00Z", "invoice-proposal", "PI-000198", None, "finished", "run-7"),
    {"topic": "finance.changes", "value": {"not": "an event"}},
]
"""Errors of every process: one repeated, one that a later run cleared; and an event that is none."""


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
    """The small company without what its processes report: `ERRORS` take the place of that."""
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
            app.run(log, projector, topics=projected_topics(settings), until_caught_up=True)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()


def try_journals(settings: Settings, *, reports: bool = True) -> None:
    """What the attempt log holds after a handler has tried two general journals: one that waits for a person, for its
    project is missing in Dataverse, and one whose header failed once. It was reported of the first if anything is.
    """
    noon = int(datetime(2025, 1, 8, 12, tzinfo=UTC).timestamp()) * SECOND
    engine = connect(settings.store, write=True)
    log = SqlAttempts(engine)
    tasks = (task_of("USPM", "USPM-000095", "2025-01-06T17:45:00Z"), task_of("USPM", "USPM-000096", "2025-01-07"))
    log.ask(Request(id="r", at=noon, who="general journals", by_person=False, tasks=tasks, changes={}))
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
    if not reports:
        return
    words = NOT_MADE.partition("\n")[0]
    said = reported(21, "2025-01-08T12:20:00Z", "general-journal-sync", "USPM-000095", words, run="USPM/USPM-000095 5")
    project(settings, lines([said]))


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    """Serve a workspace on a free port."""
    listening = listen(0)
    with beside(settings, listening):
        yield Served(address(listening).rstrip("/"), settings)


@contextmanager
def demonstrated(folder: Path) -> Iterator[Served]:
    """The small company, with errors and a rejected event."""
    settings = settings_in(folder)
    project(settings, [*small_company(), *lines(ERRORS)])
    with served(settings) as found:
        yield found


@contextmanager
def with_journals(folder: Path) -> Iterator[Served]:
    """The small company whose general journals were tried."""
    settings = settings_in(folder)
    project(settings, [*small_company(), *lines(ERRORS)])
    try_journals(settings)
    with served(settings) as found:
        yield found
