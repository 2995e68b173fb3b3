"""Figures as a table: on a terminal, and on a Markdown page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.table import Table

from benchmarks.figures import Timing
from benchmarks.report import bound_of

RESULTS: Final = Path(__file__).parent / "results"


class Figure(msgspec.Struct, frozen=True):
    """A line of a report: quantity, target, value; `met` is None without a target."""

    name: str
    target: str
    value: str
    met: bool | None = None


def question(timing: Timing) -> Figure:
    """Return the figure of a query time."""
    bound = bound_of(timing.question)
    return Figure(
        f"{timing.question}, ms (median / 99 %)",
        "" if bound is None else f"under {bound:g}",
        f"{timing.p50_ms:.1f} / {timing.p99_ms:.1f}",
        None if bound is None else timing.p99_ms < bound,
    )


def terminal(title: str, figures: Sequence[Figure]) -> Table:
    """The report for a terminal."""
    table = Table(title=title)
    for name in ("figure", "target", "measured"):
        table.add_column(name)
    for one in figures:
        table.add_row(
            one.name, one.target, one.value + {None: "", True: " [green]met[/]", False: " [red]missed[/]"}[one.met]
        )
    return table


def keep(page: str, name: str, result: object, introduction: str, figures: Sequence[Figure]) -> Path:
    """Save the report on a page and the results under a name; return the page."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    rows = [
        f"| {one.name} | {one.target} | {one.value}{ {None: '', True: ' met', False: ' **missed**'}[one.met] } |"
        for one in figures
    ]
    path = RESULTS / f"{page}.md"
    lines = [introduction + "| figure | target | measured |", "| --- | --- | ---: |", *rows, ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
