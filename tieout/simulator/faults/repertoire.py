"""The list of stories, and what is known of each: its name, where it is taken from, when it may be told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Story = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """A story and when it may be told.

    `of` is the kind of document it befalls, both when empty; `brief` says that it is over within minutes, so that it
    may be told of the last days; `alone` that it concerns a whole invoice or needs a line to itself; `money` whether
    the line must be in the company's own currency or in another one. `weight` is how often it is told.
    """

    name: str
    taken_from: str
    tell: Story
    weight: int
    of: Literal["", "expense", "invoice"] = ""
    brief: bool = False
    alone: bool = False
    money: Literal["", "own", "foreign"] = ""


FAULTS: list[Fault] = []


def fault(taken_from: str, weight: int, **when: Any) -> Callable[[Story], Story]:
    """Add a story to the repertoire under its function's name."""

    def add(tell: Story) -> Story:
        FAULTS.append(Fault(tell.__name__.replace("_", "-"), taken_from, tell, weight, **when))
        return tell

    return add
