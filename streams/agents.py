"""The agent that projects changes, and what it needs of its collaborator. Glue: all it works with is an argument."""

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from typing import Protocol

from streams.log import Batch


class Projection(Protocol):
    """What batches are applied to. All calls of one run come from one thread, one at a time."""

    def offsets(self) -> Mapping[tuple[str, int], int]:
        """Return the next offset to read for each (topic, partition); one that is absent is read from its start."""
        ...

    def apply(self, batch: Batch) -> None:
        """Apply a batch and store `batch.next` as its partition's offset, in one transaction.

        Raises `engine.errors.Overtaken` when the stored offset is not `batch.follows`: another writer was here.
        Whatever it raises stops the run, with nothing of the batch applied.
        """
        ...

    def work(self) -> bool:
        """Do a bounded piece of pending work, such as the outbox or a recomputation; True while some is left."""
        ...


async def project(batches: AsyncIterable[Batch], apply: Callable[[Batch], Awaitable[bool]]) -> None:
    """Apply one batch after the other, until one is refused: a batch left out would be a hole that nobody sees."""
    async for batch in batches:
        if not await apply(batch):
            return
