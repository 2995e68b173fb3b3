"""`tieout demo`: the documented numbers, the commands that it suggests, and the data that it removes."""

import re
import shlex
from pathlib import Path

import pytest

from streams.embedded.log import EmbeddedLog
from tests.support.commandline import Outcome, Tieout, error_text, run_process


@pytest.mark.requirement("R31", "R32", "R80")
def test_the_demonstration_shows_the_documented_numbers(demo: tuple[Outcome, dict[str, str]]) -> None:
    outcome, _ = demo
    assert outcome.code == 0, outcome.err
    said = re.sub(r" +", " ", outcome.out)
    assert "Business date: 2025-01-08 (simulated)" in said
    for line in (
        "Unreconciled expense amount 9,000.00 49 documents",
        "Unreconciled vendor invoice amount 28,000.00 9 documents",
        "Vendor invoice missing journal lines 23,000.00 8 documents",
        "Vendor invoice missing actuals 5,000.00 1 document",
        "Expense missing journal lines 5,000.00 9 documents",
        "Expense missing actuals 4,000.00 40 documents",
    ):
        assert line in said


@pytest.mark.requirement("R80")
def test_the_commands_that_the_demonstration_names_work_with_the_environment_it_names(
    demo: tuple[Outcome, dict[str, str]],
) -> None:
    outcome, environment = demo
    commands = [shlex.split(line)[1:] for line in outcome.out.splitlines() if line.startswith("  tieout ")]
    assert len(commands) >= 4
    for command in commands:
        answer = run_process(*command, environment=environment)
        assert answer.code == 0, answer.err
        assert answer.out


@pytest.mark.requirement("R80")
def test_a_demonstration_starts_afresh_and_leaves_other_files_alone(tieout: Tieout, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "log.sqlite").write_text("mine")
    first = tieout("demo", "--no-serve", "--folder", "here")
    again = tieout("demo", "--no-serve", "--folder", "here", "--seed", "5")
    assert (first.code, again.code) == (0, 0)
    assert "9,000.00   49 documents" in again.out
    assert (tmp_path / "here" / "log.sqlite").read_text() == "mine"


@pytest.mark.requirement("R80")
def test_the_demonstration_plays_the_large_company_too(tieout: Tieout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tieout.simulator.large.DOCUMENTS", 150)
    shown = tieout("demo", "--company", "large", "--no-serve", "--folder", "here")
    assert shown.code == 0
    assert "Business date: 2025-06-30 (simulated)" in shown.out
    assert "USPM · 2024-03-01 to 2025-06-30 · USD" in shown.out


def test_a_demonstration_never_removes_the_data_of_one_that_is_running(tieout: Tieout, tmp_path: Path) -> None:
    log = EmbeddedLog.open(tmp_path / "demo-log.sqlite", "write")
    try:
        assert "Another process" in error_text(tieout("demo", "--folder", "."))
        assert (tmp_path / "demo-log.sqlite").exists()
    finally:
        log.close()
