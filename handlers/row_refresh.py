"""Re-reads a row after a notice (R5): an event that was truncated for its size, or that carries keys only.

The commands topic has a re-read request `{"command": "read", …}` for each notice, with the members that `tieout decode`
shows. The rows are published to the change topics and processed like any page of a poller.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.events.facts import moment
from engine.mapping.values import parse_time
from handlers.api.dataverse import Dataverse
from handlers.api.finance import Finance
from handlers.api.odata import literal
from handlers.change_events import SourceEvent, System, event_of_deleted_row, event_of_row, events_of_page
from handlers.errors import Missing, Permanent

BUSINESS_EVENTS: Final[Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]] = {
    "VendorInvoicePostedBusinessEvent": (
        ("VendInvoiceJour", ("InvoiceId", "InvoiceAccount")),
        ("VendInvoiceTrans", ("InvoiceId",)),
    ),
}
"""The tables that a business event is about, and the members that identify their rows. It carries keys, not data."""


class RowReader:
    """Reads single rows of both systems."""

    def __init__(self, finance: Finance, dataverse: Dataverse) -> None:
        self._finance = finance
        self._dataverse = dataverse

    def read(self, command: Mapping[str, Any]) -> list[SourceEvent]:
        """Read the rows that a `read` command names and return them as events for the change topics.

        A missing row of Dataverse is returned as deleted at the time of its notice: the time of the response could hide
        a row that was created between the two. A missing row of Finance returns no event, because Finance does not say
        whether it ever existed. Raises `TargetError`; `Permanent` for a notice without enough members to identify a
        row, which the poller will read.
        """
        entity, row_id = str(command.get("entity") or ""), command.get("id")
        if entity in BUSINESS_EVENTS:
            return self._of_business_event(entity, command)
        if not row_id:
            raise Permanent(f"The notice about {entity} names no row. Poll its table (docs/connectors.md).")
        if command.get("source") == "finance" and not entity.startswith("mserp_"):
            return self._of_finance(entity, str(row_id), command)
        # A virtual row of Finance is read through Dataverse, which exposes it under the guid of its notice.
        return [self._of_dataverse(entity, str(row_id), parse_time(str(command.get("at") or "")))]

    def _of_dataverse(self, entity: str, row_id: str, noticed: int | None) -> SourceEvent:
        connection, name = self._dataverse.connection, self._dataverse.entity_set(entity)
        try:
            row = self._dataverse.read(name, row_id)
        except Missing as missing:
            # Any other 404 is about the address, not about the row.
            if missing.system_code.lower() != "0x80040217" or missing.answered is None or entity.startswith("mserp_"):
                raise
            deleted_at = missing.answered if noticed is None else min(missing.answered, moment(noticed))
            return event_of_deleted_row(str(connection.address), entity, name, row_id, deleted_at)
        system: System = "finance" if entity.startswith("mserp_") else "dataverse"
        return event_of_row(system, entity, row_id, row.body, row.answered)

    def _of_finance(self, entity: str, record: str, command: Mapping[str, Any]) -> list[SourceEvent]:
        """Read a row by its RecId, which the entity must expose as a column."""
        if not record.isdigit():
            raise Permanent(f"The notice about {entity} names no RecId. Poll its table.")
        return self._pages(entity, f"RecId eq {record}", command)

    def _of_business_event(self, entity: str, command: Mapping[str, Any]) -> list[SourceEvent]:
        members: Mapping[str, Any] = command.get("columns") or {}
        events: list[SourceEvent] = []
        for table, names in BUSINESS_EVENTS[entity]:
            if missing := [name for name in names if not members.get(name)]:
                raise Permanent(
                    f"The notice {entity} has no {', '.join(missing)}, so no row can be identified. Poll its tables."
                )
            where = " and ".join(f"{name} eq {literal(str(members[name]))}" for name in names)
            events += self._pages(table, where, command)
        return events

    def _pages(self, table: str, where: str, command: Mapping[str, Any]) -> list[SourceEvent]:
        companies: Sequence[str] = [command["company"]] if command.get("company") else []
        return [
            event
            for page in self._finance.pages(self._finance.entity_set(table), companies=companies, where=where)
            for event in events_of_page("finance", table, page.body, page.answered)
        ]
