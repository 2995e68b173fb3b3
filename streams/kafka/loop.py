"""An event loop in a thread."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from streams.log import LogFailed

T = TypeVar("T")

# What a client that is let go of may still want to say.
STOP_SECONDS: Final = 5.0


class Loop:
    """An event loop in a thread of its own, for a client that goes on working between two calls."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        # A client that failed leaves futures behind whose errors nobody looks at: they were raised already.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._thread = threading.Thread(target=self._loop.run_forever, name="kafka", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise LogFailed("The event log is closed.")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Run `last` and end. A second call does nothing."""
        if self._loop.is_closed():
            last.close()
            return
        self.run(last)
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    """End what a client left behind that could not stop in time."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=STOP_SECONDS)


async def started(client: Any, seconds: float) -> None:
    """Start a client; one that could not start is let go of, or it would complain later."""
    try:
        await asyncio.wait_for(client.start(), seconds)
    except BaseException:
        await client.stop()
        raise
