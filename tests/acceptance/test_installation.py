"""A plain installation: the wheel, without extras, in an environment of its own, used by another user in another
folder.

It needs a package index, or a cache of it. Without one these tests are skipped, or fail with
TIEOUT_REQUIRE_INSTALLATION=1. The tests of a Python version are skipped if the machine lacks that interpreter.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from tests.support.nobody import NOBODY, need_nobody, unavailable
from tieout.cli import app

ROOT: Final = Path(__file__).parents[2]
VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14")
OF_EXTRAS: Final = ("psycopg",)
"""What the names of locked packages start with that only an extra needs."""

DEMO: Final = {
    "TIEOUT_BROKER": "embedded:///.tieout/demo/demo-log.sqlite",
    "TIEOUT_STORE": "sqlite:///.tieout/demo/demo-store.sqlite",
    "TIEOUT_TODAY": "2025-01-08",
    "TIEOUT_COMPANIES": "USPM",
}
OWN: Final = {"TIEOUT_BROKER": "embedded:///own/log.sqlite", "TIEOUT_STORE": "sqlite:///own/store.sqlite"}

COMMANDS: Final[tuple[tuple[str, dict[str, str], str, int], ...]] = (
    # The command, the settings, its arguments, its exit code: 1 if it reports a missing setting.
    ("demo", {}, "--no-serve", 0),
    ("summary", DEMO, "--company USPM", 0),
    ("balance", DEMO, "--company USPM", 0),
    ("documents", DEMO, "--company USPM --kind expense", 0),
    ("chain", DEMO, "USPM/USPM-PT000487", 0),
    ("findings", DEMO, "--company USPM", 0),
    ("proposals", DEMO, "--company USPM", 0),
    ("dump", DEMO, "", 0),
    ("verify", DEMO, "", 0),
    ("check", DEMO, "", 0),
    ("sync", DEMO, "--company USPM --dry-run", 0),
    ("replay", DEMO, "--from 2025-01-01 --to 2025-01-31 --yes", 0),
    ("errors", DEMO, "", 0),
    ("errors retry", DEMO, "--all --dry-run", 0),
    ("errors delete", DEMO, "--all --why tried --yes", 0),
    ("journals", DEMO, "", 0),
    ("journals sync", DEMO, "USPM-000041", 1),
    ("alerts", DEMO, "", 0),
    ("alerts test", DEMO, "", 1),
    ("log check", DEMO, "", 0),
    ("log salvage", DEMO, "salvaged.sqlite", 0),
    ("maps check", {}, "", 0),
    ("maps show", {}, "msdyn_expense", 0),
    ("maps explain", {}, "event.json", 0),
    ("decode", {}, "event.json", 0),
    ("simulate", {}, "--out events.jsonl --labels truth.jsonl", 0),
    ("migrate", OWN, "", 0),
    ("ingest", OWN, "refused.jsonl", 0),
    ("run", OWN, "--until-caught-up", 0),
    ("backup", OWN, "saved", 0),
    ("restore", OWN, "saved", 1),
    ("poll", OWN, "", 1),
    ("rejected list", OWN, "", 0),
    ("rejected show", OWN, "finance.changes/0/0", 0),
    ("rejected resubmit", OWN, "--all --yes", 0),
)

EVENT: Final = {
    "specversion": "1.0",
    "id": "evt-1",
    "source": "/finance/contoso",
    "type": "tieout.row.changed",
    "time": "2025-01-08T09:37:24Z",
    "data": {"entity": "TrvExpTrans", "id": "1", "operation": "upsert", "company": "USPM", "columns": {}},
}

# Runs in the other environment: proves who and where it is, imports every module, then types the commands.
SCRIPT: Final = """
import getpass, importlib, json, os, pkgutil, sys
try:
    print("user", getpass.getuser())
except (KeyError, OSError):
    pass
try:
    open(os.path.join(os.environ["HOME"], "written"), "w")
    print("home written")
except OSError:
    pass
for name in ("engine", "streams", "handlers", "store", "tieout"):
    package = importlib.import_module(name)
    assert package.__file__.startswith(sys.prefix), package.__file__
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith(".__main__") and ".migrations." not in module.name:
            importlib.import_module(module.name)
from tieout.cli import main
for command, settings, arguments, code in json.load(open("commands.json")):
    os.environ.update(settings)
    found = main([*command.split(), *arguments.split()])
    if found != code:
        print(command, "ended with", found)
    for setting in settings:
        del os.environ[setting]
assert "psycopg" not in sys.modules
print("done", file=sys.stderr)
"""


@dataclass(frozen=True)
class Installed:
    """An environment with nothing but the wheel and what it depends on."""

    bin: Path

    def run(self, folder: Path, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a program of it in a folder, as a user whom the system does not know and who has a read-only home."""
        home = folder.parent / "home"
        home.mkdir(mode=0o555, exist_ok=True)
        told = {"PATH": "/usr/bin:/bin", "HOME": str(home), **environment}
        program, *arguments = command
        return subprocess.run(
            [*NOBODY, str(self.bin / program), *arguments], cwd=folder, env=told, capture_output=True, text=True
        )


def _interpreter(version: str) -> str | None:
    """A Python of this version: the one that runs these tests, one on the path, or one that pyenv has."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [sys.executable, shutil.which(f"python{version}") or ""]
    found += [str(path) for path in sorted(kept.glob(f"{version}.*/bin/python{version}"))]
    code = "import sys, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for path in filter(None, found):
        said = subprocess.run([path, "-c", code], capture_output=True, text=True)
        if said.stdout.strip() == version:
            return path
    return None


def _in_environment(python: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([python, "-m", "pip", *arguments], capture_output=True, text=True, cwd="/")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    # Its build requirements are locked like all others, and are in the environment of these tests.
    built = _in_environment(
        Path(sys.executable), "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT
    )
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module", params=VERSIONS)
def installed(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    version: str = request.param
    if (interpreter := _interpreter(version)) is None:
        pytest.skip(f"no Python {version} on this machine")
    need_nobody()
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([interpreter, "-m", "venv", folder / "env"], check=True)
    python = folder / "env" / "bin" / "python"
    # What the lock has, with its hashes, and without what only extras need.
    locked = re.findall(r"^[a-z].*(?:\n[ ].*)*", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    plain = folder / "requirements.txt"
    plain.write_text("\n".join(entry for entry in locked if not entry.startswith(OF_EXTRAS)), encoding="utf-8")
    quiet = ("--quiet", "--disable-pip-version-check")
    done = _in_environment(python, "install", *quiet, "--require-hashes", "--only-binary", ":all:", "-r", plain)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1]
        if "No matching distribution" in said and version != VERSIONS[0]:
            pytest.skip(f"no wheels for Python {version}: {said}")
        unavailable(f"the locked packages could not be installed: {said}")
    # Without an index: a dependency that is missing is not fetched but named.
    done = _in_environment(python, "--isolated", "install", *quiet, "--no-index", wheel)
    assert done.returncode == 0, done.stderr
    yield Installed(python.parent)
    shutil.rmtree(folder)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.mark.requirement("R80")
def test_a_plain_installation_runs_every_command_elsewhere_for_a_user_without_a_name_or_a_home(
    installed: Installed, elsewhere: Path
) -> None:
    (elsewhere / "commands.json").write_text(json.dumps(COMMANDS), encoding="utf-8")
    (elsewhere / "event.json").write_text(json.dumps(EVENT), encoding="utf-8")
    line = json.dumps({"topic": "finance.changes", "value": {"not": "an event"}})
    (elsewhere / "refused.jsonl").write_text(line + "\n", encoding="utf-8")
    done = installed.run(elsewhere, "python", "-c", SCRIPT)
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    assert done.stderr.endswith("done\n"), said
    assert not re.search(r"^(user|home written|.* ended with \d+$)", done.stdout, re.MULTILINE), said
    assert "40 documents" in done.stdout


def test_the_commands_that_a_plain_installation_runs_are_all_there_are() -> None:
    def names(command: Any, before: tuple[str, ...] = ()) -> Iterator[str]:
        below = getattr(command, "commands", {})
        if before and (not below or command.invoke_without_command):
            yield " ".join(before)
        for name, sub in below.items():
            yield from names(sub, (*before, name))

    assert sorted(names(typer.main.get_command(app))) == sorted(command for command, *_ in COMMANDS)


def test_a_plain_installation_names_the_extra_for_postgresql(installed: Installed, elsewhere: Path) -> None:
    for store in ("postgresql+psycopg://me:hidden@db/tieout", "postgresql://me:hidden@db/tieout"):
        done = installed.run(elsewhere, "tieout", "migrate", TIEOUT_STORE=store)
        assert done.returncode == 1
        assert "pip install 'tieout[postgres]'" in done.stderr
        assert "hidden" not in done.stderr
        assert "Traceback" not in done.stderr
