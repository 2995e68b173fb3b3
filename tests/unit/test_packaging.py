"""Our packages have common names; another distribution with a `store` of its own would silently take its place."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["engine", "streams", "handlers", "store", "tieout"])
def test_no_other_distribution_shadows_our_packages(name: str, tmp_path: Path) -> None:
    # In another folder, because the checkout would come first on the path and hide the problem.
    code = f"import {name}; print({name}.__file__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).is_relative_to(ROOT)
