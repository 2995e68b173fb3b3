"""The way of a general journal from Finance to Dataverse: header, lines, confirm (R60, R61, R63).

Finance posts the cost of a journal at once; Dataverse must hear of it to bill it. What is to be done next follows from
what both systems hold, never from what was tried: a call whose answer was lost is not made again when its effect is
there. One counter belongs to the journal, whichever step fails (R43).

Sources: `docs/domain/documents.md` §3, `docs/domain/workspace.md`, "Error catalogue".
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

import msgspec

from engine.errorlog.known_messages import recognise
from engine.sync.actions import Action, Task
from engine.sync.attempts import ATTEMPTS_MAX

PROCESS: Final = "general-journal-sync"
"""Under this name the process reports to the error log."""

ACTION: Final[Action] = "journal"
"""Under this name attempts are counted."""

LINES_MAX: Final = 200
"""So many project lines a journal may have; Finance's own limit."""

Amount = Literal["cost", "sales"]


class JournalLine(msgspec.Struct, frozen=True):
    """A project line of a journal in Finance: its RecId, and whether its contract bills by time and material."""

    record: int
    time_and_material: bool


class Journal(msgspec.Struct, frozen=True):
    """A general journal in Finance, with its project lines. `shared`: another company has a journal of this number."""

    number: str
    record: int
    posted: bool
    lines: tuple[JournalLine, ...]
    shared: bool = False


class DataverseJournal(msgspec.Struct, frozen=True):
    """A journal of Dataverse whose description is a batch number, and the amounts it holds by Finance's lines.

    `foreign` of its lines were written by somebody else, so nobody knows which amounts they are; `ours` is one whose id
    we gave it.
    """

    id: str
    lines: frozenset[tuple[int, Amount]] = frozenset()
    confirmed: bool = False
    foreign: int = 0
    ours: bool = False


JournalStep = Literal["nothing", "header", "lines", "confirm", "closed", "waits", "too-many-lines", "foreign-lines"]


class NextStep(msgspec.Struct, frozen=True):
    """What is to be done next, and for which amounts."""

    step: JournalStep
    amounts: tuple[tuple[int, Amount], ...] = ()

    @property
    def calls(self) -> bool:
        """Whether there is something to write."""
        return self.step in ("header", "lines", "confirm")

    @property
    def over(self) -> bool:
        """Whether it needs no attempt: there is nothing to bring, or Dataverse has it all."""
        return self.step in ("nothing", "closed")


def amounts_of(journal: Journal) -> tuple[tuple[int, Amount], ...]:
    """The lines that Dataverse must have: for time and material a pair, also where sales are 0, else the cost alone."""
    return tuple(
        (line.record, amount)
        for line in journal.lines
        for amount in (("cost", "sales") if line.time_and_material else ("cost",))
    )


def matching_journal(journal: Journal, found: Iterable[DataverseJournal]) -> DataverseJournal | None:
    """Which of Dataverse's journals of the batch number goes on: one that is confirmed, else the fullest, else the
    first.

    Two companies may use a number, and a journal of Dataverse names no company: one that holds lines of others is not
    this journal's, nor an empty one that somebody else made while the number is shared.
    """
    own = {line.record for line in journal.lines}
    twins = [
        twin
        for twin in found
        if own.issuperset(record for record, _ in twin.lines)
        and (twin.lines or twin.foreign or twin.ours or not journal.shared)
    ]
    return min(twins, key=lambda twin: (not twin.confirmed, -len(twin.lines), twin.id), default=None)


def decide_next_step(journal: Journal, twin: DataverseJournal | None, attempts: int) -> NextStep:
    """What follows for a journal after so many attempts that failed. Dataverse is asked before the counter: a journal
    that it confirmed meanwhile is closed without another attempt, also at the fifth.
    """
    if not journal.posted or not journal.lines:
        return NextStep("nothing")
    # Whose journal it is that somebody else wrote, nobody knows while the number is shared.
    unknown = twin is not None and twin.foreign and not twin.lines and journal.shared
    if twin is not None and twin.confirmed and not unknown:
        return NextStep("closed")
    if attempts >= ATTEMPTS_MAX:
        return NextStep("waits")
    if len(journal.lines) > LINES_MAX:
        return NextStep("too-many-lines")
    if twin is None:
        return NextStep("header")
    if twin.foreign:
        # Our own lines beside them could bill an amount twice.
        return NextStep("foreign-lines")
    missing = tuple(amount for amount in amounts_of(journal) if amount not in twin.lines)
    return NextStep("lines", missing) if missing else NextStep("confirm")


# --- names -----------------------------------------------------------------------------------------------------------


def name_of(company: str, number: str) -> str:
    """What a journal is called among subjects: `USPM/USPM-000095`."""
    return f"{company}/{number}"


def task_of(company: str, number: str, posted: str | None = None) -> Task:
    """The wish that a journal be brought to Dataverse; `posted` is when Finance posted it, as it writes that."""
    name = name_of(company, number)
    parameters = {"journal": number} | ({"posted": posted} if posted else {})
    return Task(ACTION, name, company, parameters, (name,))


def line_key(record: int, amount: Amount) -> str:
    """By which a line of Dataverse says which amount of which line of Finance it is."""
    return f"{record}/{amount}"


def read_line_key(text: object) -> tuple[int, Amount] | None:
    """The RecId and the amount of a `line_key`; None for what is none."""
    record, _, amount = text.partition("/") if isinstance(text, str) else ("", "", "")
    for known in get_args(Amount):
        if amount == known and record.isascii() and record.isdigit():
            return int(record), known
    return None


_NUMBER = re.compile(r"(?=\D*\d)\S{1,20}")


def number_in(subject: str) -> str | None:
    """The batch number of a journal that an error is about; None where its process named none. A subject that was not
    named is the error's own text.
    """
    if _NUMBER.fullmatch(subject):
        return subject
    found = recognise(subject)
    return found.parameters["journal"] if found.code == "GJ_HEADER" else None


# --- what is logged --------------------------------------------------------------------------------------------------


def failure(journal: Journal, step: JournalStep, attempts: int, line: int | None = None) -> str:
    """What the log says of a step that failed, in the product's words; `attempts` counts this one. `line` is the RecId
    of a line that could not even be made, for its currency, project or contract line is missing in Dataverse.
    """
    count = f"Manual synch required at count {ATTEMPTS_MAX}. Count {attempts}."
    if line is not None:
        return (
            f"Error encountered while creating journal line entity for journal line record {line}. "
            "Failed to retrieve data from Dataverse."
        )
    match step:
        case "header":
            return f"Failed to sync journal header {journal.number} to Dataverse. {count}"
        case "lines" | "foreign-lines":
            return f"Failed to sync journal line to Dataverse. {count}"
        case "confirm":
            return f"Failed to confirm journal {journal.record} in Dataverse."
        case "too-many-lines":
            return f"A maximum of {LINES_MAX} project-based lines are supported"
        case _:
            raise ValueError(f"{step} is no step that fails")


STEP_OF: Final[Mapping[str, JournalStep]] = {
    "GJ_HEADER": "header",
    "GJ_LINE": "lines",
    "GJ_LINE_CREATE": "lines",
    "GJ_CONFIRM": "confirm",
}
"""The step that failed, by the code of what was logged."""
