"""Responses streamed in parts while they are produced."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class ChunkedResponse(StreamingResponse):
    """Streams parts of one media type.

    `stack`, which holds what the parts are made from, is closed after the last part or when the client disconnects.
    """

    def __init__(self, pieces: Iterable[bytes], stack: ExitStack, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(_made(pieces, stack), media_type=media_type, headers=headers)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all parts, until the client disconnects."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stack.close()


def _made(pieces: Iterable[bytes], stack: ExitStack) -> Iterator[bytes]:
    with stack:
        yield from pieces
