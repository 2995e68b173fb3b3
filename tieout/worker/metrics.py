"""Prometheus metrics, liveness and readiness of a worker, at `TIEOUT_METRICS`.

* `/metrics`  the `WorkerStatus`, and the last sample of the store
* `/healthz`  200 while the process responds: the liveness probe
* `/readyz`   200 if the worker writes or stands by, otherwise 503 with the reason

A response needs no other server, so it is available while the broker or the database is not. A thread samples the store
at intervals.
"""

import importlib.metadata
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import msgspec
import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from engine.errors import SettingError, TieoutError
from engine.events.notices import UnreadRows
from store.notices import waiting_rows
from store.operational.attempts import sync_counts
from store.operational.state_topic import pending_count
from store.proof.self_checks import attempts_by_outcome, documents_by_view, outbox_backlog
from store.queries import findings
from store.queries.balance import oldest_open
from store.schema import tables
from store.schema.dialects import dialect_of
from tieout.bootstrap import open_log, open_store
from tieout.maintenance.health_checks import check_account, check_effects, check_tiles
from tieout.settings import Settings
from tieout.worker.maps_in_force import MapsInForce
from tieout.worker.status import WorkerStatus

SAMPLE_SECONDS: Final = 15.0
SELF_CHECK_SECONDS: Final = 300.0
_CLIENT_SECONDS: Final = 10

log = structlog.get_logger(__name__)


class Sample(msgspec.Struct, frozen=True):
    """The last sample of the store; times are seconds since 1970."""

    at: float
    outbox: int
    outbox_since: float | None
    state: int
    documents: dict[tuple[str, str, str], int]
    complete: dict[str, float]
    oldest_open: float | None
    not_read: list[UnreadRows]
    findings: dict[str, int]
    syncs: dict[tuple[str, str], int]
    attempts: dict[tuple[str, str], int]
    size: int


class Samples:
    """Samples the store at intervals and caches the last sample."""

    def __init__(self, settings: Settings, status: WorkerStatus) -> None:
        self._settings = settings
        self._status = status
        self._in_force: MapsInForce | None = None
        self._check_at = time.monotonic() + SAMPLE_SECONDS
        self.last: Sample | None = None
        self.reachable = False
        self.self_checks: dict[str, bool] = {}

    def run(self, ended: threading.Event) -> None:
        """Sample until `ended` is set, also while the store is unavailable."""
        while not ended.is_set():
            try:
                with open_store(self._settings, write=False) as engine:
                    while not ended.is_set():
                        with engine.connect() as connection, connection.begin():
                            self.last = _sample(connection)
                            self.reachable = True
                            self._check(connection)
                        ended.wait(SAMPLE_SECONDS)
            except (TieoutError, DBAPIError, OSError):
                self.reachable = False
                ended.wait(SAMPLE_SECONDS)

    def _check(self, connection: Connection) -> None:
        """Run the self-checks in the writer; `tieout check` shows the details of a failure."""
        if self._status.state != "projecting" or time.monotonic() < self._check_at:
            return
        self._check_at = time.monotonic() + SELF_CHECK_SECONDS
        self._in_force = self._in_force or MapsInForce(self._settings, "self-checks")
        maps = self._in_force.matching(connection)
        with open_log(self._settings, write=False) as event_log:
            lines = (
                check_tiles(connection),
                check_account(connection),
                check_effects(connection, event_log, maps, self._settings),
            )
        self.self_checks = {line.check: bool(line.ok) for line in lines}
        for name in [name for name, passed in self.self_checks.items() if not passed]:
            log.error("self_check_failed", check=name)


def _sample(connection: Connection) -> Sample:
    backlog, oldest = outbox_backlog(connection)
    oldest_open_at = oldest_open(connection, None)
    return Sample(
        at=time.time(),
        outbox=backlog,
        outbox_since=None if oldest is None else oldest / 1_000_000,
        state=pending_count(connection),
        documents=documents_by_view(connection),
        complete={row.source: row.until / 1_000_000 for row in connection.execute(select(tables.sources))},
        oldest_open=None if oldest_open_at is None else oldest_open_at / 1_000_000,
        not_read=waiting_rows(connection),
        findings=findings.numbers(connection),
        syncs=sync_counts(connection),
        attempts=attempts_by_outcome(connection),
        size=dialect_of(connection).size(connection),
    )


class _Metrics:
    """The collector of a scrape: the `WorkerStatus` and the last sample of the store."""

    def __init__(self, status: WorkerStatus, samples: Samples) -> None:
        self._status = status
        self._samples = samples

    def collect(self) -> Iterable[Metric]:
        """Yield the current metrics."""
        yield from self._of_worker()
        yield _gauge("store_reachable", "Whether the store answered when it was last asked", self._samples.reachable)
        if (sample := self._samples.last) is not None:
            yield from _of_store(sample)
        checks = _labelled("self_check_ok", "Whether a self-check found nothing; `tieout check` says what", "check")
        for name, passed in self._samples.self_checks.items():
            checks.add_metric([name], passed)
        yield checks

    def _of_worker(self) -> Iterable[Metric]:
        status = self._status
        version = importlib.metadata.version("tieout")
        yield InfoMetricFamily("tieout", "What runs here", {"version": version, "state": status.state})
        yield _gauge(
            "ready", "Whether the worker writes, or stands by for one that does", status.unready_reason() is None
        )
        yield _gauge("lease_held", "Whether this worker is the one that writes", status.holds_lease)
        yield _gauge("lease_epoch", "How many writers there have been", status.lease.epoch if status.lease else 0)
        lag = _labelled("lag_records", "Records in the log that are not applied yet", "topic", "partition")
        for (topic, partition), records in status.lag.items() if status.state == "projecting" else ():
            lag.add_metric([topic, str(partition)], records)
        yield lag
        yield _counter("applied_records", "Records applied since the process started", status.applied)
        yield _gauge("applied_records_per_second", "The rate of the last seconds", status.rate)
        yield _counter("rejected_events", "Events put on the rejected topic since the process started", status.rejected)
        yield _counter("restarts", "How often the worker started again within the process", status.restarts)
        if status.applied_at is not None:
            yield _gauge("last_applied_timestamp_seconds", "When something was last applied", status.applied_at)


def _of_store(sample: Sample) -> Iterable[Metric]:
    yield _gauge("store_sampled_timestamp_seconds", "When the store was last asked", sample.at)
    yield _gauge("store_bytes", "The size of the store", sample.size)
    yield _gauge("outbox_records", "Records that wait to be published", sample.outbox)
    age = 0.0 if sample.outbox_since is None else sample.at - sample.outbox_since
    yield _gauge("outbox_age_seconds", "For how long the oldest of them has waited", age)
    yield _gauge("state_waiting_records", "Rows that the state topic does not have yet as they are", sample.state)
    documents = _labelled("documents", "Documents by the views of the grids", "company", "kind", "view")
    for labels, number in sorted(sample.documents.items()):
        documents.add_metric(list(labels), number)
    yield documents
    without_document = _labelled("findings_without_document", "Findings without a document", "code")
    for code, number in sorted(sample.findings.items()):
        without_document.add_metric([code], number)
    yield without_document
    rows = _labelled("rows_not_read", "Rows that wait to be read again", "table")
    since = _labelled("rows_not_read_since_timestamp_seconds", "Since when the first of them waits", "table")
    for waiting in sample.not_read:
        rows.add_metric([waiting.entity], waiting.rows)
        since.add_metric([waiting.entity], waiting.since / 1_000_000)
    yield from (rows, since)
    syncs = _labelled("syncs", "Documents that were to be synced, by how that stands", "action", "state")
    for (state, action), number in sorted(sample.syncs.items()):
        syncs.add_metric([action, state], number)
    meaning = "Attempts to sync that have ended, one for each document of a call"
    attempts = CounterMetricFamily("tieout_attempts", meaning, labels=("action", "outcome"))
    for ended, number in sorted(sample.attempts.items()):
        attempts.add_metric(list(ended), number)
    yield from (syncs, attempts)
    complete = _labelled("source_complete_timestamp_seconds", "Up to when a source says it has sent all", "source")
    for source, until in sorted(sample.complete.items()):
        complete.add_metric([source], until)
    yield complete
    if sample.oldest_open is not None:
        meaning = "Since when the oldest document stands that is not reconciled"
        yield _gauge("oldest_open_timestamp_seconds", meaning, sample.oldest_open)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tieout_{name}", meaning, value)


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(f"tieout_{name}", meaning, value)


def _labelled(name: str, meaning: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tieout_{name}", meaning, labels=labels)


@contextmanager
def serving(settings: Settings, status: WorkerStatus) -> Iterator[int | None]:
    """Serve at `TIEOUT_METRICS` while the block runs, if it is set; yields the port.

    Raises `SettingError` if the address is in use.
    """
    if settings.metrics_place is None:
        yield None
        return
    samples = Samples(settings, status)
    registry = CollectorRegistry()
    registry.register(_Metrics(status, samples))
    ProcessCollector(registry=registry)
    ended = threading.Event()
    with ExitStack() as stack:
        try:
            server = stack.enter_context(ThreadingHTTPServer(settings.metrics_place, _handler(registry, status)))
        except (OSError, OverflowError) as error:
            raise SettingError(
                f"TIEOUT_METRICS={settings.metrics!r}: the server cannot listen at this address ({error}). Choose "
                "another address or port."
            ) from None
        stack.callback(ended.set)
        threading.Thread(target=samples.run, args=(ended,), name="samples", daemon=True).start()
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        stack.callback(server.shutdown)
        yield server.server_port


def _handler(registry: CollectorRegistry, status: WorkerStatus) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Serves the three paths."""

        timeout = _CLIENT_SECONDS

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._answer(200, "text/plain; version=0.0.4; charset=utf-8", generate_latest(registry))
                case "/healthz":
                    self._json(200, {"alive": True})
                case "/readyz":
                    content = status.as_json()
                    self._json(200 if content["ready"] else 503, content)
                case _:
                    self._json(404, {"error": "use /metrics, /healthz or /readyz"})

        def _json(self, code: int, content: dict[str, Any]) -> None:
            self._answer(code, "application/json", msgspec.json.encode(content) + b"\n")

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Log nothing: an orchestrator probes every few seconds."""

    return Handler
