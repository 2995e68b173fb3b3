"""The maps of a running process, and whether the store was built with them: a replay may have replaced the store
(R70).
"""

import os
import socket
from threading import Lock
from typing import Final

import structlog
from sqlalchemy import Connection, Engine

from engine.errors import MapError, StoreMismatch
from engine.mapping.compiler import Maps
from store.operational.loops import delete_run
from store.projection.writer import build_settings, check_build_settings
from tieout.maintenance.map_files import load_maps
from tieout.settings import Settings
from tieout.worker.loops import record_run

FIT_SECONDS: Final = 2.0
"""The interval at which the store is compared with the maps until they match."""

log = structlog.get_logger(__name__)


class MapsInForce:
    """The maps of a `part` of a process. The loaded maps are used while the store was built with them; otherwise the
    map files are loaded again.

    An edited file therefore takes effect with the replay that rebuilds the store with it, without a restart. The
    constructor raises `MapError` for files that cannot be read.
    """

    def __init__(self, settings: Settings, part: str) -> None:
        self.part = part
        self.maps = load_maps(settings)
        self.mismatch: str | None = None
        """Why the store and the maps did not match when they were last compared; None if they did."""
        self._recorded: str | None = "by another process"
        self._settings = settings
        self._lock = Lock()
        self._writing = Lock()
        # Comparisons are numbered at their start: of the results of several threads the latest counts.
        self._begun = self._compared = 0

    def matching(self, connection: Connection) -> Maps:
        """Return the maps that the store was built with. Raises `StoreMismatch` if the store was built with other maps
        or companies, and `MapError` if the files can no longer be read.
        """
        maps = self.maps
        try:
            self._require_match(connection, maps)
        except StoreMismatch:
            maps = load_maps(self._settings)
            self._require_match(connection, maps)
            # No lock while the database is queried: on SQLite each would wait for the transaction of the other.
            with self._lock:
                if self.maps.digest != maps.digest:
                    self.maps = maps
                    log.info("maps_loaded", part=self.part, versions=list(maps.versions))
                maps = self.maps
        return maps

    def best(self, connection: Connection) -> Maps:
        """Return the maps to read a store with: the matching maps, otherwise the last loaded maps, with the reason in
        `mismatch`. A change is logged.
        """
        reason = None
        with self._lock:
            self._begun += 1
            number = self._begun
        try:
            self.matching(connection)
        except (StoreMismatch, MapError) as error:
            reason = str(error)
        with self._lock:
            if number < self._compared:
                # Another thread started its comparison later.
                return self.maps
            self._compared = number
            before, self.mismatch = self.mismatch, reason
        if reason is not None and before is None:
            log.warning("maps_do_not_fit", part=self.part, reason=reason)
        if reason is None and before is not None:
            log.info("maps_fit_again", part=self.part)
        return self.maps

    def check(self, engine: Engine) -> bool:
        """Compare a store with the maps, record the result in it, and return True if they match."""
        with engine.connect() as connection:
            self.best(connection)
        self.record(engine)
        return self.mismatch is None

    def record(self, engine: Engine) -> None:
        """Record in the store why it does not match the maps, or that it does, for the pages."""
        with self._writing:
            mismatch = self.mismatch
            if mismatch == self._recorded:
                return
            if mismatch is not None:
                record_run(engine, self.part, f"{socket.gethostname()}/{os.getpid()}: {mismatch}")
            else:
                with engine.begin() as connection:
                    delete_run(connection, self.part)
            self._recorded = mismatch

    def _require_match(self, connection: Connection, maps: Maps) -> None:
        check_build_settings(
            connection,
            build_settings(
                maps, self._settings.companies, self._settings.beginning_balances, self._settings.ledger_accounts
            ),
        )
