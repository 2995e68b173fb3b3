"""What the writer remembers between batches: recently used rows, so that the events of a document do not read them
again.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class RecentCache(Generic[K, V]):
    """Some of the values used last, at least half of `size` and at most `size` of them.

    Two generations instead of a list in order of use: when the young one is full it becomes the old one, and what was
    not used since is forgotten. Changed only after a commit, so it never holds what was rolled back.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The value of `key`, if it is remembered."""
        found = self._young.get(key)
        return self._old.get(key) if found is None else found

    def update(self, values: Mapping[K, V]) -> None:
        """Remember `values` as the most recent."""
        if len(self._young) + len(values) > self.size // 2:
            self._old, self._young = self._young, {}
        self._young.update(values)

    def forget(self, keys: Iterable[K]) -> None:
        """Forget `keys`."""
        for key in keys:
            self._young.pop(key, None)
            self._old.pop(key, None)
