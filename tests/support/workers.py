"""Workers as processes of their own, their environment, and the invariants that hold afterwards."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from sqlalchemy import Engine, make_url

from store.schema.database import connect
from streams import faust_app
from streams.kafka import KafkaLog
from streams.log import LogRecord, NewRecord
from streams.topics import CHANGES, POSITIONS
from tests.support.containers import Broker, Database, until
from tests.support.stores import canonical
from tieout.bootstrap import access, open_log, open_projector, open_store
from tieout.maintenance.ingest import read_line
from tieout.settings import Settings, load
from tieout.simulator import ingest_lines, simulate

FAIL_OVER_SECONDS = 15.0
CATCH_UP_SECONDS = 90.0


@cache
def lines() -> list[bytes]:
    """Return the events of the small company, as `tieout ingest` takes them."""
    return list(ingest_lines(simulate("small").events))


@cache
def undisturbed() -> list[str]:
    """The canonical dump after all of them, on an embedded log and SQLite."""
    with TemporaryDirectory() as folder:
        environ = {
            "TIEOUT_BROKER": f"embedded:///{folder}/log.sqlite",
            "TIEOUT_STORE": f"sqlite:///{folder}/store.sqlite",
            **_company(),
        }
        settings = load(environ, Path(folder))
        with open_projector(settings) as (log, projector):
            log.append(records(settings.prefix))
            topics = [topic.full_name(settings.prefix) for topic in CHANGES]
            faust_app.run(log, projector, topics=topics, until_caught_up=True)
        with open_store(settings, write=False) as engine:
            return canonical(engine)


def _company() -> dict[str, str]:
    delivery = simulate("small")
    return {
        "TIEOUT_TODAY": str(delivery.today),
        "TIEOUT_COMPANIES": ",".join(delivery.companies),
        # History is purged by the clock: the one thing in a store that does not follow from its events alone.
        "TIEOUT_ERROR_HISTORY_DAYS": "36500",
    }


def records(prefix: str) -> list[NewRecord]:
    """The events as records."""
    return [record for line in lines() if (record := read_line(line, prefix)) is not None]


class Worker:
    """A `tieout run --role project` in a process of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def errors(self) -> str:
        """All that it wrote to standard error."""
        return self._log.read_text()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return its log events with this name."""
        events = [json.loads(line) for line in self.errors.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in events if line["event"] == event]

    def wait_for_log(self, event: str, seconds: float = CATCH_UP_SECONDS, times: int = 1) -> float:
        """Wait until it has logged an event this many times; return the seconds it took."""
        begun = time.monotonic()

        def logged() -> bool:
            assert self.process.poll() is None, self.errors
            return len(self.logged(event)) >= times

        try:
            until(logged, seconds)
        except TimeoutError:
            raise AssertionError(f"no {event} within {seconds} s:\n{self.errors}") from None
        return time.monotonic() - begun

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        self.process.terminate()

    def ends(self, seconds: float = CATCH_UP_SECONDS) -> int:
        """Wait for its end; returns its exit code."""
        return self.process.wait(seconds)


class Environment:
    """Topics and a database of their own on the servers, the workers on them, and a source of events."""

    def __init__(self, broker: Broker, database: Database, name: str, folder: Path, partitions: int = 1) -> None:
        self.broker, self.database, self.name = broker, database, name
        self._folder = folder
        self._workers: list[Worker] = []
        self.environ = {
            "TIEOUT_BROKER": broker.url,
            "TIEOUT_STORE": database.create(name),
            "TIEOUT_PREFIX": name,
            "TIEOUT_PARTITIONS": str(partitions),
            **_company(),
        }
        self.settings: Settings = load(self.environ, folder)
        self._records = records(self.settings.prefix)
        self._fed = 0
        self._engine: Engine | None = None
        self.log = KafkaLog(access(self.settings))

    def make(self) -> None:
        """Make the topics and the tables, as the first worker would."""
        with open_log(self.settings, write=True), open_store(self.settings, write=True):
            pass

    @property
    def whole_environ(self) -> dict[str, str]:
        """Environment variables for a process of this environment."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
        return {**environ, **self.environ}

    def start(self, *arguments: str, module: str = "tieout", **environ: str) -> Worker:
        """Start a worker; `environ` are settings of its own."""
        log = self._folder / f"worker-{len(self._workers)}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *(arguments or ("run", "--role", "project"))],
                env={**self.whole_environ, **environ},
                stderr=stderr,
                stdout=subprocess.DEVNULL,
            )
        worker = Worker(process, log)
        self._workers.append(worker)
        return worker

    def output_of(self, *arguments: str) -> str:
        """Return the output of a command, whatever its exit code."""
        command = [sys.executable, "-m", "tieout", *arguments]
        return subprocess.run(command, env=self.whole_environ, capture_output=True, text=True, check=False).stdout

    def writer(self) -> Worker:
        """A worker that holds the lease."""
        worker = self.start()
        worker.wait_for_log("worker_started")
        return worker

    def stand_by(self) -> Worker:
        """Start a stand-by worker."""
        worker = self.start()
        worker.wait_for_log("standing_by")
        return worker

    @property
    def events(self) -> int:
        """Number of events."""
        return len(self._records)

    @property
    def unfed(self) -> int:
        """Number of events not sent yet."""
        return self.events - self._fed

    def feed(self, events: int) -> None:
        """Send so many more events."""
        self.log.append(self._records[self._fed : self._fed + events])
        self._fed = min(self._fed + events, self.events)

    def feed_rest(self) -> None:
        self.feed(self.unfed)

    def execute(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run a statement on the database, past every worker."""
        with closing(self.database.connect(make_url(self.settings.store).database)) as connection:
            cursor = connection.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def offsets(self) -> dict[tuple[str, int], int]:
        """Committed offsets of the store."""
        rows = self.execute("SELECT topic, partition, next FROM offsets")
        return {(str(topic), int(str(partition))): int(str(offset)) for topic, partition, offset in rows}

    def expire_lease(self) -> None:
        """Let the time of the lease pass."""
        self.execute("UPDATE leases SET until = 0")

    def holder(self) -> int | None:
        """The process that holds the lease, also one that is dead already."""
        rows = self.execute("SELECT holder FROM leases")
        return int(str(rows[0][0]).rpartition("/")[2]) if rows and rows[0][0] else None

    def caught_up(self) -> bool:
        """Return True if every event is in the store and nothing is left to evaluate or publish."""
        try:
            [(waiting,)] = self.execute("SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM recomputations)")
            stored = self.offsets()
        except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
            return False
        names = [topic.full_name(self.settings.prefix) for topic in CHANGES]
        partitions = [(name, number) for name in names for number in range(self.settings.partitions)]
        ends = self.log.ends(partitions)
        return waiting == 0 and all(stored.get(partition, 0) == end for partition, end in ends.items())

    def catch_up(self, seconds: float = CATCH_UP_SECONDS) -> None:
        """Wait until all that was sent has its effect."""
        try:
            until(self.caught_up, seconds)
        except TimeoutError:
            logs = "\n\n".join(worker.errors for worker in self._workers)
            raise AssertionError(f"not caught up within {seconds} s:\n{logs}") from None

    def check(self) -> None:
        """Send the remaining events; the result must equal that of an undisturbed run."""
        self.feed_rest()
        self.catch_up()
        assert self.dump() == undisturbed()
        self.check_published()

    def dump(self) -> list[str]:
        if self._engine is None:
            self._engine = connect(self.settings.store)
        return canonical(self._engine)

    def check_published(self) -> None:
        """The last value of each key on the positions topic is the store's document, and nothing waits to be sent."""
        # What was sent is deleted when the worker has nothing else to do.
        until(lambda: self.execute("SELECT count(*) FROM outbox") == [(0,)], 10)
        published = {
            record.key.decode(): json.loads(record.value)
            for record in self.last_values(POSITIONS.full_name(self.settings.prefix)).values()
            if record.key is not None and record.value is not None
        }
        assert published == self.documents()

    def documents(self) -> dict[str, dict[str, Any]]:
        """The documents of the store by name, as they are published."""
        documents = {}
        for line in self.dump():
            for document in json.loads(line).get("documents", ()):
                documents[document["document"]] = {
                    name: value for name, value in document.items() if value is not None and name not in ("key", "by")
                }
        return documents

    def last_values(self, topic: str) -> Mapping[bytes | None, LogRecord]:
        """The last record of each key."""
        return {record.key: record for record in self.everything(topic)}

    def everything(self, topic: str) -> Iterator[LogRecord]:
        """All records of a topic."""
        for partition in range(self.log.partitions(topic)):
            at = self.log.start_offset(topic, partition)
            while batch := self.log.read(topic, partition, at, 10_000, 64 * 1024 * 1024):
                yield from batch
                at = batch[-1].offset + 1

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.resume()
                worker.kill()
        self.log.close()
        if self._engine is not None:
            self._engine.dispose()


@contextmanager
def environment(
    broker: Broker, database: Database, name: str, folder: Path, *, partitions: int = 1
) -> Iterator[Environment]:
    """An environment with nothing in it."""
    created = Environment(broker, database, name, folder, partitions)
    try:
        yield created
    finally:
        created.close()
