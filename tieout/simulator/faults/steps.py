"""Steps that several stories share."""

from decimal import Decimal

from tieout.simulator.amounts import rounded
from tieout.simulator.document_story import DocumentStory
from tieout.simulator.integration_journal import Actual, SourceRecord


def halves(story: DocumentStory) -> tuple[Decimal, Decimal]:
    """Return the amount in two unequal parts, neither of them 0."""
    first = rounded(story.line.amount * Decimal("0.6"), story.line.currency)
    return first, story.line.amount - first


def reversal_pair(story: DocumentStory) -> tuple[Actual, Actual]:
    """Create an actual and its reversal, both staged."""
    source = story.approve()
    original = story.stage(story.create_actual(source))
    reversal = story.flow.reverse(original, _source_or_none(story, source), story.advance(minutes=5))
    return original, story.stage(reversal)


def replacement_trio(story: DocumentStory) -> tuple[Actual, Actual, Actual]:
    """Create an actual, its reversal, and the replacing actual, all staged."""
    source = story.approve()
    original = story.stage(story.create_actual(source))
    reversal = story.flow.reverse(original, _source_or_none(story, source), story.advance(hours=2))
    replacement = story.flow.replace(original, _source_or_none(story, source), story.advance(seconds=10))
    return original, story.stage(reversal), story.stage(replacement)


def _source_or_none(story: DocumentStory, source: SourceRecord) -> SourceRecord | None:
    """Return the source or None: a correction need not link to it, its connection to the original is enough."""
    return source if story.chance.random() < 0.5 else None
