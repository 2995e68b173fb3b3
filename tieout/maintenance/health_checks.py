"""What an installation stands on, looked at piece by piece: each is as it should be, or it is said what to do.

Everything is opened for reading; nothing is made or changed.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from engine.errors import MapError, TieoutError
from engine.events.facts import iso
from engine.events.notices import REMEDY, overdue, row_counts
from engine.mapping.compiler import Maps
from store import clock
from store.lease import LEASE_SECONDS, lease_holder
from store.notices import waiting_rows
from store.operational.cursors import cursors
from store.operational.pins import pins
from store.operational.state_topic import pending_count
from store.projection.writer import build_settings, check_build_settings
from store.proof.self_checks import outbox_backlog, totals_mismatches
from store.schema import tables
from store.schema.database import shown_url
from streams.log import EventLog, LogError, PartitionId
from streams.topics import PROJECTED, TOPICS
from tieout.bootstrap import environments_of, load_maps, open_log, open_store
from tieout.maintenance.offset_check import LAST, without_effect
from tieout.settings import Settings, readable_key, readable_secrets
from tieout.sync.connectors import connection_checks, is_configured
from tieout.worker.log_continuity import ADVICE, compare
from tieout.worker.state_topic import topic_lacks_state

PATIENCE_SECONDS: Final = 5.0
"""How long a server that is away is waited for."""

OUTBOX_SECONDS: Final = 60.0
"""What is published later than this is late: a worker publishes at once, and a new one what was left to it."""

_SHOWN: Final = 3

T = TypeVar("T")


class Line(msgspec.Struct, frozen=True):
    """One thing that was looked at. `ok` is None for what could not be looked at; `says` is then why, and what to do
    when it is False. `detail` is for programs.
    """

    check: str
    ok: bool | None
    says: str
    detail: dict[str, Any] = {}


Lines = Generator[Line, None, T]
"""Lines, and in the end what later checks stand on."""


def check(settings: Settings, *, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[Line]:
    """Look at everything, in the order in which one thing stands on another."""
    yield Line("settings", True, f"{settings.broker}, {shown_url(settings.store)}, prefix {settings.prefix}")
    if (found := readable_secrets()) is not None:
        file, secrets = found
        names = " and ".join(secrets)
        yield Line("settings", True, f"warning: {file} has {names}, and every user may read it: chmod 600 {file}")
    if (key := readable_key(settings)) is not None:
        yield Line("settings", True, f"warning: {key} has a private key, and every user may read it: chmod 600 {key}")
    if settings.expose_without_sign_in is not None:
        yield _exposed(settings.expose_without_sign_in)
    with ExitStack() as stack:
        maps = yield from _maps(settings)
        log = yield from _log(settings, stack, patience_seconds)
        connection = yield from _store(settings, maps, stack)
        if connection is None:
            of_store = ("writer", "environments", "outbox", "state", "notices", "tiles", "companies", "tables")
            yield from _unchecked("the store", *of_store)
        else:
            yield from _looked_at("writer", lambda: _writer(connection, settings))
            yield from _looked_at("environments", lambda: _environments(connection, settings))
            yield from _looked_at("outbox", lambda: _outbox(connection))
            yield from _looked_at("state", lambda: _state(connection, log, settings))
            yield from _looked_at("notices", lambda: _notices(connection))
            yield from _looked_at("tiles", lambda: tiles_line(connection))
            yield from _looked_at("companies", lambda: _companies(connection))
            yield from _looked_at("tables", lambda: _tables(connection))
        if connection is None or log is None:
            yield from _unchecked("the store" if log else "the event log", "offsets", "lag", "effects")
        elif (places := (yield from _offsets(connection, log, settings))) is None or maps is None:
            yield from _unchecked("the offsets" if maps else "the maps", "lag", "effects")
        else:
            yield from _looked_at("lag", lambda: _lag(log, places))
            yield from _looked_at("effects", lambda: effects_line(connection, log, maps, settings))
    if is_configured(settings):
        yield from (Line(*found) for found in connection_checks(settings))


def _unchecked(what: str, *checks: str) -> Iterator[Line]:
    for name in checks:
        yield Line(name, None, f"not looked at: {what} must be right first")


def _looked_at(name: str, look: Any) -> Iterator[Line]:
    """The lines of `look`, or one that says what was in its way."""
    try:
        found = look()
        yield from [found] if isinstance(found, Line) else found
    except (TieoutError, DBAPIError) as error:
        yield Line(name, False, _said(error))


def _said(error: Exception) -> str:
    return " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())


def _exposed(address: str) -> Line:
    """A warning: the setting is as somebody wrote it on purpose."""
    says = (
        f"warning: the workspace listens on {address} and nobody signs in, so whoever reaches it can read everything "
        "and press Sync: publish its port on 127.0.0.1 only, or unset TIEOUT_EXPOSE_WITHOUT_SIGN_IN"
    )
    return Line("workspace", True, says, {"address": address})


# --- what everything stands on ---------------------------------------------------------------------------------------


def _maps(settings: Settings) -> Lines[Maps | None]:
    try:
        maps = load_maps(settings)
    except MapError as error:
        yield Line("maps", False, str(error))
        return None
    yield Line("maps", True, f"{len(maps.entities)} entities", {"digest": maps.digest})
    return maps


def _log(settings: Settings, stack: ExitStack, patience_seconds: float) -> Lines[EventLog | None]:
    """The log, if it can be asked."""
    topics = list(TOPICS.values())
    try:
        log = stack.enter_context(open_log(settings, write=False, patience_seconds=patience_seconds))
        found = log.topics()
        problems = log.check_topics(topics, settings.partitions, prefix=settings.prefix)
    except LogError as error:
        yield Line("broker", False, _said(error))
        yield from _unchecked("the broker", "topics")
        return None
    own = [name for name in found if name.startswith(f"{settings.prefix}.")]
    yield Line("broker", True, f"answers, with {len(found)} topics, {len(own)} of them of this environment")
    for problem in problems:
        yield Line("topics", False, problem)
    if not problems:
        number = f"{settings.partitions} partition{'s' if settings.partitions > 1 else ''}"
        yield Line("topics", True, f"{len(topics)} topics with {number} and their policies each")
    read = {topic.full_name(settings.prefix) for topic in PROJECTED}
    return log if read <= found.keys() else None


def _store(settings: Settings, maps: Maps | None, stack: ExitStack) -> Lines[Connection | None]:
    """A transaction that sees one state of the store, if it has today's shape."""
    try:
        engine = stack.enter_context(open_store(settings, write=False))
        connection = stack.enter_context(engine.connect())
        stack.enter_context(connection.begin())
        if maps is not None:
            check_build_settings(connection, build_settings(maps, settings.companies))
    except (TieoutError, DBAPIError) as error:
        yield Line("store", False, _said(error))
        return None
    yield Line("store", True, "answers, and has the shape of this version")
    return connection


# --- the writer ------------------------------------------------------------------------------------------------------


def _writer(connection: Connection, settings: Settings) -> Iterator[Line]:
    if settings.log_file is not None:
        yield Line("writer", True, "an embedded log has one worker at a time, and no lease")
        return
    current = lease_holder(connection)
    if current is None or not current.holder:
        yield Line("writer", False, "no worker has ever written here: start `tieout run`")
        return
    detail = {"holder": current.holder, "epoch": current.epoch, "left": current.left, "held": current.held}
    if current.left <= 0:
        says = f"nobody holds the lease, the last one was {current.holder}: start `tieout run`, or look at its log"
        yield Line("writer", False, says, detail)
        return
    says = (
        f"{current.holder} holds the lease for {_span(current.held)} (epoch {current.epoch}, renewed "
        f"{max(0.0, LEASE_SECONDS - current.left):.0f} s ago)"
    )
    yield Line("writer", True, says, detail)


def _environments(connection: Connection, settings: Settings) -> Line:
    """Where events may come from (R85)."""
    if settings.environments is not None:
        listed = ", ".join(settings.environments)
        return Line("environments", True, f"TIEOUT_ENVIRONMENTS names {listed}", {"named": settings.environments})
    found = pins(connection)
    if not found:
        return Line("environments", True, "none is pinned yet: the first that an event names will be", {"pinned": {}})
    listed = ", ".join(f"{name} ({system}, {kind})" for (system, kind), name in found.items())
    pinned = {f"{system} {kind}": name for (system, kind), name in found.items()}
    return Line("environments", True, f"pinned are {listed}; events of others are rejected", {"pinned": pinned})


def _outbox(connection: Connection) -> Line:
    waiting, oldest = outbox_backlog(connection)
    age = 0.0 if oldest is None else max(0.0, time.time() - oldest / 1_000_000)
    detail = {"waiting": waiting, "age": age}
    if not waiting:
        return Line("outbox", True, "nothing waits to be published", detail)
    says = f"{waiting:,} records wait to be published, the oldest for {_span(age)}"
    if age > OUTBOX_SECONDS:
        return Line("outbox", False, f"{says}: look at the worker's log for what the broker refuses", detail)
    return Line("outbox", True, says, detail)


def _state(connection: Connection, log: EventLog | None, settings: Settings) -> Line:
    """What events do not say, and how much of it is not on its topic yet."""
    if log is not None and topic_lacks_state(connection, log, settings.prefix):
        says = (
            "the state topic lacks what was put there: it was made again, or is an older copy. Start the worker that "
            "projects again: it publishes all of the state from the store. Until then keep the store"
        )
        return Line("state", False, says)
    waiting = pending_count(connection)
    if not waiting:
        return Line("state", True, "the state topic has all that it keeps of the store", {"waiting": 0})
    changes = "change waits" if waiting == 1 else "changes wait"
    says = f"{waiting:,} {changes} to be put on the state topic; calls to either system leave after their attempts"
    return Line("state", True, says, {"waiting": waiting})


def _notices(connection: Connection) -> Line:
    """Rows that wait to be read again (R5)."""
    waiting = waiting_rows(connection)
    if not waiting:
        return Line("notices", True, "no row waits to be read again")
    detail = {one.entity: {"rows": one.rows, "since": iso(one.since)} for one in waiting}
    number = sum(one.rows for one in waiting)
    rows = "row was" if number == 1 else "rows were"
    says = (
        f"{number:,} {rows} not read yet since an event that was cut or carries keys only ({row_counts(waiting)}), "
        f"the first since {iso(waiting[0].since)}"
    )
    if overdue(waiting, clock.now()):
        return Line("notices", False, f"{says}. {REMEDY}", detail)
    return Line("notices", True, says, detail)


def _companies(connection: Connection) -> Line:
    """Documents whose company nothing says: no page of a company and no sum of one has them."""
    names = tables.documents.c
    query = select(names.document).where(names.company == "").order_by(names.document).limit(_SHOWN + 1)
    found = list(connection.scalars(query))
    if not found:
        return Line("companies", True, "every document has its company")
    listed = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
    says = (
        f"documents without a company are in no page and no sum ({listed}): `tieout chain NAME` shows their rows. Send "
        "a row with its company again, or have its table polled"
    )
    return Line("companies", False, says, {"documents": found})


def _tables(connection: Connection) -> Line:
    """Tables that are polled or ingested, and what was wrong with the last pass of each."""
    read = cursors(connection)
    wrong = [f"{cursor.table}: {cursor.fault}" for cursor in read if cursor.fault]
    if not wrong:
        return Line("tables", True, f"of {len(read)} that are read from the systems, none has a fault")
    more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    says = f"{'; '.join(wrong[:_SHOWN])}{more}. `tieout poll --show` names all; read them again once it is mended"
    return Line("tables", False, says, {"faults": wrong})


# --- offsets ---------------------------------------------------------------------------------------------------------


def _offsets(connection: Connection, log: EventLog, settings: Settings) -> Lines[dict[PartitionId, int] | None]:
    """How far each partition is applied; None when that is not a place the log still has."""
    try:
        places = _places(connection, log, settings)
        compared = compare(connection, log, [topic.full_name(settings.prefix) for topic in PROJECTED])
        if compared.problems:
            wrong = [f"{'; '.join(compared.problems)}. {ADVICE}"]
        else:
            wrong = [problem for place, stored in places.items() if (problem := _unread(log, place, stored))]
    except LogError as error:
        yield Line("offsets", False, _said(error))
        return None
    detail = {f"{topic}/{partition}": stored for (topic, partition), stored in places.items()}
    for problem in wrong:
        yield Line("offsets", False, problem, detail)
    if wrong:
        return None
    says = f"of {len(places)} partitions, all within what the log holds, which is the one that was read"
    if compared.uncompared:
        says += f"; by its identity alone: {', '.join(compared.uncompared)}"
    if compared.identities or compared.digests:
        says += "; what it is known by is not all kept in the store yet: the next start of a worker does it"
    yield Line("offsets", True, says, detail)
    return places


def _places(connection: Connection, log: EventLog, settings: Settings) -> dict[PartitionId, int]:
    stored = {(row.topic, row.partition): row.next for row in connection.execute(select(tables.offsets))}
    topics = [topic.full_name(settings.prefix) for topic in PROJECTED]
    places = [(topic, partition) for topic in topics for partition in range(log.partitions(topic))]
    begun = {place: stored[place] if place in stored else log.start_offset(*place) for place in places}
    # Of a partition, or a topic, that the log does not have.
    return {**begun, **stored}


def _unread(log: EventLog, place: PartitionId, stored: int) -> str | None:
    start = log.start_offset(*place)
    if stored >= start:
        return None
    return (
        f"{place[0]}/{place[1]} was read up to {stored:,}, and the log begins at {start:,}: {start - stored:,} events "
        "are gone unread. Raise the topic's retention, and have the sources send them again."
    )


def _lag(log: EventLog, places: dict[PartitionId, int]) -> Line:
    ends = log.ends(list(places))
    lag = {f"{topic}/{partition}": ends[topic, partition] - stored for (topic, partition), stored in places.items()}
    behind = {place: left for place, left in lag.items() if left}
    if not behind:
        return Line("lag", True, "every event is applied", lag)
    most = sorted(behind.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{place}: {left:,}" for place, left in most)
    return Line("lag", True, f"{sum(behind.values()):,} events are not applied yet ({listed})", lag)


# --- self-checks -----------------------------------------------------------------------------------------------------


def tiles_line(connection: Connection) -> Line:
    """Tiles and the trend against grids: they come from the same documents, by two ways."""
    unequal = list(islice(totals_mismatches(connection), 100))
    if not unequal:
        return Line("tiles", True, "the sums kept by day are those of the documents")
    listed = "; ".join(unequal[:_SHOWN])
    return Line(
        "tiles",
        False,
        f"kept sums are not those of the documents ({listed}): did somebody write to the store? `tieout verify` names "
        "every difference. To have it built again point TIEOUT_STORE to a new store, and keep this one until then.",
        {"unequal": unequal},
    )


def effects_line(connection: Connection, log: EventLog, maps: Maps, settings: Settings) -> Line:
    """Offsets against effects: what was read is there."""
    places = {(row.topic, row.partition): row.next for row in connection.execute(select(tables.offsets))}
    environments = environments_of(settings, pins(connection))
    found = list(islice(without_effect(connection, log, maps, settings.prefix, environments, places), 100))
    if not found:
        return Line("effects", True, f"the last {LAST} events before each offset are in the store")
    named = [f"{event.topic}/{event.partition}/{event.offset}: {missing}" for event, missing in found]
    return Line(
        "effects",
        False,
        f"events that count as applied are not in the store ({'; '.join(named[:_SHOWN])}): was a part of it "
        "restored, or written by hand? Point TIEOUT_STORE to a new store: it is built from the topics. Keep this one.",
        {"without_effect": named},
    )


def _span(seconds: float) -> str:
    """A duration for people.

    >>> _span(4.2), _span(125), _span(7300), _span(200000)
    ('4 s', '2 min', '2 h', '2 d')
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
