"""Documents whose actual is in Finance and not posted (R16, R17)."""

from datetime import timedelta

from tieout.simulator import integration_journal as state
from tieout.simulator.amounts import rounded
from tieout.simulator.document_story import Paper
from tieout.simulator.faults.repertoire import fault
from tieout.simulator.faults.steps import halves, replacement_trio

UNKNOWN_STATE = 9
"""A state of a journal line that no map names."""


@fault("B23 in Finance, but not yet posted", 25, brief=True)
def not_imported(paper: Paper) -> None:
    """Nobody has run Import from staging."""
    paper.cost()
    paper.misses_journal_line("not-imported")


@fault("R16 line not seen", 10)
def line_never_seen(paper: Paper) -> None:
    """The staging row names a journal line that sent no event."""
    paper.imported(paper.cost(), seen=False)
    paper.misses_journal_line("line-not-seen")


@fault("A1 deleting integration journals loses data", 12)
def journal_line_deleted(paper: Paper) -> None:
    """The line is deleted before it is posted, and not imported again."""
    cost = paper.cost()
    paper.imported(cost)
    paper.tail.delete_line(cost, paper.night(10))
    paper.misses_journal_line("line-not-seen")


@fault("A1 deleted integration journals, imported again", 10)
def imported_again(paper: Paper) -> None:
    """The next import makes a new line for the same actual; it is posted."""
    cost = paper.cost()
    paper.imported(cost)
    paper.tail.delete_line(cost, paper.night(10))
    paper.booked(cost, days=2)
    paper.reconciled()


@fault("R17 a line that moved to a new journal", 10)
def moved_and_posted(paper: Paper) -> None:
    """After an error the line moves to a new journal and is posted there; it is the same line."""
    cost = paper.cost()
    paper.stuck(cost, state.ERROR)
    night = paper.night(4, days=2)
    journal = paper.tail.daily_journal(paper.line.company, night, night + timedelta(hours=6))
    paper.tail.move(cost, journal, night + timedelta(seconds=30))
    paper.tail.post(cost, night + timedelta(hours=5))
    paper.reconciled()


@fault("R17 a line that moved to a new journal and waits there", 8)
def moved_and_waiting(paper: Paper) -> None:
    """After an error the line is a draft of a new journal."""
    cost = paper.cost()
    paper.stuck(cost, state.ERROR)
    paper.tail.move(cost, paper.tail.journal(paper.line.company, paper.night(14)), paper.night(15))
    paper.misses_journal_line("draft")


@fault("R16 draft", 20)
def left_as_draft(paper: Paper) -> None:
    """Imported, and nobody has posted the journal."""
    paper.misses_journal_line(paper.stuck(paper.cost(), state.DRAFT))


@fault("B20 errors of the integration journal", 20)
def posting_failed(paper: Paper) -> None:
    """Posting the line ended in an error."""
    paper.misses_journal_line(paper.stuck(paper.cost(), state.ERROR))


@fault("B26 lines stay in processing", 15)
def stays_in_processing(paper: Paper) -> None:
    """The batch that posts the line has died; after a day somebody may reset it."""
    cause = paper.stuck(paper.cost(), state.PROCESSING)
    paper.misses_journal_line(cause, "processing-too-long")


@fault("R16 unrecoverable", 10)
def cannot_be_recovered(paper: Paper) -> None:
    """Finance itself gives the line up."""
    paper.misses_journal_line(paper.stuck(paper.cost(), state.UNRECOVERABLE))


@fault("A15 prevalidation marks a line invalid", 10)
def invalid_actual(paper: Paper) -> None:
    """The job that compares staging with Dataverse marks the line."""
    paper.misses_journal_line(paper.stuck(paper.cost(), state.INVALID))


@fault("R18 unknown value", 6)
def unknown_state(paper: Paper) -> None:
    """The line is in a state that no map knows: it counts as a draft."""
    paper.imported(paper.cost(), wrong={"Status": UNKNOWN_STATE})
    paper.misses_journal_line("draft", "unknown-value")


@fault("R14 in part posted", 10)
def half_posted(paper: Paper) -> None:
    """Of two actuals one is posted, the line of the other is a draft."""
    source, (one, other) = paper.approved(), halves(paper)
    posted = paper.staged(paper.actual(source, one))
    waiting = paper.staged(paper.actual(source, other))
    paper.booked(posted)
    cause = paper.stuck(waiting, state.DRAFT)
    paper.outcome("missing-journal-line", cause=cause, missing_journal_line=other, reconciled=one)


@fault("R14 in three parts", 8)
def three_parts(paper: Paper) -> None:
    """Of three actuals one is posted, one a draft, one lost; the parts seldom divide evenly."""
    source = paper.approved()
    third = rounded(paper.line.amount / 3, paper.line.currency)
    rest = paper.line.amount - 2 * third
    posted = paper.staged(paper.actual(source, third))
    waiting = paper.staged(paper.actual(source, third))
    paper.lost(paper.actual(source, rest))
    paper.booked(posted)
    paper.stuck(waiting, state.DRAFT)
    cause = "actual-not-synced-back"
    paper.outcome("missing-actual", cause=cause, missing_actual=rest, missing_journal_line=third, reconciled=third)


@fault("A13 the replacement waits", 8)
def replacement_waits(paper: Paper) -> None:
    """The first actual and its reversal are posted; the line of the replacement is a draft."""
    original, reversal, replacement = replacement_trio(paper)
    paper.booked(original, reversal)
    paper.misses_journal_line(paper.stuck(replacement, state.DRAFT))
