"""Reads the rows of a SQLite file directly from its pages, for blocks that a damaged page of the B-tree hides.

It reads leaf pages of tables and their overflow pages (https://www.sqlite.org/fileformat.html). The rows are not
verified: the caller checks their checksums.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO, Final

Value = int | bytes | None

_LEAF: Final = 0x0D
_HEADER_BYTES: Final = 100
_INTEGERS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_BLOB: Final = 12
"""Serial types from here on: even numbers are bytes, odd ones text."""


class Pages:
    """The pages of a file. `row_bytes_max` limits the size of a row, because a damaged page may claim any."""

    def __init__(self, file: BinaryIO, page_bytes: int, row_bytes_max: int) -> None:
        self._file = file
        self._page_bytes = page_bytes
        self._row_bytes_max = row_bytes_max
        self._count = os.fstat(file.fileno()).st_size // page_bytes

    def rows(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Yield the key and the location (page, cell) of each row."""
        for number in range(1, self._count + 1):
            page = self._page(number)
            start = _HEADER_BYTES if number == 1 else 0
            if page[start] != _LEAF:
                continue
            cells = int.from_bytes(page[start + 3 : start + 5])
            for at in range(start + 8, min(start + 8 + 2 * cells, self._page_bytes - 1), 2):
                cell = int.from_bytes(page[at : at + 2])
                with suppress(IndexError):
                    _, after = _varint(page, cell)
                    yield _varint(page, after)[0], (number, cell)

    def values(self, location: tuple[int, int]) -> list[Value]:
        """Return the columns of a row: text as bytes, floats as None. Raises `ValueError` if it is not a row."""
        number, cell = location
        page = self._page(number)
        try:
            size, after = _varint(page, cell)
            _, after = _varint(page, after)
            return _record(self._payload(page, after, size))
        except IndexError:
            raise ValueError("the page ends within the row") from None

    def _payload(self, page: bytes, start: int, size: int) -> bytes:
        """Return the content of a row, including that in overflow pages."""
        if size > self._row_bytes_max:
            raise ValueError(f"a row of {size} bytes")
        usable = self._page_bytes
        local = size
        if size > usable - 35:
            least = (usable - 12) * 32 // 255 - 23
            local = least + (size - least) % (usable - 4)
            local = local if local <= usable - 35 else least
        parts = [page[start : start + local]]
        following = page[start + local : start + local + 4]
        remaining = size - local
        while remaining > 0:
            page = self._page(int.from_bytes(following))
            following = page[:4]
            parts.append(page[4 : 4 + remaining])
            remaining -= len(parts[-1])
        return b"".join(parts)

    def _page(self, number: int) -> bytes:
        if not 1 <= number <= self._count:
            raise ValueError(f"there is no page {number}")
        self._file.seek((number - 1) * self._page_bytes)
        return self._file.read(self._page_bytes)


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a variable-length integer of up to nine bytes, and the index after it."""
    value = 0
    for index in range(at, at + 8):
        value = value << 7 | content[index] & 0x7F
        if content[index] < 0x80:
            return value, index + 1
    return value << 8 | content[at + 8], at + 9


def _record(content: bytes) -> list[Value]:
    head, at = _varint(content, 0)
    kinds = []
    while at < head:
        kind, at = _varint(content, at)
        kinds.append(kind)
    values: list[Value] = []
    for kind in kinds:
        if kind in _INTEGERS:
            size = _INTEGERS[kind]
            values.append(int.from_bytes(content[at : at + size], signed=True))
        elif kind >= _BLOB:
            size = (kind - _BLOB) // 2
            values.append(content[at : at + size])
        else:
            size = 8 if kind == 7 else 0
            values.append({8: 0, 9: 1}.get(kind))
        at += size
    if at > len(content):
        raise ValueError("the row ends within a column")
    return values
