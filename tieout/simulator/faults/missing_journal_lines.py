"""Documents whose actual is in Finance and not posted (R16, R17)."""

from datetime import timedelta

from tieout.simulator import integration_journal as state
from tieout.simulator.amounts import rounded
from tieout.simulator.document_story import DocumentStory
from tieout.simulator.faults.repertoire import fault
from tieout.simulator.faults.steps import halves, replacement_trio

UNKNOWN_STATE = 9
"""A status of a journal line that no map contains."""


@fault("B23 in Finance, but not yet posted", 25, same_day=True)
def not_imported(story: DocumentStory) -> None:
    """Import from staging has not run."""
    story.create_staged_cost()
    story.misses_journal_line("not-imported")


@fault("R16 line not seen", 10)
def line_never_seen(story: DocumentStory) -> None:
    """The staging row names a journal line that sent no event."""
    story.import_line(story.create_staged_cost(), event_sent=False)
    story.misses_journal_line("line-not-seen")


@fault("A1 deleting integration journals loses data", 12)
def journal_line_deleted(story: DocumentStory) -> None:
    """The line is deleted before it is posted, and not imported again."""
    cost = story.create_staged_cost()
    story.import_line(cost)
    story.flow.delete_line(cost, story.hour_after(10))
    story.misses_journal_line("line-not-seen")


@fault("A1 deleted integration journals, imported again", 10)
def imported_again(story: DocumentStory) -> None:
    """The next import creates a new line for the same actual; it is posted."""
    cost = story.create_staged_cost()
    story.import_line(cost)
    story.flow.delete_line(cost, story.hour_after(10))
    story.import_and_post(cost, days=2)
    story.reconciled()


@fault("R17 a line that moved to a new journal", 10)
def moved_and_posted(story: DocumentStory) -> None:
    """After an error the line moves to a new journal and is posted there; it is the same line."""
    cost = story.create_staged_cost()
    story.leave_at_status(cost, state.ERROR)
    night = story.hour_after(4, days=2)
    journal = story.flow.daily_journal(story.line.company, night, night + timedelta(hours=6))
    story.flow.move(cost, journal, night + timedelta(seconds=30))
    story.flow.post(cost, night + timedelta(hours=5))
    story.reconciled()


@fault("R17 a line that moved to a new journal and waits there", 8)
def moved_and_waiting(story: DocumentStory) -> None:
    """After an error the line is a draft of a new journal."""
    cost = story.create_staged_cost()
    story.leave_at_status(cost, state.ERROR)
    story.flow.move(cost, story.flow.journal(story.line.company, story.hour_after(14)), story.hour_after(15))
    story.misses_journal_line("draft")


@fault("R16 draft", 20)
def left_as_draft(story: DocumentStory) -> None:
    """Imported, but the journal has not been posted."""
    story.misses_journal_line(story.leave_at_status(story.create_staged_cost(), state.DRAFT))


@fault("B20 errors of the integration journal", 20)
def posting_failed(story: DocumentStory) -> None:
    """Posting the line failed."""
    story.misses_journal_line(story.leave_at_status(story.create_staged_cost(), state.ERROR))


@fault("B26 lines stay in processing", 15)
def stays_in_processing(story: DocumentStory) -> None:
    """The batch that posts the line died; after a day the line may be reset."""
    cause = story.leave_at_status(story.create_staged_cost(), state.PROCESSING)
    story.misses_journal_line(cause, "processing-too-long")


@fault("R16 unrecoverable", 10)
def cannot_be_recovered(story: DocumentStory) -> None:
    """Finance marks the line as unrecoverable."""
    story.misses_journal_line(story.leave_at_status(story.create_staged_cost(), state.UNRECOVERABLE))


@fault("A15 prevalidation marks a line invalid", 10)
def invalid_actual(story: DocumentStory) -> None:
    """The job that compares staging with Dataverse marks the line."""
    story.misses_journal_line(story.leave_at_status(story.create_staged_cost(), state.INVALID))


@fault("R18 unknown value", 6)
def unknown_state(story: DocumentStory) -> None:
    """The line has a status that no map contains: it counts as a draft."""
    story.import_line(story.create_staged_cost(), overrides={"Status": UNKNOWN_STATE})
    story.misses_journal_line("draft", "unknown-value")


@fault("R14 in part posted", 10)
def half_posted(story: DocumentStory) -> None:
    """Of two actuals one is posted; the line of the other is a draft."""
    source, (one, other) = story.approve(), halves(story)
    posted = story.stage(story.create_actual(source, one))
    waiting = story.stage(story.create_actual(source, other))
    story.import_and_post(posted)
    cause = story.leave_at_status(waiting, state.DRAFT)
    story.record_outcome("missing-journal-line", cause=cause, missing_journal_line=other, reconciled=one)


@fault("R14 in three parts", 8)
def three_parts(story: DocumentStory) -> None:
    """Of three actuals one is posted, one a draft, one lost; the parts seldom divide evenly."""
    source = story.approve()
    third = rounded(story.line.amount / 3, story.line.currency)
    rest = story.line.amount - 2 * third
    posted = story.stage(story.create_actual(source, third))
    waiting = story.stage(story.create_actual(source, third))
    story.leave_unsynced(story.create_actual(source, rest))
    story.import_and_post(posted)
    story.leave_at_status(waiting, state.DRAFT)
    cause = "actual-not-synced-back"
    story.record_outcome(
        "missing-actual", cause=cause, missing_actual=rest, missing_journal_line=third, reconciled=third
    )


@fault("A13 the replacement waits", 8)
def replacement_waits(story: DocumentStory) -> None:
    """The first actual and its reversal are posted; the line of the replacement is a draft."""
    original, reversal, replacement = replacement_trio(story)
    story.import_and_post(original, reversal)
    story.misses_journal_line(story.leave_at_status(replacement, state.DRAFT))
