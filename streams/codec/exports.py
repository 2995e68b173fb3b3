"""Decodes rows exported by Synapse Link and Fabric Link: tables of Finance and of Dataverse (R3, R9).

A row does not contain the name of its table. The sender adds it in the header `tieout-table` or in a member
`tablename`. Columns have the names of the table in lower case. Members of the export (`SinkModifiedOn`, `IsDelete`, …)
are no columns.
"""

import re
from datetime import UTC, datetime
from typing import Any, Final

from engine.errors import Rejected
from engine.events.facts import UNDATED, Change, Evidence, Source, guid, microseconds, rec_id
from engine.mapping.compiler import COMPANY
from streams.codec.common import (
    COMPANY_COLUMNS,
    LARGEST_INTEGER,
    LONGEST_NAME,
    REC_ID_COLUMNS,
    Event,
    clean,
    excerpt,
    normalize_text,
    parse_event_time,
    parse_rec_id,
)

TABLE: Final = "tieout-table"
"""The header that names the table of a row."""

_MEMBERS: Final = frozenset(["Id", "SinkCreatedOn", "SinkModifiedOn", "IsDelete", "PartitionId", "tablename"])
_VERSIONS: Final = ("versionnumber", "sysrowversion")
_MODIFIED: Final = ("modifieddatetime", "modifiedon", "SinkModifiedOn")
# `modifiedon` of a deleted row is the time of its last update, so the time of the export determines the precedence of
# the delete.
_DELETED_AT: Final = ("SinkModifiedOn", "modifieddatetime", "modifiedon")
_WITHOUT_ZONE: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?)", re.ASCII)
_AMERICAN: Final = "%m/%d/%Y %I:%M:%S %p"


def decode(row: dict[str, Any], event: Event) -> Change:
    """Decode a row. Raises `Rejected` if the table, the row id or the time is missing."""
    table = event.table or clean(row.get("tablename"), LONGEST_NAME)
    number = next((found for name in REC_ID_COLUMNS if (found := parse_rec_id(row.get(name)))), "")
    if not table:
        raise Rejected(
            f"a row as Synapse Link or Fabric Link exports it (recid {excerpt(number)}), which does not name its "
            f"table: name it in the header {TABLE}, or in a member tablename (docs/connect-finance.md)"
        )
    virtual = table.lower().startswith("mserp_")
    source: Source = "finance" if virtual or any(name in row for name in REC_ID_COLUMNS) else "dataverse"
    identifier = _finance_id(row, number, virtual=virtual) if source == "finance" else guid(clean(row.get("Id"))) or ""
    if not identifier:
        raise Rejected(f"the row of {table} names no row: neither recid nor Id says which")
    deleted = is_deleted(row.get("IsDelete"))
    at = _time(row, _DELETED_AT) if deleted else changed_at(row)
    if at is None:
        at = event.answered
    if at is None and not event.undated:
        raise Rejected(
            f"the row of {table} cannot be ordered: there is no time in modifieddatetime, modifiedon or SinkModifiedOn"
        )
    columns = {} if deleted else {name: _value(value) for name, value in row.items() if name not in _MEMBERS}
    company = None
    for name in COMPANY_COLUMNS if source == "finance" else ():
        if name in columns:
            columns[COMPANY] = company = clean(columns[name]).upper() or None
    location = event.location
    evidence = Evidence(
        UNDATED if at is None else at,
        version_of(row),
        event.digest(),
        f"/{source}",
        "",
        location.topic,
        location.partition,
        location.offset,
    )
    unknown = tuple(name for name, value in columns.items() if type(value) in (dict, list))
    operation = "delete" if deleted else "upsert"
    return Change(operation, source, table, identifier, evidence, columns, company, unknown=unknown)  # type: ignore[arg-type]


def is_deleted(value: object) -> bool:
    """Return True if a row was deleted. Raises `Rejected` for any other value than true and false."""
    text = str(value).lower() if type(value) is bool else clean(value).lower()
    if text in ("", "false", "0", "0.0"):
        return False
    if text in ("true", "1", "1.0"):
        return True
    raise Rejected(f"IsDelete is {excerpt(value)}, which says neither true nor false")


def _finance_id(row: dict[str, Any], number: str, *, virtual: bool) -> str:
    """Return the RecId of the row, else the one in the id of a virtual row. A deleted row may have nothing else."""
    if number:
        return number
    identifier = guid(clean(row.get("Id"))) or ""
    of_guid = rec_id(identifier) if virtual or identifier[8:19] == "-0000-0000-" else None
    return of_guid or (identifier if virtual else "")


def _first_number(row: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the first of these columns that is neither empty nor zero; empty if none is."""
    return next((text for name in names if (text := clean(row.get(name))) and text.strip("0")), "")


def version_of(row: dict[str, Any]) -> int:
    """Return the version of a row, which increases with every change in its table; 0 if it has none."""
    text = _first_number(row, _VERSIONS)
    return int(text) if text.isascii() and text.isdigit() and int(text) <= LARGEST_INTEGER else 0


def changed_at(row: dict[str, Any]) -> int | None:
    """Return the time of the last change in microseconds since 1970 UTC; None if missing."""
    return _time(row, _MODIFIED)


def _time(row: dict[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = row.get(name)
        at = link_time(value) if type(value) is str else None
        if at is not None:
            return at
    return None


def link_time(text: str) -> int | None:
    """Parse a time of an export into microseconds since 1970 UTC; None if it is no time. Accepts ISO 8601, without a
    zone as UTC, and `1/8/2025 9:41:03 AM`.
    """
    at = parse_event_time(_with_zone(text))
    if at is None and text.endswith(("AM", "PM")) and len(text) < 40:
        try:
            at = microseconds(datetime.strptime(text, _AMERICAN).replace(tzinfo=UTC))
        except ValueError:
            return None
    return at


def _with_zone(text: str) -> str:
    found = _WITHOUT_ZONE.fullmatch(text) if 19 <= len(text) <= 29 else None
    return f"{found[1]}T{found[2]}Z" if found else text


def _value(value: Any) -> Any:
    return normalize_text(_with_zone(value)) if type(value) is str else value
