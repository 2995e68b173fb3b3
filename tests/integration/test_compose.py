"""docker-compose.yml: one command gives a running product with a made-up company, and one worker takes over from
another.
"""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.containers import free_port, until

pytestmark = pytest.mark.containers

ROOT = Path(__file__).parents[2]
PROJECT = f"tieout-test-{os.getpid()}"
WORKERS = ("worker-a", "worker-b")
BUILD_SECONDS = 600.0
START_SECONDS = 180.0
FAIL_OVER_SECONDS = 15.0


def command() -> list[str]:
    """Compose as it is installed here, of version 2 or 1."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.fail("neither `docker compose` nor `docker-compose` is installed")


class Composition:
    """The services of the file, under a name and on ports of their own."""

    def __init__(self) -> None:
        self._command = [*command(), "--project-name", PROJECT, "--file", str(ROOT / "docker-compose.yml")]
        self._metrics = dict(zip(WORKERS, (free_port(), free_port()), strict=True))
        self._environment = {
            **os.environ,
            "TIEOUT_IMAGE": f"{PROJECT}:latest",
            "KAFKA_PORT": str(free_port()),
            "POSTGRES_PORT": str(free_port()),
            "METRICS_A_PORT": str(self._metrics["worker-a"]),
            "METRICS_B_PORT": str(self._metrics["worker-b"]),
            "POSTGRES_PASSWORD": "p@ss:w/rd",
        }

    def __call__(self, *arguments: str, seconds: float = 120.0, check: bool = True) -> str:
        done = subprocess.run(
            [*self._command, *arguments], cwd=ROOT, env=self._environment, capture_output=True, timeout=seconds
        )
        said = done.stdout.decode(errors="replace")
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.returncode}\n{said}\n{done.stderr.decode(errors='replace')}")
        return said

    def tieout(self, worker: str, *arguments: str) -> dict[str, Any] | None:
        """The JSON that a command says in a worker's container; None while it has no answer."""
        said = self("exec", "-T", worker, "tieout", *arguments, check=False)
        try:
            told: dict[str, Any] = json.loads(said)
        except json.JSONDecodeError:
            return None
        return told

    def ready(self, worker: str) -> dict[str, Any]:
        """What a worker says of itself."""
        try:
            address = f"http://127.0.0.1:{self._metrics[worker]}/readyz"
            with urllib.request.urlopen(address, timeout=5) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except (OSError, json.JSONDecodeError):
            return {"ready": False}

    def writes(self, worker: str) -> bool:
        told = self.ready(worker)
        return bool(told["ready"]) and told["state"] == "projecting"

    def stands_by(self, worker: str) -> bool:
        told = self.ready(worker)
        return bool(told["ready"]) and told["state"] == "standing-by"


@pytest.fixture(scope="module")
def compose() -> Iterator[Composition]:
    composition = Composition()
    try:
        composition("up", "--detach", "--build", seconds=BUILD_SECONDS + START_SECONDS)
        yield composition
    finally:
        composition("down", "--volumes", "--remove-orphans", check=False)
        subprocess.run(["docker", "image", "rm", "--force", f"{PROJECT}:latest"], capture_output=True)


def amounts(summary: dict[str, Any] | None) -> dict[str, str]:
    return {} if summary is None else {name: tile["amount"] for name, tile in summary["tiles"].items()}


@pytest.mark.requirement("R71", "R81", "R82")
def test_it_runs_with_the_documented_tiles_and_goes_on_when_the_writer_is_killed(compose: Composition) -> None:
    documented = {
        "expense_missing_journal_lines": "5000.00",
        "expense_missing_actuals": "4000.00",
        "vendor_invoice_missing_journal_lines": "23000.00",
        "vendor_invoice_missing_actuals": "5000.00",
    }
    question = ("summary", "--company", "USPM", "--json")

    def reconciled() -> bool:
        return amounts(compose.tieout(WORKERS[0], *question)) == documented

    until(reconciled, START_SECONDS, every=1.0)
    summary = compose.tieout(WORKERS[1], *question)
    assert summary is not None
    assert {name: tile["amount"] for name, tile in summary["unreconciled"].items()} == {
        "expense": "9000.00",
        "vendor_invoice": "28000.00",
    }

    until(lambda: sum(map(compose.writes, WORKERS)) == 1 and sum(map(compose.stands_by, WORKERS)) == 1, 30)
    writer, other = sorted(WORKERS, key=compose.writes, reverse=True)
    told = compose.tieout(other, "check", "--json")
    assert told is not None
    assert [line for line in told["checks"] if not line["ok"]] == []

    compose("kill", "-s", "SIGKILL", writer)
    killed = time.monotonic()
    until(lambda: compose.writes(other), FAIL_OVER_SECONDS)
    assert time.monotonic() - killed < FAIL_OVER_SECONDS
    assert amounts(compose.tieout(other, *question)) == documented
    compose("start", writer)
    until(lambda: compose.stands_by(writer), 60)


def test_the_image_runs_as_nobody_in_particular_and_holds_no_installer(compose: Composition) -> None:
    assert compose("exec", "-T", WORKERS[1], "id", "-u").strip() == "10001"
    found = compose("exec", "-T", WORKERS[1], "sh", "-c", "ls /opt/tieout/bin; ls /source 2>&1 || true")
    assert "pip" not in found.split()
