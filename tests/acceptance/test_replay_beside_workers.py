"""A replay under other maps or companies while workers run: they reload the map files, or wait and report the reason
(R70, R82).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog

from engine.errors import StoreMismatch
from store.operational.attempts import SqlAttempts
from tests.acceptance.test_replay import canonical, everything, ingest, project, settings_in
from tests.support.containers import until
from tests.support.mending import MENDED_MAP, WRONG_MAP
from tests.support.pairs import Served, serving
from tests.support.stores import Event, body
from tests.support.workspace import project as project_lines
from tests.support.workspace import served, small_company
from tieout.bootstrap import open_log, open_store
from tieout.maintenance.replay import prepare_replay
from tieout.settings import Settings, load
from tieout.simulator import ingest_lines, simulate
from tieout.simulator.pair.systems import ACTIONS
from tieout.sync.command_topic import TopicWriter
from tieout.worker import projecting
from tieout.worker.handling import handling
from tieout.worker.maps_in_force import FIT_SECONDS
from tieout.worker.status import WorkerStatus

pytestmark = pytest.mark.requirement("R70", "R82")

SECONDS = 120


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return [msgspec.json.decode(line) for line in ingest_lines(simulate("small", 3).events)]


@pytest.fixture
def settings(tmp_path: Path, events: list[Event]) -> Settings:
    """All events but the last, in a store that was built under a wrong map."""
    (tmp_path / "contoso.toml").write_text(WRONG_MAP, encoding="utf-8")
    settings = settings_in(tmp_path, maps=[str(tmp_path / "contoso.toml")])
    with open_log(settings, write=True) as log:
        ingest(log, events[:-1])
    project(settings)
    return settings


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as logged:
        yield logged


def replay(settings: Settings) -> None:
    with prepare_replay(settings, everything) as prepared:
        prepared.swap(lambda done, total: None)


class Projecting:
    """A projecting worker in a thread."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.status = WorkerStatus()
        self._topic_writer = TopicWriter(settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=projecting.project,
            args=(settings,),
            kwargs={"stop": self._stop, "status": self.status, "topic_writer": self._topic_writer},
        )

    def send(self, event: Event) -> None:
        """Send an event, as a connector of this process does."""
        from streams.log import NewRecord

        self._topic_writer.append([NewRecord(f"tieout.{event['topic']}", str(event["key"]).encode(), body(event))])

    def ready(self) -> None:
        """Wait until it is."""
        self._until(lambda: self.status.unready_reason() is None)

    def unready_reason(self, words: str) -> None:
        """Wait until it is not, for a reason with these words."""
        self._until(lambda: words in (self.status.unready_reason() or ""))

    def _until(self, condition: Callable[[], bool]) -> None:
        def met() -> bool:
            assert self._thread.is_alive()
            return condition()

        until(met, SECONDS)

    @contextmanager
    def running(self) -> Iterator["Projecting"]:
        with self._topic_writer.expect_worker():
            self._thread.start()
            try:
                yield self
            finally:
                self._stop.set()
                self._thread.join()


def failures(settings: Settings) -> dict[str, str]:
    """Return what the pages show about failed loops."""
    from store.operational.loops import last_runs

    with open_store(settings, write=False) as engine, engine.connect() as connection:
        return {turn.name: turn.failed for turn in last_runs(connection)}


def as_new(settings: Settings, events: list[Event], folder: Path, maps: str) -> list[str]:
    """The store of all events under a map from the beginning."""
    folder.mkdir()
    (folder / "contoso.toml").write_text(maps, encoding="utf-8")
    other = settings_in(folder, maps=[str(folder / "contoso.toml")])
    with open_log(other, write=True) as log:
        ingest(log, events)
    project(other)
    return canonical(other)


def test_a_worker_whose_map_file_was_replaced_loads_it_after_the_replay_and_goes_on(
    settings: Settings, events: list[Event], tmp_path: Path, logged: list[Any]
) -> None:
    with Projecting(settings).running() as running:
        running.ready()
        Path(settings.maps[0]).write_text(MENDED_MAP, encoding="utf-8")
        replay(settings)
        until(lambda: any(line["event"] == "maps_loaded" for line in logged), SECONDS)
        running.ready()
        running.send(events[-1])
        until(lambda: running.status.applied > 0, SECONDS)
    assert not [line for line in logged if line["event"] == "maps_do_not_fit"]
    assert canonical(settings) == as_new(settings, events, tmp_path / "new", MENDED_MAP)


def test_a_map_file_that_is_only_edited_keeps_no_worker_from_going_on(
    settings: Settings, events: list[Event], tmp_path: Path
) -> None:
    with Projecting(settings).running() as running:
        running.ready()
        Path(settings.maps[0]).write_text(MENDED_MAP, encoding="utf-8")
        replay(msgspec.structs.replace(settings, maps=(str(as_before(tmp_path)),)))
        running.send(events[-1])
        until(lambda: running.status.applied > 0, SECONDS)
        assert running.status.unready_reason() is None
    assert canonical(settings) == as_new(settings, events, tmp_path / "new", WRONG_MAP)


def as_before(folder: Path) -> Path:
    """The map that the store was built under, in another file."""
    path = folder / "before.toml"
    path.write_text(WRONG_MAP, encoding="utf-8")
    return path


@pytest.mark.parametrize("mended_by", ["the file", "a replay"])
def test_a_worker_with_the_old_maps_waits_says_so_once_and_goes_on_when_they_fit_again(
    settings: Settings, events: list[Event], tmp_path: Path, logged: list[Any], mended_by: str
) -> None:
    shipped = msgspec.structs.replace(settings, maps=())
    with Projecting(settings).running() as running, served(settings) as workspace:
        running.ready()
        replay(shipped)
        running.unready_reason("run `tieout replay` under those in force here")
        page = httpx.get(f"{workspace.address}/operation?company=USPM").text
        assert "This store was built under other maps than those in force here" in page
        assert "Projection" in page
        assert "this store was built under other maps" in failures(settings)["projection"]
        # After several comparisons it is the same process, and it has logged nothing more.
        stood = threading.Event()
        stood.wait(2.5 * FIT_SECONDS)
        assert running.status.restarts == 0
        told = [line for line in logged if line["event"] == "maps_do_not_fit"]
        assert sorted(line["part"] for line in told) == ["projection", "workspace"]
        if mended_by == "the file":
            Path(settings.maps[0]).write_text(MENDED_MAP, encoding="utf-8")
        else:
            replay(settings)
        running.ready()
        running.send(events[-1])
        until(lambda: running.status.applied > 0, SECONDS)
        assert "Other maps." not in httpx.get(f"{workspace.address}/operation?company=USPM").text
        assert "projection" not in failures(settings)
    in_use = MENDED_MAP if mended_by == "the file" else WRONG_MAP
    assert canonical(settings) == as_new(settings, events, tmp_path / "new", in_use)


def test_a_map_file_that_cannot_be_read_any_more_is_named_and_waited_for(settings: Settings) -> None:
    with Projecting(settings).running() as running:
        running.ready()
        Path(settings.maps[0]).write_text("half a", encoding="utf-8")
        replay(msgspec.structs.replace(settings, maps=()))
        running.unready_reason("contoso.toml is not TOML")
        Path(settings.maps[0]).write_text(MENDED_MAP, encoding="utf-8")
        running.ready()


def test_a_worker_that_waited_outlives_a_command_that_has_the_log_when_it_goes_on(settings: Settings) -> None:
    with Projecting(settings).running() as running:
        running.ready()
        replay(msgspec.structs.replace(settings, maps=()))
        running.unready_reason("built under other maps")
        with open_log(settings, write=True):
            Path(settings.maps[0]).write_text(MENDED_MAP, encoding="utf-8")
            running.unready_reason("log.sqlite")
        running.ready()


def test_a_worker_for_other_companies_waits_and_names_them(settings: Settings) -> None:
    with Projecting(settings).running() as running:
        running.ready()
        replay(msgspec.structs.replace(settings, companies=("GBPM", "USPM")))
        running.unready_reason("set TIEOUT_COMPANIES to those that it was built for (GBPM, USPM)")
        replay(settings)
        running.ready()


def test_a_worker_that_starts_before_the_replay_waits_for_it(settings: Settings) -> None:
    shipped = msgspec.structs.replace(settings, maps=())
    with pytest.raises(StoreMismatch):
        projecting.project(shipped, until_caught_up=True, stop=threading.Event())
    with Projecting(shipped).running() as running:
        running.unready_reason("built under other maps")
        replay(shipped)
        running.ready()


@pytest.fixture
def pair() -> Iterator[Served]:
    with serving() as pair:
        yield pair


def test_a_handler_with_the_old_maps_calls_nothing_until_they_fit_again(
    pair: Served, tmp_path: Path, logged: list[Any]
) -> None:
    (tmp_path / "contoso.toml").write_text(MENDED_MAP, encoding="utf-8")
    processes = {f"TIEOUT_PROCESS_{process.upper()}": written for process, written in ACTIONS.items()}
    environ = {
        "TIEOUT_BROKER": f"embedded:///{tmp_path}/log.sqlite",
        "TIEOUT_STORE": f"sqlite:///{tmp_path}/store.sqlite",
        "TIEOUT_TODAY": "2025-01-08",
        "TIEOUT_COMPANIES": "USPM",
        "TIEOUT_OUTGOING": "true",
        "TIEOUT_MAPS": str(tmp_path / "contoso.toml"),
        **pair.settings(),
        **processes,
    }
    settings, status, stop = load(environ, tmp_path), WorkerStatus(), threading.Event()
    project_lines(settings, small_company())
    (tmp_path / "other.toml").write_text(WRONG_MAP, encoding="utf-8")
    other = msgspec.structs.replace(settings, maps=(str(tmp_path / "other.toml"),))
    with handling(settings, stop, TopicWriter(settings), status):
        try:
            until(lambda: status.state == "handling", SECONDS)
            replay(other)
            until(lambda: "other maps" in (status.unready_reason() or ""), SECONDS)
            ask_for_one(settings)
            stop.wait(3)
            assert calls(pair) == []
            assert "this store was built under other maps" in failures(settings)["handler"]
            assert len([line for line in logged if line["event"] == "maps_do_not_fit"]) == 1
            (tmp_path / "contoso.toml").write_text(WRONG_MAP, encoding="utf-8")
            until(lambda: status.unready_reason() is None, SECONDS)
            replay(msgspec.structs.replace(settings, maps=()))
            (tmp_path / "contoso.toml").write_text(MENDED_MAP, encoding="utf-8")
            until(lambda: calls(pair) != [], SECONDS)
            until(lambda: "handler" not in failures(settings), SECONDS)
        finally:
            stop.set()


def calls(pair: Served) -> list[str]:
    """The calls that change something there."""
    return [call for call in pair.pair.calls if any(written.partition("?")[0] in call for written in ACTIONS.values())]


def ask_for_one(settings: Settings) -> None:
    """A person's request for a document that still needs its call."""
    from engine.reconciliation.kinds import KINDS
    from tieout.bootstrap import open_reader
    from tieout.sync.planning import plan

    shipped = msgspec.structs.replace(settings, maps=())
    with open_reader(shipped) as reader, reader.snapshot() as snapshot:
        company = snapshot.company("USPM")
        request = plan(snapshot, shipped, company, snapshot.window(company, None, None), KINDS).request("anna", "all")
    with open_store(settings, write=True) as engine:
        SqlAttempts(engine).request(request)
