"""CSV: row by row as they are read, and safe to open in a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

from starlette.responses import Response

from tieout.workspace.pieces import Pieces

_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_LINES_AT_ONCE: Final = 500


def safe(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula: a text that begins like one gets an apostrophe before it.

    >>> safe("=1+2"), safe("-100.00"), safe("-1+2"), safe("USPM-000463")
    ("'=1+2", '-100.00', "'-1+2", 'USPM-000463')
    """
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in tuple("=+-@\t\r\n|") and not _NUMBER.fullmatch(text) else text


def csv_response(
    name: str, titles: Sequence[str], rows: Iterable[Sequence[Any]], stack: ExitStack | None = None
) -> Response:
    """A file of rows, sent while they are read; `stack` is closed after the last one."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Pieces(_written(titles, rows), stack or ExitStack(), "text/csv", headers)


def _written(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    held = io.StringIO()
    write = csv.writer(held)
    # With the mark, spreadsheets read the file as UTF-8.
    held.write("\ufeff")
    write.writerow([safe(title) for title in titles])
    for number, row in enumerate(rows, 1):
        write.writerow([safe(value) for value in row])
        if number % _LINES_AT_ONCE == 0:
            yield held.getvalue().encode()
            held.seek(0)
            held.truncate()
    yield held.getvalue().encode()
