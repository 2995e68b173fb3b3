"""A replay during the work of a worker on Kafka and PostgreSQL: readers see one store or the other, the worker
continues.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from store.queries.reader import Reader
from tests.acceptance.test_replay import canonical, everything, ingest, missing, project, settings_in
from tests.support.commandline import ended
from tests.support.containers import Broker, Database, until
from tests.support.mending import MENDED_MAP, WRONG_MAP
from tests.support.observed import Worker
from tieout.bootstrap import load_maps, open_log, open_store
from tieout.maintenance.replay import prepare_replay
from tieout.settings import Settings
from tieout.simulator import ingest_lines, simulate

pytestmark = pytest.mark.containers


@contextmanager
def worker(settings: Settings, folder: Path) -> Iterator[Worker]:
    """`tieout run` as a process of its own."""
    running = Worker(
        folder,
        broker=settings.broker,
        store=settings.store,
        prefix=settings.prefix,
        today="2025-01-08",
        companies="USPM",
        maps=",".join(settings.maps),
    )
    with ended(running.process):
        yield running
        running.end()


@pytest.mark.requirement("R70", "R81")
def test_a_replay_on_servers_ends_where_a_new_store_would_be(
    broker: Broker, database: Database, tmp_path: Path
) -> None:
    events = [json.loads(line) for line in ingest_lines(simulate("small", 3).events)]
    early, late = events[:-300], events[-300:]
    (tmp_path / "wrong.toml").write_text(WRONG_MAP, encoding="utf-8")
    wrong = settings_in(
        tmp_path,
        broker=broker.url,
        store=database.create("replayed"),
        prefix="replayed",
        maps=[str(tmp_path / "wrong.toml")],
    )
    mended = msgspec.structs.replace(wrong, maps=())
    with open_log(wrong, write=True) as log:
        ingest(log, early, wrong.prefix)
    project(wrong)
    before = missing(wrong)
    with worker(wrong, tmp_path) as writer, worker(wrong, tmp_path) as other:
        with prepare_replay(mended, everything) as replay:
            with open_log(mended, write=True) as log:
                ingest(log, late, mended.prefix)
            until(lambda: left(mended) == 0, 30)
            with summaries_read_meanwhile(wrong) as summaries:
                replay.swap(lambda done, total: None)
        with open_log(mended, write=True) as log:
            ingest(log, late[:1], mended.prefix)
        # Both still have the wrong maps: they must not write to the rebuilt store, nor end.
        for one in (writer, other):
            until(lambda one=one: "built under other maps" in one.ready()[1].get("reason", ""), 30)  # type: ignore[misc]
        assert left(mended) > 0
        assert writer.metrics()["tieout_ready",] == 0
        (tmp_path / "wrong.toml").write_text(MENDED_MAP, encoding="utf-8")
        for one in (writer, other):
            until(lambda one=one: one.ready()[0] == 200, 30)  # type: ignore[misc]
        until(lambda: left(mended) == 0, 30)
        assert [one.process.poll() for one in (writer, other)] == [None, None]
    project(mended)

    undisturbed = settings_in(tmp_path)
    with open_log(undisturbed, write=True) as log:
        ingest(log, [*events, late[0]])
    project(undisturbed)
    assert canonical(mended) == canonical(undisturbed)
    assert missing(mended) != before
    assert 1 <= len(summaries) <= 3, summaries


@contextmanager
def summaries_read_meanwhile(settings: Settings) -> Iterator[set[tuple[int, int]]]:
    """Read the summary again and again within the block. Yields the set of the amounts of its two expense tiles."""
    amounts: set[tuple[int, int]] = set()
    stop = threading.Event()

    def read() -> None:
        with open_store(settings, write=False) as engine:
            reader = Reader(engine, load_maps(settings), today=settings.today)
            while not stop.wait(0.02):
                with reader.snapshot() as snapshot:
                    company = snapshot.company("USPM")
                    tiles = snapshot.summary(company, snapshot.window(company, None, None)).tiles
                amounts.add((tiles["expense_missing_actuals"].amount, tiles["expense_missing_journal_lines"].amount))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield amounts
    finally:
        stop.set()
        thread.join()


def left(settings: Settings) -> int:
    """Events that the store has not read yet."""
    from tieout.maintenance.rebuild import committed_offsets

    with (
        open_log(settings, write=False) as log,
        open_store(settings, write=False) as engine,
        engine.connect() as connection,
    ):
        places = committed_offsets(connection)
        ends = log.ends(list(places))
    return sum(ends[place] - offset for place, offset in places.items())
