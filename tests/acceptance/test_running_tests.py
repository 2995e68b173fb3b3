"""The tests themselves: none may stop all others, however they are started, and a soak draws more."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FOLLOWING: Final = "tests/acceptance/test_errors_command.py::test_errors_can_be_followed_as_they_come"
PYTEST: Final = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=120")
PROPERTY: Final = "tests/unit/test_money.py::test_a_rate_keeps_its_value"


def run(command: Sequence[str], **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a command here, under these settings alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TIEOUT_"))}
    return subprocess.run(command, cwd=ROOT, env={**kept, **environ}, capture_output=True, text=True)


def test_what_a_test_starts_can_be_interrupted_where_the_tests_themselves_were_started_in_the_background() -> None:
    done = run(("sh", "-c", 'trap "" INT QUIT TERM; exec "$@"', "sh", *PYTEST, FOLLOWING))
    assert done.returncode == 0, done.stdout


def test_each_test_has_a_time_limit(pytestconfig: pytest.Config) -> None:
    assert 0 < float(pytestconfig.getini("timeout")) <= 600


def test_a_property_draws_so_many_times_its_usual_number() -> None:
    done = run((*PYTEST, PROPERTY, "--hypothesis-show-statistics"), TIEOUT_EXAMPLES="3")
    assert done.returncode == 0, done.stdout
    assert f"Stopped because settings.max_examples={3 * 100}" in done.stdout


@pytest.mark.parametrize(("environ", "times"), [({}, "1"), ({"TIEOUT_SOAK": "1"}, "100")])
def test_a_soak_draws_a_hundred_times_the_examples(environ: dict[str, str], times: str) -> None:
    done = run((sys.executable, "-c", "from tests.support.soak import TIMES; print(TIMES)"), **environ)
    assert done.stdout == f"{times}\n"


def test_a_property_with_a_number_of_its_own_draws_more_in_a_soak_too() -> None:
    fixed = [path for path in (ROOT / "tests").rglob("*.py") if re.search(r"max_examples=\d", path.read_text("utf-8"))]
    assert fixed == []


def test_make_soak_runs_every_property() -> None:
    told = subprocess.run(["make", "-n", "soak"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert '"-m hypothesis"' in told
    assert "TIEOUT_SOAK=1" in told
