"""The commands of README.md for servers of one's own, typed as they stand there, with other addresses."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.test_readme import README, blocks
from tests.support.containers import Broker, Database
from tests.support.workers import environment

pytestmark = [pytest.mark.containers, pytest.mark.requirement("R81")]

ADDRESSES = ("kafka://kafka.example.com:9092", "postgresql+psycopg://tieout@db.example.com/tieout")


def test_the_commands_for_servers_of_ones_own_make_check_and_run(
    broker: Broker, database: Database, tmp_path: Path
) -> None:
    (block,) = [block for block in blocks(README, "sh") if "kafka://" in block]
    install, *typed = block.splitlines()
    assert install.startswith("pip install --require-hashes -r requirements.lock && ")  # test_installation.py does that
    with environment(broker, database, "readme", tmp_path) as place:
        own = dict(zip(ADDRESSES, (broker.url, place.environ["TIEOUT_STORE"]), strict=True))
        script = "\n".join(typed)
        for shown, here in own.items():
            assert shown in script
            script = script.replace(shown, here)
        *before, run = script.strip().splitlines()
        settings = {
            name: value for name, value in place.whole_environ.items() if name not in ("TIEOUT_BROKER", "TIEOUT_STORE")
        }
        settings["PATH"] = f"{Path(sys.executable).parent}:{settings['PATH']}"
        done = subprocess.run(
            ["bash", "-c", "\n".join(before)], cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=120
        )
        # What is left to do is the next line.
        faults = [line for line in done.stdout.splitlines() if line.startswith("FAULT")]
        assert len(faults) == 1, done.stdout + done.stderr
        assert "Start `tieout run`" in faults[0]
        command, _, _ = run.partition("#")
        assert command.split() == ["tieout", "run", "--role", "project"]
        worker = place.start(*command.split()[1:])
        worker.wait_for_log("worker_started")
        assert "FAULT" not in place.output_of("check")
