"""What the writer remembers between batches: recently used rows, so that the events of a document do not read them again."""

from collections.abc import Iterable
from itertools import islice
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """The values used last, at most `size` of them. Changed only after a commit, so it never holds what was rolled back."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._values: dict[str, V] = {}

    def get(self, key: str) -> V | None:
        """The value of `key`, if it is remembered."""
        return self._values.get(key)

    def update(self, items: Iterable[tuple[str, V]]) -> None:
        """Remember `items` as the most recent, and forget the oldest beyond the size."""
        values = self._values
        for key, value in items:
            values.pop(key, None)
            values[key] = value
        for key in list(islice(values, max(0, len(values) - self.size))):
            del values[key]

    def forget(self, keys: Iterable[str]) -> None:
        """Forget `keys`."""
        for key in keys:
            self._values.pop(key, None)

    def clear(self) -> None:
        """Forget everything: another writer may have been here."""
        self._values.clear()

    def __len__(self) -> int:
        return len(self._values)
