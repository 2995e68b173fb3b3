"""Composition root: builds log, store, projector and readers from the settings. The only module that imports every
package.
"""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy import Engine

from engine.calendar import present_time
from engine.errors import SettingError
from engine.events.facts import Source, microseconds
from store.lease import Lease
from store.operational.pins import pins
from store.operational.state_topic import StateOutbox
from store.projection.writer import Writer
from store.queries.reader import Reader
from store.schema.database import check, connect, migrate
from store.schema.dialects import dialect_of, file_of
from streams.codec.environments import Environments
from streams.embedded.log import EmbeddedLog
from streams.log import EventLog
from streams.projector import Projector
from streams.topics import CHANGES, PROJECTED, TOPICS
from tieout.maintenance.map_files import load_maps as load_maps
from tieout.settings import Settings
from tieout.worker.log_continuity import verify_and_record
from tieout.worker.maps_in_force import MapsInForce
from tieout.worker.state_topic import synchronise_state

if TYPE_CHECKING:
    from streams.kafka import Access


@contextmanager
def open_log(
    settings: Settings, *, write: bool, publish: bool = False, patience_seconds: float | None = None
) -> Iterator[EventLog]:
    """Open the event log of the settings within the block. With `write`, create it and its topics if missing.

    With `publish` it is opened for the one worker that publishes for the environment (`EventLog.begin_publishing`).
    `patience_seconds` limits the wait for a broker; the default covers a restart of the broker.
    """
    log = log_of(settings, write=write, publish=publish, patience_seconds=patience_seconds)
    try:
        if write:
            log.create_topics(list(TOPICS.values()), settings.partitions, prefix=settings.prefix)
        yield log
    finally:
        log.close()


def log_of(
    settings: Settings, *, write: bool, publish: bool = False, patience_seconds: float | None = None
) -> EventLog:
    """Return the event log of the settings, without creating its topics. The caller closes it."""
    path = settings.log_file
    if path is None:
        # Imported here, because the Kafka clients load slowly.
        from streams.kafka import PATIENCE_SECONDS, KafkaLog

        return KafkaLog(
            access(settings),
            publisher=f"{settings.prefix}.publisher" if publish else None,
            patience_seconds=patience_seconds or PATIENCE_SECONDS,
        )
    return EmbeddedLog.open(path, "write" if write else "read")


def access(settings: Settings) -> "Access":
    """Return how to connect to the brokers of the settings. Azure Event Hubs is recognised by its host name, and has a
    fixed user.
    """
    from streams.kafka import Access

    servers = tuple(server.strip() for server in settings.broker.removeprefix("kafka://").split(","))
    plain = Access(servers=servers)
    return Access(
        servers=servers,
        tls=plain.event_hubs if settings.broker_tls is None else settings.broker_tls,
        ca_file=settings.broker_ca,
        user=settings.broker_user or ("$ConnectionString" if plain.event_hubs else None),
        password=settings.broker_password,
        mechanism=settings.broker_mechanism,
    )


@contextmanager
def open_store(settings: Settings, *, write: bool) -> Iterator[Engine]:
    """Open the store of the settings within the block. With `write`, create or upgrade it; otherwise it must exist with
    the current schema. Raises `SettingError`, `StoreError`.
    """
    if not write and (file := file_of(settings.store)) is not None and not file.exists():
        raise SettingError(
            f"TIEOUT_STORE={settings.store!r}: there is no such store yet. Start `tieout run` or `tieout demo` once."
        )
    engine = connect(settings.store, write=write)
    try:
        if write:
            migrate(engine)
        else:
            check(engine)
        yield engine
    finally:
        engine.dispose()


@contextmanager
def open_reader(settings: Settings, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Iterator[Reader]:
    """Open a reader of the store of the settings within the block."""
    with open_store(settings, write=False) as engine:
        yield Reader(
            engine,
            load_maps(settings),
            today=settings.today,
            delayed=settings.delayed,
            accounts=settings.ledger_accounts,
            clock=clock,
        )


@contextmanager
def open_projector(settings: Settings) -> Iterator[tuple[EventLog, Projector]]:
    """Open the log and the projector of a worker within the block. Raises `LogBusy` if another process writes to the
    embedded log, otherwise as `projecting`.
    """
    with (
        open_log(settings, write=True) as log,
        open_store(settings, write=True) as engine,
        projecting(engine, log, settings) as projector,
    ):
        yield log, projector


@contextmanager
def projecting(
    engine: Engine,
    log: EventLog,
    settings: Settings,
    lease: Lease | None = None,
    in_force: MapsInForce | None = None,
) -> Iterator[Projector]:
    """Project a log onto a store within the block, by the maps `in_force` if they are loaded already. Raises
    `LogDiffers` if the store was built from another log, `StoreMismatch` if it was built under other maps or companies.
    """
    tune_garbage_collection()
    in_force = in_force or MapsInForce(settings, "projection")
    with engine.connect() as connection:
        maps = in_force.matching(connection)
    verify_and_record(engine, log, projected_topics(settings))
    synchronise_state(engine, log, settings.prefix, lease)

    def pinned() -> dict[tuple[str, str], str]:
        with engine.connect() as connection:
            return pins(connection)

    projector = Projector(
        Writer(
            engine,
            maps,
            settings.companies,
            beginning=settings.beginning_balances,
            accounts=settings.ledger_accounts,
            lease=lease,
            clock=lambda: microseconds(_now(settings)),
        ),
        log,
        maps,
        prefix=settings.prefix,
        environments=environments_of(settings, pinned()),
        pinned=pinned,
        overlapping=dialect_of(engine).overlaps_commits,
        purge_before=lambda: _purge_before(settings),
        state=StateOutbox(engine, lease),
    )
    try:
        yield projector
    finally:
        projector.close()


def environments_of(settings: Settings, pinned: Mapping[tuple[str, str], str]) -> Environments:
    """Return the environments from which events are accepted: those of the settings, or the pinned ones."""
    addresses: dict[Source, str | None] = {"finance": settings.finance, "dataverse": settings.dataverse}
    hosts = {system: host for system, address in addresses.items() if address and (host := urlsplit(address).hostname)}
    return Environments(settings.environments, pins=pinned, hosts=hosts)


def tune_garbage_collection() -> None:
    """Make cyclic garbage collection rare. Batches are many small objects without cycles, and searching them took a
    third of a worker's time.
    """
    gc.set_threshold(200_000, 20, 100)


def _purge_before(settings: Settings) -> int:
    retention = timedelta(days=settings.error_history_days)
    return microseconds(_now(settings) - retention)


def _now(settings: Settings) -> datetime:
    """Return the time at which ages are measured, as in `Snapshot.now`."""
    return present_time(settings.today, datetime.now(UTC))


def change_topics(settings: Settings) -> list[str]:
    """Return the full names of the change topics of both systems."""
    return [topic.full_name(settings.prefix) for topic in CHANGES]


def projected_topics(settings: Settings) -> list[str]:
    """Return the full names of the topics that a worker reads."""
    return [topic.full_name(settings.prefix) for topic in PROJECTED]
