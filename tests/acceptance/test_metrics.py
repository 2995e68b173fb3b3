"""What a worker serves at `TIEOUT_METRICS`."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import until
from tests.support.observed import Worker
from tieout.settings import Settings

pytestmark = pytest.mark.requirement("R82")

ROOT = Path(__file__).parents[2]
LAG = ("tieout_lag_records", "0", "tieout.finance.changes")  # labels come sorted by name


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One that has read the demo's events."""
    folder = tmp_path_factory.mktemp("worker")
    subprocess.run(
        [sys.executable, "-m", "tieout", "demo", "--no-serve", "--folder", str(folder)], check=True, capture_output=True
    )
    worker = Worker(
        folder,
        broker="embedded:///demo-log.sqlite",
        store="sqlite:///demo-store.sqlite",
        today="2025-01-08",
        companies="USPM",
    )
    try:
        until(lambda: {("tieout_outbox_records",), LAG} <= worker.metrics().keys(), 60)
        yield worker
        worker.end()
    finally:
        worker.process.kill()


def test_a_worker_tells_how_it_stands(worker: Worker) -> None:
    assert worker.ready() == (200, {"ready": True, "state": "projecting", "lag": 0})
    assert worker.ask("/healthz") == (200, '{"alive":true}\n')
    assert worker.ask("/other")[0] == 404
    told = worker.metrics()
    assert told["tieout_ready",] == 1
    assert told[LAG] == 0
    assert told["tieout_store_reachable",] == 1
    assert told["tieout_outbox_records",] == 0
    assert told["tieout_documents", "USPM", "expense", "missing-actuals"] > 40
    assert told["tieout_source_complete_timestamp_seconds", "finance"] > 1.7e9
    # The two journals of the demonstration: one was tried five times and waits for a person, the other once more.
    assert told["tieout_syncs", "journal", "stopped"] == 1
    assert told["tieout_syncs", "journal", "waiting"] == 1
    assert told["tieout_attempts_total", "journal", "configuration"] >= 6
    assert told["process_resident_memory_bytes",] > 1e7


def test_every_metric_is_on_its_page_and_every_alert_stands_on_metrics(worker: Worker) -> None:
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `(tieout_\w+)[`{]", page, re.MULTILINE))
    families = re.findall(r"^# TYPE (tieout_\w+) ", worker.ask("/metrics")[1], re.MULTILINE)
    assert set(families) | {"tieout_last_applied_timestamp_seconds"} == described
    alerts = (ROOT / "docs" / "alerts.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"tieout_\w+", "\n".join(re.findall(r"expr: (.+)", alerts)))) <= described


def test_a_place_that_is_taken_is_named(tmp_path: Path, worker: Worker) -> None:
    environment = {"TIEOUT_METRICS": f"127.0.0.1:{worker.port}", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-m", "tieout", "run", "--role", "project"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert done.returncode == 1
    assert f"TIEOUT_METRICS='127.0.0.1:{worker.port}': the server cannot listen at this address" in done.stderr.decode()


def test_without_the_setting_nothing_listens() -> None:
    from tieout.worker.metrics import serving
    from tieout.worker.status import WorkerStatus

    with serving(Settings(), WorkerStatus()) as port:
        assert port is None
