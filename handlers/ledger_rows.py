"""Which rows of the ledger are polled: the entries of the named main accounts only."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from engine.events.facts import etag_record
from engine.mapping.compiler import EntityMap
from handlers.api.finance import Finance
from handlers.api.odata import literal
from handlers.errors import Configuration


def main_accounts_where(main_account: EntityMap, numbers: Collection[str]) -> str:
    """Return the condition of the main accounts with these numbers."""
    return _any(f"{_column(main_account, 'number')} eq {literal(number)}" for number in sorted(numbers))


def entries_where(entry: EntityMap, main_account: EntityMap, numbers: Collection[str]) -> Callable[[Finance], str]:
    """Return a function that asks Finance for the main accounts with these numbers, and returns the condition of their
    entries.

    An entity whose map reads no main account is filtered by its number or display value; an asterisk stands for the
    other segments. The function raises `TargetError`, for instance if Finance has none of the main accounts.
    """

    def where(finance: Finance) -> str:
        if column := _column(entry, "account"):
            return _any(f"{column} eq {record}" for record in _records(finance, main_account, numbers))
        if column := _column(entry, "number"):
            return _any(f"{column} eq {literal(number)}" for number in sorted(numbers))
        column = _column(entry, "display")
        return _any(f"{column} eq {literal(f'{number}*')}" for number in sorted(numbers))

    return where


def _records(finance: Finance, main_account: EntityMap, numbers: Collection[str]) -> list[str]:
    """Return the RecIds of main accounts by number; a number may occur once in each chart of accounts."""
    entity_set = finance.entity_set(main_account.entity)
    pages = finance.pages(entity_set, where=main_accounts_where(main_account, numbers))
    found = sorted({record for page in pages for row in page.rows if (record := _record(row))})
    if not found:
        raise Configuration(
            f"Finance has no main account {', '.join(sorted(numbers))}: correct TIEOUT_EXPENSE_ACCOUNT or "
            "TIEOUT_PROCUREMENT_ACCOUNT, or give the application user the right to read it."
        )
    return found


def _record(row: dict[str, Any]) -> str | None:
    named = row.get("RecId")
    return str(named) if type(named) is int and named > 0 else etag_record(row.get("@odata.etag"))


def _column(entity_map: EntityMap, field: str) -> str:
    """Return the first column of a field; empty if no column feeds it."""
    return next((item.columns[0] for item in entity_map.fields if item.name == field), "")


def _any(conditions: Iterable[str]) -> str:
    return " or ".join(conditions)
