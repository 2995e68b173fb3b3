"""`python -m tieout.pair_service`: the simulated pair as a service beside an installation.

What both systems send goes onto the topics of the settings, as events of the real systems do. The pair lives in memory:
a restarted one begins the company's story again, while the topics keep what the one before it sent.
"""

import argparse
import sys
import threading
from queue import Empty, SimpleQueue
from typing import Final

import structlog

from engine.errors import TieoutError
from streams.log import NewRecord
from tieout.cli.common import load_settings
from tieout.cli.failures import guarded
from tieout.maintenance.ingest import read_line
from tieout.settings import Settings
from tieout.simulator.pair import listen, serve_in_background, small_pair
from tieout.simulator.pair.systems import PORT
from tieout.simulator.scenario import SimulatedEvent, ingest_line
from tieout.sync.command_topic import TopicWriter
from tieout.worker.signals import stop_on_signals

AWAY_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


def main() -> None:
    """Serve on 127.0.0.1 until told to stop."""
    parser = argparse.ArgumentParser(
        prog="python -m tieout.pair_service", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"{PORT} unless told otherwise")
    parser.add_argument("--seed", type=int, default=1, help="draws the company: that of `tieout simulate`")
    options = parser.parse_args()
    settings = load_settings("info")
    events: SimpleQueue[SimulatedEvent] = SimpleQueue()
    stop = threading.Event()
    pair = small_pair(options.seed, sink=events.put, heartbeats=True)
    # Other ids than those of a pair before this one, whose events are in the topics.
    pair.feed.recorder.chance.seed()
    publisher = threading.Thread(target=publish, args=(events, settings, stop), name="publisher")
    with stop_on_signals(stop), serve_in_background(pair, listen(options.port)) as address:
        publisher.start()
        log.info("pair_started", address=address)
        stop.wait()
    publisher.join()


def publish(events: "SimpleQueue[SimulatedEvent]", settings: Settings, stop: threading.Event) -> None:
    """Append events to the topics in the order in which they come, until `stop` is set and none is left. While the log
    does not answer, they wait.
    """
    topic_writer = TopicWriter(settings)
    while not (stop.is_set() and events.empty()):
        records = _waiting(events, settings.prefix)
        while records:
            try:
                topic_writer.append(records)
                break
            except TieoutError as error:
                log.warning("pair_events_wait", events=len(records), reason=str(error), seconds=AWAY_SECONDS)
                if stop.wait(AWAY_SECONDS):
                    return


def _waiting(events: "SimpleQueue[SimulatedEvent]", prefix: str) -> list[NewRecord]:
    """The events that wait, as records; waits a moment for the first one."""
    records: list[NewRecord] = []
    try:
        event = events.get(timeout=_LOOK_SECONDS)
        while True:
            record = read_line(ingest_line(event), prefix)
            if record is not None:
                records.append(record)
            event = events.get_nowait()
    except Empty:
        return records


if __name__ == "__main__":
    sys.exit(guarded(main))
