"""An answer that is sent in pieces, as they are made."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Pieces(StreamingResponse):
    """Sends pieces of one media type. `stack`, what they are made from, is closed once the last one is made, or the
    reader has left: nothing is kept for whom nobody waits.
    """

    def __init__(self, pieces: Iterable[bytes], stack: ExitStack, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(_made(pieces, stack), media_type=media_type, headers=headers)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them all, or as many as are wanted."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stack.close()


def _made(pieces: Iterable[bytes], stack: ExitStack) -> Iterator[bytes]:
    with stack:
        yield from pieces
