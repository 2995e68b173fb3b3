"""The totals of a company, added up from its labels: what `tieout summary` should say."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from engine.reconciliation.documents import TILES
from tieout.simulator.amounts import rounded
from tieout.simulator.scenario import ZERO, Kind, Label, Summary


@dataclass(slots=True)
class Sum:
    """An amount, and how many documents are in it."""

    amount: Decimal = ZERO
    documents: int = 0

    def add(self, amount: Decimal) -> None:
        """One document more."""
        self.amount += amount
        self.documents += 1


@dataclass(slots=True)
class Totals:
    """The labels of one company within a window (both ends included), and its actuals that never reached Finance."""

    company: str
    currency: str
    window: tuple[date, date]
    tiles: dict[tuple[Kind, str], Sum] = field(default_factory=dict)
    unreconciled: dict[Kind, Sum] = field(default_factory=dict)
    difference: Sum = field(default_factory=Sum)
    unsynced: Sum = field(default_factory=Sum)

    def __post_init__(self) -> None:
        """Start each tile at nothing."""
        self.tiles = {(tile.kind, tile.part): Sum() for tile in TILES}
        self.unreconciled = {"expense": Sum(), "vendor-invoice-line": Sum()}

    def add(self, label: Label) -> None:
        """Count a document, if it is one of this company and window."""
        first, last = self.window
        if label.company != self.company or not first <= label.date <= last:
            return
        accounting = label.accounting_parts
        if label.misses_actual:
            self.tiles[label.kind, "missing_actual"].add(accounting.missing_actual)
        if label.misses_journal_line:
            self.tiles[label.kind, "missing_journal_line"].add(accounting.missing_journal_line)
        if label.misses_actual or label.misses_journal_line:
            self.unreconciled[label.kind].add(accounting.missing_actual + accounting.missing_journal_line)
        if label.difference:
            self.difference.add(accounting.difference)

    def as_summary(self) -> Summary:
        """The totals, shaped like the answer of `tieout summary`."""
        first, last = self.window
        unsynced = self._shown(self.unsynced)
        return {
            "company": self.company,
            "from": first.isoformat(),
            "to": last.isoformat(),
            "currency": self.currency,
            "unreconciled": {
                "expense": self._shown(self.unreconciled["expense"]),
                "vendor_invoice": self._shown(self.unreconciled["vendor-invoice-line"]),
            },
            "tiles": {tile.name: self._shown(self.tiles[tile.kind, tile.part]) for tile in TILES},
            "difference": self._shown(self.difference),
            "in_flight": self._shown(Sum()),
            "not_synced_to_finance": {"amount": unsynced["amount"], "records": unsynced["documents"]},
        }

    def _shown(self, total: Sum) -> dict[str, Any]:
        return {"amount": str(rounded(total.amount, self.currency)), "documents": total.documents}


def summarise(
    labels: Iterable[Label], company: str, currency: str, window: tuple[date, date], unsynced: Iterable[Decimal]
) -> Summary:
    """Add up labels that are all at hand."""
    totals = Totals(company, currency, window)
    for label in labels:
        totals.add(label)
    for amount in unsynced:
        totals.unsynced.add(amount)
    return totals.as_summary()
