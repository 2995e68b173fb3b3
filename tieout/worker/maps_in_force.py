"""The maps of a process that runs, and whether the store was built under them: a replay may have put another one in its
place (R70).
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
from tieout.worker.loops import keep

FIT_SECONDS: Final = 2.0
"""How often is looked whether the store and the maps fit again."""

log = structlog.get_logger(__name__)


class MapsInForce:
    """The maps of a `part` of a process: those that it has loaded for as long as the store was built under them, else
    those that the files hold by then.

    So an edited file counts from the replay that rebuilds the store under it, and nothing has to be started again.
    Raises `MapError` for files that cannot be read when it is made.
    """

    def __init__(self, settings: Settings, part: str) -> None:
        self.part = part
        self.maps = load_maps(settings)
        self.unfit: str | None = None
        """Why the store and the maps did not fit when they were last compared; None when they did."""
        self._kept: str | None = "by another process"
        self._settings = settings
        self._lock = Lock()
        self._writing = Lock()
        # Comparisons are numbered as they begin: of several threads' results the latest counts.
        self._begun = self._compared = 0

    def fitting(self, connection: Connection) -> Maps:
        """The maps that the store was built under. Raises `StoreMismatch` when these are others, or the companies are;
        `MapError` when their files cannot be read any more.
        """
        maps = self.maps
        try:
            self._check(connection, maps)
        except StoreMismatch:
            maps = load_maps(self._settings)
            self._check(connection, maps)
            # No lock around the questions: on SQLite each waits for the other's transaction.
            with self._lock:
                if self.maps.digest != maps.digest:
                    self.maps = maps
                    log.info("maps_loaded", part=self.part, versions=list(maps.versions))
                maps = self.maps
        return maps

    def nearest(self, connection: Connection) -> Maps:
        """The maps to read a store by: those of `fitting`, else the last ones that were loaded, and `unfit` says why.
        When that changes it is logged.
        """
        reason = None
        with self._lock:
            self._begun += 1
            number = self._begun
        try:
            self.fitting(connection)
        except (StoreMismatch, MapError) as error:
            reason = str(error)
        with self._lock:
            if number < self._compared:
                # Another thread began to compare later, and knows better.
                return self.maps
            self._compared = number
            before, self.unfit = self.unfit, reason
        if reason is not None and before is None:
            log.warning("maps_do_not_fit", part=self.part, reason=reason)
        if reason is None and before is not None:
            log.info("maps_fit_again", part=self.part)
        return self.maps

    def fit(self, engine: Engine) -> bool:
        """Whether a store that may be written to and the maps fit; why they do not is kept there for the pages."""
        with engine.connect() as connection:
            self.nearest(connection)
        self.keep(engine)
        return self.unfit is None

    def keep(self, engine: Engine) -> None:
        """Keep for the pages why store and maps do not fit, or that they do."""
        with self._writing:
            unfit = self.unfit
            if unfit == self._kept:
                return
            if unfit is not None:
                keep(engine, self.part, f"{socket.gethostname()}/{os.getpid()}: {unfit}")
            else:
                with engine.begin() as connection:
                    delete_run(connection, self.part)
            self._kept = unfit

    def _check(self, connection: Connection, maps: Maps) -> None:
        check_build_settings(connection, build_settings(maps, self._settings.companies))
