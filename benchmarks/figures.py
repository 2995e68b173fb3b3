"""Figures returned by each phase of a measurement."""

import resource
import sys

import msgspec

from benchmarks.workload import EVENTS_PER_DOCUMENT

SLICE = 50_000 * EVENTS_PER_DOCUMENT
"""Events over which the cost of one is averaged: fifty thousand documents' worth."""


class Prepared(msgspec.Struct, frozen=True):
    """The log that was written: its events, and the bytes of their bodies."""

    events: int
    bytes: int


class Mark(msgspec.Struct, frozen=True):
    """Number of events committed at a number of seconds after the start of the process."""

    events: int
    seconds: float


class Product(msgspec.Struct, frozen=True):
    """One worker, from the start of its process until nothing is left to read, evaluate or publish."""

    events: int
    seconds: float
    cpu_seconds: float
    peak_mib: float
    marks: list[Mark]
    """One for each batch."""

    @property
    def rate(self) -> float:
        """Events a second, the start of the process included."""
        return self.events / self.seconds

    @property
    def first_batch(self) -> float:
        """Seconds until the first batch was committed."""
        return self.marks[0].seconds

    def cost_at(self, documents: int) -> float | None:
        """Seconds an event, over the slice that ends at a number of documents; None when the run did not get there."""
        end = documents * EVENTS_PER_DOCUMENT
        if end < SLICE or self.events < end:
            return None
        return cost_between(self.marks, end - SLICE, end)

    def slices(self) -> list[float]:
        """Return events per second, slice by slice, without the incomplete last slice."""
        ends = range(SLICE, self.events + 1, SLICE)
        return [1 / cost_between(self.marks, end - SLICE, end) for end in ends]


class Rate(msgspec.Struct, frozen=True):
    """Events that were put away by something to compare with."""

    events: int
    seconds: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


class Latency(msgspec.Struct, frozen=True):
    """From the append of an event to its committed row, at a steady rate of events a second."""

    rate: int
    events: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


class Timing(msgspec.Struct, frozen=True):
    """Time of a query, over many calls."""

    question: str
    calls: int
    p50_ms: float
    p99_ms: float


class Replayed(msgspec.Struct, frozen=True):
    """A replay: seconds until the rebuild, the difference and the swap; changed documents; peak memory."""

    events: int
    rebuilt: float
    compared: float
    in_place: float
    documents: int
    peak_mib: float


class Noticed(msgspec.Struct, frozen=True):
    """Observations of a concurrent reader: query times, and every result in order."""

    timing: Timing
    answers: list[str]


class Checked(msgspec.Struct, frozen=True):
    """Differences from the expected result of the load; empty when there are none."""

    faults: list[str]


def cost_between(marks: list[Mark], start: int, end: int) -> float:
    """Seconds an event, from the batch that passed `start` to the one that passed `end`."""
    first = next(mark for mark in marks if mark.events >= start)
    last = next(mark for mark in marks if mark.events >= end)
    return (last.seconds - first.seconds) / (last.events - first.events)


def peak_mib() -> float:
    """The most memory this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def cpu_seconds() -> float:
    """Return the CPU time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
