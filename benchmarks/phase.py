"""A phase of a measurement in a process of its own, so that its memory and its start are its own.

A phase's module is imported only by the process that runs it: a worker's memory must not hold what another phase needs.
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
    """What runs a phase and returns what it found."""

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
    """Run a phase in a fresh process and return what it found. Raises `CalledProcessError` when it fails."""
    started = msgspec.structs.replace(job, started=time.monotonic())
    command = [sys.executable, "-m", "benchmarks.phase", name, msgspec.json.encode(started).decode()]
    subprocess.run(command, check=True)  # noqa: S603
    return msgspec.json.decode((job.place / f"{name}.json").read_bytes(), type=answer)


def main(name: str, job: Job) -> None:
    """Be the process of a phase: leave what was found in the folder."""
    module, function = _PHASES[name]
    found = getattr(import_module(module), function)(job)
    (job.place / f"{name}.json").write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main(sys.argv[1], msgspec.json.decode(sys.argv[2], type=Job))
