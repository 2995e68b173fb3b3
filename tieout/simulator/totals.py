"""Totals of a company, summed from its labels: the expected output of `tieout summary`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from engine.reconciliation.kinds import KINDS, TILES
from tieout.simulator.amounts import rounded
from tieout.simulator.scenario import ZERO, DocumentKind, Label, Summary


@dataclass(slots=True)
class Sum:
    """An amount and its number of documents."""

    amount: Decimal = ZERO
    documents: int = 0

    def add(self, amount: Decimal) -> None:
        """Add one document."""
        self.amount += amount
        self.documents += 1


@dataclass(slots=True)
class Totals:
    """Labels of one company within a window (both ends included), and its actuals that never reached Finance."""

    company: str
    currency: str
    window: tuple[date, date]
    tiles: dict[tuple[DocumentKind, str], Sum] = field(default_factory=dict)
    unreconciled: dict[DocumentKind, Sum] = field(default_factory=dict)
    difference: Sum = field(default_factory=Sum)
    unsynced: Sum = field(default_factory=Sum)

    def __post_init__(self) -> None:
        """Set each tile to zero."""
        self.tiles = {(tile.kind, tile.part): Sum() for tile in TILES}
        self.unreconciled = {kind: Sum() for kind in KINDS}

    def add(self, label: Label) -> None:
        """Add a document if it belongs to this company and window."""
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
        """Return the totals in the format of `tieout summary`."""
        first, last = self.window
        unsynced = self._shown(self.unsynced)
        return {
            "company": self.company,
            "from": first.isoformat(),
            "to": last.isoformat(),
            "currency": self.currency,
            "unreconciled": {kind.summary_name: self._shown(self.unreconciled[code]) for code, kind in KINDS.items()},
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
    """Sum labels that are all in memory."""
    totals = Totals(company, currency, window)
    for label in labels:
        totals.add(label)
    for amount in unsynced:
        totals.unsynced.add(amount)
    return totals.as_summary()
