"""Rows, ids and events of generated histories, in the plain envelope that `tieout ingest` accepts."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

Event = dict[str, Any]
Columns = dict[str, Any]
COMPANIES = ("USPM", "GBPM")
BEGINNING = datetime(2025, 1, 6, 8, 0, tzinfo=UTC)
AMOUNTS = {
    "USD": ("100.00", "33.33", "0.01", "0.00", "-25.50"),
    "EUR": ("80.00", "10.10", "0.00", "-3.33"),
    "JPY": ("100", "12345", "0", "-7"),
    "KWD": ("10.000", "1.005", "0.000", "-0.001"),
}
DECIMALS = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}
RATES = {"USD": "14975", "EUR": "110.5", "JPY": "0.67", "KWD": "325.4"}  # into any other currency


def rec_id(table: int, n: int) -> str:
    """A RecId like those of Finance; all have the same length, so their order is the order of their text."""
    return str(5637144576 + table * 1000 + n)


def guid(table: int, n: int) -> str:
    return f"{table:08x}-0000-4000-8000-{n:012x}"


def lookup(entity: str, id_: str) -> Columns:
    return {"entity": entity, "id": id_, "name": None}


COMPANY_GUIDS = {company: guid(0xC0, n) for n, company in enumerate(COMPANIES, 1)}
CURRENCY_GUIDS = {currency: guid(0xCC, n) for n, currency in enumerate(AMOUNTS, 1)}


@dataclass(frozen=True)
class Step:
    """One change of one row, not yet stamped with a time."""

    system: str
    entity: str
    id: str
    columns: Columns = field(default_factory=dict)
    company: str | None = None
    delete: bool = False


def finance(entity: str, id_: str, company: str, **columns: Any) -> Step:
    return Step("finance", entity, id_, columns, company)


def row_event(step: Step, number: int, time: datetime, version: int | None = None) -> Event:
    """The event of the change, in the format of the plain envelope."""
    data: dict[str, Any] = {"entity": step.entity, "id": step.id, "operation": "delete" if step.delete else "upsert"}
    if version is not None:
        data["version"] = version
    if step.company is not None:
        data["company"] = step.company
    if not step.delete:
        data["columns"] = step.columns
    value = {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": f"/{step.system}/test",
        "type": "tieout.row.changed",
        "time": stamp(time),
        "data": data,
    }
    return {"topic": f"{step.system}.changes", "key": step.id, "headers": {}, "value": value}


def heartbeat(system: str, until: datetime) -> Event:
    value = {
        "specversion": "1.0",
        "id": f"heartbeat-{system}",
        "source": f"/{system}/test",
        "type": "tieout.source.complete",
        "time": stamp(until),
        "data": {"until": stamp(until)},
    }
    return {"topic": f"{system}.changes", "key": None, "headers": {}, "value": value}


def stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def deletion(step: Step) -> Step:
    return replace(step, columns={}, delete=True)
