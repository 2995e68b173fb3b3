"""What both APIs share: how keys and texts are written in addresses, and the pages of an answer."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from handlers.connection import Answer
from handlers.errors import Permanent


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


def page(answer: Answer) -> Page:
    """The rows of an answer. Raises `Permanent` when it holds none, lest a table be taken for empty."""
    content = answer.content
    rows = content.get("value")
    if not isinstance(rows, list):
        raise Permanent("The answer holds no rows: the address is not that of a table. Check the maps.")
    return Page(
        answer.body,
        rows,
        answer.answered,
        content.get("@odata.nextLink"),
        content.get("@odata.deltaLink"),
    )


def row(answer: Answer) -> Row:
    return Row(answer.content, str(answer.content.get("@odata.etag", "")), answer.body, answer.answered)


def addressed(entity_set: str, key: Key | str) -> str:
    """The address of one row: `msdyn_actuals(guid)`, `TrvExpTranss(dataAreaId='uspm',RecId=5637144576)`."""
    if isinstance(key, str):
        return f"{entity_set}({key})"
    return f"{entity_set}({','.join(f'{name}={_literal(value)}' for name, value in key.items())})"


def entity_set(entity: str) -> str:
    """The name under which both APIs offer a table, unless it was given another: its plural."""
    return f"{entity[:-1]}ies" if entity.endswith("y") else f"{entity}s"


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
