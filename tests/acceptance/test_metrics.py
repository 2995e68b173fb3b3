"""What a worker tells at `TIEOUT_METRICS`."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.containers import free_port, until
from tieout.settings import Settings

pytestmark = pytest.mark.requirement("R82")

ROOT = Path(__file__).parents[2]
LAG = ("tieout_lag_records", "0", "tieout.finance.changes")  # labels come sorted by name


class Worker:
    """A worker of its own process, asked over the network."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
        environment |= {f"TIEOUT_{name.upper()}": value for name, value in settings.items()}
        environment["TIEOUT_METRICS"] = f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tieout", "run", "--role", "project"],
            cwd=folder,
            env=environment,
            stderr=subprocess.PIPE,
        )

    def ask(self, address: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{address}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, "{}"

    def ready(self) -> tuple[int, dict[str, Any]]:
        code, told = self.ask("/readyz")
        return code, json.loads(told)

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Each value by the name and the labels of its metric."""
        code, told = self.ask("/metrics")
        families = text_string_to_metric_families(told if code == 200 else "")
        return {
            (sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples
        }

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, (self.process.stderr or sys.stdin).read()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One that has read the demo's events."""
    folder = tmp_path_factory.mktemp("worker")
    subprocess.run([sys.executable, "-m", "tieout", "demo", "--folder", str(folder)], check=True, capture_output=True)
    worker = Worker(
        folder,
        broker="embedded:///demo-log.sqlite",
        store="sqlite:///demo-store.sqlite",
        today="2025-01-08",
        companies="USPM",
    )
    until(lambda: {("tieout_outbox_records",), LAG} <= worker.metrics().keys(), 60)
    yield worker
    worker.end()


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
    assert f"TIEOUT_METRICS='127.0.0.1:{worker.port}': nothing can listen there" in done.stderr.decode()


def test_without_the_setting_nothing_listens() -> None:
    from tieout.metrics import serving
    from tieout.watch import Watch

    with serving(Settings(), Watch()) as port:
        assert port is None
