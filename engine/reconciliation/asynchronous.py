"""Which dual-write maps may run asynchronously, and which missing rows then have more time (R19, R21).

A map in an integration job of dual-write moves a row some time after it was saved, instead of within the same
transaction ("Set up and manage dual-write async", Microsoft Learn; preview). No public call says which maps do, so a
setting does (`TIEOUT_ASYNC_MAPS`).
"""

from collections.abc import Iterable, Mapping
from typing import Final

HOUR: Final = 3600 * 1_000_000

ASYNC_GRACE: Final = 4 * HOUR
"""The grace period of a row that an asynchronous map brings, in microseconds.

A choice, because no duration is public beyond "near-real time". It is longer than the hour after which Microsoft calls
an actual out of sync (`docs/domain/workspace.md`), so that a long queue is no warning, and shorter than the day for
which dual-write keeps an error (`docs/domain/limits.md`), so that a person can still retry there.
"""

ASYNC_MAPS: Final[Mapping[str, frozenset[str]]] = {
    "msdyn_expenses": frozenset({"not-synced-to-dataverse msdyn_expense"}),
    "msdyn_projectvendorinvoices": frozenset({"not-confirmed"}),
    "msdyn_projectvendorinvoicelines": frozenset(
        {"not-synced-to-dataverse msdyn_projectvendorinvoiceline", "header-before-lines"}
    ),
    "msdyn_actuals": frozenset({"actual-not-synced-back", "not-written-back"}),
    "msdyn_transactionconnections": frozenset(),
    "invoices": frozenset(),
}
"""The maps of Project Operations by the Dataverse table in their names, each with what waits for its rows: the code of
a cause or finding, with the entity awaited where it matters.

`msdyn_transactionconnections` and `invoices` are moved together with `msdyn_actuals` for customer invoices
(`docs/domain/documents.md` §4); no cause waits for their rows.
"""


def waiting_for(maps: Iterable[str]) -> frozenset[str]:
    """Return what waits for rows of these maps, as in `ASYNC_MAPS`."""
    none: frozenset[str] = frozenset()
    return none.union(*(ASYNC_MAPS[name] for name in maps))
