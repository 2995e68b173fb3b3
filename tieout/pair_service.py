"""`python -m tieout.pair_service`: the simulated pair as a service of an installation.

The events of both systems are appended to the topics of the settings, as those of the real systems. The state of the
pair is in memory: after a restart it is the initial state, while the topics keep the events sent before.
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

RETRY_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


def main() -> None:
    """Serve on 127.0.0.1 until a signal stops the process."""
    parser = argparse.ArgumentParser(
        prog="python -m tieout.pair_service", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"port on 127.0.0.1; {PORT} by default")
    parser.add_argument("--seed", type=int, default=1, help="seed of the company, as in `tieout simulate`")
    options = parser.parse_args()
    settings = load_settings("info")
    events: SimpleQueue[SimulatedEvent] = SimpleQueue()
    stop = threading.Event()
    pair = small_pair(options.seed, sink=events.put, heartbeats=True)
    # Ids must differ from those of an earlier pair, whose events are on the topics.
    pair.feed.recorder.chance.seed()
    publisher = threading.Thread(target=publish, args=(events, settings, stop), name="publisher")
    with stop_on_signals(stop), serve_in_background(pair, listen(options.port)) as address:
        publisher.start()
        log.info("pair_started", address=address)
        stop.wait()
    publisher.join()


def publish(events: "SimpleQueue[SimulatedEvent]", settings: Settings, stop: threading.Event) -> None:
    """Append events to the topics in order, until `stop` is set and the queue is empty. While the log is not available,
    the events wait and the append is retried.
    """
    topic_writer = TopicWriter(settings)
    while not (stop.is_set() and events.empty()):
        records = _waiting(events, settings.prefix)
        while records:
            try:
                topic_writer.append(records)
                break
            except TieoutError as error:
                log.warning("pair_events_wait", events=len(records), reason=str(error), seconds=RETRY_SECONDS)
                if stop.wait(RETRY_SECONDS):
                    return


def _waiting(events: "SimpleQueue[SimulatedEvent]", prefix: str) -> list[NewRecord]:
    """Return the queued events as log records; wait `_POLL_SECONDS` for the first one."""
    records: list[NewRecord] = []
    try:
        event = events.get(timeout=_POLL_SECONDS)
        while True:
            record = read_line(ingest_line(event), prefix)
            if record is not None:
                records.append(record)
            event = events.get_nowait()
    except Empty:
        return records


if __name__ == "__main__":
    sys.exit(guarded(main))
