"""What goes wrong on the way to a system or in it: set by a test, or drawn from a seed."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

InjectedFault = Literal[
    "unavailable",  # 503, nothing happens
    "throttled",  # 429 with Retry-After, nothing happens
    "throttled-silently",  # 429 without Retry-After, nothing happens
    "timeout",  # no answer, nothing happens
    "refused",  # the connection is closed at once, nothing happens
    "lost",  # it happens, and the answer is lost
    "gateway",  # it happens, and a gateway answers 504
    "cut",  # it happens, and half of the answer comes
    "web-page",  # a proxy answers with a page for people, nothing happens
    "expired",  # the token is taken for expired: 401, nothing happens
    "slow",  # it happens, and takes its time
]
KINDS: tuple[InjectedFault, ...] = get_args(InjectedFault)

AFTER_THE_FACT: frozenset[InjectedFault] = frozenset(["lost", "gateway", "cut"])
"""Faults of calls that did take effect."""


@dataclass(frozen=True, slots=True)
class _Planned:
    fault: InjectedFault
    path: str


class InjectedFaults:
    """The faults of one pair. `rate` of the calls have one of `kinds`, drawn from the seed."""

    def __init__(self, seed: int = 1, rate: float = 0.0, kinds: Sequence[InjectedFault] = KINDS) -> None:
        self._chance = Random(seed)
        self.rate = rate
        self.kinds = kinds
        self._planned: deque[_Planned] = deque()

    def next(self, fault: InjectedFault, path: str = "", times: int = 1) -> None:
        """The next calls whose path contains `path` end so, in the order in which this is said."""
        self._planned.extend([_Planned(fault, path)] * times)

    def of(self, path: str) -> InjectedFault | None:
        """How a call ends; None when all is well. A planned fault is used up by it."""
        for planned in self._planned:
            if planned.path in path:
                self._planned.remove(planned)
                return planned.fault
        if self.rate and self._chance.random() < self.rate:
            return self._chance.choice(self.kinds)
        return None
