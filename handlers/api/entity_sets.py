"""Under which names both APIs offer their tables: entity sets, as the metadata of each service names them.

Decision 0013 says why a name is taken from the metadata, and what follows where that cannot be read.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from handlers.errors import Configuration, Permanent

log = structlog.get_logger(__name__)

KEPT_SECONDS: Final = 3_600.0
"""How long the names are cached. Tables come and go with deployments."""
MISSED_SECONDS: Final = 60.0
"""A table that is not named may have been published since: the names are read again, this often at most."""

_NAME: Final = re.compile(r"[A-Za-z_]\w{0,127}", re.ASCII)
"""What a name must be to be put into an address."""

Names = Mapping[str, str]
"""Entity sets by what a table is looked up by: its name, or the entity set itself."""


def plural(entity: str) -> str:
    """The entity set of a table by convention."""
    return f"{entity[:-1]}ies" if entity.endswith("y") else f"{entity}s"


def plurals(entity: str) -> tuple[str, ...]:
    """What the entity set of a table may be called where only the sets are listed; the most likely first."""
    return plural(entity), f"{entity}s", f"{entity}es", entity


def is_name(name: object) -> bool:
    """Whether a name from metadata may be put into an address."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


class EntitySets:
    """The entity sets of one system, cached; for several threads.

    `read` reads the names, and raises `TargetError`; `keys` tells by what a table is looked up in them. `named` are
    those of the settings, which win. `clock` gives seconds that only grow.
    """

    def __init__(
        self,
        system: str,
        read: Callable[[], Names],
        keys: Callable[[str], tuple[str, ...]],
        named: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._system = system
        self._read = read
        self._keys = keys
        self._named = named
        self._clock = clock
        self._lock = threading.Lock()
        self._names: Names | None = None
        self._at = float("-inf")

    def of(self, entity: str) -> str:
        """The entity set of a table.

        Raises `Configuration` when the metadata names none, and what reading it raises but `Configuration` and
        `Permanent`: where the metadata may not be read, the set is named by convention. The system refuses a name that
        is wrong, and rows tell their table.
        """
        if entity in self._named:
            return self._named[entity]
        with self._lock:
            names = self._fresh(KEPT_SECONDS)
            if names is not None and self._find(names, entity) is None:
                names = self._fresh(MISSED_SECONDS)
        if names is None:
            return plural(entity)
        if (found := self._find(names, entity)) is None:
            raise Configuration(
                f"{self._system} offers no table {entity}: its metadata names {len(names)} others. Check the maps, "
                f"the rights of the application user, or name the entity set: TIEOUT_POLL={entity}=EntitySet."
            )
        return found

    def _find(self, names: Names, entity: str) -> str | None:
        return next((names[key] for key in self._keys(entity) if key in names), None)

    def _fresh(self, seconds: float) -> Names | None:
        """The names, at most so old; None where they may not be read."""
        if self._clock() - self._at >= seconds:
            try:
                self._names = self._read()
            except (Configuration, Permanent) as error:
                self._names = None
                log.warning("entity_sets_not_read", system=self._system, reason=str(error))
            self._at = self._clock()
        return self._names
