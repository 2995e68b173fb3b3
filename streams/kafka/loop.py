"""An event loop in a thread, for clients that continue to work between two calls."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from streams.log import LogFailed

T = TypeVar("T")

# Timeout for what a stopped client still sends.
STOP_SECONDS: Final = 5.0


class Loop:
    """An event loop that runs in a daemon thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        # A failed client leaves futures with errors that were raised already.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._thread = threading.Thread(target=self._loop.run_forever, name="kafka", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and wait for its result. Raises `LogFailed` after `close`."""
        if self._loop.is_closed():
            work.close()
            raise LogFailed("The event log is closed.")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Run `last`, cancel the remaining tasks and end the thread. Idempotent."""
        if self._loop.is_closed():
            last.close()
            return
        self.run(last)
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    """Cancel the tasks of a client that did not stop in time."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=STOP_SECONDS)


async def started(client: Any, seconds: float) -> None:
    """Start a client within so many seconds. One that fails is stopped, or it would log warnings later."""
    try:
        await asyncio.wait_for(client.start(), seconds)
    except BaseException:
        await client.stop()
        raise
