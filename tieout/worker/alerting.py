"""Evaluates alert conditions in the store and the log once a minute, by one of the workers, and sends alerts (R84)."""

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
from engine.reconciliation.kinds import TILES
from handlers.api.bounded_exchange import client
from handlers.errors import TargetError
from handlers.webhook import Webhook
from store import clock
from store.operational.alerts import SqlAlerts
from store.operational.attempts import SqlAttempts
from store.queries.grid_query import GridQuery
from store.queries.reader import Reader
from store.queries.snapshot import Snapshot
from streams.log import EventLog, LogError
from streams.topics import REJECTED
from tieout.bootstrap import open_log, open_store
from tieout.maintenance.health_checks import check_account, check_effects, check_tiles
from tieout.maintenance.rejected_topic import rejections
from tieout.settings import Settings
from tieout.worker.feed_status import companies_of, feeds_of
from tieout.worker.loops import ALERTS, reason_of, repeat
from tieout.worker.maps_in_force import MapsInForce

POLL_SECONDS: Final = 10.0
"""How often a worker tries to claim the evaluation of the current minute, and sends due alerts."""
CHECK_SECONDS: Final = 300.0
"""The interval of the self-checks, which read every document."""
CLAIM_LEASE: Final = 5 * 60 * 1_000_000
"""The duration of a claim on an alert, in microseconds, after which another worker may send it."""
TIMEOUT_SECONDS: Final = 10.0

log = structlog.get_logger(__name__)


class AlertConditions:
    """Evaluates the alert conditions. The rejected events are cached until their topic changes."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._in_force = MapsInForce(settings, "alerts")
        self._reader = Reader(
            engine,
            self._in_force.best,
            today=settings.today,
            delayed=settings.delayed,
            accounts=settings.ledger_accounts,
        )
        self._checked = float("-inf")
        self._ends: object = None
        self._rejected: Counter[str] = Counter()

    def __call__(self) -> tuple[list[Alert], set[AlertKind]]:
        """Return the active alerts, and the kinds that were evaluated: without the log, those of the store only."""
        with self._reader.snapshot() as snapshot:
            active = [*_silent(snapshot, self._settings), *alerts.waiting(snapshot.stopped())]
            active += _amounts(snapshot, self._settings)
            active += alerts.not_read(overdue(snapshot.unread_rows(), clock.now()))
        evaluated: set[AlertKind] = {"feed-silent", "waits-for-person", "rows-not-read", "amount-before-close"}
        try:
            with open_log(self._settings, write=False) as event_log:
                active += alerts.rejected(self._rejections(event_log))
                evaluated.add("events-rejected")
                # With maps other than those of the store, a difference would not be a fault of the store.
                if self._in_force.mismatch is None and time.monotonic() - self._checked >= CHECK_SECONDS:
                    active += alerts.failed_checks(self._failed(event_log))
                    evaluated.add("self-check-failed")
                    self._checked = time.monotonic()
        except LogError as error:
            log.info("alerts_without_log", reason=str(error))
        return active, evaluated

    def _rejections(self, event_log: EventLog) -> Counter[str]:
        name = REJECTED.full_name(self._settings.prefix)
        ends = event_log.ends([(name, partition) for partition in range(event_log.partitions(name))])
        if ends != self._ends:
            days = (rejection.rejected_at[:10] for rejection in rejections(event_log, self._settings.prefix))
            self._rejected = Counter(days)
            self._ends = ends
        return self._rejected

    def _failed(self, event_log: EventLog) -> dict[str, str]:
        with self._engine.connect() as connection:
            lines = (
                check_tiles(connection),
                check_account(connection),
                check_effects(connection, event_log, self._in_force.maps, self._settings),
            )
        return {line.check: line.says for line in lines if not line.ok}


def _silent(snapshot: Snapshot, settings: Settings) -> list[Alert]:
    feeds = feeds_of(snapshot, settings, UTC)
    return alerts.silent_feeds({feed.source: feed.until for feed in feeds if feed.silent})


def _amounts(snapshot: Snapshot, settings: Settings) -> Iterator[Alert]:
    """Yield alerts for unreconciled amounts in periods that are about to be closed. Amounts within normal processing
    time (R19) and amounts that wait for unread rows (R5) do not count.
    """
    limit = settings.alert_limit
    if limit is None:
        return
    for code in companies_of(snapshot, settings):
        company = snapshot.company(code)
        if company.currency is None:
            continue  # the currency of the limit is unknown
        for period in alerts.closing(company, snapshot.today(company)):
            summary = snapshot.summary(company, Window(period.start, period.end))
            amount = sum(tile.amount for tile in summary.unreconciled.values()) - summary.in_flight.amount
            amount -= _not_read(snapshot, company, Window(period.start, period.end))
            yield from alerts.unreconciled(company, period, amount, limit)


def _not_read(snapshot: Snapshot, company: Company, window: Window) -> int:
    """Return the amount of the documents whose missing step may be a row that has not been read yet."""
    if not snapshot.moment.unread:
        return 0
    amount = 0
    for tile in TILES:
        for row in snapshot.rows(GridQuery(company=company.code, kind=tile.kind, window=window, view=tile.view)):
            if row.cause == "not-read-yet" and not row.in_flight and row.document.accounting is not None:
                amount += getattr(row.document.accounting, tile.part)
    return amount


class AlertDispatcher:
    """Records active alerts and sends their begin and end, each once for all workers on a store.

    `evaluate` returns the active alerts and the evaluated kinds; `send` sends an event and raises `TargetError`;
    `clock` returns microseconds since 1970.
    """

    def __init__(
        self,
        evaluate: Callable[[], tuple[list[Alert], set[AlertKind]]],
        alerts: SqlAlerts,
        send: Callable[[Mapping[str, Any]], None],
        *,
        prefix: str,
        clock: Callable[[], int],
    ) -> None:
        self._evaluate = evaluate
        self._alerts = alerts
        self._send = send
        self._prefix = prefix
        self._clock = clock

    def evaluate(self) -> None:
        """Evaluate the conditions and record the active alerts."""
        active, evaluated = self._evaluate()
        began, ended = self._alerts.record(active, evaluated, self._clock())
        for alert in began:
            log.warning("alert_began", alert=alert.key)
        for key in ended:
            log.info("alert_ended", alert=key)

    def send_due(self) -> None:
        """Send the alerts that are due. After a failure the rest waits; the claimed alert is due again later."""
        while (claimed := self._alerts.claim(self._clock(), self._clock() + CLAIM_LEASE)) is not None:
            stage = claimed.due
            assert stage is not None
            try:
                self._send(claimed.event(stage, self._prefix))
            except TargetError as error:
                log.warning("alert_not_told", alert=claimed.alert.key, reason=str(error))
                return
            self._alerts.mark_sent(claimed, stage)


@contextmanager
def alerting(settings: Settings) -> Iterator[None]:
    """Evaluate and send alerts while the block runs, if the settings have a webhook."""
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
    """Run until `stop` is set. Neither an unavailable database nor an unexpected error ends it: nobody would notice."""
    with open_webhook(settings, stop) as webhook:
        while not stop.is_set():
            try:
                with open_store(settings, write=True) as engine:
                    jobs = SqlAttempts(engine)
                    dispatcher = AlertDispatcher(
                        AlertConditions(engine, settings),
                        SqlAlerts(engine),
                        webhook.send,
                        prefix=settings.prefix,
                        clock=clock.now,
                    )
                    repeat(ALERTS, partial(_run_once, jobs, dispatcher), engine, stop, POLL_SECONDS)
            except (TieoutError, DBAPIError) as error:
                log.warning("alerts_wait", reason=reason_of(error), seconds=POLL_SECONDS)
                stop.wait(POLL_SECONDS)


def _run_once(jobs: SqlAttempts, dispatcher: AlertDispatcher) -> bool:
    """Evaluate the conditions if this worker claims the minute, and send due alerts; return True if evaluated."""
    claimed = jobs.claim_job("alerts", current_minute())
    if claimed:
        dispatcher.evaluate()
    dispatcher.send_due()
    return claimed


def current_minute() -> str:
    """Return the current minute, by which the workers claim the evaluation."""
    return datetime.now(UTC).isoformat(timespec="minutes")


@contextmanager
def open_webhook(settings: Settings, stop: threading.Event) -> Iterator[Webhook]:
    """Open the webhook of the settings; setting `stop` ends its waits."""
    assert settings.webhook is not None
    with client(timeout=TIMEOUT_SECONDS) as http:
        yield Webhook(http, settings.webhook, stop=stop, sleep=sleep_using_event(stop))
