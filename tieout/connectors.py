"""Finance and Dataverse as the settings reach them: sign-in, limits, the switch for outgoing calls, the processes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import msgspec

from engine.errors import SettingError
from engine.maps import Maps
from handlers import dataverse as dataverse_api
from handlers import finance as finance_api
from handlers.connection import Connection
from handlers.dataverse import Dataverse
from handlers.events import System
from handlers.finance import Finance
from handlers.limits import DOCUMENTED, Limiter
from handlers.odata import entity_set
from handlers.poll import Table
from handlers.processes import PROCESSES, Processes, read_target
from handlers.tokens import ClientCredentials
from tieout.settings import Settings

# Both systems end a call after two minutes; what takes longer is not answered any more.
_TIMEOUT = httpx.Timeout(130.0, connect=10.0)


class Connectors(msgspec.Struct, frozen=True):
    """What an environment is asked through."""

    finance: Finance
    dataverse: Dataverse
    processes: Processes


def configured(settings: Settings) -> bool:
    """Whether the settings say where both systems are."""
    return bool(settings.finance and settings.dataverse)


@contextmanager
def open_connectors(settings: Settings) -> Iterator[Connectors]:
    """The connectors of the settings; nothing is sent before the first call. Raises `SettingError` without address."""
    if settings.finance is None or settings.dataverse is None:
        raise SettingError(
            "TIEOUT_FINANCE and TIEOUT_DATAVERSE say where the two systems are: set both (docs/connectors.md)."
        )
    # The cookie that ties a caller to one web server would leave the other servers' allowance unused.
    refuse_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    connections = httpx.Limits(max_connections=2 * DOCUMENTED.at_once, max_keepalive_connections=DOCUMENTED.at_once)
    with httpx.Client(timeout=_TIMEOUT, cookies=refuse_cookies, limits=connections) as http:
        finance = Finance(_connection(http, settings, settings.finance, finance_api.API))
        dataverse = Dataverse(_connection(http, settings, settings.dataverse, dataverse_api.API))
        targets = {
            process: target
            for process in PROCESSES
            if (target := read_target(process, getattr(settings, f"process_{process}") or "")) is not None
        }
        yield Connectors(finance, dataverse, Processes(finance, dataverse, targets))


def _connection(http: httpx.Client, settings: Settings, address: str, api: str) -> Connection:
    address = address.rstrip("/")
    tokens = ClientCredentials(
        http,
        address=f"{settings.authority.rstrip('/')}/{settings.tenant}/oauth2/v2.0/token",
        client_id=settings.client_id or "",
        secret=settings.client_secret or "",
        scope=f"{address}/.default",
        clock=time.monotonic,
    )
    limiter = Limiter(time.monotonic, time.sleep)
    return Connection(http, f"{address}/{api}", tokens, limiter=limiter, may_change=lambda: settings.outgoing)


def polled_tables(settings: Settings, maps: Maps) -> list[Table]:
    """The tables to poll, by the settings or else all that the maps read. Raises `SettingError` for an unknown one."""
    if settings.poll is None:
        return [_table(maps, entity.entity, "") for entity in maps.entities.values() if entity.role.name != "later"]
    return [_table(maps, *entry.partition("=")[::2]) for entry in settings.poll]


def _table(maps: Maps, name: str, offered_as: str) -> Table:
    entity = maps.find(name)
    if entity is None:
        raise SettingError(f"TIEOUT_POLL: the entity {name!r} is in no map. `tieout maps check` lists them.")
    return Table(entity.source, entity.entity, offered_as or entity_set(entity.entity))


def polled_wholly(tables: list[Table], maps: Maps) -> list[System]:
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
