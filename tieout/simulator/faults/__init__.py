"""What goes wrong with documents, and what only looks wrong: the stories of the large company.

Each is named after what users complain about (`docs/domain/what-users-ask.md`; "A4" is number 4 of its part A) or after
the requirement that asks for it. A story moves a paper through both systems and ends with the outcome that it means.
"""

# Each module adds its stories to the repertoire.
from tieout.simulator.faults import (  # noqa: F401
    differences,
    excluded,
    harmless,
    missing_actuals,
    missing_journal_lines,
    posted,
)
from tieout.simulator.faults.repertoire import FAULTS, Fault

__all__ = ["FAULTS", "Fault"]
