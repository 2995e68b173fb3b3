"""The tests themselves: none may stop all others, however they are started."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FOLLOWING: Final = "tests/acceptance/test_command_line.py::test_errors_can_be_followed_as_they_come"


def test_what_a_test_starts_can_be_interrupted_where_the_tests_themselves_were_started_in_the_background() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TIEOUT_"))}
    command = 'trap "" INT QUIT TERM; exec "$@"'
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=120", FOLLOWING)
    done = subprocess.run(["sh", "-c", command, "sh", *pytest_], cwd=ROOT, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_each_test_has_a_time_limit(pytestconfig: pytest.Config) -> None:
    assert 0 < float(pytestconfig.getini("timeout")) <= 600
