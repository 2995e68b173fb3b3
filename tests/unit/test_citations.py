"""Every citation in the repository leads to a page, a section, a heading or a requirement that exists.

A citation is the path of a page (`*.md`) from the root, or outside of code from the folder of its file. After it, `§N`
is the section numbered N, and a quoted text behind a comma is a heading. In Python, comments, docstrings and messages
are read.
"""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tools.requirements_table import read_requirements

ROOT: Final = Path(__file__).resolve().parents[2]
SUFFIXES: Final = {".py", ".md", ".toml", ".yml", ".html", ".js", ".css", ".env", ""}
FOREIGN: Final = ROOT / "docs" / "domain"
"""Its pages also cite files of Microsoft's repositories, whose paths begin with no folder of this one."""

PAGE: Final = r"(?<![\w./:-])(?P<page>(?:\.\./)*(?:[\w-][\w.-]*/)*[\w-][\w.-]*\.md)\b"
CITATION: Final = re.compile(rf'{PAGE}(?:`?,\s"(?P<heading>[^"]+)")?|§(?P<section>\d+)|(?P<requirement>\bR\d+\b)')
LINK: Final = re.compile(r"\]\((?P<target>[^()\s]+)\)")


def repository() -> list[Path]:
    """The text files that git tracks, or would after `git add`, except this one: its samples lead nowhere."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    paths = [ROOT / name for name in names]
    return [path for path in paths if path.suffix in SUFFIXES and path.is_file() and path != Path(__file__).resolve()]


@cache
def headings(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    made: set[str] = set()
    for heading in headings(page):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        made.add(anchor if anchor not in made else f"{anchor}-1")
    return made


@cache
def requirements() -> frozenset[str]:
    return read_requirements().numbers


def passages(path: Path, text: str) -> Iterator[tuple[str, bool]]:
    """Yield what is read of a file, piece by piece, and whether it is prose.

    Prose may cite a page by its name alone and a requirement by its number. Other strings may be any file's name.
    """
    if path.suffix != ".py":
        text = re.sub(r"\[[^\]\n]*\](?=\([^()\s]+\))", "", text)  # of a link its target counts, not what it shows
        for part in re.split(r"\n\s*\n|\n(?=[|#-])" if path.suffix == ".md" else r"\n", text):
            yield part, True
        return
    comment: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comment.append(token.string.lstrip("# "))
        elif token.type != tokenize.NL:
            yield " ".join(comment), True
            comment.clear()
    tree = ast.parse(text)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, id(node) in docstrings


def page_at(path: Path, cited: str) -> Path | None:
    """The page that a file cites by a path from the root or, outside of code, from its own folder."""
    candidates = [ROOT / cited.replace("../", "")]
    if path.suffix != ".py":
        candidates.append(path.parent / cited)
    return next((candidate.resolve() for candidate in candidates if candidate.is_file()), None)


def broken(path: Path, text: str) -> list[str]:
    """The citations of a file that lead nowhere, each with what is missing."""
    problems = []
    for passage, prose in passages(path, text):
        page: Path | None = None
        for match in CITATION.finditer(passage):
            cited, heading = match["page"], match["heading"]
            if cited is not None:
                if not prose and "/" not in cited:
                    continue
                page = page_at(path, cited)
                if page is None:
                    if FOREIGN in path.parents and not ("/" in cited and (ROOT / cited.split("/")[0]).exists()):
                        continue
                    problems.append(f"{cited}: there is no such page")
                elif heading is not None and " ".join(heading.split()) not in headings(page):
                    problems.append(f'{cited}, "{heading}": the page has no such heading')
            elif match["section"] is not None:
                number = match["section"]
                if page is None:
                    problems.append(f"§{number}: no page is cited before it")
                elif not any(title.startswith(f"{number}. ") for title in headings(page)):
                    problems.append(f"{page.name} §{number}: the page has no such section")
            elif prose and "tests" not in path.parts and match["requirement"] not in requirements():
                problems.append(f"{match['requirement']}: there is no such requirement")
    if path.suffix == ".md":
        problems += broken_links(path, text)
    return problems


def broken_links(path: Path, text: str) -> Iterator[str]:
    for match in LINK.finditer(re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)):
        target, _, anchor = match["target"].partition("#")
        if "://" in target:
            continue
        page = (path.parent / target).resolve() if target else path
        if not page.exists():
            yield f"{match['target']}: there is no such file"
        elif anchor and anchor not in anchors(page):
            yield f"{match['target']}: the page has no such heading"


def test_every_citation_leads_somewhere() -> None:
    problems = {
        str(path.relative_to(ROOT)): found
        for path in repository()
        if (found := broken(path, path.read_text(encoding="utf-8")))
    }
    assert problems == {}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("engine/a.py", '"""As `docs/nowhere.md` says."""', "docs/nowhere.md: there is no such page"),
        ("engine/a.py", '"""As `nowhere.md` says."""', "nowhere.md: there is no such page"),
        ("engine/a.py", '"""As `domain/documents.md` says."""', "domain/documents.md: there is no such page"),
        ("engine/a.py", "# docs/domain/documents.md,\n# §9\n", "documents.md §9: the page has no such section"),
        ("engine/a.py", '"""The rule of §0."""', "§0: no page is cited before it"),
        ("engine/a.py", 'x = "Look at docs/nowhere.md."', "docs/nowhere.md: there is no such page"),
        ("engine/a.py", '"""`docs/topics.md`, "orders"."""', 'docs/topics.md, "orders": the page has no such heading'),
        ("engine/a.py", '"""Kept whole (R999)."""', "R999: there is no such requirement"),
        ("docs/a.toml", "R1 = 'as `design.md` says'", "design.md: there is no such page"),
        ("docs/a.md", "See [the topics](topics.md#orders).", "topics.md#orders: the page has no such heading"),
        ("docs/a.md", "See [the topics](nowhere.svg).", "nowhere.svg: there is no such file"),
        ("docs/domain/a.md", "| `docs/nowhere.md` |", "docs/nowhere.md: there is no such page"),
        ("docs/domain/a.md", "([events.md](events.md), §9)", "events.md §9: the page has no such section"),
    ],
)
def test_a_citation_that_leads_nowhere_is_found(name: str, text: str, problem: str) -> None:
    assert broken(ROOT / name, text) == [problem]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("engine/a.py", '"""As `docs/domain/documents.md` §0, §1 and §2 say (R12)."""'),
        ("engine/a.py", '"""`docs/topics.md`, "commands"."""'),
        ("engine/a.py", 'page("topics.md")'),
        ("docs/a.md", "[Commands](topics.md#commands), [site](https://example.org/a.md#b)"),
        ("docs/domain/a.md", "`environment/resource-dual-write-expense.md` [PO]"),
    ],
)
def test_a_citation_that_leads_somewhere_is_accepted(name: str, text: str) -> None:
    assert broken(ROOT / name, text) == []
