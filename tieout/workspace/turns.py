"""How many pages are made at once."""

import asyncio
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

PAGES_AT_ONCE: Final = 12
"""Fewer than the store has connections for readers (15)."""
_WITHOUT_STORE: Final = ("/static/", "/health")


class InTurn:
    """Lets a page wait, without a thread, until another one is done.

    A page that is sent in pieces keeps its connection, and needs a thread again for each piece. Where all threads wait
    for a connection, no page would ever give one back.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._places = asyncio.Semaphore(PAGES_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on in its turn."""
        if scope["type"] != "http" or scope["path"].startswith(_WITHOUT_STORE):
            await self._app(scope, receive, send)
            return
        async with self._places:
            await self._app(scope, receive, send)
