"""Replay of a store of a million events after a correction of its maps, with a concurrent reader (R70).

The maps were wrong in a link, a choice and a column. The replayed store must equal one built under the correct maps
from the start, and a reader must see either state, never a mixture.
"""

import subprocess
import sys
import time
from itertools import zip_longest
from pathlib import Path
from typing import Final

import msgspec
from rich.table import Table

from benchmarks.figures import Checked, Noticed, Prepared, Product, Replayed, Timing, peak_mib
from benchmarks.job import Job
from benchmarks.page import Figure, keep, terminal
from benchmarks.phase import Phase
from benchmarks.report import Machine, machine
from benchmarks.workload import COMPANY
from store.proof.dump import dump
from store.queries.snapshot import Reader
from tests.support.mending import WRONG_MAP
from tieout import logging
from tieout.bootstrap import load_maps, open_store
from tieout.maintenance.replay import prepare_replay

TIMES_LIVE: Final = 1.5
READER_MS: Final = 100.0
BETWEEN_QUESTIONS: Final = 0.25
_ENDED: Final = "replay-ended"


class Result(msgspec.Struct, frozen=True):
    """All figures of a replay; `live` is the worker's rate over the same events."""

    documents: int
    events: int
    live: float
    replayed: Replayed
    noticed: Noticed
    machine: Machine


def run(job: Job, wrong: Job, phase: Phase) -> Result:
    """Build a store under the right maps and one under wrong ones, replay that one, and compare. Raises `ValueError`
    when it did not end where it must, or a reader saw something else.
    """
    (job.place / wrong.maps[0]).write_text(WRONG_MAP, encoding="utf-8")
    prepared, product = phase("prepare", Prepared, job), phase("product", Product, job)
    phase("product", Product, wrong)
    mended = msgspec.structs.replace(wrong, maps=())
    replayed = phase("replay", Replayed, mended)
    noticed = msgspec.json.decode((job.place / "reader.json").read_bytes(), type=Noticed)
    same = phase("same", Checked, msgspec.structs.replace(mended, other=job.settings.store))
    if same.faults:
        raise ValueError("the replay ended elsewhere than a new store:\n" + "\n".join(same.faults))
    if len(noticed.answers) != 2:
        raise ValueError(f"a reader saw {len(noticed.answers)} states: {noticed.answers}")
    return Result(job.documents, prepared.events, product.rate, replayed, noticed, machine())


def measure(job: Job) -> Replayed:
    """Replay the whole store, with a reader in a process of its own."""
    logging.configure(job.settings.log_level)
    (job.place / _ENDED).unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.phase", "reader", msgspec.json.encode(job).decode()]
    moments: dict[str, float] = {}
    events = 0

    def report(done: int, total: int) -> None:
        nonlocal events
        events = total
        if done == total:
            moments.setdefault("rebuilt", time.monotonic() - started)

    with subprocess.Popen(command) as reader:  # noqa: S603
        started = time.monotonic()
        with prepare_replay(job.settings, lambda company, date: True, report) as replay:
            moments["compared"] = time.monotonic() - started
            documents = replay.difference.documents
            replay.swap(lambda done, total: None)
            moments["in place"] = time.monotonic() - started
        time.sleep(2 * BETWEEN_QUESTIONS)
        (job.place / _ENDED).touch()
        if reader.wait():
            raise RuntimeError("the reader failed")
    return Replayed(events, moments["rebuilt"], moments["compared"], moments["in place"], documents, peak_mib())


def read(job: Job) -> Noticed:
    """Ask for the summary again and again until the replay has ended."""
    taken: list[float] = []
    answers: list[str] = []
    with open_store(job.settings, write=False) as engine:
        reader = Reader(engine, load_maps(job.settings), today=job.settings.today)
        while not (job.place / _ENDED).exists():
            started = time.perf_counter()
            with reader.snapshot() as snapshot:
                company = snapshot.company(COMPANY)
                summary = snapshot.summary(company, snapshot.window(company, None, None)).as_json()
            taken.append(time.perf_counter() - started)
            # The state alone: the time of asking is another each time.
            answer = msgspec.json.encode(summary["tiles"]).decode()
            if answers[-1:] != [answer]:
                answers.append(answer)
            time.sleep(BETWEEN_QUESTIONS)
    taken.sort()
    timing = Timing("summary", len(taken), 1000 * taken[len(taken) // 2], 1000 * taken[len(taken) * 99 // 100])
    return Noticed(timing, answers)


def compare(job: Job) -> Checked:
    """Return the differences between the replayed store and that of a worker with the correct maps."""
    other = msgspec.structs.replace(job, store=job.other)
    with open_store(job.settings, write=False) as one, open_store(other.settings, write=False) as right:
        lines = zip_longest(dump(one), dump(right))
        faults = [f"{mine} is not {true}" for mine, true in lines if mine != true]
    return Checked(faults[:10])


# --- the report ------------------------------------------------------------------------------------------------------


def _figures(one: Result) -> list[Figure]:
    replayed, timing = one.replayed, one.noticed.timing
    rebuilt, in_place = one.events / replayed.rebuilt, one.events / replayed.in_place
    return [
        Figure("live: events a second, start to caught up", "", f"{one.live:,.0f}"),
        Figure(
            "replay: events a second until the store is rebuilt",
            f"at least {TIMES_LIVE} times live",
            f"{rebuilt:,.0f}: {rebuilt / one.live:.2f} times",
            rebuilt >= TIMES_LIVE * one.live,
        ),
        Figure("… until it is in place", "", f"{in_place:,.0f}: {in_place / one.live:.2f} times"),
        Figure("seconds to compare", "", f"{replayed.compared - replayed.rebuilt:,.1f}"),
        Figure("seconds to put it in place", "", f"{replayed.in_place - replayed.compared:,.1f}"),
        Figure("documents that change", "", f"{replayed.documents:,}"),
        Figure("peak memory of the replay, MiB", "", f"{replayed.peak_mib:,.0f}"),
        Figure(
            f"a reader's summary meanwhile, ms (median / 99 % of {timing.calls:,})",
            f"under {READER_MS:g}",
            f"{timing.p50_ms:.1f} / {timing.p99_ms:.1f}",
            timing.p99_ms < READER_MS,
        ),
    ]


def table(one: Result) -> Table:
    """The report for a terminal."""
    return terminal(f"tieout, a replay of {one.events:,} events ({one.machine})", _figures(one))


def save(one: Result, on: str) -> Path:
    """Save the figures next to the code; `on` names the log and the store. Returns the page."""
    return keep(f"replay-{on}", f"replay-{on}", one, _INTRODUCTION.format(one=one), _figures(one))


_INTRODUCTION: Final = """\
# A replay of {one.events:,} events

Measured by `python -m benchmarks --replay` on {one.machine}. A store of {one.documents:,} documents was built under
maps with a wrong link, choice and column, then replayed under the correct ones and swapped in. It is identical,
line by line of the canonical dump, to a store built under the correct maps from the start. A reader requested the
summary throughout, and saw two states: the one before and the one after.

"""
