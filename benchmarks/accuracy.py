"""Measures the accuracy of positions, amounts, reasons, causes and parts of the account against the labels.

Each seed is another group of companies (`tieout/simulator/large.py`), whose events are delivered in four ways. The
story that creates the events of a document states its true outcome, independently of the engine. Each difference is
listed with the story of its document.
"""

import sys
import tempfile
import threading
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import SystemRandom
from typing import Any, Final, Literal, get_args

import msgspec
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from engine import money
from engine.calendar import Company, Window
from engine.errors import QueryError
from engine.events.facts import time_order
from engine.reconciliation.documents import PART_NAMES
from engine.reconciliation.kinds import KINDS, TILES
from store.queries.account import TOGETHER
from store.queries.grid_query import GridQuery
from store.queries.snapshot import Snapshot
from store.schema import tables
from streams.faust_app import run
from tieout import logging
from tieout.bootstrap import change_topics, open_log, open_projector, open_reader, open_store
from tieout.maintenance.ingest import ingest
from tieout.settings import Settings
from tieout.simulator import Label, SimulatedEvent, ingest_lines
from tieout.simulator.delivery import disordered
from tieout.simulator.faults import FAULTS
from tieout.simulator.large import UNTIL, LargeCompany, in_order
from tieout.simulator.lost_events import DeliveryFailures
from tieout.simulator.payloads import NativePayloads, Payloads, PlainPayloads
from tieout.simulator.scenario import label_line

Delivery = Literal["in order", "disordered", "with mishaps", "falling silent"]
"""In order of time; late, twice and out of order; also with some events lost, truncated or damaged; also with a feed of
Dataverse that falls silent before the end (R21).

With mishaps the events have the native formats, otherwise the plain one. In order of time there are no heartbeats, so
that decisions use the existing events only.
"""

RESULT: Final = Path(__file__).parent / "results" / "accuracy.md"
DOCUMENTS: Final = 100_000
SEEDS: Final = 3
CAUSES_RIGHT: Final = 0.99
"""The share of causes that must be named right."""
MISSES_KEPT: Final = 1_000

ALWAYS: Final = Window("0001-01-01", "9999-12-31")
NARROW: Final = Window("2024-11-01", "2025-01-31")
"""A window with documents before and after it."""
_AMOUNTS: Final = ("amount", *PART_NAMES, "accounting")
_IDENTITY: Final = ("kind", "company", "date", "currency", "accounting_currency")
_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "position": ("position",),
    "amounts": _AMOUNTS,
    "excluded": ("excluded",),
    "cause": ("cause",),
    "findings": ("findings",),
    "account": ("booked", "cleared", "exchange_difference"),
    "identity": _IDENTITY,
}

WHAT: Final = {
    "position": "positions",
    "amounts": "amounts",
    "excluded": "reasons of exclusion",
    "cause": "causes",
    "findings": "findings of documents",
    "stray": "findings of rows that belong to no document",
    "identity": "dates, currencies, companies",
    "account": "booked and cleared amounts of documents",
    "parts": "parts of the accounts",
    "unexplained": "ledger balances with an unexplained difference",
    "missing": "documents not shown",
    "surplus": "documents that are none",
    "summary": "figures of the summaries",
    "grid": "tiles and parts that are not the sum of their rows",
}

Fault = tuple[str, str]
"""The kind of a fault, one of `WHAT`, and its description."""


class Accuracy(msgspec.Struct, frozen=True):
    """Result of one simulation in one delivery."""

    seed: int
    delivery: Delivery
    documents: int
    causes: int
    """Documents that have a cause."""
    events: int
    mishaps: int
    before: Counter[str]
    """By what is wrong while events are missing: documents, or figures. Empty without mishaps."""
    wrong: Counter[str]
    """The same at the end."""
    misses: list[str]
    seconds: float

    @property
    def passed(self) -> bool:
        """Nothing is wrong; but up to one cause of a hundred may be."""
        wrong_values = self.wrong.total() - self.wrong["cause"]
        return not wrong_values and self.wrong["cause"] <= (1 - CAUSES_RIGHT) * self.causes


def main() -> int:
    """Measure each seed in each delivery, print and save the result; return 1 when anything is wrong."""
    options = _arguments()
    logging.configure("error")
    console = Console()
    groups: list[Accuracy] = []
    for seed in options.seed or _fresh(options.seeds):
        for delivery in get_args(Delivery):
            with console.status(f"seed {seed}, {delivery}"):
                groups.append(measure(options.documents, seed, delivery))
            console.print(_line(groups[-1]), markup=False)
            # Saved after each group, because the whole run takes hours.
            if options.save:
                RESULT.parent.mkdir(exist_ok=True)
                RESULT.write_text(_markdown(groups), encoding="utf-8")
    console.print(_table(groups))
    for miss in [miss for one in groups for miss in one.misses][:20]:
        console.print(miss, markup=False)
    return 0 if all(one.passed for one in groups) else 1


def measure(documents: int, seed: int, delivery: Delivery) -> Accuracy:
    """Simulate a group of companies, let a worker process the events, and compare everything observable."""
    begun = time.monotonic()
    truth: dict[str, bytes] = {}
    causes = 0

    def record_label(label: Label) -> None:
        nonlocal causes
        truth[label.document] = label_line(label)
        causes += label.cause is not None

    heartbeats = delivery != "in order"
    play = LargeCompany(documents, seed, record_label, silent=delivery == "falling silent", heartbeats=heartbeats)
    payloads = NativePayloads() if delivery == "with mishaps" else PlainPayloads()
    mishaps = DeliveryFailures(seed, UNTIL, payloads)
    with tempfile.TemporaryDirectory(prefix="tieout-accuracy-") as folder:
        settings = Settings(
            broker=f"embedded:///{Path(folder) / 'log.sqlite'}",
            store=f"sqlite:///{Path(folder) / 'store.sqlite'}",
            today=play.today,
            companies=play.companies,
        )
        events = _process(settings, _delivered(play, delivery, mishaps, payloads, seed))
        before = Counter[str]()
        if delivery == "with mishaps":
            before = Counter(what for what, _ in _compared(settings, truth, play))
            events += _process(settings, mishaps.repairs)
        faults = list(_compared(settings, truth, play))
    return Accuracy(
        seed=seed,
        delivery=delivery,
        documents=len(truth),
        causes=causes,
        events=events,
        mishaps=mishaps.count,
        before=before,
        wrong=Counter(what for what, _ in faults),
        misses=[f"seed {seed}, {delivery}: {sentence}" for _, sentence in faults[:MISSES_KEPT]],
        seconds=time.monotonic() - begun,
    )


def _delivered(
    play: LargeCompany, delivery: Delivery, mishaps: DeliveryFailures, payloads: Payloads, seed: int
) -> Iterator[SimulatedEvent]:
    whole = ((day, payloads.story(story, story)) for day, story in play.stories())
    stories = mishaps.apply(play.stories()) if delivery == "with mishaps" else whole
    events = (event for _, _, event in in_order(stories))
    yield from events if delivery == "in order" else disordered(events, seed)
    yield from play.heartbeats()


def _process(settings: Settings, events: Iterable[SimulatedEvent]) -> int:
    """Ingest events and run a worker until it has caught up; return the number of events."""
    refused: list[str] = []
    with open_log(settings, write=True) as log:
        lines = enumerate(ingest_lines(events), 1)
        done = ingest(log, lines, prefix=settings.prefix, refuse=lambda number, reason: refused.append(reason))
    assert not refused, refused[0]
    stopped = threading.Event()
    with open_projector(settings) as (log, projector):
        run(log, projector, topics=change_topics(settings), until_caught_up=True, stop=stopped)
    if stopped.is_set():
        # What was not processed would be counted as wrong.
        raise KeyboardInterrupt
    return done.events


# --- the comparison --------------------------------------------------------------------------------------------------


def _compared(settings: Settings, truth: dict[str, bytes], play: LargeCompany) -> Iterator[Fault]:
    with open_reader(settings) as reader, reader.snapshot() as snapshot:
        yield from _documents(snapshot, truth)
        for code, expected in play.summaries().items():
            try:
                company = snapshot.company(code)
                window = snapshot.window(company, None, None)
            except QueryError as error:
                yield "summary", str(error)
                continue
            summary = snapshot.summary(company, window).as_json()
            for name, true in expected.items():
                if summary[name] != true:
                    yield "summary", f"the summary of {code} says {name} {summary[name]}, not {true}"
            yield from _tiles(snapshot, code, window, summary)
            for chosen in (window, ALWAYS, NARROW):
                yield from _parts(snapshot, company, chosen, play)
            yield from _part_rows(snapshot, company, window)
    yield from _strays(settings, play)


def _documents(snapshot: Snapshot, truth: dict[str, bytes]) -> Iterator[Fault]:
    """Yield the faults of the grids."""
    missing = dict(truth)
    for row in _rows(snapshot):
        name = row["document"]
        label = missing.pop(name, None)
        if label is None:
            yield "surplus", f"{name} is shown, as {row['position']}"
        else:
            yield from _differences(row, msgspec.json.decode(label))
    for name, label in missing.items():
        yield "missing", f"{name} is not shown ({msgspec.json.decode(label)['fault']})"


def _rows(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    for company in snapshot.companies():
        for kind in KINDS:
            for row in snapshot.rows(GridQuery(company=company, kind=kind, window=ALWAYS, limit=1_000)):
                yield row.as_json()


def _differences(row: dict[str, Any], true: dict[str, Any]) -> Iterator[Fault]:
    for what, names in _GROUPS.items():
        differing = [f"{name} is {row[name]}, not {true[name]}" for name in names if row[name] != true[name]]
        if differing:
            yield what, f"{true['document']} ({true['fault']}): {'; '.join(differing)}"


def _tiles(snapshot: Snapshot, company: str, window: Window, summary: dict[str, Any]) -> Iterator[Fault]:
    """Each tile is the sum of its part over the rows of its view, added up row by row."""
    for tile in TILES:
        query = GridQuery(company=company, kind=tile.kind, window=window, view=tile.view, limit=1_000)
        amount = documents = 0
        for row in snapshot.rows(query):
            documents += 1
            parts = row.document.accounting
            amount += getattr(parts, tile.part) if parts is not None and row.document.amounts is not None else 0
        added = {"amount": money.text(amount, summary["currency"]), "documents": documents}
        if summary["tiles"][tile.name] != added:
            amount_of_tile = summary["tiles"][tile.name]
            yield "grid", f"{company}: the tile {tile.name} says {amount_of_tile}, its grid adds up to {added}"


def _parts(snapshot: Snapshot, company: Company, window: Window, play: LargeCompany) -> Iterator[Fault]:
    """Each part of each account has the labelled amount and count; together they explain the ledger."""
    account, days = play.accounts()[company.code], (date.fromisoformat(window.start), date.fromisoformat(window.end))
    shown = snapshot.account_parts(company, window)
    for kind in (*KINDS, None):
        actual = {
            name: (money.text(part.amount, shown.currency), part.count)
            for name, part in shown.accounts[kind or TOGETHER].parts.items()
            if part.amount or part.count
        }
        expected = account.parts(kind, days)
        for name in sorted({*actual, *expected}):
            if actual.get(name) != expected.get(name):
                label = f"{company.code} {kind or 'together'} {window.start} to {window.end}"
                yield "parts", f"{label}: {name} is {actual.get(name)}, not {expected.get(name)}"
    explained, ledger = money.text(shown.accounts[TOGETHER].explained, shown.currency), f"{account.ledger:f}"
    if Decimal(explained) != Decimal(ledger):
        yield "unexplained", f"{company.code}: the ledger has {ledger}, {explained} are explained"


def _part_rows(snapshot: Snapshot, company: Company, window: Window) -> Iterator[Fault]:
    """Each part is the sum of its rows, added up row by row."""
    for name, part in snapshot.account_parts(company, window).accounts[TOGETHER].parts.items():
        amount = rows = 0
        for row in snapshot.part_rows(company, window, name):
            rows += 1
            amount += row.amount or 0
        if (amount, rows) != (part.amount, part.count):
            yield "grid", f"{company.code}: {name} says {part.amount} of {part.count}, its rows {amount} of {rows}"


def _strays(settings: Settings, play: LargeCompany) -> Iterator[Fault]:
    """Yield missing and unexpected findings about rows that belong to no document."""
    table = tables.findings
    with open_store(settings, write=False) as store, store.connect() as connection:
        bodies = connection.execute(select(table.c.body).where(table.c.document.is_(None))).scalars()
        actual = Counter((body[0], body[1].partition(":")[2].lower()) for body in map(msgspec.msgpack.decode, bodies))
    expected = Counter((code, _subject(entity, row)) for code, entity, row in play.outcomes.row_findings)
    for code, subject in (actual - expected).elements():
        yield "stray", f"{subject} has the unexpected finding {code}"
    for code, subject in (expected - actual).elements():
        yield "stray", f"{subject} has no finding {code}"


def _subject(entity: str, row: str) -> str:
    """A row as findings name it."""
    return f"{entity}:{time_order(row)}".lower()


# --- the report ------------------------------------------------------------------------------------------------------


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--documents", type=int, default=DOCUMENTS, help=f"documents of each play ({DOCUMENTS:,})")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many fresh seeds to draw ({SEEDS})")
    parser.add_argument("--seed", type=int, action="append", help="this seed instead; may be given several times")
    parser.add_argument(
        "--no-save", dest="save", action="store_false", help="leave the result in the repository as it is"
    )
    return parser.parse_args()


def _fresh(number: int) -> list[int]:
    chance = SystemRandom()
    return [chance.randrange(1, 2**31) for _ in range(number)]


def _line(one: Accuracy) -> str:
    return (
        f"seed {one.seed}, {one.delivery}: {one.documents:,} documents, {one.events:,} events, "
        f"{one.wrong.total()} wrong, {one.seconds:.0f} s"
    )


def _table(groups: Sequence[Accuracy]) -> Table:
    table = Table(title="Accuracy")
    table.add_column("what")
    for delivery in get_args(Delivery):
        table.add_column(delivery, justify="right")
    for name, numbers in _numbers(groups):
        table.add_row(name, *numbers)
    return table


def _numbers(groups: Sequence[Accuracy]) -> Iterator[tuple[str, list[str]]]:
    by_delivery = [[one for one in groups if one.delivery == delivery] for delivery in get_args(Delivery)]

    def row(name: str, number: Callable[[Accuracy], int]) -> tuple[str, list[str]]:
        return name, [f"{sum(map(number, group)):,}" for group in by_delivery]

    yield row("events", lambda one: one.events)
    yield row("lost, cut or damaged", lambda one: one.mishaps)
    yield row("documents", lambda one: one.documents)
    yield row("wrong while events are missing", lambda one: one.before.total())
    yield row("documents with a cause", lambda one: one.causes)
    for what, name in WHAT.items():
        yield row(f"wrong: {name}", lambda one, what=what: one.wrong[what])  # type: ignore[misc]


def _markdown(groups: Sequence[Accuracy]) -> str:
    deliveries = get_args(Delivery)
    rows = [f"| {name} | {' | '.join(numbers)} |" for name, numbers in _numbers(groups)]
    misses = [f"- {miss}" for one in groups for miss in one.misses]
    seeds = dict.fromkeys(str(one.seed) for one in groups)
    return "\n".join(
        [
            _INTRODUCTION.format(stories=len(FAULTS)),
            f"| what | {' | '.join(deliveries)} |",
            f"| --- |{' ---: |' * len(deliveries)}",
            *rows,
            "",
            f"Seeds: {' '.join(seeds)}.",
            "",
            "## Misses",
            "",
            *(misses or ["None."]),
            "",
        ]
    )


_INTRODUCTION: Final = """\
# Accuracy

Measured by `make accuracy`: groups of simulated companies, each from a new seed, generated from {stories} kinds of
stories ([docs/simulator.md](../../docs/simulator.md)). The worker processes their events. Every document, every
finding and every figure of each company's summary is compared with the true outcome, which the story states itself. So
are what each document booked and cleared, and amount and count of each part of each account, in three windows. The
ledger of a company is what its documents booked less what its integration journal posted; it must be explained to the
smallest unit.

The events are delivered in four ways: in order; late, repeated and out of order; disordered, with some events lost,
truncated or damaged, whose rows are sent again at the end; disordered, with a feed from Dataverse that falls
silent. In the third way events have the payloads of the systems, otherwise they are CloudEvents.
"""


if __name__ == "__main__":
    sys.exit(main())
