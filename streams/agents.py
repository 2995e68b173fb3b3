"""The agent that projects changes, and what it needs of its collaborator. Glue: all it works with is an argument."""

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from streams.log import Batch


class Projection(Protocol):
    """What batches are applied to. All calls of one run come from one thread, one at a time."""

    def offsets(self) -> Mapping[tuple[str, int], int]:
        """Return the next offset to read for each (topic, partition); one that is absent is read from its start."""
        ...

    def apply(self, batches: Sequence[Batch]) -> None:
        """Apply batches of different partitions and store each `next` as its partition's offset, in one transaction.

        Raises `engine.errors.LeaseLost` when a stored offset is not the batch's `follows`: another writer was here.
        May return while the transaction is under way; then the next call raises what it raised. Whatever is raised
        stops the run, with nothing of the batches applied.
        """
        ...

    def work(self) -> bool:
        """Do a bounded piece of pending work, such as a recomputation; True while some is left."""
        ...

    def settle(self) -> None:
        """Return once all that was applied is committed and published: called when nothing is left to read, and at the
        end.
        """
        ...


async def project(readings: AsyncIterable[list[Batch]], apply: Callable[[list[Batch]], Awaitable[bool]]) -> None:
    """Apply one reading after the other, until one is refused: a batch left out would be a hole that nobody sees."""
    async for batches in readings:
        if not await apply(batches):
            return
