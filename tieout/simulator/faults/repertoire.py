"""Registry of the stories: name, source, and the conditions under which each may occur."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

StoryFunction = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """A story and its conditions.

    `document` is the document kind it applies to, both when empty. `same_day` stories end within minutes, so that they
    may occur on the last days. `exclusive` ones concern a whole invoice or need an invoice of one line. `currency`
    requires the company's own currency or a foreign one. `weight` is the relative frequency.
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
    """Register a story under its function's name."""

    def add(play: StoryFunction) -> StoryFunction:
        FAULTS.append(Fault(play.__name__.replace("_", "-"), taken_from, play, weight, **when))
        return play

    return add
