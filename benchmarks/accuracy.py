"""How often position, amounts and cause are right: made-up companies through the real worker, against the truth.

Each seed is another company with other identifiers, times and amounts, whose events come late, twice and out of order.
The true outcome of each document is written by the script that made its events, not by what decides here. Findings are
not compared, for the script does not state them.
"""

import json
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import SystemRandom
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from engine.calendar import Window
from store.grids import GridQuery
from store.queries import Snapshot
from store.summary import KINDS
from streams.app import run
from streams.log import NewRecord
from tieout import logging
from tieout.bootstrap import change_topics, open_log, open_projector, open_reader
from tieout.settings import Settings
from tieout.simulator import Event, Label, Simulation, simulate

RESULT: Final = Path(__file__).parent / "results" / "accuracy.md"
SEEDS: Final = 20

ALWAYS: Final = Window("0001-01-01", "9999-12-31")
_HEADERS: Final = (("content-type", b"application/cloudevents+json"),)
_AMOUNTS: Final = ("amount", "missing_actual", "missing_journal_line", "reconciled", "difference", "accounting")
_IDENTITY: Final = ("kind", "company", "date", "currency", "accounting_currency")

Rows = Mapping[str, dict[str, Any]]


class Accuracy(msgspec.Struct, frozen=True):
    """What one company came to."""

    seed: int
    events: int
    documents: int
    wrong: Counter[str]
    """By what is wrong: documents, or totals of the summary."""
    examples: list[str]


WHAT: Final = {
    "position": "positions",
    "amounts": "amounts",
    "cause": "causes",
    "excluded": "reasons of exclusion",
    "identity": "dates, currencies, companies",
    "missing": "documents not shown",
    "surplus": "documents that are none",
    "summary": "figures of the summary",
}


def main() -> int:
    """Measure each seed, print and keep the result; 1 when anything is wrong."""
    wanted = _arguments()
    logging.configure("warning")
    console = Console()
    found = []
    for seed in wanted.seed or _fresh(wanted.seeds):
        with console.status(f"seed {seed}"):
            found.append(measure(seed))
    console.print(_table(found))
    for example in [example for one in found for example in one.examples][:20]:
        console.print(example, markup=False)
    console.print("seeds: " + " ".join(str(one.seed) for one in found))
    if wanted.save:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(_markdown(found), encoding="utf-8")
    return 1 if any(one.wrong.total() for one in found) else 0


def measure(seed: int) -> Accuracy:
    """Play a company, let a worker process its events, and compare all that can be seen of it."""
    simulation = simulate("small", seed=seed)
    with tempfile.TemporaryDirectory(prefix="tieout-accuracy-") as folder:
        settings = _settings(Path(folder), simulation)
        _ingest(settings, simulation.events)
        with open_projector(settings) as (log, projector):
            run(log, projector, topics=change_topics(settings), until_caught_up=True)
        with open_reader(settings) as reader, reader.snapshot() as snapshot:
            faults = [*_documents(snapshot, simulation.labels), *_summary(snapshot, simulation)]
    wrong = Counter(what for what, _ in faults)
    examples = [f"seed {seed}: {sentence}" for _, sentence in faults]
    return Accuracy(seed, len(simulation.events), len(simulation.labels), wrong, examples)


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many fresh seeds to draw ({SEEDS})")
    parser.add_argument("--seed", type=int, action="append", help="this seed instead; may be given several times")
    parser.add_argument(
        "--no-save", dest="save", action="store_false", help="leave the result in the repository as it is"
    )
    return parser.parse_args()


def _fresh(number: int) -> list[int]:
    chance = SystemRandom()
    return [chance.randrange(1, 2**31) for _ in range(number)]


def _settings(folder: Path, simulation: Simulation) -> Settings:
    return Settings(
        broker=f"embedded:///{folder / 'log.sqlite'}",
        store=f"sqlite:///{folder / 'store.sqlite'}",
        today=simulation.today,
        companies=simulation.companies,
    )


def _ingest(settings: Settings, events: Sequence[Event]) -> None:
    with open_log(settings, write=True) as log:
        log.append([_record(event, settings.prefix) for event in events])


def _record(event: Event, prefix: str) -> NewRecord:
    value = json.dumps(event.value, separators=(",", ":")).encode()
    return NewRecord(f"{prefix}.{event.topic}", event.key.encode(), value, _HEADERS)


def _documents(snapshot: Snapshot, labels: Sequence[Label]) -> Iterator[tuple[str, str]]:
    """What is wrong with the grids: for each fault its kind and a sentence."""
    rows = {row["document"]: row for company in snapshot.companies() for row in _grid(snapshot, company)}
    truth: Rows = {label.document: label.as_row() for label in labels}
    for document in sorted(truth.keys() - rows.keys()):
        yield "missing", f"{document} is not shown"
    for document in sorted(rows.keys() - truth.keys()):
        yield "surplus", f"{document} is shown, as {rows[document]['position']}"
    for document in sorted(truth.keys() & rows.keys()):
        yield from _differences(document, rows[document], truth[document])


def _grid(snapshot: Snapshot, company: str) -> Iterator[dict[str, Any]]:
    for kind in KINDS:
        for row in snapshot.rows(GridQuery(company=company, kind=kind, window=ALWAYS)):
            yield row.as_json()


def _differences(document: str, row: dict[str, Any], true: dict[str, Any]) -> Iterator[tuple[str, str]]:
    groups = {"position": ("position",), "cause": ("cause",), "excluded": ("excluded",)}
    for what, names in {**groups, "amounts": _AMOUNTS, "identity": _IDENTITY}.items():
        differing = [name for name in names if row[name] != true[name]]
        if differing:
            yield what, "; ".join(f"{document}: {name} is {row[name]}, not {true[name]}" for name in differing)


def _summary(snapshot: Snapshot, simulation: Simulation) -> Iterator[tuple[str, str]]:
    company = snapshot.company(simulation.companies[0])
    shown = snapshot.summary(company, snapshot.window(company, None, None)).as_json()
    for name, true in simulation.summary.items():
        if shown[name] != true:
            yield "summary", f"the summary's {name} is {shown[name]}, not {true}"


def _table(found: Sequence[Accuracy]) -> Table:
    table = Table(title=f"Accuracy over {len(found)} made-up companies")
    table.add_column("what")
    table.add_column("number", justify="right")
    for what, number in _numbers(found):
        table.add_row(what, number)
    return table


def _numbers(found: Sequence[Accuracy]) -> Iterator[tuple[str, str]]:
    wrong = sum((one.wrong for one in found), Counter[str]())
    yield "events", f"{sum(one.events for one in found):,}"
    yield "documents", f"{sum(one.documents for one in found):,}"
    for what, name in WHAT.items():
        yield f"wrong: {name}", f"{wrong[what]:,}"


def _markdown(found: Sequence[Accuracy]) -> str:
    rows = [f"| {what} | {number} |" for what, number in _numbers(found)]
    seeds = " ".join(str(one.seed) for one in found)
    head = [_INTRODUCTION, "| what | number |", "| --- | ---: |"]
    return "\n".join([*head, *rows, "", f"Seeds: {seeds}.", ""])


_INTRODUCTION: Final = """\
# Accuracy

Measured by `make accuracy`: made-up companies, each from a fresh seed, whose events come late, twice and out of order.
The worker processes them, and every document and every figure of the summary is compared with the true outcome, which
the script of the simulation states by itself.
"""


if __name__ == "__main__":
    sys.exit(main())
