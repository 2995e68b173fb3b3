"""What both APIs share: how keys and texts are written in addresses, and the pages of an answer."""

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
    """Some rows of a table as the API gave them.

    `body` are its bytes, as a poller puts them on a topic; `answered` goes into the header beside. `next` is the
    address of the page after it, `delta` the one to ask for what changes from now on; None where there is none.
    """

    body: bytes
    rows: list[dict[str, Any]]
    answered: datetime
    next: str | None
    delta: str | None


class Row(msgspec.Struct, frozen=True):
    """One row: its columns, numbers with a fraction as digits, and its etag, which is good for equality alone."""

    columns: dict[str, Any]
    etag: str
    body: bytes
    answered: datetime


Key = Mapping[str, str | int]
"""The columns that name one row."""


_ETAG: Final = re.compile(r'(W/)?"[\x21\x23-\x7e]*"')
"""RFC 9110, in ASCII: it goes into a header of the next call."""


def follow(
    connection: Connection,
    table: str,
    parameters: Mapping[str, str],
    *,
    headers: Mapping[str, str] | None = None,
    since: str | None = None,
) -> Iterator[Page]:
    """The pages of a table, or those from the link `since` on, to the last or to the bounds of the connection.

    Raises `TokenExpired` when `since` is a link of another API, `Permanent` when the links lead in a circle,
    `Transient` when a read has too many pages or takes too long, and what the calls raise.
    """
    bounds, ends = connection.bounds, time.monotonic() + connection.bounds.read_seconds
    if since is not None:
        try:
            connection.check_link(since)
        except Configuration:
            raise TokenExpired(
                f"{table}: where the last read ended is not below {connection.address}, as after a change of the "
                "address. Read the whole table again."
            ) from None
    link, seen = since, set[bytes]()
    for _ in range(bounds.pages):
        if time.monotonic() > ends:
            raise Transient(f"{table}: the read took more than {bounds.read_seconds:,.0f} seconds. It continues later.")
        if link is None:
            answer = connection.get(table, parameters=parameters, headers=headers)
        else:
            # A digest instead of the link, which may be long.
            digest = blake2b(link.encode("utf-8", "replace"), digest_size=16).digest()
            if digest in seen:
                raise Permanent(
                    f"{table}: the next page is one that was read before ({link[:200]!r}): the links lead in a circle. "
                    "The table is read from its beginning next time."
                )
            seen.add(digest)
            answer = connection.follow(link, headers=headers)
        found = page(connection, answer)
        yield found
        link = found.next
        if link is None:
            return
    raise Transient(f"{table}: the read has more than {bounds.pages:,} pages. It continues later.")


def page(connection: Connection, answer: ApiResponse) -> Page:
    """The rows of an answer.

    Raises `Permanent` when it holds none, lest a table be taken for empty; `Transient` when its members are of the
    wrong type, `Configuration` when a link leads elsewhere.
    """
    content = answer.content
    rows = content.get("value")
    if rows is None:
        raise Permanent(f"{answer.call}: the answer holds no rows: the address is not that of a table. Check the maps.")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _wrong(answer, "`value` must be an array of objects")
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
        raise _wrong(answer, f"`{name}` must be text")
    connection.check_link(link)
    return link


def row(answer: ApiResponse) -> Row:
    """The row of an answer. Raises `Transient` for an etag that is none."""
    etag = answer.content.get("@odata.etag", "")
    if not isinstance(etag, str) or (etag and not _ETAG.fullmatch(etag)):
        raise _wrong(answer, "`@odata.etag` must be an entity tag")
    return Row(answer.content, etag, answer.body, answer.answered)


def _wrong(answer: ApiResponse, what: str) -> Transient:
    return Transient(
        f"{answer.call}: the answer breaks the rules of OData: {what}. Try again later, and look at what answers at "
        "this address.",
        status=answer.status,
    )


def addressed(entity_set: str, key: Key | str) -> str:
    """The address of one row: `msdyn_actuals(guid)`, `TrvExpTranss(dataAreaId='uspm',RecId=5637144576)`."""
    if isinstance(key, str):
        return f"{entity_set}({quote(key, safe='')})"
    return f"{entity_set}({','.join(f'{name}={_literal(value)}' for name, value in key.items())})"


def literal(value: str | int) -> str:
    """A value in a filter: quotes are doubled."""
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def any_of(column: str, values: Iterable[str | int]) -> str:
    """A filter for rows whose column has one of these values; neither system takes `in` everywhere."""
    return " or ".join(f"{column} eq {literal(value)}" for value in values)


def _literal(value: str | int) -> str:
    return quote(literal(value), safe="'")


def query(**options: object) -> dict[str, str]:
    """System query options that were given: `select=["a", "b"]` becomes `$select=a,b`."""
    return {
        f"${name}": value
        if isinstance(value, str)
        else ",".join(map(str, value))
        if isinstance(value, list | tuple)
        else str(value)
        for name, value in options.items()
        if value
    }
