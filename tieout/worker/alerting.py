"""Alerts, looked for and told (R84): what stands in the store and the log, once a minute, by whichever worker's turn it
is.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from tenacity.nap import sleep_using_event

from engine import alerts
from engine.alerts import Alert, AlertKind
from engine.calendar import Company, Window
from engine.errors import TieoutError
from engine.events.notices import overdue
from handlers.api.bounded_exchange import client
from handlers.errors import TargetError
from handlers.webhook import Webhook
from store.operational.alerts import SqlAlerts
from store.operational.attempts import SqlAttempts
from store.projection.tile_totals import View
from store.queries.grid_query import GridQuery
from store.queries.snapshot import Reader, Snapshot
from store.queries.summary import KINDS
from streams.log import EventLog, LogError
from streams.topics import REJECTED
from tieout.bootstrap import open_log, open_store
from tieout.maintenance.health_checks import effects_line, tiles_line
from tieout.maintenance.rejected_topic import rejections
from tieout.settings import Settings
from tieout.worker.feed_status import companies_of, feeds_of
from tieout.worker.loops import reason_of, repeat
from tieout.worker.maps_in_force import MapsInForce

ASK_SECONDS: Final = 10.0
"""How often a worker asks whether it is its turn; a turn is a minute."""
CHECK_SECONDS: Final = 300.0
"""How often the self-checks are made: they read every document."""
CLAIM_LEASE: Final = 5 * 60 * 1_000_000
"""For how long (microseconds) an alert is one worker's to tell, and then anybody's again."""
TIMEOUT_SECONDS: Final = 10.0

log = structlog.get_logger(__name__)


class AlertConditions:
    """Looks what stands. The list of rejected events is read again only when it has changed."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._in_force = MapsInForce(settings, "alerts")
        self._reader = Reader(engine, self._in_force.nearest, today=settings.today)
        self._checked = float("-inf")
        self._ends: object = None
        self._rejected: Counter[str] = Counter()

    def __call__(self) -> tuple[list[Alert], set[AlertKind]]:
        """What stands, and the kinds that were looked at: without the log, those that the store tells."""
        with self._reader.snapshot() as snapshot:
            found = [*_silent(snapshot, self._settings), *alerts.waiting(snapshot.stopped())]
            found += _amounts(snapshot, self._settings)
            found += alerts.not_read(overdue(snapshot.unread_rows(), _now()))
        looked_at: set[AlertKind] = {"feed-silent", "waits-for-person", "rows-not-read", "amount-before-close"}
        try:
            with open_log(self._settings, write=False) as event_log:
                found += alerts.rejected(self._rejections(event_log))
                looked_at.add("events-rejected")
                # Under other maps than the store's they would tell of no fault of the store.
                if self._in_force.unfit is None and time.monotonic() - self._checked >= CHECK_SECONDS:
                    found += alerts.failed_checks(self._failed(event_log))
                    looked_at.add("self-check-failed")
                    self._checked = time.monotonic()
        except LogError as error:
            log.info("alerts_without_log", reason=str(error))
        return found, looked_at

    def _rejections(self, event_log: EventLog) -> Counter[str]:
        name = REJECTED.full_name(self._settings.prefix)
        ends = event_log.ends([(name, partition) for partition in range(event_log.partitions(name))])
        if ends != self._ends:
            self._rejected = Counter(one.rejected_at[:10] for one in rejections(event_log, self._settings.prefix))
            self._ends = ends
        return self._rejected

    def _failed(self, event_log: EventLog) -> dict[str, str]:
        with self._engine.connect() as connection:
            lines = tiles_line(connection), effects_line(connection, event_log, self._in_force.maps, self._settings)
        return {line.check: line.says for line in lines if not line.ok}


def _silent(snapshot: Snapshot, settings: Settings) -> list[Alert]:
    feeds = feeds_of(snapshot, settings, UTC)
    return alerts.silent_feeds({feed.source: feed.until for feed in feeds if feed.silent})


def _amounts(snapshot: Snapshot, settings: Settings) -> Iterator[Alert]:
    """What is unreconciled in periods that are about to be closed; what is on its way is not counted (R19), nor what
    waits for rows that were not read yet (R5).
    """
    limit = settings.alert_limit
    if limit is None:
        return
    for code in companies_of(snapshot, settings):
        company = snapshot.company(code)
        if company.currency is None:
            continue  # nothing says in what currency the limit would be
        for period in alerts.closing(company, snapshot.today(company)):
            summary = snapshot.summary(company, Window(period.start, period.end))
            amount = sum(one.amount for one in summary.unreconciled.values()) - summary.in_flight.amount
            amount -= _not_read(snapshot, company, Window(period.start, period.end))
            yield from alerts.unreconciled(company, period, amount, limit)


def _not_read(snapshot: Snapshot, company: Company, window: Window) -> int:
    """The amount of the documents whose next step may be a row that was not read yet."""
    if not snapshot.moment.unread:
        return 0
    amount = 0
    for kind in KINDS:
        for view, part in _PARTS.items():
            for row in snapshot.rows(GridQuery(company=company.code, kind=kind, window=window, view=view)):
                if row.cause == "not-read-yet" and not row.in_flight and row.document.accounting is not None:
                    amount += getattr(row.document.accounting, part)
    return amount


_PARTS: Final[Mapping[View, str]] = {
    "missing-actuals": "missing_actual",
    "missing-journal-lines": "missing_journal_line",
}


class AlertDispatcher:
    """Keeps what stands, and tells what began and what ended, each once for all workers on a store.

    `tell` sends an event and raises `TargetError`; `clock` gives microseconds since 1970.
    """

    def __init__(
        self,
        look: Callable[[], tuple[list[Alert], set[AlertKind]]],
        kept: SqlAlerts,
        tell: Callable[[Mapping[str, Any]], None],
        *,
        prefix: str,
        clock: Callable[[], int],
    ) -> None:
        self._look = look
        self._kept = kept
        self._tell = tell
        self._prefix = prefix
        self._clock = clock

    def look(self) -> None:
        """Look what stands, and keep it."""
        standing, looked_at = self._look()
        began, ended = self._kept.record(standing, looked_at, self._clock())
        for alert in began:
            log.warning("alert_began", alert=alert.key)
        for key in ended:
            log.info("alert_ended", alert=key)

    def tell(self) -> None:
        """Tell what is to be told. Where the receiver is away the rest waits: what was claimed comes again later."""
        while (found := self._kept.claim(self._clock(), self._clock() + CLAIM_LEASE)) is not None:
            stage = found.due
            assert stage is not None
            try:
                self._tell(found.event(stage, self._prefix))
            except TargetError as error:
                log.warning("alert_not_told", alert=found.alert.key, reason=str(error))
                return
            self._kept.mark_sent(found, stage)


@contextmanager
def alerting(settings: Settings) -> Iterator[None]:
    """Look and tell beside whatever the block does, if the settings say to whom."""
    if settings.webhook is None:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_run, args=(settings, stop), name="alerts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _run(settings: Settings, stop: threading.Event) -> None:
    """Until told to stop. Neither a database that is away nor a fault of our own ends it: nobody would notice."""
    with open_webhook(settings, stop) as webhook:
        while not stop.is_set():
            try:
                with open_store(settings, write=True) as engine:
                    turns = SqlAttempts(engine)
                    dispatcher = AlertDispatcher(
                        AlertConditions(engine, settings),
                        SqlAlerts(engine),
                        webhook.send,
                        prefix=settings.prefix,
                        clock=_now,
                    )
                    repeat("alerts", partial(_turn, turns, dispatcher), engine, stop, ASK_SECONDS)
            except (TieoutError, DBAPIError) as error:
                log.warning("alerts_wait", reason=reason_of(error), seconds=ASK_SECONDS)
                stop.wait(ASK_SECONDS)


def _turn(turns: SqlAttempts, dispatcher: AlertDispatcher) -> bool:
    """Look if it is this worker's turn, and tell what is to be told; whether it looked."""
    looks = turns.claim_job("alerts", current_minute())
    if looks:
        dispatcher.look()
    dispatcher.tell()
    return looks


def current_minute() -> str:
    """The turn that it is now: this minute."""
    return datetime.now(UTC).isoformat(timespec="minutes")


@contextmanager
def open_webhook(settings: Settings, stop: threading.Event) -> Iterator[Webhook]:
    """The receiver of the settings; a stop ends its waits."""
    assert settings.webhook is not None
    with client(timeout=TIMEOUT_SECONDS) as http:
        yield Webhook(http, settings.webhook, stop=stop, sleep=sleep_using_event(stop))


def _now() -> int:
    return time.time_ns() // 1_000
