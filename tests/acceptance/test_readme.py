"""What README.md and docs/ show is what a reader gets: commands are run, examples decoded, tables compared."""

import ast
import fcntl
import html
import json
import os
import pty
import re
import sqlite3
import struct
import subprocess
import sys
import termios
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Final, NamedTuple

import httpx
import msgspec
import pytest

from engine.events.facts import Change, Heartbeat, iso
from streams.codec import decode
from streams.topics import TOPICS
from tests.support.story import decide
from tests.support.workspace import demonstrated
from tieout.bootstrap import load_maps
from tieout.maintenance.ingest import read_line
from tieout.settings import Settings, load

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGES: Final = ("engine", "streams", "handlers", "store", "tieout")
COLUMNS: Final = 100  # of the terminal that the tour was typed in


class Step(NamedTuple):
    """A command of a page, and the lines that the page shows of its output."""

    command: str
    shown: list[str]


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def steps(page: str) -> Iterator[Step]:
    """The commands of a page in their order."""
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.splitlines()
            yield Step(command, shown)


def in_terminal(script: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a script of bash as a person would, in a terminal; its exit code, and output followed by errors."""
    screen, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    process = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=end,
        stderr=subprocess.PIPE,
    )
    os.close(end)
    written: list[bytes] = []
    reader = Thread(target=lambda: written.extend(_read(screen)))
    reader.start()
    _, errors = process.communicate(timeout=120)
    reader.join()
    os.close(screen)
    output = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(written).decode()).replace("\r\n", "\n")
    return process.returncode, output + errors.decode()


def _read(screen: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(screen, 65_536)
        except OSError:  # Linux reports the closed other end by this error
            return
        if not data:
            return
        yield data


def not_found(shown: list[str], output: str) -> str | None:
    """Return the first expected line that is missing in the output after the previous ones. `…` matches anything."""
    actual = iter([" ".join(line.split()) for line in output.splitlines()])
    for line in shown:
        wanted = " ".join(line.split())
        if wanted in ("", "…"):
            continue
        pattern = ".*".join(re.escape(part.strip()) for part in wanted.split("…"))
        if not any(re.fullmatch(pattern, found) for found in actual):
            return line
    return None


# --- the tour --------------------------------------------------------------------------------------------------------


def test_the_tour_shows_what_a_reader_sees(tmp_path: Path) -> None:
    # COLUMNS would override the width of the terminal.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TIEOUT_", "COLUMNS"))}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TERM": "xterm", "NO_COLOR": "1"}
    (tmp_path / "events.jsonl").write_text("".join(blocks(README, "jsonl")), encoding="utf-8")
    code, said = in_terminal("tieout demo --no-serve", tmp_path, environment)
    assert code == 0, said
    exports: list[str] = []
    run = 0
    for step in steps(README):
        if step.command.startswith("export "):
            exports.append(step.command)
            continue
        code, output = in_terminal("\n".join([*exports, step.command]), tmp_path, environment)
        assert code == 0, f"{step.command}\n{output}"
        missing = not_found(step.shown, output)
        assert missing is None, f"README.md shows of `{step.command}`\n{missing}\nbut it says\n{output}"
        run += 1
    assert run >= 10


def test_the_numbers_of_the_tour_are_those_of_the_pages(tmp_path: Path) -> None:
    english = {"Accept-Language": "en-US"}
    tour = " ".join(README.partition("## Two minutes")[2].partition("```sh")[0].split())

    def told(path: str) -> str:
        text = html.unescape(re.sub(r"<[^>]*>", " ", httpx.get(served.address + path, headers=english).text))
        return " ".join(text.split())

    with demonstrated(tmp_path) as served:
        summary, grid, balance = (told(f"/USPM{path}") for path in ("", "/expense", "/balance"))
        before = told("/USPM?from=2024-01-18&to=2024-02-29")
        journals, operation = told("/USPM/general-journals"), told("/operation?company=USPM")
    assert "Expenses of 9,000.00 are unreconciled: 5,000.00 wait for journal lines, 4,000.00 for actuals." in tour
    for caption, amount in (("Expense missing journal lines", "5,000.00"), ("Expense missing actuals", "4,000.00")):
        assert f"{caption} {amount} USD" in summary
    assert "Unreconciled expense amount 9,000.00 USD" in summary
    assert "40 rows, and their sum is the tile's amount" in tour
    assert "Sum USD 40 4,000.00" in grid
    assert (
        "The expense account holds 9,207.50: the 9,000.00 above, 12.50 of difference between documents and actuals, "
        "and 195.00 of 2 documents dated before the first open period."
    ) in tour
    assert Decimal("9000.00") + Decimal("12.50") + Decimal("195.00") == Decimal("9207.50")
    assert re.search(r"Amount differences \? [^?]* 1 12\.50 0\.00 12\.50", balance)
    assert re.search(r"Documents before the window \? [^?]* 6 195\.00 ", balance)
    assert "Unreconciled expense amount 195.00 USD 2 documents" in before
    assert "Explained balance 9,207.50 " in balance
    assert "USPM-000101 needs attention after five attempts, because its project is missing in Dataverse." in tour
    assert re.search(r"USPM-000101 .* 5 of 5 .* The project 'P-001004-D' of the line is not in Dataverse", journals)
    assert "*Operation* counts 1 rejected event" in tour
    assert "Rejected events 1 invalid or unsupported" in operation


def test_a_line_that_is_not_said_is_noticed() -> None:
    output = "USPM   to the day\nid/0/2   2026-01-01   the reason\n"
    assert not_found(["USPM to the day", "…", "id/0/2  …  the reason"], output) is None
    assert not_found(["the reason"], output) == "the reason"
    assert not_found(["id/0/2 …", "USPM to the day"], output) == "USPM to the day"


def test_make_has_the_targets_that_the_readme_names() -> None:
    named = set(re.findall(r"make ([a-z]+)", "".join(blocks(README, "sh"))))
    assert named == {"demo", "test"}
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert named <= set(targets)


# --- examples and settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", blocks(README, "json"))
def test_an_example_event_is_understood(event: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
    done = subprocess.run(
        [sys.executable, "-m", "tieout", "decode", "-"],
        input=event.encode(),
        capture_output=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["event_id"] == json.loads(event)["id"]


def test_there_is_an_example_of_each_way_in() -> None:
    kinds = {json.loads(event)["type"] for event in blocks(README, "json")}
    assert kinds == {"tieout.row.changed", "tieout.source.complete", "tieout.process.message"}


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_a_setting_stands_in_the_table_with_its_default(name: str) -> None:
    row = re.search(rf"^\| `TIEOUT_{name.upper()}` \| (.+?) \| .+ \|$", README, re.MULTILINE)
    assert row is not None, f"README.md has no row for TIEOUT_{name.upper()}"
    default = getattr(Settings(), name)
    if default not in (None, ()):
        assert row[1] == f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_the_table_names_no_setting_that_is_not_there() -> None:
    known = {f"TIEOUT_{name.upper()}" for name in Settings.__struct_fields__} | {"TIEOUT_SETTINGS"}
    assert set(re.findall(r"^\| `(TIEOUT_\w+)`", README, re.MULTILINE)) == known


def test_the_settings_file_and_the_map_file_are_accepted(tmp_path: Path) -> None:
    files = {block.split("\n", 1)[0].removeprefix("# "): block for block in blocks(README, "toml")}
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    settings = load({}, tmp_path)
    assert settings.companies == ("USPM", "GBPM")
    own = msgspec.structs.replace(settings, maps=(str(tmp_path / "contoso.toml"),))
    project = load_maps(own).entities["msdyn_project"]
    assert "contoso_projectnumber" in project.columns
    assert load_maps(own).digest != load_maps(settings).digest


def test_the_page_of_the_maps_shows_what_is_accepted_and_said(tmp_path: Path) -> None:
    told = page("maps.md")
    (own,) = blocks(told, "toml")
    (tmp_path / "contoso.toml").write_text(own, encoding="utf-8")
    project = load_maps(Settings(maps=(str(tmp_path / "contoso.toml"),))).entities["msdyn_project"]
    assert "contoso_projectnumber" in project.columns
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
    for step in steps(told):
        words = [sys.executable, "-m", *step.command.split()]
        said = subprocess.run(words, check=True, capture_output=True, text=True, env=environment, cwd=tmp_path).stdout
        assert said.splitlines() == step.shown


def test_what_a_poller_is_told_to_send_is_understood(tmp_path: Path) -> None:
    told = page("connect-pollers.md")
    (line,) = blocks(told, "jsonl")
    (heartbeat,) = blocks(told, "json")
    record = read_line(line.encode(), "tieout")
    assert record is not None
    (row,) = decode(record.value, record.headers)
    assert isinstance(row, Change)
    assert (row.entity, row.id, iso(row.evidence.at)) == ("ProjCDSActualsImport", "5637151326", "2025-01-09T02:05:00Z")
    assert isinstance(decode(heartbeat.encode())[0], Heartbeat)


def test_the_exported_row_of_the_documentation_is_accepted() -> None:
    # The first is an error of dual-write.
    _, written = blocks(page("connect-finance.md"), "json")
    (row,) = decode(written.encode())
    assert isinstance(row, Change)
    assert (row.entity, row.id, row.company) == ("trvexptrans", "5637200123", "USPM")


@pytest.mark.parametrize("source", ["dataverse", "finance"])
def test_the_tables_to_connect_are_those_that_the_maps_read(source: str) -> None:
    told = page(f"connect-{source}.md")
    maps = load_maps(Settings())
    read = [entity for entity in maps.entities.values() if entity.source == source and entity.role.name != "later"]
    assert [entity.entity for entity in read if f"`{entity.entity}`" not in told] == []
    if source == "dataverse":
        columns = {column for entity in read for field in entity.fields for column in field.columns}
        roles = {"msdyn_transaction1", "msdyn_transaction2", "msdyn_origin", "msdyn_transaction"}
        named = {column for column in columns if f"`{column}`" in told}
        assert {column for column in columns - named if not column.startswith(tuple(roles))} == set()


# --- the other pages -------------------------------------------------------------------------------------------------


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


PAGES: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_links_to_what_is_there(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (path.parent / target).exists()]
    assert missing == []


def test_every_page_is_in_the_index() -> None:
    index = page("README.md")
    pages = [path for path in (ROOT / "docs").rglob("*.md") if path != ROOT / "docs" / "README.md"]
    assert [name for path in pages if (name := str(path.relative_to(ROOT / "docs"))) not in index] == []


def test_the_worked_example_is_decided_as_told() -> None:
    (table,) = blocks(page("how-it-decides.md"), "story")
    story = decide(table)
    assert story.status == "missing-actual: actual-not-synced-back"
    assert (story.parts, story.accounting_parts) == ("33.34 33.33 33.33 0.00", "36.13 36.11 36.11 0.00")
    for amount in ("33.34", "33.33", "36.13", "36.11"):
        assert amount in page("how-it-decides.md")


def test_every_topic_is_on_its_page_with_its_policy_and_retention() -> None:
    told = page("topics.md")
    for topic in TOPICS.values():
        kept = "as compaction leaves it" if topic.retention is None else f"{topic.retention.days} days"
        assert re.search(rf"^\| `{re.escape(topic.name)}` \|.*\| {topic.cleanup} \| {kept} \|", told, re.MULTILINE), (
            topic
        )


def test_the_queries_of_the_store_page_run_and_answer(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
    demo = [sys.executable, "-m", "tieout", "demo", "--no-serve", "--folder", str(tmp_path)]
    subprocess.run(demo, check=True, capture_output=True, env=environment, cwd=tmp_path)
    told = page("store.md")
    queries = blocks(told, "sql")
    assert len(queries) >= 3
    for query, shown in zip(queries, blocks(told, "text"), strict=True):
        connection = sqlite3.connect(tmp_path / "demo-store.sqlite")
        rows = ["|".join(map(str, row)) for row in connection.execute(query)]
        connection.close()
        assert [line for line in shown.splitlines() if line != "…" and line not in rows] == []


class Logged(NamedTuple):
    event: str
    level: str
    keys: set[str]


def logged() -> Iterator[Logged]:
    """Every call `log.LEVEL("event", key=…)` of the packages."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "log"
                    and node.func.attr in ("debug", "info", "warning", "error", "exception")
                    and node.args
                    and isinstance(node.args[0], ast.Constant)
                ):
                    yield Logged(str(node.args[0].value), node.func.attr, {word.arg or "" for word in node.keywords})


def test_what_is_logged_is_on_its_page() -> None:
    told = page("logging.md")
    found = list(logged())
    assert found
    for event, level, keys in found:
        row = re.search(rf"^\| `{event}` \| {level} \| (.*?) \|", told, re.MULTILINE)
        assert row is not None, f"docs/logging.md has no row for {event} at level {level}"
        assert set(re.findall(r"`(\w+)`", row[1])) == keys, event
    assert set(re.findall(r"^\| `(\w+)` \| (?:debug|info|warning|error) ", told, re.MULTILINE)) == {
        event for event, _, _ in found
    }


def test_the_package_says_what_the_readme_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["readme"] == "README.md"
