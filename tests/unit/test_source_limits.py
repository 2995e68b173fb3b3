"""Limits of the source: the size of functions and files, documented public names, and names of modules."""

import ast
import subprocess
from collections import Counter
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PRODUCT: Final = ("engine", "streams", "handlers", "store", "tieout")

FUNCTION_LINES_MAX: Final = 50
FILE_LINES_MAX: Final = 500
DOCUMENTED_MIN: Final = 0.95

SHARED_NAMES: Final = {
    "__init__": "a package: its docstring lists its modules",
    "__main__": "what `python -m` runs",
    "account": "the integration account: its parts and its query",
    "alerts": "alerts: their rules, their state, their command",
    "attempts": "the attempt log: its rules, its interface, its tables",
    "balance": "the account reconciliation: its query and its page",
    "common": "what the modules of one package share",
    "cursors": "cursors: their rules and their table",
    "dataverse": "the API of Dataverse: its client and its simulation",
    "documents": "documents: what they are, and their commands",
    "error_log": "the error log: its query and its commands",
    "errors": "the exceptions of a package",
    "expenses": "expenses: their facts and their simulation",
    "finance": "the API of Finance: its client and its simulation",
    "findings": "findings: their rules, their query and their command",
    "general_journals": "general journals: their rules, calls, plans, simulation, page and command",
    "invoice_proposals": "invoice proposals: their rules, query, simulation, page and command",
    "ledger": "the ledger: its query and its simulation",
    "log": "the event log: its interface and its two implementations",
    "loops": "the loops of a worker, and their health",
    "notices": "notices: which they are, and their table",
    "odata": "OData: its client and its simulation",
    "poll": "the poller and its command",
    "prerequisites": "what Sync needs: the rules and the calls that observe it",
    "prevalidation": "what prevalidation would have prevented: the rule and the query",
    "replay": "the replay and its command",
    "row_refresh": "re-reading rows of notices: the calls and the commands topic",
    "sign_in": "sign-in: how it works, and its pages",
    "service_limits": "service protection limits: as the client respects them, and as the simulation enforces them",
    "state_topic": "the state topic: its table and its publisher",
    "summary": "the summary: its query and its page",
    "sync": "Sync: its command and its pages",
    "topics": "topics: which they are, and how Kafka has them",
    "unmatched": "unmatched postings: their query and their page",
}
"""Names of several modules of the product, each with the one meaning that it has in all of them."""


def sources() -> dict[str, str]:
    """Return the text of every Python file of the repository, by path."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in listed if (ROOT / name).is_file()}


def long_functions(text: str) -> list[tuple[str, int]]:
    """Return the functions with more than `FUNCTION_LINES_MAX` lines, counted from `def` to the last line."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = [(node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions]
    return [(name, lines) for name, lines in lengths if lines > FUNCTION_LINES_MAX]


def public_names(node: ast.Module | ast.ClassDef, inherited: Set[str] = frozenset()) -> Iterator[tuple[str, bool]]:
    """Yield the public classes, functions and methods of a module, each with whether it has a docstring: its own, or
    that of the method that it overrides (`inherited`: documented methods, `Class.method`).
    """
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            bases = node.bases if isinstance(node, ast.ClassDef) else []
            overridden = any(f"{ast.unparse(base)}.{child.name}" in inherited for base in bases)
            yield child.name, overridden or ast.get_docstring(child) is not None
            if isinstance(child, ast.ClassDef):
                yield from ((f"{child.name}.{name}", documented) for name, documented in public_names(child, inherited))


def test_no_function_is_longer_than_50_lines() -> None:
    assert {path: long for path, text in sources().items() if (long := long_functions(text))} == {}


def test_no_file_is_longer_than_500_lines() -> None:
    lengths = {path: text.count("\n") for path, text in sources().items()}
    assert {path: lines for path, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


@pytest.mark.parametrize("package", PRODUCT)
def test_nearly_all_public_names_are_documented(package: str) -> None:
    modules = {path: ast.parse(text) for path, text in sources().items() if path.startswith(f"{package}/")}
    inherited = {name for tree in modules.values() for name, documented in public_names(tree) if documented}
    names = [(path, ast.get_docstring(tree) is not None) for path, tree in modules.items() if tree.body]
    names += [
        (f"{path}: {name}", documented)
        for path, tree in modules.items()
        for name, documented in public_names(tree, inherited)
    ]
    missing = [name for name, documented in names if not documented]
    assert len(missing) <= (1 - DOCUMENTED_MIN) * len(names), missing


def test_a_module_name_of_several_packages_has_one_meaning() -> None:
    names = Counter(Path(path).stem for path in sources() if path.startswith(PRODUCT))
    assert {name for name, number in names.items() if number > 1} == SHARED_NAMES.keys()


def test_a_long_function_and_a_missing_docstring_are_found() -> None:
    text = "class Shown:\n    def method(self):\n" + "        pass\n" * 50
    assert long_functions(text) == [("method", 51)]
    assert long_functions(text.removesuffix("        pass\n")) == []
    assert list(public_names(ast.parse(text))) == [("Shown", False), ("Shown.method", False)]
    of_base = public_names(ast.parse(text.replace("Shown", "Shown(Base)")), {"Base.method"})
    assert list(of_base) == [("Shown", False), ("Shown.method", True)]
