"""Every error has a code, and no caller looks at its text."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import engine
import handlers
import store
import streams
import tieout
from engine import errors
from engine.errors import TieoutError

PACKAGES: tuple[ModuleType, ...] = (engine, handlers, store, streams, tieout)
ROOT = Path(__file__).resolve().parents[2]
READING = {
    "partition",
    "rpartition",
    "split",
    "startswith",
    "endswith",
    "replace",
    "removeprefix",
    "removesuffix",
    "find",
}


def classes(root: type[TieoutError] = TieoutError) -> Iterator[tuple[int, type[TieoutError]]]:
    """Each error class with its depth in the tree."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    remaining = [(0, root)]
    while remaining:
        depth, current = remaining.pop()
        yield depth, current
        own = (child for child in current.__subclasses__() if not child.__module__.startswith("tests"))
        remaining += [(depth + 1, child) for child in own]


def test_every_error_has_a_code_of_its_own() -> None:
    found = [own for _, own in classes()]
    assert all("code" in vars(own) for own in found)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", own.code) for own in found)
    assert len({own.code for own in found}) == len(found)


def test_the_tree_of_errors_lists_each_class_below_its_base_with_its_code() -> None:
    documented = re.findall(r"^    ( *)(\w+) {2,}([a-z-]+) {2,}\S", errors.__doc__ or "", re.MULTILINE)
    path: list[str] = []
    tree = set()
    for indent, name, code in documented:
        depth = len(indent) // 2
        path[depth:] = [name]
        tree.add((path[depth - 1] if depth else "", name, code))
    expected = {(own.__bases__[0].__name__ if depth else "", own.__name__, own.code) for depth, own in classes()}
    assert tree == expected


def texts_read(path: Path) -> Iterator[int]:
    """The lines on which the text of a caught error is taken apart or compared."""
    for handler in ast.walk(ast.parse(path.read_text())):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None:
            continue
        for node in ast.walk(handler):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READING:
                parts = [node.func.value]
            elif isinstance(node, ast.Compare):
                parts = [node.left, *node.comparators]
            else:
                continue
            if any(_is_text(part, handler.name) for part in parts):
                yield node.lineno


def _is_text(node: ast.expr, name: str) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "str"
        and isinstance(node.args[0], ast.Name)
        and node.args[0].id == name
    )


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_no_caller_looks_at_the_text_of_an_error(package: ModuleType) -> None:
    files = [path for path in (ROOT / package.__name__).rglob("*.py") if "migrations" not in path.parts]
    assert [f"{path.relative_to(ROOT)}:{line}" for path in files for line in texts_read(path)] == []


def test_a_caller_that_looks_at_a_text_is_found(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("try:\n    f()\nexcept E as error:\n    if 'x' in str(error):\n        str(error).split(':')\n")
    assert list(texts_read(bad)) == [4, 5]
