"""Health checks of an installation: configuration, maps, log, store and writer, each with a result and a remedy.

Log and store are opened for reading; nothing is created or changed.
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
from store.proof.self_checks import account_mismatches, outbox_backlog, totals_mismatches
from store.queries import ledger
from store.schema import tables
from store.schema.database import shown_url
from streams.log import EventLog, LogError, PartitionId
from streams.topics import PROJECTED, TOPICS
from tieout.bootstrap import environments_of, load_maps, open_log, open_store
from tieout.maintenance.offset_check import LAST, without_effect
from tieout.settings import Settings, readable_keys, readable_secrets
from tieout.sync.connectors import connection_checks, is_configured
from tieout.worker.log_continuity import ADVICE, compare
from tieout.worker.state_topic import topic_lacks_state

PATIENCE_SECONDS: Final = 5.0
"""How long to wait for a server that is not reachable."""

OUTBOX_SECONDS: Final = 60.0
"""The age at which unpublished records are reported: a worker publishes at once, a new one what it takes over."""

LACKING: Final = {
    "header": "whose GeneralJournalEntry is not known",
    "main-account": "whose MainAccount is not known",
    "layer": "with a posting layer that the maps do not define",
    "period": "whose FiscalCalendarPeriod is not known",
    "company": "without a company",
    "amount": "without an amount that can be read",
}
"""What entries of the ledger lack, in words."""

_SHOWN: Final = 3

T = TypeVar("T")


class CheckResult(msgspec.Struct, frozen=True):
    """The result of one check.

    `ok` is None if the check could not run. `says` is the result as text, with the reason and the remedy if it is not
    ok. `detail` is for programs.
    """

    check: str
    ok: bool | None
    says: str
    detail: dict[str, Any] = {}


CheckResults = Generator[CheckResult, None, T]
"""Yields results, and returns what later checks need."""


def check(settings: Settings, *, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[CheckResult]:
    """Run all checks, each after those that it depends on."""
    yield CheckResult("settings", True, f"{settings.broker}, {shown_url(settings.store)}, prefix {settings.prefix}")
    if (readable := readable_secrets()) is not None:
        file, secrets = readable
        names = " and ".join(secrets)
        yield CheckResult(
            "settings", True, f"warning: every user can read {file}, which contains {names}. Run: chmod 600 {file}"
        )
    for key in readable_keys(settings):
        yield CheckResult(
            "settings", True, f"warning: every user can read {key}, which contains a private key. Run: chmod 600 {key}"
        )
    with ExitStack() as stack:
        maps = yield from _maps(settings)
        log = yield from _log(settings, stack, patience_seconds)
        connection = yield from _store(settings, maps, stack)
        if connection is None:
            of_store = ("writer", "environments", "outbox", "state", "notices", "tiles", "companies", "tables")
            yield from _unchecked("the store", *of_store)
        else:
            yield from _run_check("writer", lambda: _writer(connection, settings))
            yield from _run_check("environments", lambda: _environments(connection, settings))
            yield from _run_check("outbox", lambda: _outbox(connection))
            yield from _run_check("state", lambda: _state(connection, log, settings))
            yield from _run_check("notices", lambda: _notices(connection))
            yield from _run_check("tiles", lambda: check_tiles(connection))
            yield from _run_check("account", lambda: check_account(connection))
            yield from _run_check("companies", lambda: _companies(connection))
            yield from _run_check("tables", lambda: _tables(connection))
            if maps is not None:
                yield from _run_check("ledger", lambda: _ledger(connection, maps, settings))
        if connection is None or log is None:
            yield from _unchecked("the store" if log else "the event log", "offsets", "lag", "effects")
        elif (offsets := (yield from _offsets(connection, log, settings))) is None or maps is None:
            yield from _unchecked("the offsets" if maps else "the maps", "lag", "effects")
        else:
            yield from _run_check("lag", lambda: _lag(log, offsets))
            yield from _run_check("effects", lambda: check_effects(connection, log, maps, settings))
    if is_configured(settings):
        yield from (CheckResult(*result) for result in connection_checks(settings))


def _unchecked(what: str, *checks: str) -> Iterator[CheckResult]:
    for name in checks:
        yield CheckResult(name, None, f"not checked: correct {what} first")


def _run_check(name: str, run: Any) -> Iterator[CheckResult]:
    """Yield the results of `run`, or one with the error that it raised."""
    try:
        results = run()
        yield from [results] if isinstance(results, CheckResult) else results
    except (TieoutError, DBAPIError) as error:
        yield CheckResult(name, False, _text(error))


def _text(error: Exception) -> str:
    return " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())


# --- preconditions of the other checks -------------------------------------------------------------------------------


def _maps(settings: Settings) -> CheckResults[Maps | None]:
    try:
        maps = load_maps(settings)
    except MapError as error:
        yield CheckResult("maps", False, str(error))
        return None
    yield CheckResult("maps", True, f"{len(maps.entities)} entities", {"digest": maps.digest})
    return maps


def _log(settings: Settings, stack: ExitStack, patience_seconds: float) -> CheckResults[EventLog | None]:
    """Check broker and topics; return the log if it has all topics that a worker reads."""
    topics = list(TOPICS.values())
    try:
        log = stack.enter_context(open_log(settings, write=False, patience_seconds=patience_seconds))
        existing = log.topics()
        problems = log.check_topics(topics, settings.partitions, prefix=settings.prefix)
    except LogError as error:
        yield CheckResult("broker", False, _text(error))
        yield from _unchecked("the broker", "topics")
        return None
    own = [name for name in existing if name.startswith(f"{settings.prefix}.")]
    yield CheckResult("broker", True, f"reachable, {len(existing)} topics, {len(own)} of this environment")
    for problem in problems:
        yield CheckResult("topics", False, problem)
    if not problems:
        number = f"{settings.partitions} partition{'s' if settings.partitions > 1 else ''}"
        yield CheckResult("topics", True, f"{len(topics)} topics, {number} each, policies as required")
    projected = {topic.full_name(settings.prefix) for topic in PROJECTED}
    return log if projected <= existing.keys() else None


def _store(settings: Settings, maps: Maps | None, stack: ExitStack) -> CheckResults[Connection | None]:
    """Check the store; return a connection with a snapshot of it if its schema has this version."""
    try:
        engine = stack.enter_context(open_store(settings, write=False))
        connection = stack.enter_context(engine.connect())
        stack.enter_context(connection.begin())
        if maps is not None:
            check_build_settings(
                connection,
                build_settings(maps, settings.companies, settings.beginning_balances, settings.ledger_accounts),
            )
    except (TieoutError, DBAPIError) as error:
        yield CheckResult("store", False, _text(error))
        return None
    yield CheckResult("store", True, "reachable, schema of this version")
    return connection


# --- the writer ------------------------------------------------------------------------------------------------------


def _writer(connection: Connection, settings: Settings) -> Iterator[CheckResult]:
    if settings.log_file is not None:
        yield CheckResult("writer", True, "not needed: an embedded log has one worker and no lease")
        return
    current = lease_holder(connection)
    if current is None or not current.holder:
        yield CheckResult("writer", False, "no worker has written to this store yet. Start `tieout run`")
        return
    detail = {"holder": current.holder, "epoch": current.epoch, "left": current.left, "held": current.held}
    if current.left <= 0:
        says = f"no worker holds the lease; the last writer was {current.holder}. Start `tieout run`, or check its log"
        yield CheckResult("writer", False, says, detail)
        return
    says = (
        f"{current.holder} has held the lease for {_span(current.held)} (epoch {current.epoch}, renewed "
        f"{max(0.0, LEASE_SECONDS - current.left):.0f} s ago)"
    )
    yield CheckResult("writer", True, says, detail)


def _environments(connection: Connection, settings: Settings) -> CheckResult:
    """The environments whose events are accepted (R85)."""
    if settings.environments is not None:
        listed = ", ".join(settings.environments)
        return CheckResult(
            "environments", True, f"TIEOUT_ENVIRONMENTS names {listed}", {"named": settings.environments}
        )
    pinned = pins(connection)
    if not pinned:
        return CheckResult(
            "environments", True, "none is pinned yet; the first that an event names will be pinned", {"pinned": {}}
        )
    listed = ", ".join(f"{name} ({system}, {kind})" for (system, kind), name in pinned.items())
    detail = {f"{system} {kind}": name for (system, kind), name in pinned.items()}
    return CheckResult("environments", True, f"pinned: {listed}; events of others are rejected", {"pinned": detail})


def _outbox(connection: Connection) -> CheckResult:
    waiting, oldest = outbox_backlog(connection)
    age = 0.0 if oldest is None else max(0.0, time.time() - oldest / 1_000_000)
    detail = {"waiting": waiting, "age": age}
    if not waiting:
        return CheckResult("outbox", True, "all records are published", detail)
    says = f"{waiting:,} records are not published yet, the oldest for {_span(age)}"
    if age > OUTBOX_SECONDS:
        return CheckResult("outbox", False, f"{says}. Check the worker's log for what the broker refuses", detail)
    return CheckResult("outbox", True, says, detail)


def _state(connection: Connection, log: EventLog | None, settings: Settings) -> CheckResult:
    """The state that events do not contain, and how much of it is not published yet."""
    if log is not None and topic_lacks_state(connection, log, settings.prefix):
        says = (
            "the state topic lacks records that were published: it was re-created, or is an older copy. Keep the store "
            "and restart the worker with the role project: it publishes all of the state from the store"
        )
        return CheckResult("state", False, says)
    waiting = pending_count(connection)
    if not waiting:
        return CheckResult("state", True, "all of the state is on the state topic", {"waiting": 0})
    changes = "change is" if waiting == 1 else "changes are"
    says = f"{waiting:,} {changes} not on the state topic yet; calls to either system wait until their attempts are"
    return CheckResult("state", True, says, {"waiting": waiting})


def _notices(connection: Connection) -> CheckResult:
    """Rows with a pending re-read request (R5)."""
    waiting = waiting_rows(connection)
    if not waiting:
        return CheckResult("notices", True, "no row is waiting to be read again")
    detail = {rows.entity: {"rows": rows.rows, "since": iso(rows.since)} for rows in waiting}
    number = sum(rows.rows for rows in waiting)
    noun = "row is" if number == 1 else "rows are"
    says = (
        f"{number:,} {noun} waiting to be read again after an event that was truncated or has keys only "
        f"({row_counts(waiting)}), the first since {iso(waiting[0].since)}"
    )
    if overdue(waiting, clock.now()):
        return CheckResult("notices", False, f"{says}. {REMEDY}", detail)
    return CheckResult("notices", True, says, detail)


def _companies(connection: Connection) -> CheckResult:
    """Documents without a company, which no page and no total includes."""
    names = tables.documents.c
    query = select(names.document).where(names.company == "").order_by(names.document).limit(_SHOWN + 1)
    documents = list(connection.scalars(query))
    if not documents:
        return CheckResult("companies", True, "every document has a company")
    listed = ", ".join(documents[:_SHOWN]) + (", …" if len(documents) > _SHOWN else "")
    says = (
        f"documents without a company are missing from pages and totals ({listed}). Find their rows with `tieout chain "
        "NAME`; send a row with its company again, or poll its table"
    )
    return CheckResult("companies", False, says, {"documents": documents})


def _tables(connection: Connection) -> CheckResult:
    """Tables that are polled or ingested, and the error of the last pass of each."""
    tables_read = cursors(connection)
    errors = [f"{cursor.table}: {cursor.fault}" for cursor in tables_read if cursor.fault]
    if not errors:
        return CheckResult("tables", True, f"{len(tables_read)} tables are read from the systems, none has an error")
    more = f", and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
    says = f"{'; '.join(errors[:_SHOWN])}{more}. List all with `tieout poll --show`, correct them, and poll again"
    return CheckResult("tables", False, says, {"faults": errors})


# --- offsets ---------------------------------------------------------------------------------------------------------


def _offsets(connection: Connection, log: EventLog, settings: Settings) -> CheckResults[dict[PartitionId, int] | None]:
    """Check the committed offset of each partition; return None if the log no longer has one of them."""
    try:
        offsets = _committed_offsets(connection, log, settings)
        compared = compare(connection, log, [topic.full_name(settings.prefix) for topic in PROJECTED])
        if compared.problems:
            problems = [f"{'; '.join(compared.problems)}. {ADVICE}"]
        else:
            problems = [
                problem for partition, offset in offsets.items() if (problem := _lost_events(log, partition, offset))
            ]
    except LogError as error:
        yield CheckResult("offsets", False, _text(error))
        return None
    detail = {f"{topic}/{partition}": offset for (topic, partition), offset in offsets.items()}
    for problem in problems:
        yield CheckResult("offsets", False, problem, detail)
    if problems:
        return None
    says = f"the committed offsets of {len(offsets)} partitions are in the log that the store was built from"
    if compared.uncompared:
        says += f"; compared by its identity alone: {', '.join(compared.uncompared)}"
    if compared.identities or compared.digests:
        says += "; the store does not have the whole identity of the log yet, the next start of a worker stores it"
    yield CheckResult("offsets", True, says, detail)
    return offsets


def _committed_offsets(connection: Connection, log: EventLog, settings: Settings) -> dict[PartitionId, int]:
    stored = {(row.topic, row.partition): row.next for row in connection.execute(select(tables.offsets))}
    topics = [topic.full_name(settings.prefix) for topic in PROJECTED]
    partitions = [(topic, partition) for topic in topics for partition in range(log.partitions(topic))]
    existing = {
        partition: stored[partition] if partition in stored else log.start_offset(*partition)
        for partition in partitions
    }
    # The store may name a partition that the log does not have.
    return {**existing, **stored}


def _lost_events(log: EventLog, partition: PartitionId, committed: int) -> str | None:
    """Return the error if the log has deleted events that were not applied."""
    start = log.start_offset(*partition)
    if committed >= start:
        return None
    return (
        f"{partition[0]}/{partition[1]} was read up to {committed:,}, and the log begins at {start:,}: "
        f"{start - committed:,} events were deleted before they were read. Raise the topic's retention, and have the "
        "sources send them again."
    )


def _lag(log: EventLog, offsets: dict[PartitionId, int]) -> CheckResult:
    ends = log.ends(list(offsets))
    lag = {f"{topic}/{partition}": ends[topic, partition] - offset for (topic, partition), offset in offsets.items()}
    behind = {name: events for name, events in lag.items() if events}
    if not behind:
        return CheckResult("lag", True, "all events are applied", lag)
    largest = sorted(behind.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{name}: {events:,}" for name, events in largest)
    return CheckResult("lag", True, f"{sum(behind.values()):,} events are not applied yet ({listed})", lag)


def _ledger(connection: Connection, maps: Maps, settings: Settings) -> Iterator[CheckResult]:
    """The main accounts of the integration accounts, and entries that cannot be counted (R87)."""
    if not settings.ledger_accounts:
        return
    accounts = ledger.named_accounts(connection, maps, settings.ledger_accounts)
    if unknown := ledger.unknown_numbers(connection, settings.ledger_accounts):
        yield CheckResult(
            "ledger",
            False,
            f"no main account {', '.join(unknown)} has been received: correct TIEOUT_EXPENSE_ACCOUNT or "
            "TIEOUT_PROCUREMENT_ACCOUNT, or have Finance send its rows of MainAccount, which `tieout poll` reads",
            {"unknown": unknown},
        )
    waiting = {item.lacks: item.entries for item in ledger.waiting(connection, None, accounts)}
    if waiting:
        listed = ", ".join(f"{entries:,} {LACKING[lacks]}" for lacks, entries in waiting.items())
        yield CheckResult(
            "ledger",
            False,
            f"entries of the ledger cannot be counted, so its balance is not known: {listed}. Have Finance send these "
            "rows too; `tieout findings` lists values that cannot be read",
            {"waiting": waiting},
        )
    if not unknown and not waiting:
        yield CheckResult(
            "ledger", True, f"main accounts {', '.join(sorted(accounts.numbers))}; every entry is counted"
        )


# --- self-checks -----------------------------------------------------------------------------------------------------


def check_tiles(connection: Connection) -> CheckResult:
    """Compare the materialised totals, which tiles and the trend show, with the documents, which grids show."""
    unequal = list(islice(totals_mismatches(connection), 100))
    if not unequal:
        return CheckResult("tiles", True, "the totals by day match the documents")
    listed = "; ".join(unequal[:_SHOWN])
    return CheckResult(
        "tiles",
        False,
        f"totals do not match the documents ({listed}): the store may have been changed by hand. List all differences "
        "with `tieout verify`. To rebuild, set TIEOUT_STORE to a new store, and keep this one until that is complete.",
        {"unequal": unequal},
    )


def check_account(connection: Connection) -> CheckResult:
    """Prove the law of the integration account: the parts add up to what was booked less what was cleared."""
    broken = list(islice(account_mismatches(connection), 100))
    if not broken:
        return CheckResult("account", True, "the parts of each integration account add up to booked less cleared")
    listed = "; ".join(broken[:_SHOWN])
    return CheckResult(
        "account",
        False,
        f"the integration account does not add up ({listed}): do not sign a balance from it. The store may have been "
        "changed by hand, or is older than this version: `tieout replay` rebuilds it. If it still differs, report it.",
        {"broken": broken},
    )


def check_effects(connection: Connection, log: EventLog, maps: Maps, settings: Settings) -> CheckResult:
    """Check that the effects of the last events before each committed offset are in the store."""
    offsets = {(row.topic, row.partition): row.next for row in connection.execute(select(tables.offsets))}
    environments = environments_of(settings, pins(connection))
    missing = list(islice(without_effect(connection, log, maps, settings.prefix, environments, offsets), 100))
    if not missing:
        return CheckResult("effects", True, f"the last {LAST} events before each offset are in the store")
    named = [f"{event.topic}/{event.partition}/{event.offset}: {effect}" for event, effect in missing]
    return CheckResult(
        "effects",
        False,
        f"applied events are not in the store ({'; '.join(named[:_SHOWN])}): it may have been restored in part or "
        "changed by hand. Keep it, set TIEOUT_STORE to a new store, and start `tieout run` to rebuild it.",
        {"without_effect": named},
    )


def _span(seconds: float) -> str:
    """Return a duration as text.

    >>> _span(4.2), _span(125), _span(7300), _span(200000)
    ('4 s', '2 min', '2 h', '2 d')
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
