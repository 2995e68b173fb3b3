"""Making and upgrading what an installation stands on: the store's tables and the topics."""

from collections.abc import Iterator
from contextlib import closing

from store.schema.database import connect, migrate, shown_url
from streams.topics import TOPICS
from tieout.bootstrap import log_of
from tieout.settings import Settings


def prepare(settings: Settings, *, patience_seconds: float) -> Iterator[str]:
    """Bring store and topics to the shape of this version, and say of each what was done.

    What is there as it must be is left alone, so it may be called at any time, also while workers run on Kafka and
    PostgreSQL. Raises what the store and the log raise.
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
        return f"store {shown}: nothing to do, it has the shape {now}"
    return f"store {shown}: " + (f"made in the shape {now}" if before is None else f"upgraded from {before} to {now}")


def _prepare_topics(settings: Settings, patience_seconds: float) -> Iterator[str]:
    wanted = list(TOPICS.values())
    with closing(log_of(settings, write=True, patience_seconds=patience_seconds)) as log:
        before = log.topics()
        log.create_topics(wanted, settings.partitions, prefix=settings.prefix)
        for topic in wanted:
            name = topic.full_name(settings.prefix)
            number = log.partitions(name)
            made = f"made with {number} partition{'s' if number > 1 else ''}"
            done = "nothing to do" if name in before else made
            yield f"topic {name}: {done}"
