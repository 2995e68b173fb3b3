"""The agent of the application, and the pipeline that it runs: what tieout does with each batch of events.

All that the functions work with is an argument. docs/pipeline.md says what Faust does here, and why it gets batches.
"""

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from store.projection.batch_plan import DecodedBatch, Plan
from store.projection.writer import Writer
from streams.committer import Committer
from streams.log import Batch


class Projection(Protocol):
    """Applies batches of the log. All calls of one run come from one thread, one at a time."""

    def offsets(self) -> Mapping[tuple[str, int], int]:
        """Return the next offset to read for each (topic, partition). A missing partition is read from its start."""
        ...

    def apply(self, batches: Sequence[Batch]) -> None:
        """Apply batches of different partitions and store each `next` as its partition's offset, in one transaction.

        Raises `engine.errors.LeaseLost` if a stored offset is not the batch's `follows`: another writer has advanced
        it. May return before the transaction is committed; then the next call raises what the transaction raised. Any
        error ends the run, with nothing of the batches applied.
        """
        ...

    def work(self) -> bool:
        """Do a bounded part of the pending work, such as a recomputation. Return True if more is left."""
        ...

    def settle(self) -> None:
        """Return once everything applied is committed and published. Called when nothing is left to read, and at the
        end.
        """
        ...


async def project(readings: AsyncIterable[list[Batch]], apply: Callable[[list[Batch]], Awaitable[bool]]) -> None:
    """The agent: apply each reading in sequence (`process`, in the thread of the projection) until one fails.

    It ends at the first failure, because continuing would leave a gap.
    """
    async for batches in readings:
        if not await apply(batches):
            return


def prepare(batch: DecodedBatch, writer: Writer) -> Plan:
    """Merge, match and detect what a batch changes. Return its writes; nothing is written yet."""
    with writer.projecting() as projection:
        projection.merge(batch.changes)
        projection.match()
        projection.detect()
        return writer.plan(projection, batch)


def process(
    batches: Sequence[Batch],
    decode: Callable[[Sequence[Batch]], DecodedBatch],
    writer: Writer,
    committer: Committer,
    publish: Callable[[Plan], None],
) -> DecodedBatch:
    """Run one reading, a batch of each partition that had records, through the pipeline, in one transaction.

    With a committer that has a thread, this reading is decoded, merged, matched and detected while the previous one is
    committed and published. Raises the errors of the writer and of the log, also those of the previous reading.
    """
    decoded = decode(batches)
    plan = prepare(decoded, writer)

    def commit_and_publish() -> None:
        writer.commit(plan)
        publish(plan)

    committer.wait()
    writer.stage(plan)
    committer.submit(commit_and_publish)
    return decoded
