"""Documents left out on purpose, or not yet in (R13)."""

from dataclasses import replace
from datetime import timedelta

from tieout.simulator import expenses
from tieout.simulator.document_story import ExpensePaper, InvoicePaper, Paper
from tieout.simulator.faults.repertoire import fault


@fault("C39 excluded by filter: no project", 15, brief=True, alone=True)
def no_project(paper: Paper) -> None:
    """A cost of no project never leaves Finance."""
    paper.line = replace(paper.line, project="", transaction="")
    paper.posted()
    paper.excluded("no-project")


@fault("C39 excluded by filter: Skip Sync", 10, brief=True)
def skip_sync(paper: Paper) -> None:
    """The only cost actual is kept out of dual-write on purpose."""
    paper.actual(paper.approved(), wrong={"assumed_skipsync": True})
    paper.excluded("skip-sync")


@fault("R13 charged to another company", 12, brief=True, alone=True)
def intercompany(paper: Paper) -> None:
    """Another company bears the cost; its actual is Skip Sync."""
    other = paper.chance.choice(
        [code for code in paper.tail.directory.codes("cdm_company") if code != paper.line.company]
    )
    if isinstance(paper, ExpensePaper):
        paper.line = replace(paper.line, charged_to=other)
    elif isinstance(paper, InvoicePaper):
        paper.line = replace(paper.line, project_company=other)
    paper.actual(paper.approved(), wrong={"assumed_skipsync": True})
    paper.excluded("intercompany-cost")


@fault("R13 cancelled in Finance", 6, of="expense", brief=True)
def cancelled_in_finance(paper: ExpensePaper) -> None:
    """Posted, then cancelled."""
    paper.posted()
    paper.expenses.cancel(paper.line, paper.at + timedelta(minutes=30))
    paper.excluded("cancelled")


@fault("B27 a dual-write error blocks the posting", 12, of="expense", brief=True)
def posting_blocked(paper: ExpensePaper) -> None:
    """Approved, and Finance cannot post it: in no sum yet."""
    paper.line = replace(paper.line, voucher="")
    paper.expenses.enter(paper.line, paper.at - timedelta(hours=26))
    paper.expenses.approve(paper.line, paper.at, status=paper.chance.choice((expenses.APPROVED, expenses.READY)))
    paper.outcome("not-posted")
