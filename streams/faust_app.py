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

# Records of all partitions together. A larger batch decides a document less often, but a crash or a stop has more to do
# over again, and what is in memory grows, by some 25 MiB each 4,000.
BATCH_RECORDS = 12_000
# Up to three batches are in memory at a time: one being applied, one waiting, one just read.
BATCH_BYTES = 32 * 1024 * 1024
# What an event waits at most before it is seen: less than a person notices, and idle costs next to nothing.
POLL_SECONDS = 0.05
# How soon work that did not come from a batch, such as a retry that is due, is looked for.
IDLE_SECONDS = 0.25
PROGRESS_SECONDS = 1.0
# The rate is that of the last seconds: a worker that stalls should show it.
RATE_SECONDS = 5.0

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has got."""

    done: int
    """Records applied by this run."""
    lag: Mapping[PartitionId, int]
    """Records in the log that are not applied yet, by partition."""
    rate: float
    """Records a second, over the last seconds."""

    @property
    def left(self) -> int:
        """The lag of all partitions together."""
        return sum(self.lag.values())


class _BatchSchema(faust.Schema):  # type: ignore[type-arg]
    """Takes a message's value as it is: it was never bytes."""

    def compile(self, app: AppT, **_: Any) -> Callable[..., Awaitable[EventT[Any]]]:
        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:
            return app.create_event(message.key, message.value, None, message)

        return decode


class _Boot(BootStrategy):
    """Starts what reading a log takes: no producer, no leader election, no replies."""

    enable_kafka_producer = False

    def kafka_consumer(self) -> Iterable[ServiceT]:
        return [self.app.consumer]


class _NoTables(TableManager):
    """Keeps the part that starts and stops the flow of messages, without Faust's second of waiting for tables."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class _App(faust.App):
    BootStrategy = _Boot

    def _create_directories(self) -> None:
        """Write nothing: the folders would be for tables."""


def make_app(
    source: BatchSource,
    topics: Sequence[str],
    apply: Callable[[list[Batch]], Awaitable[bool]],
    *,
    name: str = "tieout",
    poll_seconds: float = POLL_SECONDS,
) -> faust.App:
    """Make the app with its one agent, which hands the batches of the topics (full names) to `apply`.

    Touches no file, port, signal or root logger, and starts nothing.
    """
    _quieten("faust", "mode")
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

    # Without acknowledgements: they are the books behind commits, and commits do nothing.
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
    """Apply what the topics (full names) hold and what is added to them, until told to stop.

    Ends once `stop` is set, which SIGINT and SIGTERM do when this is called in the main thread, after the batch in hand
    is applied; a second signal has its usual effect. With `until_caught_up` it also ends when nothing is left to read
    and the projection has no work left.

    Between two batches the projection gets one piece of its work done, and all of it once everything is read.

    `on_progress` is called every `progress_seconds` and at the end. Whatever the projection, the log or `on_progress`
    raises ends the run and is raised here; no batch is applied after one that failed.
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
    """One run: where it stands, and the one thread that touches the log and the projection.

    One thread, because two would only pass the interpreter lock to and fro; reading takes a hundredth of the time that
    applying does. And because a projection need not be thread-safe then.
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
            await self._on_thread(self._find_place)
            app = make_app(self, self._topics, self.apply, poll_seconds=poll_seconds)
            with _stopped_by_signals(stop, self._changed):
                await self._supervise(
                    app,
                    self._tend(app, until_caught_up, stop, idle_seconds, _every(progress_seconds, on_progress)),
                )
            await self._on_thread(self._projection.settle)
            on_progress(self._meter.progress(await self._on_thread(self._lag)))
        finally:
            # The last job may still be running, when `_supervise` was left by an error.
            await asyncio.to_thread(self._thread.shutdown)
        log.info("worker_stopped", records=self._meter.done)

    async def _supervise(self, app: faust.App, tend: Awaitable[None]) -> None:
        """Wait for the end of the run, whichever way it comes; stop the app; raise what ended it."""
        tending = asyncio.ensure_future(tend)
        crashed = asyncio.ensure_future(app.wait_until_stopped())
        try:
            await asyncio.wait({tending, crashed, self._failed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping = True
            # The batch in hand is finished, not torn off.
            async with self._applying:
                pass
            tending.cancel()
            crashed.cancel()
            await asyncio.wait({tending, crashed})
            await app.stop()
        if self._failed.done():
            self._failed.result()
        if not tending.cancelled():
            tending.result()
        elif app.crash_reason is not None:
            raise app.crash_reason

    async def _tend(
        self,
        app: faust.App,
        until_caught_up: bool,
        stop: threading.Event,
        idle_seconds: float,
        report: Callable[[Callable[[], Progress]], None],
    ) -> None:
        """Start the app, then see to the projection's work whenever all is read, until the run should end."""
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
                # While events trickle in, the next batch settles the one before it.
                if until_caught_up or self._meter.done == settled:
                    await self._on_thread(self._projection.settle)
                settled = self._meter.done
                # The work may have taken long, and may itself have appended.
                if until_caught_up and not any((await self._on_thread(self._lag)).values()):
                    return
            await _wait(self._changed, idle_seconds)

    # What Faust calls. An error ends the run by `_failed`, and Faust gets a harmless answer: it would log the error,
    # start the agent again, and hand it the batch after the one that failed.

    def partitions(self, topic: str) -> int:
        return self._partitions[topic]

    async def stored(self) -> Mapping[tuple[str, int], int]:
        return self._applied

    async def fetch(self, places: Sequence[tuple[str, int, int]]) -> list[Batch]:
        if self._ended():
            return []
        try:
            return await self._on_thread(
                lambda: self._log.read_together(places, self._batch_records, self._batch_bytes)
            )
        except Exception as error:  # noqa: BLE001 - raised out of `run`
            self._fail(error)
            return []

    async def apply(self, batches: list[Batch]) -> bool:
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
            # Somebody waits for the end. Otherwise asking how far the log goes can wait until nothing comes.
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

    # What is done on the thread.

    def _find_place(self) -> None:
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
        return {place: ends[place] - offset for place, offset in self._applied.items()}


class _Meter:
    """Counts records and knows their rate over the last seconds."""

    def __init__(self) -> None:
        self.done = 0
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def add(self, records: int) -> None:
        self.done += records

    def progress(self, lag: Mapping[PartitionId, int]) -> Progress:
        now = time.monotonic()
        while len(self._seen) > 1 and self._seen[1][0] <= now - RATE_SECONDS:
            self._seen.popleft()
        since, done = self._seen[0]
        self._seen.append((now, self.done))
        return Progress(self.done, lag, (self.done - done) / max(now - since, 1e-3))


def _every(seconds: float, report: Callable[[Progress], None]) -> Callable[[Callable[[], Progress]], None]:
    """Return a function that reports when the last report is so many seconds ago."""
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
    """Set `stop` at the first SIGINT or SIGTERM; the second has the effect it had before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)

    def on_signal() -> None:
        log.info("worker_stopping")
        stop.set()
        changed.set()
        restore()

    for number in before:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        restore()


def _quieten(*names: str) -> None:
    """Keep Faust's account of its own start and stop out of our log, unless somebody asked for it."""
    for name in names:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.ERROR)
