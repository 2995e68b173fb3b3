"""Runs commands in a folder of their own, with settings of their own."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tieout.cli import main


class Outcome(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Standard output, parsed as lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


@contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Kill a process at the end of the block if it still runs; its own `with` would wait for it forever."""
    try:
        yield
    finally:
        process.kill()


Tieout = Callable[..., Outcome]


def typist(
    folder: Path, settings: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Tieout:
    """Return a function that runs a command in a folder, with `stdin` as input; settings of a call stay set."""
    for name in [name for name in os.environ if name.startswith("TIEOUT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, stdin: bytes = b"", **more: str) -> Outcome:
        for name, value in more.items():
            monkeypatch.setenv(f"TIEOUT_{name.upper()}", value)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        code = main(arguments)
        sys.stdout.flush()
        return Outcome(code, *capfd.readouterr())

    return run
