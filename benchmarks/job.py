"""Parameters of a phase: paths of the files, size of the load, and start time of its process."""

from pathlib import Path

import msgspec

from benchmarks.workload import TODAY
from tieout.settings import Settings


class Job(msgspec.Struct, frozen=True):
    """The work of one phase."""

    folder: str
    documents: int
    broker: str | None = None
    """`TIEOUT_BROKER`; by default a file in the folder."""
    store: str | None = None
    """`TIEOUT_STORE`; by default a file in the folder."""
    maps: tuple[str, ...] = ()
    """`TIEOUT_MAPS`."""
    other: str | None = None
    """Another store to compare with."""
    rate: int = 0
    """Events a second that arrive, where they do."""
    started: float = 0.0
    """When the process was started, on the monotonic clock, which all processes of a machine share."""

    @property
    def place(self) -> Path:
        """The folder of the log, the store and the files of phases."""
        return Path(self.folder)

    @property
    def settings(self) -> Settings:
        """The product's settings for the log and the store in the folder."""
        return Settings(
            broker=self.broker or f"embedded:///{self.place / 'log.sqlite'}",
            store=self.store or f"sqlite:///{self.place / 'store.sqlite'}",
            prefix=f"load-{self.documents}",
            today=TODAY,
            maps=self.maps,
            log_level="warning",
        )
