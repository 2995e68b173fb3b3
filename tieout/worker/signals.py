"""Being told to stop from outside."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Have SIGINT and SIGTERM set `stop`; a second one has its usual effect. Signals come to the main thread: in any
    other one this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def told(number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
