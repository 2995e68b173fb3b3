"""`make soak`: the same tests, run longer to find rare faults."""

import os
from typing import Final

SOAK: Final = os.environ.get("TIEOUT_SOAK") == "1"
TIMES: Final = int(os.environ.get("TIEOUT_EXAMPLES") or (100 if SOAK else 1))


def examples(usual: int) -> int:
    """Return the number of examples of a property in this run, from its usual number."""
    return usual * TIMES
