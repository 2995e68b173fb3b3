"""CSV files, streamed row by row and safe to open in a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response

from tieout.workspace.web.streaming import ChunkedResponse

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
    """Stream a CSV file while its rows are read; `stack` is closed after the last one."""
    return ChunkedResponse(_written(titles, rows), stack or ExitStack(), "text/csv", as_file(f"{name}.csv"))


def as_file(name: str) -> dict[str, str]:
    r"""The header that has a browser keep an answer under a name, whatever characters a company's code has (RFC 6266).

    >>> as_file("USPM-errors.csv")
    {'Content-Disposition': 'attachment; filename="USPM-errors.csv"'}
    >>> as_file('Ü"-errors.csv')
    {'Content-Disposition': 'attachment; filename="__-errors.csv"; filename*=UTF-8\'\'%C3%9C%22-errors.csv'}
    """
    plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)
    exact = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    return {"Content-Disposition": f'attachment; filename="{plain}"{exact}'}


def _written(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    buffer = io.StringIO()
    write = csv.writer(buffer)
    # Spreadsheets need the byte order mark to read UTF-8.
    buffer.write("\ufeff")
    write.writerow([safe(title) for title in titles])
    for number, row in enumerate(rows, 1):
        write.writerow([safe(value) for value in row])
        if number % _LINES_AT_ONCE == 0:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()
