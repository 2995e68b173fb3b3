"""Faults of documents, and what only looks like a fault: the stories of the large company.

Each is named after a user complaint (`docs/domain/what-users-ask.md`; "A4" is number 4 of its part A), after a reported
case (`tests/cases/`) or after the requirement behind it. A story moves a document through both systems and ends by
recording its outcome.
"""

# Each module adds its stories to the repertoire.
from tieout.simulator.faults import (  # noqa: F401
    after_posting,
    differences,
    excluded,
    harmless,
    missing_actuals,
    missing_journal_lines,
    net_and_gross,
    posted,
    shapes,
    stray_postings,
)
from tieout.simulator.faults.repertoire import FAULTS, Fault

__all__ = ["FAULTS", "Fault"]
