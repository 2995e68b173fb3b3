"""Reads posted forms completely, within limits."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

FORM_BYTES_MAX: Final = 6 * 1024 * 1024
"""A sync preview lists all its documents."""
_FIELDS_MAX: Final = 20_000

Form = Mapping[str, Sequence[str]]


async def read_form(request: Request, most: int = FORM_BYTES_MAX) -> Form:
    """Return the fields of a form of at most `most` bytes. Raises `HTTPException` for an invalid or larger one."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise HTTPException(413, "The form is too large.")
    try:
        form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise HTTPException(400, "The form has too many fields.") from None
    if any("\0" in text for texts in form.values() for text in texts):
        raise HTTPException(400, "The form contains an invalid character (NUL).")
    return form
