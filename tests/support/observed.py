"""A worker in a process of its own, observed over the network as monitoring does."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.containers import free_port


class Worker:
    """A worker in a process of its own, queried over the network."""

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
        code, body = self.ask("/readyz")
        return code, json.loads(body)

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Return each value by the name and the labels of its metric."""
        code, body = self.ask("/metrics")
        families = text_string_to_metric_families(body if code == 200 else "")
        return {
            (sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples
        }

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, (self.process.stderr or sys.stdin).read()
