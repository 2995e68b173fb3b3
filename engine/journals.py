"""The way of a general journal from Finance to Dataverse: header, lines, confirm (R60, R61, R63).

Finance posts the cost of a journal at once; Dataverse must hear of it to bill it. What is to be done next follows from
what both systems hold, never from what was tried: a call whose answer was lost is not made again when its effect is
there. One counter belongs to the journal, whichever step fails (R43).

Sources: `domain/documents.md` §3, `domain/workspace.md` (error catalogue).
"""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

LINES_MAX: Final = 200
"""So many project lines a journal may have; Finance's own limit."""

ATTEMPTS_MAX: Final = 5
"""At this count the journal waits for a person."""

Amount = Literal["cost", "sales"]


class Line(msgspec.Struct, frozen=True):
    """A project line of a journal in Finance: its RecId, and whether its contract bills by time and material."""

    record: int
    time_and_material: bool


class Journal(msgspec.Struct, frozen=True):
    """A general journal in Finance, with its project lines."""

    number: str
    record: int
    posted: bool
    lines: tuple[Line, ...]


class Twin(msgspec.Struct, frozen=True):
    """A journal of Dataverse whose description is a batch number, and the amounts it holds by Finance's lines."""

    id: str
    lines: frozenset[tuple[int, Amount]] = frozenset()
    confirmed: bool = False


Step = Literal["nothing", "header", "lines", "confirm", "closed", "waits", "too-many-lines"]


class Next(msgspec.Struct, frozen=True):
    """What is to be done next, and for which amounts."""

    step: Step
    amounts: tuple[tuple[int, Amount], ...] = ()

    @property
    def calls(self) -> bool:
        """Whether it takes a call, and so an attempt."""
        return self.step in ("header", "lines", "confirm")


def amounts_of(journal: Journal) -> tuple[tuple[int, Amount], ...]:
    """The lines that Dataverse must have: for time and material a pair, also where sales are 0, else the cost alone."""
    return tuple(
        (line.record, amount)
        for line in journal.lines
        for amount in (("cost", "sales") if line.time_and_material else ("cost",))
    )


def twin_of(found: Iterable[Twin]) -> Twin | None:
    """Which of the journals of a batch number goes on: one that is confirmed, else the fullest, else the first."""
    return min(found, key=lambda twin: (not twin.confirmed, -len(twin.lines), twin.id), default=None)


def next_of(journal: Journal, twin: Twin | None, attempts: int) -> Next:
    """What follows for a journal after so many attempts that failed. Dataverse is asked before the counter: a journal
    that it confirmed meanwhile is closed without another attempt, also at the fifth.
    """
    if not journal.posted or not journal.lines:
        return Next("nothing")
    if twin is not None and twin.confirmed:
        return Next("closed")
    if len(journal.lines) > LINES_MAX:
        return Next("too-many-lines")
    if attempts >= ATTEMPTS_MAX:
        return Next("waits")
    if twin is None:
        return Next("header")
    missing = tuple(amount for amount in amounts_of(journal) if amount not in twin.lines)
    return Next("lines", missing) if missing else Next("confirm")


def failure(journal: Journal, step: Step, attempts: int, line: int | None = None) -> str:
    """What the log says of a step that failed, in the product's words; `attempts` counts this one. `line` is the RecId
    of a line that could not even be made, for its currency, project or contract line is missing in Dataverse.
    """
    count = f"Manual synch required at count {ATTEMPTS_MAX}. Count {attempts}."
    match step:
        case "header":
            return f"Failed to sync journal header {journal.number} to Dataverse. {count}"
        case "lines" if line is not None:
            return (
                f"Error encountered while creating journal line entity for journal line record {line}. "
                "Failed to retrieve data from Dataverse."
            )
        case "lines":
            return f"Failed to sync journal line to Dataverse. {count}"
        case "confirm":
            return f"Failed to confirm journal {journal.record} in Dataverse."
        case "too-many-lines":
            return f"A maximum of {LINES_MAX} project-based lines are supported"
        case _:
            raise ValueError(f"{step} is no step that fails")
