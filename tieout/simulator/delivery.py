"""Unreliable delivery from the two systems to the topics: late, duplicated and out of order, deterministic by seed."""

import heapq
from collections.abc import Iterable, Iterator
from random import Random
from typing import TypeVar

T = TypeVar("T")

LATE = 0.25
VERY_LATE = 0.03
TWICE = 0.12
WINDOW = 600
"""Maximum number of positions by which a late message falls back; a very late one may fall back to the end."""

FARTHEST = 20_000
"""Maximum number of positions by which a very late message falls back where the end is unknown."""


def unreliable(
    messages: Iterable[T], seed: int, *, late: float = LATE, twice: float = TWICE, lost: float = 0.0
) -> list[T]:
    """Deliver each message at least once: some are duplicated, many arrive late.

    With `lost` above zero that share of the messages never arrives.
    """
    chance = Random(seed)
    queue = list(messages)
    arrivals: list[tuple[float, int]] = []
    for turn in range(len(queue)):
        if chance.random() < lost:
            continue
        copies = 2 if chance.random() < twice else 1
        arrivals += [(turn + _delay(chance, late, len(queue) - turn), turn) for _ in range(copies)]
    return [queue[turn] for _, turn in sorted(arrivals)]


def disordered(messages: Iterable[T], seed: int) -> Iterator[T]:
    """Deliver a stream of any length like `unreliable`: bounded memory, no delay above `FARTHEST` positions."""
    chance = Random(seed)
    waiting: list[tuple[float, int, T]] = []
    copy = 0
    for turn, message in enumerate(messages):
        for _ in range(2 if chance.random() < TWICE else 1):
            copy += 1
            heapq.heappush(waiting, (turn + _delay(chance, LATE, FARTHEST), copy, message))
        while waiting[0][0] <= turn:
            yield heapq.heappop(waiting)[2]
            if not waiting:
                break
    while waiting:
        yield heapq.heappop(waiting)[2]


def _delay(chance: Random, late: float, remaining: int) -> float:
    draw = chance.random()
    if draw < late * VERY_LATE / LATE:
        return chance.uniform(0, remaining)
    if draw < late:
        return chance.uniform(0, WINDOW)
    return chance.uniform(0, 3)
