"""An unreliable way from the two systems to the topics: late, twice and out of order, alike for the same seed."""

from collections.abc import Iterable
from random import Random
from typing import TypeVar

T = TypeVar("T")

LATE = 0.25
VERY_LATE = 0.03
TWICE = 0.12
WINDOW = 600
"""How many places a late message falls back at most; a very late one may fall back to the end."""


def unreliable(
    messages: Iterable[T], seed: int, *, late: float = LATE, twice: float = TWICE, lost: float = 0.0
) -> list[T]:
    """Deliver each message at least once, some of them twice, and many of them long after their turn.

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


def _delay(chance: Random, late: float, remaining: int) -> float:
    draw = chance.random()
    if draw < late * VERY_LATE / LATE:
        return chance.uniform(0, remaining)
    if draw < late:
        return chance.uniform(0, WINDOW)
    return chance.uniform(0, 3)
