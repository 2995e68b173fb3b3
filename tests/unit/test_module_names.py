"""Every module that a text of the repository names exists: as a path from the root, or with dots in backticks."""

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = "engine|streams|handlers|store|tieout|benchmarks|tools|tests"
FILE: Final = re.compile(rf"(?<![\w/.:-])(?:\.\./)*((?:{PACKAGES})/[\w/]+\.(?:py|toml|html))\b")
DOTTED: Final = re.compile(r"`(?:python -m )?((?:engine|streams|handlers|store|tieout)(?:\.[a-z_]+)+)")
LEFT_OUT: Final = (
    "CHANGELOG.md",
    "store/migrations/versions/",
    "tests/unit/test_module_names.py",
    "tests/unit/test_citations.py",
    "tests/unit/test_requirements.py",
)
NAMES: Final = re.compile(
    r"tieout\.(?:(?:finance|dataverse)\.changes|row|source|process|alert|commands|rejected|errors|state|positions|toml)\b"
)
"""Topics, event types and the settings file, which begin like modules."""


def texts() -> dict[str, str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    listed = [name for name in names if name.endswith((".py", ".md", ".toml", ".yml"))]
    wanted = [name for name in listed if not name.startswith(LEFT_OUT)]
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in wanted if (ROOT / name).is_file()}


def absent(text: str) -> list[str]:
    """The modules and files that a text names and that do not exist."""
    files = [name for name in FILE.findall(text) if "*" not in name and not (ROOT / name).exists()]
    return files + [name for name in DOTTED.findall(text) if not NAMES.match(name) and not is_there(name)]


def is_there(name: str) -> bool:
    """Whether the longest part of a dotted name that could be a module is one, or leads into one."""
    parts = name.split(".")
    package = ROOT / parts[0]
    for number, part in enumerate(parts[1:], 2):
        if (package / part).is_dir():
            package /= part
            continue
        if (package / f"{part}.py").exists():
            return True
        # Something that the package itself holds.
        init = package / "__init__.py"
        return number == len(parts) and init.exists() and re.search(rf"\b{part}\b", init.read_text()) is not None
    return find_spec(name) is not None


def test_texts_name_modules_that_exist() -> None:
    assert {name: gone for name, text in texts().items() if (gone := absent(text))} == {}


@pytest.mark.parametrize(
    "text",
    ["see engine/records.py", "in `engine.no_such_module`", "`store.projection.gone.Writer`", "`tieout.cli.no_such`"],
)
def test_a_module_that_does_not_exist_is_noticed(text: str) -> None:
    assert absent(text) != []


@pytest.mark.parametrize(
    "text",
    [
        "see engine/chains/records.py",
        "`engine.chains.records.Record.id`",
        "`store.projection`",
        "topic `tieout.commands`",
    ],
)
def test_a_module_that_exists_is_found(text: str) -> None:
    assert absent(text) == []
