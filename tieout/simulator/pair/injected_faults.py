"""Faults of a system or of the connection to it: set by a test, or drawn from a seed."""

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
"""Faults of calls that took effect."""


@dataclass(frozen=True, slots=True)
class _Planned:
    fault: InjectedFault
    path: str


class InjectedFaults:
    """The faults of one pair. The share `rate` of the calls has one of `kinds`, drawn from the seed."""

    def __init__(self, seed: int = 1, rate: float = 0.0, kinds: Sequence[InjectedFault] = KINDS) -> None:
        self._chance = Random(seed)
        self.rate = rate
        self.kinds = kinds
        self._planned: deque[_Planned] = deque()

    def next(self, fault: InjectedFault, path: str = "", times: int = 1) -> None:
        """Plan a fault for the next `times` calls whose path contains `path`, in the order of planning."""
        self._planned.extend([_Planned(fault, path)] * times)

    def of(self, path: str) -> InjectedFault | None:
        """Return the fault of a call, None without one. A planned fault is consumed."""
        for planned in self._planned:
            if planned.path in path:
                self._planned.remove(planned)
                return planned.fault
        if self.rate and self._chance.random() < self.rate:
            return self._chance.choice(self.kinds)
        return None
