"""The reported cases of `tests/cases` (its README.md says what each expects), run by their own runner."""

import json
import sys
import tomllib
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from tests.support.commandline import typist

CASES: Final = Path(__file__).parents[1] / "cases"
PAYLOADS: Final = CASES / "payloads"
TIEOUT: Final = Path(sys.executable).parent / "tieout"

Expected = dict[str, Any]


def cases() -> list[Any]:
    expected = tomllib.loads((CASES / "expected.toml").read_text(encoding="utf-8"))
    return [pytest.param(name, one, id=name) for name, one in expected.items()]


def payloads() -> list[Any]:
    expected = map(json.loads, (PAYLOADS / "expected.jsonl").read_text(encoding="utf-8").splitlines())
    return [pytest.param(one["file"], one, id=one["file"]) for one in expected]


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = spec_from_loader("case_runner", SourceFileLoader("case_runner", str(CASES / "run")))
    assert spec is not None
    module = module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def program(runner: ModuleType) -> Iterator[Any]:
    """The console script, in forks of one interpreter."""
    program = runner.Program(str(TIEOUT))
    yield program
    program.close()


def test_every_case_has_its_events_and_its_expectations() -> None:
    told = set(tomllib.loads((CASES / "expected.toml").read_text(encoding="utf-8")))
    assert told == {path.stem for path in CASES.glob("[0-9]*.jsonl")} - {"00-company"}


@pytest.mark.requirement("R14", "R15", "R16", "R18", "R31", "R37")
@pytest.mark.parametrize(("name", "expected"), cases())
def test_a_reported_case_is_what_a_controller_expects(
    runner: ModuleType, program: Any, name: str, expected: Expected
) -> None:
    assert runner.case(program, CASES, name, expected) == []


@pytest.mark.requirement("R2", "R3", "R4")
@pytest.mark.parametrize(("name", "expected"), payloads())
def test_a_reported_payload_is_read(runner: ModuleType, program: Any, name: str, expected: Expected) -> None:
    assert runner.payload(program, PAYLOADS, name, expected) == []


@pytest.mark.requirement("R22")
def test_of_two_staging_rows_that_say_posted_the_one_with_the_line_names_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "TIEOUT_BROKER": f"embedded:///{tmp_path}/log.sqlite",
        "TIEOUT_STORE": f"sqlite:///{tmp_path}/store.sqlite",
        "TIEOUT_TODAY": "2025-01-08",
    }
    tieout = typist(tmp_path, settings, monkeypatch, capfd)
    assert tieout("ingest", str(CASES / "engine-and-model-disagree.jsonl")).code == 0
    assert tieout("run", "--role", "project", "--until-caught-up").code == 0
    asked = ("documents", "--kind", "expense", "--view", "all", "--company", "USPM", "--from", "2000-01-01", "--json")
    (document,) = tieout(*asked).lines
    assert (document["position"], document["journal_voucher"]) == ("reconciled", "PJ-1")
