"""The rows of a SQLite file, taken from its pages one by one: for blocks that a damaged page of the tree hides.

Only what a row needs is read (https://www.sqlite.org/fileformat.html): leaf pages of tables, and the pages that long
rows go on in. Nothing here proves anything; whoever takes a row holds it to its checksum.
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
"""From here on even numbers are bytes, odd ones text."""


class Pages:
    """The pages of a file. `row_bytes_max` bounds a row, whatever a damaged page says of it."""

    def __init__(self, file: BinaryIO, page_bytes: int, row_bytes_max: int) -> None:
        self._file = file
        self._page_bytes = page_bytes
        self._row_bytes_max = row_bytes_max
        self._count = os.fstat(file.fileno()).st_size // page_bytes

    def rows(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """The key of each row, and the place to read it from."""
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

    def values(self, place: tuple[int, int]) -> list[Value]:
        """The columns of a row: text as bytes, floating numbers as None. Raises `ValueError` for what is no row."""
        number, cell = place
        page = self._page(number)
        try:
            size, after = _varint(page, cell)
            _, after = _varint(page, after)
            return _record(self._payload(page, after, size))
        except IndexError:
            raise ValueError("the page ends within the row") from None

    def _payload(self, page: bytes, start: int, size: int) -> bytes:
        """The content of a row, which goes on in other pages when it is long."""
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
        left = size - local
        while left > 0:
            page = self._page(int.from_bytes(following))
            following = page[:4]
            parts.append(page[4 : 4 + left])
            left -= len(parts[-1])
        return b"".join(parts)

    def _page(self, number: int) -> bytes:
        if not 1 <= number <= self._count:
            raise ValueError(f"there is no page {number}")
        self._file.seek((number - 1) * self._page_bytes)
        return self._file.read(self._page_bytes)


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number of up to nine bytes, and where it ends."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | content[place] & 0x7F
        if content[place] < 0x80:
            return value, place + 1
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
