"""Sources of the evidence that an actual is posted (R22)."""

from tieout.simulator.document_story import DocumentStory
from tieout.simulator.faults.repertoire import fault


@fault("A3 accounting details not written back", 15)
def not_written_back(story: DocumentStory) -> None:
    """Posted, also on the staging row; the voucher never reached Dataverse."""
    _posted_without_write_back(story, staging=True)


@fault("A3 accounting details missing even in staging", 10)
def not_written_to_staging(story: DocumentStory) -> None:
    """Only the journal line has the posted status."""
    _posted_without_write_back(story, staging=False)


@fault("R22 posted by the voucher of the staging row", 8)
def posted_line_never_seen(story: DocumentStory) -> None:
    """The journal line sent no event; staging row and actual have the voucher."""
    cost = story.create_staged_cost()
    story.import_line(cost, event_sent=False)
    story.flow.post(cost, story.hour_after(9), line_event_sent=False)
    story.reconciled()


@fault("R22 posted by the voucher of the actual", 8)
def only_the_actual_knows(story: DocumentStory) -> None:
    """Neither the line nor the staging row shows the posting; the actual has its voucher."""
    cost = story.create_staged_cost()
    story.import_line(cost, event_sent=False)
    story.flow.post(cost, story.hour_after(9), line_event_sent=False, staging=False)
    story.reconciled()


def _posted_without_write_back(story: DocumentStory, *, staging: bool) -> None:
    cost = story.stage(story.create_actual(story.approve()))
    story.import_line(cost)
    story.flow.post(cost, story.hour_after(9), staging=staging, write_back=False)
    story.reconciled("not-written-back")
