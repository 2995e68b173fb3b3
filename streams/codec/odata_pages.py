"""Decodes responses of the Dataverse Web API and of Finance OData, as pollers put them on a topic: pages of rows, pages
of changes, single rows (R9).

The address in `@odata.context` contains the system, host and entity set. A response does not contain its time, so the
poller adds it in a header. The `modifiedon` of a row takes precedence.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from engine.errors import Rejected
from engine.events.facts import UNDATED, Change, Evidence, Fact, Source, etag_record, rec_id
from engine.mapping.compiler import COMPANY
from streams.codec.common import (
    COMPANY_COLUMNS,
    LARGEST_INTEGER,
    LONGEST_NAME,
    REC_ID_COLUMNS,
    Event,
    clean,
    excerpt,
    json_type_name,
    modified_time,
    normalize_text,
    parse_rec_id,
    row_guid,
)

# https://org.crm.dynamics.com/api/data/v9.2/$metadata#msdyn_actuals(msdyn_amount)/$delta
# https://org.operations.dynamics.com/data/$metadata#ProjCDSActualsImports
_CONTEXT: Final = re.compile(
    r"https?://(?P<host>[^/]+)/(?P<root>api/data/v[\d.]+|data)/\$metadata#(?P<set>\w+)(?P<rest>.*)",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_DELETED: Final = "/$deletedEntity"
_DATAVERSE_ETAG: Final = re.compile(r'W/"(\d{1,19})"', re.ASCII)
_ADDRESSED: Final = re.compile(r"\(([0-9a-fA-F-]{36})\)\s*$", re.ASCII)
_LOOKUP: Final = re.compile(r"_(\w+)_value", re.ASCII)


def decode(content: dict[str, Any], event: Event) -> tuple[list[Fact], list[str]]:
    """Decode a response; returns changes, and the reasons of rejected rows. Raises `Rejected` if all are rejected."""
    address = content["@odata.context"]
    context = _CONTEXT.fullmatch(address) if type(address) is str and len(address) <= 20_000 else None
    if context is None:
        raise Rejected(
            f"{excerpt(address)} at $['@odata.context'] is no address of the Dataverse Web API (/api/data/v…) or of "
            "Finance (/data/)"
        )
    host = context["host"].lower()
    system: Source = "finance" if context["root"].lower() == "data" else "dataverse"
    if event.environments is not None:
        event.environments.check(system, (("host", host),), "$['@odata.context']")
    page = _Page(system, context["set"], host, event)
    facts: list[Fact] = []
    reasons = []
    for number, row in _rows(content, context["rest"]):
        try:
            facts.append(page.change(row))
        except Rejected as reason:
            reasons.append(f"row {number} of {context['set']}: {reason}")
    return facts, reasons


def _rows(content: dict[str, Any], rest: str) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a response with their numbers: those of a page, or the single requested one."""
    if "value" not in content or rest.endswith("/$entity"):
        yield 1, content
        return
    rows = content["value"]
    if type(rows) is not list:
        raise Rejected(f"the rows at $.value must be an array, this is {json_type_name(rows)}")
    yield from enumerate(rows, 1)


class _Page:
    """The context that the rows of one response share."""

    def __init__(self, source: Source, entity_set: str, host: str, event: Event) -> None:
        self.entity_set = entity_set
        self.names = [event.table] if event.table else singulars(entity_set)
        self.api = source
        # A virtual table contains rows of Finance.
        self.source: Source = "finance" if entity_set.startswith("mserp_") else source
        self.origin = f"/{self.source}/{host}"
        self.event = event
        self.digest = event.digest()

    def change(self, row: Any) -> Change:
        """Decode one row. Raises `Rejected`."""
        if type(row) is not dict:
            raise Rejected(f"a row is expected, this is {json_type_name(row)}")
        if _is_deleted(row):
            return self._change("delete", self.names[0], self._deleted_id(row), {}, (), row)
        columns, unknown = _columns(row)
        entity, identifier = self._finance_row(row) if self.api == "finance" else self._dataverse_row(row)
        return self._change("upsert", entity, identifier, columns, unknown, row)

    def _change(
        self,
        operation: Any,
        entity: str,
        identifier: str,
        columns: dict[str, Any],
        unknown: tuple[str, ...],
        row: dict[str, Any],
    ) -> Change:
        if self.source == "finance":
            identifier = rec_id(identifier) or identifier
        at = modified_time(columns)
        if at is None:
            at = self.event.answered
        if at is None and not self.event.undated:
            raise Rejected(
                "the row cannot be ordered: it has no modifiedon, and the poller did not say in the header "
                "tieout-answered-at when the API gave this answer"
            )
        company = None
        for name in COMPANY_COLUMNS:
            if self.source == "finance" and name in columns:
                company = clean(columns[name]).upper() or None
                columns[COMPANY] = company
        location = self.event.location
        evidence = Evidence(
            UNDATED if at is None else at,
            self._version(row),
            self.digest,
            self.origin,
            "",
            location.topic,
            location.partition,
            location.offset,
        )
        read = self.event.answered
        return Change(
            operation, self.source, entity, identifier, evidence, columns, company, unknown=unknown, read=read
        )

    def _version(self, row: dict[str, Any]) -> int:
        """Return the row version of Dataverse; 0 for Finance, whose version does not increase."""
        etag = row.get("@odata.etag")
        found = _DATAVERSE_ETAG.fullmatch(etag) if self.api == "dataverse" and type(etag) is str else None
        return int(found[1]) if found and int(found[1]) <= LARGEST_INTEGER else 0

    def _dataverse_row(self, row: dict[str, Any]) -> tuple[str, str]:
        """Return table and id. By convention the key is the name of the table and `id`; a response always has it."""
        for name in self.names:
            if found := row_guid(row.get(f"{name}id")):
                return name, found
        for address in (row.get("@odata.id"), row.get("@odata.editLink")):
            if type(address) is str and (addressed := _ADDRESSED.search(address)):
                return self.names[0], row_guid(addressed[1])
        raise Rejected(f"the row names no id: there is no column {' or '.join(f'{name}id' for name in self.names)}")

    def _finance_row(self, row: dict[str, Any]) -> tuple[str, str]:
        """Return entity and RecId, which Finance's entities contain only in their etags."""
        for name in REC_ID_COLUMNS:
            if found := parse_rec_id(row.get(name)):
                return self.names[0], found
        if record := etag_record(row.get("@odata.etag")):
            return self.names[0], record
        raise Rejected("the row names no RecId: it has neither a column RecId nor an @odata.etag that holds it")

    def _deleted_id(self, row: dict[str, Any]) -> str:
        for name in ("id", *(f"{name}id" for name in self.names)):
            if found := row_guid(row.get(name)):
                return found
        raise Rejected("the row was deleted, and its id is not said")


def _is_deleted(row: dict[str, Any]) -> bool:
    context = row.get("@odata.context")
    return "@removed" in row or (type(context) is str and context.endswith(_DELETED))


def singulars(entity_set: str) -> list[str]:
    """Return the possible table names of an entity set, the most likely first: sets have plural names.

    `msdyn_actuals` is `msdyn_actual`, `transactioncurrencies` is `transactioncurrency`.
    """
    name = entity_set[:LONGEST_NAME]
    if name.endswith("ies"):
        return [f"{name[:-3]}y", name[:-1]]
    if name.endswith(("sses", "shes", "ches", "xes", "zes")):
        return [name[:-2], name[:-1]]
    return [name[:-1], name] if name.endswith("s") and len(name) > 1 else [name]


def _columns(row: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the columns without annotations, lookups under their own names; and the names of those of unknown kind."""
    columns: dict[str, Any] = {}
    unknown = []
    for name, value in row.items():
        if "@" in name:
            continue
        if lookup := _LOOKUP.fullmatch(name):
            entity = row.get(f"{name}@Microsoft.Dynamics.CRM.lookuplogicalname")
            columns[lookup[1]] = None if value is None else {"entity": entity, "id": clean(value) or None, "name": None}
        elif type(value) is str:
            columns[name] = normalize_text(value)
        else:
            if type(value) in (dict, list):
                unknown.append(name)
            columns[name] = value
    return columns, tuple(unknown)


def refuse(content: dict[str, Any]) -> Rejected:
    """Return the rejection of a response without rows, with the error of the API."""
    body = content.get("body")
    inside = body if type(body) is dict else content
    error = inside.get("error")
    details = error if type(error) is dict else {}
    parts = [
        f"status {clean(content['status'])}" if clean(content.get("status")) else "",
        clean(details.get("code")),
        clean(details.get("message"), 2_000),
    ]
    text = ": ".join(part for part in parts if part)
    return Rejected(f"an answer of the API that refuses a request, and no event{f' ({text})' if text else ''}")
