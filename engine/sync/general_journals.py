"""The steps of a general journal from Finance to Dataverse: header, lines, confirm (R60, R61, R63).

Finance posts the cost of a journal immediately; Dataverse needs it for billing. The next step is a function of the
state of both systems, never of earlier calls: a call whose response was lost is not repeated if its effect exists.
There is one counter for a journal, whichever step fails (R43).

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
"""The process name of its messages in the error log."""

ACTION: Final[Action] = "journal"
"""The action name of its attempt counter."""

LINES_MAX: Final = 200
"""The maximum number of project lines of a journal, a limit of Finance."""

Amount = Literal["cost", "sales"]


class JournalLine(msgspec.Struct, frozen=True):
    """A project line of a journal in Finance: its RecId, and whether its contract line bills time and material."""

    record: int
    time_and_material: bool


class Journal(msgspec.Struct, frozen=True):
    """A general journal in Finance with its project lines. `shared`: another company has a journal with the same
    number.
    """

    number: str
    record: int
    posted: bool
    lines: tuple[JournalLine, ...]
    shared: bool = False


class DataverseJournal(msgspec.Struct, frozen=True):
    """A journal in Dataverse whose description is the batch number, with the amounts that it holds by Finance line.

    `foreign` is the number of lines written by another client, whose amounts are therefore unknown. `ours`: the product
    assigned its id.
    """

    id: str
    lines: frozenset[tuple[int, Amount]] = frozenset()
    confirmed: bool = False
    foreign: int = 0
    ours: bool = False


JournalStep = Literal["nothing", "header", "lines", "confirm", "closed", "waits", "too-many-lines", "foreign-lines"]


class NextStep(msgspec.Struct, frozen=True):
    """The next step, and the amounts to write."""

    step: JournalStep
    amounts: tuple[tuple[int, Amount], ...] = ()

    @property
    def over(self) -> bool:
        """Return True if no attempt is needed: there is nothing to sync, or Dataverse has it all."""
        return self.step in ("nothing", "closed")


def amounts_of(journal: Journal) -> tuple[tuple[int, Amount], ...]:
    """Return the lines that Dataverse must have.

    Time and material needs a pair of cost and sales, even if sales are 0; any other line needs the cost alone.
    """
    return tuple(
        (line.record, amount)
        for line in journal.lines
        for amount in (("cost", "sales") if line.time_and_material else ("cost",))
    )


def matching_journal(journal: Journal, candidates: Iterable[DataverseJournal]) -> DataverseJournal | None:
    """Return the journal in Dataverse to continue: a confirmed one, otherwise the one with the most lines, otherwise
    the first.

    Two companies may share a number, and a journal in Dataverse has no company. A journal with lines of other journals
    does not match, nor does an empty journal of another client while the number is shared.
    """
    own = {line.record for line in journal.lines}
    twins = [
        twin
        for twin in candidates
        if own.issuperset(record for record, _ in twin.lines)
        and (twin.lines or twin.foreign or twin.ours or not journal.shared)
    ]
    return min(twins, key=lambda twin: (not twin.confirmed, -len(twin.lines), twin.id), default=None)


def decide_next_step(journal: Journal, twin: DataverseJournal | None, attempts: int) -> NextStep:
    """Return the next step of a journal after so many failed attempts.

    The state of Dataverse precedes the counter: a journal that is confirmed meanwhile is closed without another
    attempt, even after the fifth.
    """
    if not journal.posted or not journal.lines:
        return NextStep("nothing")
    # While the number is shared, the company of a journal written by another client is unknown.
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
        # Adding our own lines could bill an amount twice.
        return NextStep("foreign-lines")
    missing = tuple(amount for amount in amounts_of(journal) if amount not in twin.lines)
    return NextStep("lines", missing) if missing else NextStep("confirm")


# --- names -----------------------------------------------------------------------------------------------------------


def name_of(company: str, number: str) -> str:
    """Return the subject name of a journal: `USPM/USPM-000095`."""
    return f"{company}/{number}"


def task_of(company: str, number: str, posted: str | None = None) -> Task:
    """Return the task that syncs a journal. `posted` is the posting time as Finance writes it."""
    name = name_of(company, number)
    parameters = {"journal": number} | ({"posted": posted} if posted else {})
    return Task(ACTION, name, company, parameters, (name,))


def line_key(record: int, amount: Amount) -> str:
    """Return the idempotency key of a Dataverse journal line: `<RecId>/<cost|sales>`."""
    return f"{record}/{amount}"


def read_line_key(text: object) -> tuple[int, Amount] | None:
    """Parse a `line_key` into RecId and amount; None if it is not one."""
    record, _, amount = text.partition("/") if isinstance(text, str) else ("", "", "")
    for choice in get_args(Amount):
        if amount == choice and record.isascii() and record.isdigit():
            return int(record), choice
    return None


_NUMBER = re.compile(r"(?=\D*\d)\S{1,20}")


def number_in(subject: str) -> str | None:
    """Return the batch number of the journal that an error is about; None if unknown.

    If the process named no subject, the subject is the text of the error.
    """
    if _NUMBER.fullmatch(subject):
        return subject
    message = recognise(subject)
    return message.parameters["journal"] if message.code == "GJ_HEADER" else None


# --- what is logged --------------------------------------------------------------------------------------------------


def failure(journal: Journal, step: JournalStep, attempts: int, line: int | None = None) -> str:
    """Return the error message of a failed step, in the words of the product. `attempts` includes this one.

    `line` is the RecId of a line that could not be created because its currency, project or contract line is missing in
    Dataverse.
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
            raise ValueError(f"{step} is not a step that can fail")


STEP_OF: Final[Mapping[str, JournalStep]] = {
    "GJ_HEADER": "header",
    "GJ_LINE": "lines",
    "GJ_LINE_CREATE": "lines",
    "GJ_CONFIRM": "confirm",
}
"""The failed step by the code of its message."""
