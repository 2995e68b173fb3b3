"""What several stories share."""

from decimal import Decimal

from tieout.simulator.amounts import rounded
from tieout.simulator.document_story import Paper
from tieout.simulator.integration_journal import Actual, Source


def halves(paper: Paper) -> tuple[Decimal, Decimal]:
    """The amount in two unequal parts, neither of them 0."""
    one = rounded(paper.line.amount * Decimal("0.6"), paper.line.currency)
    return one, paper.line.amount - one


def reversal_pair(paper: Paper) -> tuple[Actual, Actual]:
    """An actual and its reversal, both staged."""
    source = paper.approved()
    original = paper.staged(paper.actual(source))
    reversal = paper.tail.reverse(original, _perhaps(paper, source), paper.later(minutes=5))
    return original, paper.staged(reversal)


def replacement_trio(paper: Paper) -> tuple[Actual, Actual, Actual]:
    """An actual, its reversal, and the actual in its place, all staged."""
    source = paper.approved()
    original = paper.staged(paper.actual(source))
    reversal = paper.tail.reverse(original, _perhaps(paper, source), paper.later(hours=2))
    replacement = paper.tail.replace(original, _perhaps(paper, source), paper.later(seconds=10))
    return original, paper.staged(reversal), paper.staged(replacement)


def _perhaps(paper: Paper, source: Source) -> Source | None:
    """Corrections may say where they come from, or nothing: the connection to the original is enough."""
    return source if paper.chance.random() < 0.5 else None
