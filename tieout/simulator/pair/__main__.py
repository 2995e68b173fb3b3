"""`python -m tieout.simulator.pair`: both systems on this machine, to develop a connector against."""

import argparse
from pathlib import Path

from tieout.simulator.pair.serving import server
from tieout.simulator.pair.systems import PORT, settings_at, small_pair
from tieout.simulator.scenario import SimulatedEvent, ingest_line


def main() -> None:
    """Serve until Ctrl-C; append the events of the systems to a file as lines for `tieout ingest`."""
    parser = argparse.ArgumentParser(prog="python -m tieout.simulator.pair", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help=f"by default {PORT}")
    parser.add_argument("--seed", type=int, default=1, help="draws the company")
    parser.add_argument("--events", type=Path, help="a file for the events and messages that calls set off")
    options = parser.parse_args()

    def send(event: SimulatedEvent) -> None:
        if options.events:
            with options.events.open("ab") as file:
                file.write(ingest_line(event))

    settings = settings_at(f"http://127.0.0.1:{options.port}")
    print("".join(f"export {name}={value}\n" for name, value in settings.items()), flush=True)
    server(small_pair(options.seed, sink=send, heartbeats=True), options.port).run()


if __name__ == "__main__":
    main()
