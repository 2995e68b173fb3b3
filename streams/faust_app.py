"""The Faust app over an event log, and the run of a projection on it."""

import asyncio
import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import faust
import structlog
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager
from faust.types import AppT, EventT, Message
from mode import ServiceT

from streams.agents import Projection, project
from streams.log import Batch, EventLog, PartitionId
from streams.transport import BatchSource, LogTransport

# For all partitions together. A larger batch evaluates a document less often, but repeats more work after a crash and
# needs more memory: about 25 MiB for each 4,000 records.
BATCH_RECORDS = 12_000
# Up to three batches are in memory: one being applied, one in the buffer, one just read.
BATCH_BYTES = 32 * 1024 * 1024
# Maximum delay before a new event is read: less than a person notices, at almost no cost when idle.
POLL_SECONDS = 0.05
# Interval of the checks for work that comes from no batch, such as a retry that is due.
IDLE_SECONDS = 0.25
PROGRESS_SECONDS = 1.0
# The rate covers the last seconds only, so that a stall is visible.
RATE_SECONDS = 5.0

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a run."""

    done: int
    """Records applied by this run."""
    lag: Mapping[PartitionId, int]
    """Records in the log that are not applied yet, by partition."""
    rate: float
    """Records per second, over the last `RATE_SECONDS`."""

    @property
    def left(self) -> int:
        """Return the lag of all partitions together."""
        return sum(self.lag.values())


class _BatchSchema(faust.Schema):  # type: ignore[type-arg]
    """Schema that passes the value of a message through: it is a list of batches, not bytes."""

    def compile(self, app: AppT, **_: Any) -> Callable[..., Awaitable[EventT[Any]]]:
        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:
            return app.create_event(message.key, message.value, None, message)

        return decode


class _Boot(BootStrategy):
    """Starts only the services that reading needs: no producer, no leader election, no replies."""

    enable_kafka_producer = False

    def kafka_consumer(self) -> Iterable[ServiceT]:
        return [self.app.consumer]


class _NoTables(TableManager):
    """Starts the flow of messages without Faust's wait of one second for tables."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class _App(faust.App):
    BootStrategy = _Boot

    def _create_directories(self) -> None:
        """Create no folders: they are for tables."""


def make_app(
    source: BatchSource,
    topics: Sequence[str],
    apply: Callable[[list[Batch]], Awaitable[bool]],
    *,
    name: str = "tieout",
    poll_seconds: float = POLL_SECONDS,
) -> faust.App:
    """Return the app with its one agent, which passes the batches of the topics (full names) to `apply`.

    It is not started. No file, port, signal or root logger is touched.
    """
    _silence("faust", "mode")
    app = _App(
        name,
        broker="embedded:",
        store="memory:",
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        stream_buffer_maxsize=1,
        stream_wait_empty=False,
        TableManager=_NoTables,
    )
    transport = LogTransport(app, source, poll_seconds=poll_seconds)
    app.transport = transport
    app.producer_transport = transport

    # Without acknowledgements: they serve commits, and commits do nothing here.
    @app.agent(app.topic(*topics, schema=_BatchSchema(), acks=False), name="project")
    async def _project(readings: Any) -> None:
        await project(readings, apply)

    return app


def run(
    event_log: EventLog,
    projection: Projection,
    *,
    topics: Sequence[str],
    until_caught_up: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    batch_records: int = BATCH_RECORDS,
    batch_bytes: int = BATCH_BYTES,
    poll_seconds: float = POLL_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
    progress_seconds: float = PROGRESS_SECONDS,
) -> None:
    """Apply the existing and new records of the topics (full names) until stopped.

    Ends once `stop` is set and the current batch is applied. In the main thread, SIGINT and SIGTERM set `stop`; a
    second signal has its usual effect. With `until_caught_up`, it also ends when nothing is left to read and the
    projection has no pending work.

    The projection does one part of its pending work after each batch, and all of it once everything is read.

    `on_progress` is called every `progress_seconds` and at the end. An error of the projection, the log or
    `on_progress` ends the run and is raised here. No batch is applied after one that failed.
    """
    worker = _Worker(event_log, projection, topics, batch_records, batch_bytes)
    asyncio.run(
        worker.run(
            until_caught_up=until_caught_up,
            on_progress=on_progress or (lambda progress: None),
            stop=stop or threading.Event(),
            poll_seconds=poll_seconds,
            idle_seconds=idle_seconds,
            progress_seconds=progress_seconds,
        )
    )


class _Worker:
    """One run: its offsets, and the single thread that uses the log and the projection.

    A second thread would only compete for the interpreter lock: reading takes a hundredth of the time of applying. With
    one thread, a projection need not be thread-safe.
    """

    def __init__(
        self,
        event_log: EventLog,
        projection: Projection,
        topics: Sequence[str],
        batch_records: int,
        batch_bytes: int,
    ) -> None:
        self._log = event_log
        self._projection = projection
        self._topics = topics
        self._batch_records = batch_records
        self._batch_bytes = batch_bytes
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="projection")
        self._partitions: dict[str, int] = {}
        self._applied: dict[tuple[str, int], int] = {}
        self._meter = _Meter()
        self._stopping = False

    async def run(
        self,
        *,
        until_caught_up: bool,
        on_progress: Callable[[Progress], None],
        stop: threading.Event,
        poll_seconds: float,
        idle_seconds: float,
        progress_seconds: float,
    ) -> None:
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()
        self._until_caught_up = until_caught_up
        self._applying = asyncio.Lock()
        try:
            await self._on_thread(self._load_offsets)
            app = make_app(self, self._topics, self.apply, poll_seconds=poll_seconds)
            with _stopped_by_signals(stop, self._changed):
                await self._supervise(
                    app,
                    self._monitor(app, until_caught_up, stop, idle_seconds, _every(progress_seconds, on_progress)),
                )
            await self._on_thread(self._projection.settle)
            on_progress(self._meter.progress(await self._on_thread(self._lag)))
        finally:
            # The last job may still run if `_supervise` raised an error.
            await asyncio.to_thread(self._thread.shutdown)
        log.info("worker_stopped", records=self._meter.done)

    async def _supervise(self, app: faust.App, monitor: Awaitable[None]) -> None:
        """Wait for the end of the run, stop the app, and raise the error that ended it, if any."""
        monitoring = asyncio.ensure_future(monitor)
        crashed = asyncio.ensure_future(app.wait_until_stopped())
        try:
            await asyncio.wait({monitoring, crashed, self._failed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping = True
            # Finish the current batch.
            async with self._applying:
                pass
            monitoring.cancel()
            crashed.cancel()
            await asyncio.wait({monitoring, crashed})
            await app.stop()
        if self._failed.done():
            self._failed.result()
        if not monitoring.cancelled():
            monitoring.result()
        elif app.crash_reason is not None:
            raise app.crash_reason

    async def _monitor(
        self,
        app: faust.App,
        until_caught_up: bool,
        stop: threading.Event,
        idle_seconds: float,
        report: Callable[[Callable[[], Progress]], None],
    ) -> None:
        """Start the app, then do the pending work of the projection whenever all is read, until the run should end."""
        await app.start()
        log.info("worker_started", topics=list(self._topics), partitions=len(self._applied))
        settled = 0
        while not stop.is_set():
            self._changed.clear()
            lag = await self._on_thread(self._lag)
            report(lambda lag=lag: self._meter.progress(lag))  # type: ignore[misc]
            if not any(lag.values()):
                if await self._on_thread(self._projection.work):
                    continue
                # While single events arrive, the next batch settles the previous one.
                if until_caught_up or self._meter.done == settled:
                    await self._on_thread(self._projection.settle)
                settled = self._meter.done
                # Meanwhile records may have been appended, also by the work.
                if until_caught_up and not any((await self._on_thread(self._lag)).values()):
                    return
            await _wait(self._changed, idle_seconds)

    # Called by Faust. An error ends the run through `_failed` and is hidden from Faust, which would log it, restart the
    # agent, and continue with the batch after the one that failed.

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic."""
        return self._partitions[topic]

    async def stored(self) -> Mapping[tuple[str, int], int]:
        """Return the next offset to read for each (topic, partition)."""
        return self._applied

    async def fetch(self, positions: Sequence[tuple[str, int, int]]) -> list[Batch]:
        """Read a batch for each position (topic, partition, offset) that has records; none if the run has ended."""
        if self._ended():
            return []
        try:
            return await self._on_thread(
                lambda: self._log.read_together(positions, self._batch_records, self._batch_bytes)
            )
        except Exception as error:  # noqa: BLE001 - raised out of `run`
            self._fail(error)
            return []

    async def apply(self, batches: list[Batch]) -> bool:
        """Apply batches in the thread. Return False if the run has ended, or ends because of an error."""
        async with self._applying:
            if self._ended():
                return False
            try:
                await self._on_thread(lambda: self._apply(batches))
            except Exception as error:  # noqa: BLE001 - raised out of `run`
                self._fail(error)
                return False
            for batch in batches:
                self._applied[batch.topic, batch.partition] = batch.next
                self._meter.add(len(batch))
            # The end of the run depends on the lag. Otherwise the lag is read only when idle: it costs a request.
            if self._until_caught_up:
                self._changed.set()
            return True

    def _ended(self) -> bool:
        return self._stopping or self._failed.done()

    def _fail(self, error: Exception) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    async def _on_thread(self, job: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    # Called in the thread.

    def _load_offsets(self) -> None:
        self._partitions = {topic: self._log.partitions(topic) for topic in self._topics}
        stored = self._projection.offsets()
        for topic, partitions in self._partitions.items():
            for partition in range(partitions):
                offset = stored.get((topic, partition))
                start = self._log.start_offset(topic, partition) if offset is None else offset
                self._applied[topic, partition] = start

    def _apply(self, batches: list[Batch]) -> None:
        self._projection.apply(batches)
        self._projection.work()

    def _lag(self) -> dict[PartitionId, int]:
        ends = self._log.ends(list(self._applied))
        return {partition: ends[partition] - offset for partition, offset in self._applied.items()}


class _Meter:
    """Counts applied records and computes their rate over the last seconds."""

    def __init__(self) -> None:
        self.done = 0
        self._samples: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def add(self, records: int) -> None:
        self.done += records

    def progress(self, lag: Mapping[PartitionId, int]) -> Progress:
        now = time.monotonic()
        while len(self._samples) > 1 and self._samples[1][0] <= now - RATE_SECONDS:
            self._samples.popleft()
        since, done = self._samples[0]
        self._samples.append((now, self.done))
        return Progress(self.done, lag, (self.done - done) / max(now - since, 1e-3))


def _every(seconds: float, report: Callable[[Progress], None]) -> Callable[[Callable[[], Progress]], None]:
    """Return a function that calls `report` if its last call was at least `seconds` ago."""
    last = time.monotonic()

    def maybe(progress: Callable[[], Progress]) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            report(progress())

    return maybe


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


@contextmanager
def _stopped_by_signals(stop: threading.Event, changed: asyncio.Event) -> Iterator[None]:
    """Set `stop` at the first SIGINT or SIGTERM. The second has its usual effect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in handlers.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)

    def on_signal() -> None:
        log.info("worker_stopping")
        stop.set()
        changed.set()
        restore()

    for number in handlers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        restore()


def _silence(*names: str) -> None:
    """Suppress the log records of Faust's own start and stop, unless a level is configured."""
    for name in names:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.ERROR)
