"""Entity sets: the names under which both APIs expose their tables, read from the metadata of each service.

Decision 0013 explains why names are read from the metadata, and the fallback if it cannot be read.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from handlers.errors import Configuration, Permanent

log = structlog.get_logger(__name__)

CACHE_SECONDS: Final = 3_600.0
"""How long the names are cached. Deployments add and remove tables."""
MISS_SECONDS: Final = 60.0
"""After a cache miss the names are read again, at most this often: the table may have been published since."""

_NAME: Final = re.compile(r"[A-Za-z_]\w{0,127}", re.ASCII)
"""The form of a name that is safe in an address."""

Names = Mapping[str, str]
"""Entity sets by lookup key: the name of the table, or the entity set itself."""


def plural(entity: str) -> str:
    """Return the entity set of a table by naming convention."""
    return f"{entity[:-1]}ies" if entity.endswith("y") else f"{entity}s"


def plurals(entity: str) -> tuple[str, ...]:
    """Return the possible entity sets of a table, the most likely first, for metadata that lists entity sets only."""
    return plural(entity), f"{entity}s", f"{entity}es", entity


def is_name(name: object) -> bool:
    """Return True if a name from the metadata is safe in an address."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


class EntitySets:
    """The cached entity sets of one system; thread-safe.

    `read` reads the names and raises `TargetError`; `keys` returns the lookup keys of a table. `named` are the entity
    sets of the settings, which take precedence. `clock` is monotonic, in seconds.
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
        """Return the entity set of a table.

        Raises `Configuration` if the metadata names none, and the errors of reading the metadata except `Configuration`
        and `Permanent`: without access to the metadata, the naming convention is used. A wrong name is safe, because
        the system refuses it, and rows name their table.
        """
        if entity in self._named:
            return self._named[entity]
        with self._lock:
            names = self._fresh(CACHE_SECONDS)
            if names is not None and self._find(names, entity) is None:
                names = self._fresh(MISS_SECONDS)
        if names is None:
            return plural(entity)
        if (entity_set := self._find(names, entity)) is None:
            raise Configuration(
                f"{self._system} offers no table {entity}: its metadata names {len(names)} others. Check the maps and "
                f"the rights of the application user, or name the entity set: TIEOUT_POLL={entity}=EntitySet."
            )
        return entity_set

    def _find(self, names: Names, entity: str) -> str | None:
        return next((names[key] for key in self._keys(entity) if key in names), None)

    def _fresh(self, seconds: float) -> Names | None:
        """Return names that were read within the last `seconds`; None if access to the metadata is denied."""
        if self._clock() - self._at >= seconds:
            try:
                self._names = self._read()
            except (Configuration, Permanent) as error:
                self._names = None
                log.warning("entity_sets_not_read", system=self._system, reason=str(error))
            self._at = self._clock()
        return self._names
