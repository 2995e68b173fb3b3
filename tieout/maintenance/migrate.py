"""Creates and upgrades the tables of the store and the topics."""

from collections.abc import Iterator
from contextlib import closing

from store.schema.database import connect, migrate, shown_url
from streams.topics import TOPICS
from tieout.bootstrap import log_of
from tieout.settings import Settings


def prepare(settings: Settings, *, patience_seconds: float) -> Iterator[str]:
    """Upgrade store and topics to this version, and yield for each what was done.

    Idempotent, and safe while workers run on Kafka and PostgreSQL. Raises what the store and the log raise.
    """
    yield _prepare_store(settings)
    yield from _prepare_topics(settings, patience_seconds)


def _prepare_store(settings: Settings) -> str:
    engine = connect(settings.store, write=True)
    try:
        before, now = migrate(engine)
    finally:
        engine.dispose()
    shown = shown_url(settings.store)
    if before == now:
        return f"store {shown}: up to date, schema {now}"
    return f"store {shown}: " + (
        f"created with schema {now}" if before is None else f"upgraded from schema {before} to {now}"
    )


def _prepare_topics(settings: Settings, patience_seconds: float) -> Iterator[str]:
    topics = list(TOPICS.values())
    with closing(log_of(settings, write=True, patience_seconds=patience_seconds)) as log:
        before = log.topics()
        log.create_topics(topics, settings.partitions, prefix=settings.prefix)
        for topic in topics:
            name = topic.full_name(settings.prefix)
            number = log.partitions(name)
            created = f"created with {number} partition{'s' if number > 1 else ''}"
            yield f"topic {name}: {'up to date' if name in before else created}"
