"""Connections to Finance and Dataverse from the settings: sign-in, limits, the switch for outgoing calls, processes."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import msgspec

from engine.errors import SettingError
from engine.mapping.compiler import EntityMap, Maps
from engine.reconciliation.ledger_accounts import NO_ACCOUNTS, LedgerAccounts
from engine.sync.prerequisites import Prerequisite, check, unmet
from handlers import ledger_rows
from handlers.api import dataverse as dataverse_api
from handlers.api import finance as finance_api
from handlers.api.bounded_exchange import client
from handlers.api.connection import Connection, Tokens
from handlers.api.dataverse import Dataverse
from handlers.api.finance import Finance
from handlers.api.service_limits import DOCUMENTED, Limiter
from handlers.api.tokens import Application, EntraTokens, ManagedIdentity
from handlers.change_events import System
from handlers.errors import TargetError
from handlers.poll import Table
from handlers.prerequisites import observe
from handlers.processes import PROCESSES, Processes, read_target
from tieout.maintenance.map_files import load_maps
from tieout.settings import SYSTEM_ASSIGNED, Settings

# Both systems end a call after two minutes.
_TIMEOUT = httpx.Timeout(130.0, connect=10.0)


class Connectors(msgspec.Struct, frozen=True):
    """The connections to the two systems of an environment."""

    finance: Finance
    dataverse: Dataverse
    processes: Processes


def is_configured(settings: Settings) -> bool:
    """Return True if the settings have the addresses of both systems."""
    return bool(settings.finance and settings.dataverse)


@contextmanager
def open_connectors(settings: Settings) -> Iterator[Connectors]:
    """Open the connections of the settings; no request is sent before the first call. Raises `SettingError` if an
    address is missing.
    """
    if settings.finance is None or settings.dataverse is None:
        raise SettingError(
            "The addresses of the two systems are not set. Set TIEOUT_FINANCE and TIEOUT_DATAVERSE "
            "(docs/connectors.md)."
        )
    sets = _named_sets(settings)
    with ExitStack() as stack:
        http, sign_in = stack.enter_context(_calling()), stack.enter_context(_signing_in(settings))
        finance = Finance(_connection(http, sign_in, settings, settings.finance, finance_api.API), sets)
        dataverse = Dataverse(_connection(http, sign_in, settings, settings.dataverse, dataverse_api.API), sets)
        targets = {
            process: target
            for process in PROCESSES
            if (target := read_target(process, getattr(settings, f"process_{process}") or "")) is not None
        }
        yield Connectors(finance, dataverse, Processes(finance, dataverse, targets))


def _calling() -> httpx.Client:
    # An affinity cookie would bind all calls to one web server and leave the limits of the other servers unused.
    refuse_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    connections = httpx.Limits(max_connections=2 * DOCUMENTED.at_once, max_keepalive_connections=DOCUMENTED.at_once)
    return client(timeout=_TIMEOUT, cookies=refuse_cookies, limits=connections)


def _signing_in(settings: Settings) -> httpx.Client:
    """Return the client for sign-in. The endpoint of a managed identity is on this machine, so it bypasses proxies."""
    return client(timeout=_TIMEOUT, trust_env=settings.managed_identity is None)


def _connection(http: httpx.Client, sign_in: httpx.Client, settings: Settings, address: str, api: str) -> Connection:
    address = address.rstrip("/")
    tokens = _tokens(sign_in, settings, address)
    limiter = Limiter(time.monotonic, time.sleep)
    return Connection(http, f"{address}/{api}", tokens, limiter=limiter, may_change=lambda: settings.outgoing)


def _tokens(http: httpx.Client, settings: Settings, address: str) -> Tokens | None:
    """Return the tokens for the system at an address; None for plain http, which is accepted on this machine only."""
    if urlsplit(address).scheme == "http":
        return None
    if settings.managed_identity is not None:
        own = settings.managed_identity == SYSTEM_ASSIGNED
        return EntraTokens(http, ManagedIdentity("" if own else settings.managed_identity), address)
    application = Application(
        settings.authority,
        settings.tenant or "",
        settings.client_id or "",
        settings.client_secret or "",
        Path(settings.client_certificate) if settings.client_certificate else None,
    )
    return EntraTokens(http, application, address)


def _named_sets(settings: Settings) -> Mapping[str, str]:
    """Return the entity sets in the settings, by entity of the maps. Raises `SettingError` for an unknown entity."""
    entries = dict(entry.split("=") for entry in settings.poll or () if "=" in entry)
    if not entries:
        return {}
    maps = load_maps(settings)
    return {_entity_map(maps, name).entity: entity_set for name, entity_set in entries.items()}


_LEDGER: Final = ("ledger-entry", "ledger-header", "main-account")
"""The roles of the ledger, whose rows are polled only if main accounts are named."""

_UNCLAIMED: Final = (*_LEDGER, "posting-setup")
"""The roles of rows that no document misses: an environment may not expose them, and still be polled completely."""


def polled_tables(settings: Settings, maps: Maps, accounts: LedgerAccounts = NO_ACCOUNTS) -> list[Table]:
    """Return the tables to poll: those in the settings, by default all that the maps read, and those of the ledger only
    for `accounts`. Raises `SettingError` for an unknown entity.
    """
    if settings.poll is not None:
        return [_table(maps, _entity_map(maps, entry.partition("=")[0]), accounts) for entry in settings.poll]
    unread = ("later", "posting-setup") if accounts else ("later", "posting-setup", *_LEDGER)
    return [_table(maps, entity, accounts) for entity in maps.entities.values() if entity.role.name not in unread]


def _entity_map(maps: Maps, name: str) -> EntityMap:
    entity = maps.find(name)
    if entity is None:
        raise SettingError(f"TIEOUT_POLL: the entity {name!r} is in no map. `tieout maps check` lists them.")
    return entity


def _table(maps: Maps, entity: EntityMap, accounts: LedgerAccounts) -> Table:
    """Return a table. Of the ledger, the named main accounts and their entries are read; headers cannot be selected."""
    main_accounts = maps.of_role("main-account")
    if accounts and main_accounts and entity.role.name == "main-account":
        where = ledger_rows.main_accounts_where(entity, accounts.numbers)
        return Table(entity.source, entity.entity, where, claimed=False)
    if accounts and main_accounts and entity.role.name == "ledger-entry":
        entries = ledger_rows.entries_where(entity, main_accounts[0], accounts.numbers)
        return Table(entity.source, entity.entity, entries, accounts.selection, claimed=False)
    return Table(entity.source, entity.entity, claimed=entity.role.name not in _UNCLAIMED)


def completely_polled(tables: list[Table], maps: Maps) -> list[System]:
    """Return the systems all of whose mapped entities are among `tables`: only their watermark may advance."""
    polled = {table.entity for table in tables}
    systems: tuple[System, ...] = ("finance", "dataverse")
    return [
        system
        for system in systems
        if polled.issuperset(
            entity.entity
            for entity in maps.entities.values()
            if entity.source == system and entity.role.name not in ("later", *_UNCLAIMED)
        )
    ]


def prerequisites(connectors: Connectors, settings: Settings) -> list[Prerequisite]:
    """Read and evaluate what Sync needs in both systems. Sync starts if `engine.sync.prerequisites.unmet` is empty."""
    return check(observe(connectors.finance, connectors.dataverse), settings.confirmed)


def obstacles(settings: Settings) -> list[str]:
    """Return the reasons why no sync can start: the systems that do not respond, otherwise the prerequisites that are
    missing or unknown.
    """
    with open_connectors(settings) as connectors:
        unreachable = [
            f"{system.capitalize()} cannot be called: {error}"
            for system, error in _probe(connectors)
            if error is not None
        ]
        return unreachable or [missing.text for missing in unmet(prerequisites(connectors, settings))]


def _probe(connectors: Connectors) -> Iterator[tuple[str, TargetError | None]]:
    """Call each system once and yield its name with the error, if any."""
    for system, connection, path in (
        ("finance", connectors.finance.connection, ""),
        ("dataverse", connectors.dataverse.connection, "WhoAmI"),
    ):
        try:
            connection.get(path)
        except TargetError as error:
            yield system, error
        else:
            yield system, None


def connection_checks(settings: Settings) -> Iterator[tuple[str, bool | None, str]]:
    """Yield the lines of `tieout check` about both systems: name, result (None if unknown), and details or remedy."""
    with open_connectors(settings) as connectors:
        unreachable = False
        for system, error in _probe(connectors):
            unreachable = unreachable or error is not None
            yield system, error is None, "responds, and accepts the application" if error is None else str(error)
        switch = "switched on" if settings.outgoing else "switched off: no data is changed in either system"
        yield "outgoing", True, f"calls that change data are {switch}"
        if unreachable:
            yield "needed", None, "not checked: both systems must respond first"
            return
        for prerequisite in prerequisites(connectors, settings):
            yield "needed", prerequisite.met, prerequisite.text
