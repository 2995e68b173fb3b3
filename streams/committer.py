"""The thread that commits and publishes one batch while the next one is prepared (docs/decisions/0007)."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Committer:
    """Runs commits in sequence: in a thread of its own if `overlapping`, else in the thread that submits them."""

    def __init__(self, overlapping: bool) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="committer") if overlapping else None
        self._committing: Future[None] | None = None

    def wait(self) -> None:
        """Wait for the commit submitted last. Raises its error, once."""
        committing, self._committing = self._committing, None
        if committing is not None:
            committing.result()

    def submit(self, work: Callable[[], None]) -> None:
        """Run a commit; in the thread, if there is one. The previous commit must have ended (`wait`)."""
        if self._thread is None:
            work()
        else:
            self._committing = self._thread.submit(work)

    def close(self) -> None:
        """Stop the thread after its last commit."""
        if self._thread is not None:
            self._thread.shutdown()
