"""A phase of a measurement in a process of its own, with its own memory and start.

A phase's module is imported by its own process only: a worker's memory must not contain what another phase needs.
"""

import subprocess
import sys
import time
from importlib import import_module
from typing import Final, Protocol, TypeVar

import msgspec

from benchmarks.job import Job

T = TypeVar("T")


class Phase(Protocol):
    """Runs a phase and returns its figures."""

    def __call__(self, name: str, answer: type[T], job: Job) -> T:
        """Run the phase of a name."""


_PHASES: Final = {
    "prepare": ("benchmarks.prepare", "prepare"),
    "prepare-contexts": ("benchmarks.contexts", "prepare"),
    "check-contexts": ("benchmarks.contexts", "check"),
    "product": ("benchmarks.product", "measure"),
    "profile": ("benchmarks.product", "profile"),
    "raw": ("benchmarks.raw", "measure"),
    "orm": ("benchmarks.peers", "orm"),
    "upsert": ("benchmarks.peers", "upsert"),
    "faust": ("benchmarks.plain_faust", "measure"),
    "latency": ("benchmarks.latency", "measure"),
    "replay": ("benchmarks.replaying", "measure"),
    "reader": ("benchmarks.replaying", "read"),
    "same": ("benchmarks.replaying", "compare"),
    "questions": ("benchmarks.questions", "measure"),
    "check": ("benchmarks.check", "check"),
}


def run_phase(name: str, answer: type[T], job: Job) -> T:
    """Run a phase in a fresh process and return its figures. Raises `CalledProcessError` when it fails."""
    started = msgspec.structs.replace(job, started=time.monotonic())
    command = [sys.executable, "-m", "benchmarks.phase", name, msgspec.json.encode(started).decode()]
    subprocess.run(command, check=True)  # noqa: S603
    return msgspec.json.decode((job.place / f"{name}.json").read_bytes(), type=answer)


def main(name: str, job: Job) -> None:
    """Run as the process of a phase: write the figures to the folder."""
    module, function = _PHASES[name]
    result = getattr(import_module(module), function)(job)
    (job.place / f"{name}.json").write_bytes(msgspec.json.encode(result))


if __name__ == "__main__":
    main(sys.argv[1], msgspec.json.decode(sys.argv[2], type=Job))
