"""Finance and Dataverse as the settings reach them: sign-in, limits, the switch for outgoing calls, the processes."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from engine.errors import SettingError
from engine.mapping.compiler import Maps
from engine.sync.prerequisites import Prerequisite, check, unmet
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

# Both systems end a call after two minutes; what takes longer is not answered any more.
_TIMEOUT = httpx.Timeout(130.0, connect=10.0)


class Connectors(msgspec.Struct, frozen=True):
    """What an environment is asked through."""

    finance: Finance
    dataverse: Dataverse
    processes: Processes


def is_configured(settings: Settings) -> bool:
    """Whether the settings say where both systems are."""
    return bool(settings.finance and settings.dataverse)


@contextmanager
def open_connectors(settings: Settings) -> Iterator[Connectors]:
    """The connectors of the settings; nothing is sent before the first call. Raises `SettingError` without address."""
    if settings.finance is None or settings.dataverse is None:
        raise SettingError(
            "TIEOUT_FINANCE and TIEOUT_DATAVERSE say where the two systems are: set both (docs/connectors.md)."
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
    # The cookie that ties a caller to one web server would leave the other servers' allowance unused.
    refuse_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    connections = httpx.Limits(max_connections=2 * DOCUMENTED.at_once, max_keepalive_connections=DOCUMENTED.at_once)
    return client(timeout=_TIMEOUT, cookies=refuse_cookies, limits=connections)


def _signing_in(settings: Settings) -> httpx.Client:
    """The endpoint of a managed identity is the machine's own, so no proxy leads to it."""
    return client(timeout=_TIMEOUT, trust_env=settings.managed_identity is None)


def _connection(http: httpx.Client, sign_in: httpx.Client, settings: Settings, address: str, api: str) -> Connection:
    address = address.rstrip("/")
    tokens = _tokens(sign_in, settings, address)
    limiter = Limiter(time.monotonic, time.sleep)
    return Connection(http, f"{address}/{api}", tokens, limiter=limiter, may_change=lambda: settings.outgoing)


def _tokens(http: httpx.Client, settings: Settings, address: str) -> Tokens | None:
    """Tokens for the system at an address; none for one that is called by http, which is on this machine."""
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
    """The entity sets that the settings name, by the entity of the maps. Raises `SettingError` for an unknown one."""
    named = dict(entry.split("=") for entry in settings.poll or () if "=" in entry)
    if not named:
        return {}
    maps = load_maps(settings)
    return {_table(maps, name).entity: offered_as for name, offered_as in named.items()}


def polled_tables(settings: Settings, maps: Maps) -> list[Table]:
    """The tables to poll, by the settings or else all that the maps read. Raises `SettingError` for an unknown one."""
    if settings.poll is None:
        return [Table(entity.source, entity.entity) for entity in maps.entities.values() if entity.role.name != "later"]
    return [_table(maps, entry.partition("=")[0]) for entry in settings.poll]


def _table(maps: Maps, name: str) -> Table:
    entity = maps.find(name)
    if entity is None:
        raise SettingError(f"TIEOUT_POLL: the entity {name!r} is in no map. `tieout maps check` lists them.")
    return Table(entity.source, entity.entity)


def completely_polled(tables: list[Table], maps: Maps) -> list[System]:
    """The systems of which every entity that the maps read is among `tables`: of those alone it may be said that all
    has been sent.
    """
    polled = {table.entity for table in tables}
    systems: tuple[System, ...] = ("finance", "dataverse")
    return [
        system
        for system in systems
        if polled.issuperset(
            entity.entity
            for entity in maps.entities.values()
            if entity.source == system and entity.role.name != "later"
        )
    ]


def prerequisites(to: Connectors, settings: Settings) -> list[Prerequisite]:
    """What Sync needs in both systems, as found there. Sync starts when `engine.sync.prerequisites.unmet` is empty."""
    return check(observe(to.finance, to.dataverse), settings.confirmed)


def obstacles(settings: Settings) -> list[str]:
    """Why no sync can start: the systems that do not answer, else the prerequisites that are missing or not known."""
    with open_connectors(settings) as to:
        away = [f"{system.capitalize()} cannot be asked: {error}" for system, error in _away(to) if error is not None]
        return away or [one.text for one in unmet(prerequisites(to, settings))]


def _away(to: Connectors) -> Iterator[tuple[str, TargetError | None]]:
    """Each system, with the error of a call to it."""
    for system, connection, question in (
        ("finance", to.finance.connection, ""),
        ("dataverse", to.dataverse.connection, "WhoAmI"),
    ):
        try:
            connection.get(question)
        except TargetError as error:
            yield system, error
        else:
            yield system, None


def connection_checks(settings: Settings) -> Iterator[tuple[str, bool | None, str]]:
    """What `tieout check` says of both systems: name, whether it is right, and what was found or what to do."""
    with open_connectors(settings) as to:
        away = False
        for system, error in _away(to):
            away = away or error is not None
            yield system, error is None, "answers, and knows the application" if error is None else str(error)
        switch = "switched on" if settings.outgoing else "switched off: nothing is changed in either system"
        yield "outgoing", True, f"calls that change something are {switch}"
        if away:
            yield "needed", None, "not looked at: both systems must answer first"
            return
        for one in prerequisites(to, settings):
            yield "needed", one.met, one.text
