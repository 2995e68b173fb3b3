"""A workspace with everything behind it in this process: a projecting worker, a handler, and the simulated pair, whose
faults and calls a test can see.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tests.support.pairs import serving
from tests.support.workspace import project, small_company
from tieout.maintenance.ingest import read_line
from tieout.settings import Settings, load
from tieout.simulator.pair import Pair, settings_at
from tieout.simulator.scenario import SimulatedEvent, ingest_line
from tieout.sync.command_topic import TopicWriter
from tieout.worker import projecting
from tieout.worker.handling import handling
from tieout.workspace.server import address, listen, serve_in_background


@dataclass(frozen=True)
class Live:
    """Where the workspace is, its settings, and the pair behind it."""

    address: str
    settings: Settings
    pair: Pair

    def called(self, *words: str) -> list[str]:
        """The calls that the pair got with one of these words in their path."""
        return [call for call in self.pair.calls if any(word in call for word in words)]


def environment(folder: Path, pair: str) -> dict[str, str]:
    """The settings of the small company's log and store, and of the pair at an address, as variables."""
    return {
        "TIEOUT_BROKER": f"embedded:///{folder / 'log.sqlite'}",
        "TIEOUT_STORE": f"sqlite:///{folder / 'store.sqlite'}",
        "TIEOUT_TODAY": "2025-01-08",
        "TIEOUT_COMPANIES": "USPM",
        **settings_at(pair),
    }


@contextmanager
def live(
    folder: Path,
    *,
    handles: bool = True,
    pair: dict[str, Any] | None = None,
    before: Callable[[Settings], None] = lambda settings: None,
    on_outlet: Callable[[TopicWriter], None] = lambda topic_writer: None,
    **changes: Any,
) -> Iterator[Live]:
    """The small company, live. `changes` are settings, `pair` what the pair is made with; without `handles` another
    process may be the handler. `before` is called with the settings before any worker starts, `on_outlet` with the way
    onto its topics.
    """
    with ExitStack() as stack:
        box: list[TopicWriter] = []

        def send(event: SimulatedEvent) -> None:
            record = read_line(ingest_line(event), "tieout")
            if box and record is not None:
                box[0].append([record])

        served = stack.enter_context(serving(sink=send, heartbeats=True, **(pair or {})))
        settings = replace(load(environment(folder, served.address), folder), **changes)
        project(settings, small_company())
        before(settings)
        topic_writer = TopicWriter(settings)
        on_outlet(topic_writer)
        box.append(topic_writer)
        stack.enter_context(topic_writer.expect_worker())
        stop = threading.Event()
        thread = threading.Thread(
            target=projecting.project,
            args=(settings,),
            kwargs={"stop": stop, "topic_writer": topic_writer},
            name="projecting",
        )
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        if handles:
            done = threading.Event()
            stack.enter_context(handling(settings, done, topic_writer))
            stack.callback(done.set)
        listening = listen(0)
        stack.enter_context(serve_in_background(settings, listening, topic_writer))
        yield Live(address(listening).rstrip("/"), settings, served.pair)
