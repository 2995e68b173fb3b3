"""Who says that an actual is posted (R22)."""

from tieout.simulator.document_story import Paper
from tieout.simulator.faults.repertoire import fault


@fault("A3 accounting details not written back", 15)
def not_written_back(paper: Paper) -> None:
    """Posted, also on the staging row, and Dataverse never heard of the voucher."""
    _posted_without_write_back(paper, staging=True)


@fault("A3 accounting details missing even in staging", 10)
def not_written_to_staging(paper: Paper) -> None:
    """The journal line alone says that it is posted."""
    _posted_without_write_back(paper, staging=False)


@fault("R22 posted by the voucher of the staging row", 8)
def posted_line_never_seen(paper: Paper) -> None:
    """The journal line sent no event; staging row and actual have the voucher."""
    cost = paper.cost()
    paper.imported(cost, seen=False)
    paper.tail.post(cost, paper.night(9), line_seen=False)
    paper.reconciled()


@fault("R22 posted by the voucher of the actual", 8)
def only_the_actual_knows(paper: Paper) -> None:
    """Neither line nor staging row says so; the actual has its voucher."""
    cost = paper.cost()
    paper.imported(cost, seen=False)
    paper.tail.post(cost, paper.night(9), line_seen=False, staging=False)
    paper.reconciled()


def _posted_without_write_back(paper: Paper, *, staging: bool) -> None:
    cost = paper.staged(paper.actual(paper.approved()))
    paper.imported(cost)
    paper.tail.post(cost, paper.night(9), staging=staging, write_back=False)
    paper.reconciled("not-written-back")
