"""Run as an unprivileged user to whom permissions apply, also where root runs the tests."""

import os
import subprocess
from functools import cache
from typing import Final

import pytest

# No passwd entry has this id. A user namespace gives it to a child without root, and takes the right to write
# everywhere from one that is root. Files of the user who runs the tests are its own.
NOBODY: Final = ("unshare", "--user", "--map-user=54321", "--map-group=54321")


@cache
def _answers() -> bool:
    try:
        return subprocess.run([*NOBODY, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def need_nobody() -> None:
    """Skip a test where there are no user namespaces, or fail it where installations are required to be tested."""
    if not _answers():
        unavailable("this system gives no user namespaces (unshare --user)")


def unavailable(reason: str) -> None:
    """Skip the test, or fail it with TIEOUT_REQUIRE_INSTALLATION=1."""
    if os.environ.get("TIEOUT_REQUIRE_INSTALLATION") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
