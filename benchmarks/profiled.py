"""CPU profile of applying batches, by function."""

import pstats
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from benchmarks.job import Job

SHOWN: Final = 40
_ROOT: Final = Path(__file__).resolve().parents[1]


def stats_of(job: Job) -> Path:
    """Where the profiler leaves its account."""
    return job.place / "apply.pstats"


def table(job: Job) -> Table:
    """The functions with the most time of their own."""
    table = Table(title="Profile of applying batches: time in the function itself, and with all it calls")
    for name in ("calls", "own s", "total s"):
        table.add_column(name, justify="right")
    table.add_column("function", overflow="fold")
    for calls, own_seconds, total, name in _functions(stats_of(job)):
        table.add_row(f"{calls:,}", f"{own_seconds:.2f}", f"{total:.2f}", name)
    return table


def _functions(path: Path) -> Iterator[tuple[int, float, float, str]]:
    stats: dict[tuple[str, int, str], Any] = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]
    largest = sorted(stats.items(), key=lambda item: -item[1][2])[:SHOWN]
    for (file, line, function), (_, calls, own_seconds, total, _) in largest:
        yield calls, own_seconds, total, f"{_shown(file)}:{line} {function}" if line else function


def _shown(file: str) -> str:
    path = Path(file)
    if path.is_relative_to(_ROOT) and "site-packages" not in file:
        return str(path.relative_to(_ROOT))
    return file.rpartition("site-packages/")[2] if "site-packages" in file else path.name
