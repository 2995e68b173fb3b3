"""The services of docker-compose.yml under a project name and on ports of their own, for tests of the whole."""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.containers import free_port

ROOT = Path(__file__).parents[2]
PROJECT = f"tieout-test-{os.getpid()}"
PASSWORD = "p@ss:w/rd"
SECRET = "secret-of-the-workspace"
WORKERS = ("worker-a", "worker-b")
BUILD_SECONDS = 600.0
START_SECONDS = 180.0


def command() -> list[str]:
    """Return the installed compose command, version 2 or 1."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.fail("neither `docker compose` nor `docker-compose` is installed")


class Composition:
    """The services of the file, under a project name and on ports of their own."""

    def __init__(self, systems: Path) -> None:
        self._command = [*command(), "--project-name", PROJECT, "--file", str(ROOT / "docker-compose.yml")]
        self._metrics = dict(zip(WORKERS, (free_port(), free_port()), strict=True))
        self.port = free_port()
        """Port of the workspace."""
        self.sign_in_port = free_port()
        """Port of the identity provider."""
        self._environment = {
            **os.environ,
            "TIEOUT_IMAGE": f"{PROJECT}:latest",
            "KAFKA_PORT": str(free_port()),
            "POSTGRES_PORT": str(free_port()),
            "METRICS_A_PORT": str(self._metrics["worker-a"]),
            "METRICS_B_PORT": str(self._metrics["worker-b"]),
            "WORKSPACE_PORT": str(self.port),
            "POSTGRES_PASSWORD": PASSWORD,
            "SIGN_IN_PORT": str(self.sign_in_port),
            "SIGN_IN_PASSWORD": PASSWORD,
            "SIGN_IN_SECRET": SECRET,
            "TIEOUT_SYSTEMS": str(systems),
        }

    @property
    def workspace(self) -> str:
        """Address of the pages, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def __call__(self, *arguments: str, seconds: float = 120.0, check: bool = True) -> str:
        done = subprocess.run(
            [*self._command, *arguments], cwd=ROOT, env=self._environment, capture_output=True, timeout=seconds
        )
        output = done.stdout.decode(errors="replace")
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.returncode}\n{output}\n{done.stderr.decode(errors='replace')}")
        return output

    def tieout(self, worker: str, *arguments: str) -> dict[str, Any] | None:
        """Return the JSON output of a command in a worker's container; None while it has none."""
        output = self("exec", "-T", worker, "tieout", *arguments, check=False)
        try:
            parsed: dict[str, Any] = json.loads(output)
        except json.JSONDecodeError:
            return None
        return parsed

    def unhealthy(self) -> list[str]:
        """Return the containers that are unhealthy or have ended unexpectedly. Some have no health check."""
        unhealthy = []
        for container in self("ps", "--quiet").split():
            output = subprocess.run(["docker", "inspect", container], capture_output=True, check=True).stdout
            (described,) = json.loads(output)
            state = described["State"]
            goes_on = described["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
            if (goes_on and not state["Running"]) or state.get("Health", {}).get("Status", "healthy") != "healthy":
                unhealthy.append(described["Name"])
        return unhealthy

    def ready(self, worker: str) -> dict[str, Any]:
        """Return the readiness report of a worker."""
        try:
            address = f"http://127.0.0.1:{self._metrics[worker]}/readyz"
            with urllib.request.urlopen(address, timeout=5) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except (OSError, json.JSONDecodeError):
            return {"ready": False}

    def writes(self, worker: str) -> bool:
        report = self.ready(worker)
        return bool(report["ready"]) and report["state"] == "projecting"

    def stands_by(self, worker: str) -> bool:
        report = self.ready(worker)
        return bool(report["ready"]) and report["state"] == "standing-by"


@contextmanager
def composed(folder: Path) -> Iterator[Composition]:
    """Build the image, start all services, and remove them in the end. `folder` receives a file of settings.

    The containers are started when it yields; the company's events are projected some seconds later.
    """
    # The recurring job must not interfere.
    systems = folder / "systems.env"
    systems.write_text(
        (ROOT / "simulated-pair.env").read_text(encoding="utf-8") + "TIEOUT_SYNC_AT=never\n", encoding="utf-8"
    )
    composition = Composition(systems)
    try:
        composition("up", "--detach", "--build", seconds=BUILD_SECONDS + START_SECONDS)
        yield composition
    finally:
        composition("down", "--volumes", "--remove-orphans", check=False)
        subprocess.run(["docker", "image", "rm", "--force", f"{PROJECT}:latest"], capture_output=True)
