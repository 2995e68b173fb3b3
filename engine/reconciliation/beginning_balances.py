"""Cut-off dates of beginning balances: what a company cleared before it began to use the integration journal.

An actual that is dated on or before the cut-off date of its document's company never gets an integration journal line:
its cost is in the beginning balance.
"""

import re
from collections.abc import Collection, Iterable
from datetime import date
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from engine.reconciliation.actual_facts import ActualFacts

_COMPANY: Final = re.compile(r"[^=\s]{1,100}")


class BeginningBalances(msgspec.Struct, frozen=True):
    """The cut-off date of each company (`YYYY-MM-DD`, inclusive), and of all other companies: none without one."""

    by_company: dict[str, str] = {}
    others: str | None = None

    def contain(self, company: str | None, actuals: "Collection[ActualFacts]") -> bool:
        """Return True if the cost of a document of this company is in its beginning balance: all its actuals are dated
        on or before the cut-off, and none of them is posted.

        The accounting date counts, otherwise the document date.
        """
        cut_off = self.by_company.get(company or "", self.others)
        if cut_off is None or not actuals:
            return False
        for actual in actuals:
            day = actual.row["accounting_date"] or actual.row["document_date"]
            if day is None or day > cut_off or actual.posted:
                return False
        return True

    def __str__(self) -> str:
        dates = [f"{company}={day}" for company, day in sorted(self.by_company.items())]
        return ", ".join([*dates, *([self.others] if self.others else [])]) or "none"


NONE: Final = BeginningBalances()
"""No company has a cut-off date."""


def beginning_balances(entries: Iterable[str]) -> BeginningBalances:
    """Parse `COMPANY=YYYY-MM-DD` entries, and one date for all other companies. Raises `ValueError` with the entry."""
    by_company: dict[str, str] = {}
    others: str | None = None
    for entry in entries:
        company, named, day = entry.rpartition("=")
        code = company.strip().upper()
        if not _is_date(day.strip()) or (named and not _COMPANY.fullmatch(code)):
            raise ValueError(entry)
        if (code in by_company) if named else others is not None:
            raise ValueError(entry)
        if named:
            by_company[code] = day.strip()
        else:
            others = day.strip()
    return BeginningBalances(by_company, others)


def _is_date(text: str) -> bool:
    try:
        return len(text) == 10 and date.fromisoformat(text) is not None
    except ValueError:
        return False
