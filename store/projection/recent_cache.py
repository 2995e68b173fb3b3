"""A bounded cache of recently used rows, so that the events of a document do not read them again."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class RecentCache(Generic[K, V]):
    """Two-generation approximate LRU cache of at least `size` / 2 and at most `size` recent values.

    When the young generation is full, it replaces the old one, whose other entries are evicted. This costs less than an
    exact order of use. The cache is updated only after a commit, so it never contains data that was rolled back.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return the cached value of `key`, or None."""
        value = self._young.get(key)
        return self._old.get(key) if value is None else value

    def update(self, values: Mapping[K, V]) -> None:
        """Cache `values` as the most recent."""
        if len(self._young) + len(values) > self.size // 2:
            self._old, self._young = self._young, {}
        self._young.update(values)

    def invalidate(self, keys: Iterable[K]) -> None:
        """Remove `keys`."""
        for key in keys:
            self._young.pop(key, None)
            self._old.pop(key, None)
