"""The list of stories, and what is known of each: its name, where it is taken from, when it may be told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

StoryFunction = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """A story and when it may be told.

    `of` is the kind of document it befalls, both when empty; `brief` says that it is over within minutes, so that it
    may be told of the last days; `alone` that it concerns a whole invoice or needs a line to itself; `money` whether
    the line must be in the company's own currency or in another one. `weight` is how often it is told.
    """

    name: str
    taken_from: str
    play: StoryFunction
    weight: int
    document: Literal["", "expense", "invoice"] = ""
    same_day: bool = False
    exclusive: bool = False
    currency: Literal["", "own", "foreign"] = ""


FAULTS: list[Fault] = []


def fault(taken_from: str, weight: int, **when: Any) -> Callable[[StoryFunction], StoryFunction]:
    """Add a story to the repertoire under its function's name."""

    def add(play: StoryFunction) -> StoryFunction:
        FAULTS.append(Fault(play.__name__.replace("_", "-"), taken_from, play, weight, **when))
        return play

    return add
