"""What is open in a company: the numbers beside the entries of the navigation, on every page."""

from collections.abc import Mapping
from typing import Final

import msgspec

from engine.calendar import Company, Window
from engine.reconciliation.kinds import Kind
from store.errorlog.error_log import ErrorQuery
from store.queries.snapshot import Snapshot
from tieout.sync.general_journals import journals_needing_attention

ERRORS_COUNTED: Final = 100
"""Current errors counted at most, as many as their page lists."""


class Counts(msgspec.Struct, frozen=True):
    """Unreconciled documents of the window by kind, current errors, and general journals that need attention."""

    documents: Mapping[Kind, int] = {}
    errors: int = 0
    journals: int = 0


def count(snapshot: Snapshot, company: Company, window: Window | None) -> Counts:
    """Count what is open in a company."""
    return Counts(
        documents=snapshot.unreconciled_documents(company, window) if window is not None else {},
        errors=len(snapshot.error_log(ErrorQuery(company=company.code, limit=ERRORS_COUNTED))),
        journals=len(journals_needing_attention(snapshot, company.code)),
    )
