"""Every example of every `--help` runs unchanged on the data of the demonstration."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from tests.acceptance.test_readme import README, blocks
from tests.support.containers import free_port, until
from tests.unit.test_synapse import exported
from tieout.cli import app
from tieout.simulator.large import LargeCompany

SECONDS: Final = 120.0

SERVED: Final = ("tieout sync", "tieout journals sync", "tieout errors retry")
"""These have the worker call Finance and Dataverse, which a demonstration that is served does."""

CALLING_WITH_DATA_OF_THEIR_OWN: Final = ("tieout poll", "tieout run --role handle")
"""These call them, and take a log for themselves."""

UNTIL_INTERRUPTED: Final = {
    "tieout demo": "The workspace is at",
    "tieout demo --port 8081": "The workspace is at",
    "tieout run": "worker_started",
    "tieout run --role handle": "worker_started",
    "tieout run --role workspace --port 8081": "The workspace is at",
    "tieout poll --every 300": "dataverse/msdyn_actual",
    "tieout errors --follow --json | alert": "NO_OPEN_PERIOD",
}
"""Commands that run until Ctrl-C, and the output that shows that they run."""

NEED_A_PERSON: Final = "tieout journals sync"
"""The journals of the demonstration fail again, because their projects are missing: the exit code is 1."""


def printed(command: Any) -> Iterator[str]:
    """Yield the examples in the help of a command and its subcommands; a backslash continues a line."""
    told = (command.epilog or "").partition("Examples:\n")[2].replace("\\\n", "")
    assert told, f"the help of {command.name} has no examples"
    yield from (line.strip() for line in told.splitlines())
    if isinstance(command, TyperGroup):
        for below in command.commands.values():
            yield from printed(below)


EXAMPLES: Final = tuple(dict.fromkeys(printed(get_command(app))))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demonstration's data, and the files that the examples name."""
    folder = tmp_path_factory.mktemp("made")
    shell(folder, "tieout demo --no-serve")
    shell(folder, "tieout simulate --out events.jsonl")
    shutil.copy(folder / ".tieout/demo/demo-store.sqlite", folder / "other.sqlite")
    event = json.loads(blocks(README, "json")[0])
    (folder / "event.json").write_text(json.dumps(event), encoding="utf-8")
    (folder / "row.json").write_text(json.dumps(event["data"]), encoding="utf-8")
    (folder / "contoso.toml").write_text(blocks(README, "toml")[1], encoding="utf-8")
    exported(LargeCompany(5, 1, lambda _: None), folder / "exported")
    program = folder / "bin" / "alert"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec cat\n", encoding="utf-8")
    program.chmod(0o755)
    return folder


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIEOUT_", "COLUMNS"))}
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**kept, "PATH": path, "PYTHONUNBUFFERED": "1", **more}


def at_rest(folder: Path) -> dict[str, str]:
    """Return the environment variables for the data in a folder."""
    data = folder / ".tieout" / "demo"
    return environment(
        folder,
        TIEOUT_BROKER=f"embedded:///{data}/demo-log.sqlite",
        TIEOUT_STORE=f"sqlite:///{data}/demo-store.sqlite",
        TIEOUT_TODAY="2025-01-08",
        TIEOUT_COMPANIES="USPM",
    )


def shell(folder: Path, command: str, environ: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command in a shell, and answer yes. Return its exit code and its output."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environ or environment(folder),
        input="y\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    return done.returncode, done.stdout


@contextmanager
def running(folder: Path, command: str, environ: dict[str, str], sign: str) -> Iterator[Path]:
    """Run a command within the block once its output contains the sign, then interrupt it as Ctrl-C does."""
    said = folder / "said.txt"
    with said.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:

        def told() -> bool:
            assert process.poll() is None, said.read_text()
            return sign in said.read_text()

        until(told, SECONDS)
        yield said
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(SECONDS) in (0, 128 + signal.SIGINT, -signal.SIGINT), said.read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def with_both_systems(folder: Path) -> Iterator[dict[str, str]]:
    """Serve a demonstration, and return the environment that it suggests."""
    command = f"tieout demo --port {free_port()} --folder served"
    with running(folder, command, environment(folder), "The workspace is at"):
        lines = (folder / "served" / "demo.env").read_text(encoding="utf-8").splitlines()
        told = (shlex.split(line.removeprefix("export "))[0].split("=", 1) for line in lines)
        yield environment(folder, **dict(told))


class _Takes(BaseHTTPRequestHandler):
    """A webhook that accepts every alert."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def webhook() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Takes) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


@contextmanager
def place(made: Path, folder: Path, example: str) -> Iterator[dict[str, str]]:
    """The environment that an example needs, in a folder that is a copy of what was made."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    here = at_rest(folder)
    if example.startswith(CALLING_WITH_DATA_OF_THEIR_OWN):
        with with_both_systems(folder) as theirs:
            data = {name: here[name] for name in ("TIEOUT_BROKER", "TIEOUT_STORE")}
            yield {**theirs, **data}
    elif example.startswith(SERVED):
        with with_both_systems(folder) as theirs:
            yield theirs
    elif example.startswith("tieout rejected"):
        yield rejecting(folder)
    elif example.startswith("tieout restore"):
        saved = example.replace("restore", "backup")
        assert shell(folder, f"{saved} && mv .tieout before", here)[0] == 0
        yield here
    elif example == "tieout alerts test":
        with webhook() as address:
            yield {**here, "TIEOUT_WEBHOOK": address}
    else:
        yield here


def rejecting(folder: Path) -> dict[str, str]:
    """Where the eighteenth event of Finance is of an entity that no map knows."""
    event = json.loads(blocks(README, "json")[0])
    lines = []
    for number in range(18):
        event["id"], event["data"]["id"] = f"evt-{number}", str(5637144576 + number)
        event["data"]["entity"] = "contoso_ticket" if number == 17 else "TrvExpTrans"
        lines.append(json.dumps({"topic": "finance.changes", "key": "1", "value": event}))
    (folder / "events.jsonl").write_text("\n".join(lines), encoding="utf-8")
    environ = environment(folder, TIEOUT_COMPANIES="USPM", TIEOUT_TODAY="2025-01-08")
    shutil.rmtree(folder / ".tieout")
    code, said = shell(folder, "tieout ingest events.jsonl && tieout run --role project --until-caught-up", environ)
    assert code == 0, said
    return environ


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_help_runs_as_printed(example: str, made: Path, tmp_path: Path) -> None:
    if example.endswith("--port 8081"):
        _wait_for_port(8081)
    with place(made, tmp_path, example) as environ:
        if sign := UNTIL_INTERRUPTED.get(example):
            with running(tmp_path, example, environ, sign):
                return
        code, said = shell(tmp_path, example, environ)
    if example.startswith(NEED_A_PERSON) and "--no-wait" not in example:
        assert (code, "Recommended action" in said) == (1, True), said
    elif example.startswith("diff "):
        assert (code, said) == (0, "")
    else:
        assert code == 0, said
        assert "error:" not in said, said


def _wait_for_port(port: int) -> None:
    """Others may use it for a while."""
    command = [sys.executable, "-c", f"import socket; socket.create_server(('127.0.0.1', {port})).close()"]
    until(lambda: subprocess.run(command, capture_output=True).returncode == 0, SECONDS, 1.0)


def test_every_command_has_examples_and_each_is_one_of_its_own() -> None:
    def commands(command: Any, path: str) -> Iterator[tuple[str, str]]:
        yield path, (command.epilog or "").partition("Examples:\n")[2]
        if isinstance(command, TyperGroup):
            for name, below in command.commands.items():
                yield from commands(below, f"{path} {name}")

    for path, told in commands(get_command(app), "tieout"):
        assert path in told, path
        assert "…" not in told, path
        assert "..." not in told, path
    assert len(EXAMPLES) > 50
