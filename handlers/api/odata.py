"""OData operations that both APIs share: keys and literals in addresses, and pagination."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote

import msgspec

from handlers.api.connection import ApiResponse, Connection
from handlers.errors import Configuration, Permanent, TokenExpired, Transient


class Page(msgspec.Struct, frozen=True):
    """One page of the rows of a table.

    `body` has the bytes that a poller publishes, with `answered` as a header. `next` is the link to the next page,
    `delta` the link to later changes; None if the response has none.
    """

    body: bytes
    rows: list[dict[str, Any]]
    answered: datetime
    next: str | None
    delta: str | None


class Row(msgspec.Struct, frozen=True):
    """One row: its columns, numbers with a fraction as text, and its etag, which can be compared for equality only."""

    columns: dict[str, Any]
    etag: str
    body: bytes
    answered: datetime


Key = Mapping[str, str | int]
"""The columns that identify one row."""


_ETAG: Final = re.compile(r'(W/)?"[\x21\x23-\x7e]*"')
"""RFC 9110, restricted to ASCII, because it is sent in a header of the next call."""


def follow(
    connection: Connection,
    table: str,
    parameters: Mapping[str, str],
    *,
    headers: Mapping[str, str] | None = None,
    since: str | None = None,
) -> Iterator[Page]:
    """Yield the pages of a table, or those from the link `since`, within the limits of the connection.

    Raises `TokenExpired` if `since` is a link of another API, `Permanent` if the links form a cycle, `Transient` if the
    read exceeds the limits on pages or time, and the errors of the calls.
    """
    bounds, ends = connection.bounds, time.monotonic() + connection.bounds.read_seconds
    if since is not None:
        try:
            connection.check_link(since)
        except Configuration:
            raise TokenExpired(
                f"{table}: the last read ended at a link that is not below {connection.address}, as after a change of "
                "the address. Read the whole table again."
            ) from None
    link, visited = since, set[bytes]()
    for _ in range(bounds.pages):
        if time.monotonic() > ends:
            raise Transient(f"{table}: the read took more than {bounds.read_seconds:,.0f} seconds. It continues later.")
        if link is None:
            answer = connection.get(table, parameters=parameters, headers=headers)
        else:
            # Digests instead of links, which may be long.
            digest = blake2b(link.encode("utf-8", "replace"), digest_size=16).digest()
            if digest in visited:
                raise Permanent(
                    f"{table}: the next page was read before ({link[:200]!r}), so the links form a cycle. The table is "
                    "read from its beginning next time."
                )
            visited.add(digest)
            answer = connection.follow(link, headers=headers)
        current = page(connection, answer)
        yield current
        link = current.next
        if link is None:
            return
    raise Transient(f"{table}: the read has more than {bounds.pages:,} pages. It continues later.")


def page(connection: Connection, answer: ApiResponse) -> Page:
    """Return the page in a response.

    Raises `Permanent` if the response has no `value`, so that its table is not mistaken for empty; `Transient` if its
    members have the wrong type; `Configuration` if a link is not below the API.
    """
    content = answer.content
    rows = content.get("value")
    if rows is None:
        raise Permanent(
            f"{answer.call}: the response has no rows, so the address is not that of a table. Check the maps."
        )
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _invalid(answer, "`value` must be an array of objects")
    return Page(
        answer.body,
        rows,
        answer.answered,
        _link(connection, answer, "@odata.nextLink"),
        _link(connection, answer, "@odata.deltaLink"),
    )


def _link(connection: Connection, answer: ApiResponse, name: str) -> str | None:
    link = answer.content.get(name)
    if link is None:
        return None
    if not isinstance(link, str) or not link:
        raise _invalid(answer, f"`{name}` must be text")
    connection.check_link(link)
    return link


def row(answer: ApiResponse) -> Row:
    """Return the row in a response. Raises `Transient` for an invalid etag."""
    etag = answer.content.get("@odata.etag", "")
    if not isinstance(etag, str) or (etag and not _ETAG.fullmatch(etag)):
        raise _invalid(answer, "`@odata.etag` must be an entity tag")
    return Row(answer.content, etag, answer.body, answer.answered)


def _invalid(answer: ApiResponse, rule: str) -> Transient:
    return Transient(
        f"{answer.call}: the response is not valid OData: {rule}. Try again later, and check what responds at this "
        "address.",
        status=answer.status,
    )


def addressed(entity_set: str, key: Key | str) -> str:
    """Return the address of one row: `msdyn_actuals(guid)`, `TrvExpTranss(dataAreaId='uspm',RecId=5637144576)`."""
    if isinstance(key, str):
        return f"{entity_set}({quote(key, safe='')})"
    return f"{entity_set}({','.join(f'{name}={_literal(value)}' for name, value in key.items())})"


def literal(value: str | int) -> str:
    """Return a value as a literal of a filter; quotes are doubled."""
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def any_of(column: str, values: Iterable[str | int]) -> str:
    """Return a filter for rows whose column has one of these values; neither system supports `in` everywhere."""
    return " or ".join(f"{column} eq {literal(value)}" for value in values)


def _literal(value: str | int) -> str:
    return quote(literal(value), safe="'")


def query(**options: object) -> dict[str, str]:
    """Return the non-empty options as system query options: `select=["a", "b"]` becomes `$select=a,b`."""
    return {
        f"${name}": value
        if isinstance(value, str)
        else ",".join(map(str, value))
        if isinstance(value, list | tuple)
        else str(value)
        for name, value in options.items()
        if value
    }
