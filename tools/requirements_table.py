"""Write docs/requirements.md: each number of docs/requirements.toml with the tests that prove it.

The tests are parsed, not imported or run: it is fast, and a test that cannot be imported today stays in the table.
"""

import ast
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "docs" / "requirements.toml"
PAGE = ROOT / "docs" / "requirements.md"

INTRODUCTION = """\
# Requirements

<!-- Written by `make requirements`. To change it, change requirements.toml or the marks of the tests. -->

What the product must do, and the tests that prove it. A test names the numbers it proves:
`@pytest.mark.requirement("R12")`. The test suite fails when a finished number has no test.
Numbers with tests: {proved} of {all}. Finished: {finished}.
"""


@dataclass(frozen=True, slots=True)
class Requirements:
    """The sentences by number within their area, and the numbers of which every part is done."""

    areas: Mapping[str, Mapping[str, str]]
    finished: frozenset[str]

    @property
    def numbers(self) -> frozenset[str]:
        return frozenset(number for sentences in self.areas.values() for number in sentences)


def read_requirements(source: Path = SOURCE) -> Requirements:
    areas = tomllib.loads(source.read_text(encoding="utf-8"))
    return Requirements(finished=frozenset(areas.pop("finished")), areas=areas)


def read_proofs(root: Path = ROOT) -> dict[str, list[str]]:
    """Find the tests of each number, as pytest names them, in the order of their files."""
    proofs: dict[str, list[str]] = {}
    for file in sorted((root / "tests").rglob("test_*.py")):
        module = ast.parse(file.read_text(encoding="utf-8"))
        for test, numbers in _marked_tests(module.body, file.relative_to(root).as_posix(), frozenset()):
            for number in numbers:
                proofs.setdefault(number, []).append(test)
    return proofs


def page(requirements: Requirements, proofs: Mapping[str, list[str]]) -> str:
    """Write the whole of docs/requirements.md."""
    counts = {"proved": len(proofs), "all": len(requirements.numbers), "finished": len(requirements.finished)}
    lines = [INTRODUCTION.format_map(counts)]
    for area, sentences in requirements.areas.items():
        lines.append(f"## {area}\n")
        for number, sentence in sentences.items():
            state = " (finished)" if number in requirements.finished else ""
            tests = [f"- `{test}`" for test in proofs.get(number, [])] or ["- no test yet"]
            lines += [f"**{number}**{state} {sentence}\n", *tests, ""]
    return "\n".join(lines).rstrip() + "\n"


def _marked_tests(
    body: Iterable[ast.stmt], place: str, inherited: frozenset[str]
) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each test with its numbers: its own marks, those of its parameters, its class and its module."""
    body = list(body)
    inherited |= _numbers(
        statement.value for statement in body if isinstance(statement, ast.Assign) and _is_pytestmark(statement)
    )
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name.startswith("test_"):
                yield f"{place}::{name}", inherited | _numbers(statement.decorator_list)
            case ast.ClassDef(name=name):
                numbers = inherited | _numbers(statement.decorator_list)
                yield from _marked_tests(statement.body, f"{place}::{name}", numbers)


def _is_pytestmark(statement: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in statement.targets)


def _numbers(expressions: Iterable[ast.expr]) -> frozenset[str]:
    return frozenset(
        ast.literal_eval(argument)
        for expression in expressions
        for call in ast.walk(expression)
        if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] == "requirement"
        for argument in call.args
    )


def main() -> None:
    PAGE.write_text(page(read_requirements(), read_proofs()), encoding="utf-8")


if __name__ == "__main__":
    main()
