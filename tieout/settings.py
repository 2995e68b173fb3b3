"""Settings: read once at start from environment variables `TIEOUT_*` and a TOML file, typed, and refused with the
name of what is wrong.

The environment wins over the file; the file is `tieout.toml` in the working folder, or the one that `TIEOUT_SETTINGS`
names.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from stat import S_IROTH
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from engine.conversion import ConversionError, convert
from engine.errors import SettingError
from engine.money import units
from engine.sync.prerequisites import NAMES as PREREQUISITES
from handlers.processes import IN_DATAVERSE, PROCESSES, read_target

FILE: Final = "tieout.toml"
_EMBEDDED: Final = "embedded:///"
_KAFKA: Final = "kafka://"
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_LISTS: Final = ("companies", "environments", "maps", "poll", "confirmed")
_SECRETS: Final = ("broker_password", "client_secret", "webhook")
_ADDRESSES: Final = ("broker", "store", "finance", "dataverse", "authority")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_CREDENTIALS: Final = ("client_secret", "client_certificate", "managed_identity")

SYSTEM_ASSIGNED: Final = "system"
"""The value of `managed_identity` for the identity of the machine itself."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that may differ between two installations."""

    broker: str = "embedded:///.tieout/log.sqlite"
    """Where the topics are: `embedded:///relative/file`, `embedded:////absolute/file`, or `kafka://host:port,…`."""

    broker_user: str | None = None
    """Who signs in to Kafka; by default nobody does. For Azure Event Hubs `$ConnectionString`, without being asked."""

    broker_password: str | None = None
    """The password, or the connection string of Event Hubs."""

    broker_mechanism: str = "PLAIN"
    """How the password is sent: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."""

    broker_tls: bool | None = None
    """Whether the connection to Kafka is encrypted; by default it is for Event Hubs."""

    broker_ca: str | None = None
    """A file of certificates to trust instead of the system's."""

    store: str = "sqlite:///.tieout/store.sqlite"
    """Where the projection is: a SQLAlchemy URL."""

    today: date | None = None
    """Today, set by hand (demonstrations, tests, closing days); by default the date in the company's time zone."""

    prefix: str = "tieout"
    """What the names of this environment's topics start with."""

    partitions: int = 1
    """Partitions of each change topic that is made."""

    companies: tuple[str, ...] | None = None
    """The companies of this environment; documents of others are excluded as `other-company`. By default every
    company.
    """

    environments: tuple[str, ...] | None = None
    """The names that events may come from: of a CloudEvent's source, ids or names of Dataverse organisations, hosts of
    APIs. Others are rejected. By default any.
    """

    maps: tuple[str, ...] = ()
    """Map files of your own, laid over the shipped ones key by key."""

    finance: str | None = None
    """The address of Finance, as https://contoso.operations.dynamics.com; by default it is not called."""

    dataverse: str | None = None
    """The address of the Dataverse environment, as https://org.crm4.dynamics.com; by default it is not called."""

    tenant: str | None = None
    """The directory (Microsoft Entra tenant) in which the application is registered: its id or a domain name."""

    client_id: str | None = None
    """The application that signs in to both."""

    client_secret: str | None = None
    """Its secret. It, a certificate or a managed identity: one of the three is set."""

    client_certificate: str | None = None
    """A PEM file with the application's certificate and its private key."""

    managed_identity: str | None = None
    """The identity that Azure gives this machine: `system`, or the client id of one that is assigned to it. Neither
    tenant nor client id is needed then.
    """

    authority: str = "https://login.microsoftonline.com"
    """Where the application signs in; by https alone."""

    outgoing: bool = False
    """Whether calls that change Finance or Dataverse may leave (R49). Reading needs no leave."""

    confirmed: tuple[str, ...] = ()
    """Prerequisites of Sync that cannot be seen through an API, and that an administrator has looked at (R48)."""

    poll: tuple[str, ...] | None = None
    """The entities to poll, as the maps name them; `entity=EntitySet` where the metadata of the system does not name
    its entity set. By default every one that the maps read.
    """

    process_import: str | None = None
    """How Import from staging is started in Finance: `EntitySet/action` or `batch-job:NUMBER`."""

    process_posting: str | None = None
    """How the posting of integration journals is started in Finance, likewise."""

    process_export: str | None = None
    """How Finance is asked to write a posted document to Dataverse again, likewise."""

    process_approval: str | None = None
    """The action of Dataverse that approves a submitted expense."""

    process_confirmation: str | None = None
    """The action of Dataverse that confirms a vendor invoice."""

    process_resend: str | None = None
    """The action of Dataverse that sends an actual to Finance again."""

    process_journal: str | None = None
    """The action of Dataverse, bound to a journal, that confirms it. General journals are brought to Dataverse where it
    is named.
    """

    sync_posts: bool = False
    """Whether Sync may post draft integration journals (R42)."""

    sync_at: str = "23:00"
    """When the recurring job syncs each company, HH:MM in its time zone; `never` for never (R41)."""

    journals_every: int = 300
    """How often unsynced general journals are taken, in seconds (R60); 0 for never by itself."""

    journals_contract_line: str = "assumed_contractline=assumed_contractlinenumber"
    """The column of `LedgerJournalTrans_Project` that names a contract line, and the one of Dataverse's
    `salesorderdetail` that has that name.
    """

    webhook: str | None = None
    """The https address that alerts are told to; a secret, for whoever has it can write there (R84)."""

    alert_amount: str | None = None
    """Above which unreconciled amount a period that is about to be closed is an alert, in the company's accounting
    currency; by default none is.
    """

    error_history_days: int = 90
    """How long errors are kept that are not current, in days."""

    metrics: str | None = None
    """Where a worker tells its metrics and whether it is ready, as `host:port`; by default nowhere."""

    expose_without_sign_in: str | None = None
    """The IPv4 address on which the workspace listens, such as 0.0.0.0; by default 127.0.0.1 alone.

    Nobody signs in yet, so whoever reaches this address can read everything and press Sync. For a container whose port
    is published on 127.0.0.1 only. Requests for another host name than those of the loopback address are refused all
    the same. The setting goes when sign-in comes.
    """

    log_level: str = "info"
    """How much is logged: debug, info, warning or error."""

    @property
    def log_file(self) -> Path | None:
        """The file of an embedded log, None for a broker."""
        return Path(self.broker[len(_EMBEDDED) :]) if self.broker.startswith(_EMBEDDED) else None

    @property
    def metrics_place(self) -> tuple[str, int] | None:
        """The host and the port of `metrics`."""
        if self.metrics is None:
            return None
        host, _, port = self.metrics.rpartition(":")
        return host, int(port)

    @property
    def alert_limit(self) -> int | None:
        """`alert_amount` in units of 1/10000."""
        return None if self.alert_amount is None else units(self.alert_amount)

    def has(self, company: str) -> bool:
        """Whether a company is one of this environment's."""
        return self.companies is None or company in self.companies

    def shown(self) -> dict[str, str]:
        """The settings in force as text, without passwords."""
        # Only here: every command reads the settings, and few need the store.
        from store.schema.database import shown_url

        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        for secret in _SECRETS:
            if shown[secret]:
                shown[secret] = "***"
        shown["store"] = shown_url(self.store)
        return {name: "" if value is None else str(value) for name, value in shown.items()}


def load(environ: Mapping[str, str] = os.environ, folder: Path = Path()) -> Settings:
    """The settings in force. Raises `SettingError`, naming the setting, what it holds and what it may hold."""
    _refuse_misspelt(environ)
    values: dict[str, Any] = _file(environ, folder)
    for name in Settings.__struct_fields__:
        written = environ.get(f"TIEOUT_{name.upper()}")
        if written is not None and written.strip():
            values[name] = _several(written) if name in _LISTS else written.strip()
    return _checked(values)


def _refuse_misspelt(environ: Mapping[str, str]) -> None:
    """Raise `SettingError` for a variable that is nearly a setting: what it was to restrict would stay open. Others
    that begin like settings belong to somebody else.
    """
    known = Settings.__struct_fields__
    for variable in sorted(name for name in environ if name.startswith("TIEOUT_")):
        name = variable.removeprefix("TIEOUT_").lower()
        if name not in known and (close := get_close_matches(name, known, 1, 0.8)):
            meant = f"TIEOUT_{close[0].upper()}"
            raise SettingError(f"{variable} is no setting: {meant} is. Correct its name, or unset it.")


def readable_secrets(environ: Mapping[str, str] = os.environ, folder: Path = Path()) -> tuple[Path, list[str]] | None:
    """The settings file and the secrets in it, where every user of the machine may read it; else None."""
    path = Path(environ.get("TIEOUT_SETTINGS") or folder / FILE)
    if not path.exists() or not path.stat().st_mode & S_IROTH:
        return None
    written = _file(environ, folder)
    found: list[str] = [name for name in _SECRETS if name in written]
    found += [name for name in _ADDRESSES if re.search(r"@|pass", str(written.get(name, "")))]
    return (path, found) if found else None


def readable_key(settings: Settings) -> Path | None:
    """The file of the application's private key, where every user of the machine may read it."""
    path = Path(settings.client_certificate) if settings.client_certificate else None
    return path if path is not None and path.exists() and path.stat().st_mode & S_IROTH else None


def _file(environ: Mapping[str, str], folder: Path) -> dict[str, Any]:
    named = environ.get("TIEOUT_SETTINGS")
    path = Path(named) if named else folder / FILE
    if not named and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"the settings file {path} (TIEOUT_SETTINGS) cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"the settings file {path} is not TOML: {error}.") from None


def _several(written: str) -> list[str]:
    return [part.strip() for part in written.split(",") if part.strip()]


def _checked(values: dict[str, Any]) -> Settings:
    unknown = values.keys() - set(Settings.__struct_fields__)
    if unknown:
        raise SettingError(
            f"unknown setting {', '.join(sorted(unknown))}; known are {', '.join(Settings.__struct_fields__)}."
        )
    try:
        settings = convert(values, Settings, strict=False)
    except ConversionError as error:
        name = error.path[0]
        secret = _held(name, values[name]) == ""
        reason = error.reason if secret else str(error)
        raise SettingError(f"TIEOUT_{' '.join((name.upper(), *error.path[1:]))}: {reason}.") from None
    _check_places(settings)
    if settings.companies is not None:
        settings = msgspec.structs.replace(settings, companies=tuple(code.upper() for code in settings.companies))
    return settings


def _held(name: str, value: object) -> str:
    """The value of a wrong setting, for its message, unless it may hold a secret: a password written into an address,
    a key in its path or query, or a value meant for another setting.
    """
    harmless = re.fullmatch(r"[a-z]+://[\w.-]*(:\d+)?/?", str(value), re.ASCII)
    return "" if name in _SECRETS or (name in _ADDRESSES and not harmless) else f"={value!r}"


def _check_places(settings: Settings) -> None:
    if not settings.broker.startswith((_EMBEDDED, _KAFKA)) or settings.log_file == Path():
        raise SettingError(
            f"TIEOUT_BROKER{_held('broker', settings.broker)}: use embedded:///path/to/file (three slashes relative, "
            "four absolute) or kafka://host:port."
        )
    _check_store(settings.store)
    if not 1 <= settings.partitions <= 1_000:
        raise SettingError(f"TIEOUT_PARTITIONS={settings.partitions}: use a number from 1 to 1000.")
    if not 1 <= settings.error_history_days <= 36_500:
        raise SettingError(f"TIEOUT_ERROR_HISTORY_DAYS={settings.error_history_days}: use a number of days from 1 on.")
    if not settings.broker.startswith(_EMBEDDED):
        _check_broker(settings)
    _check_connections(settings)
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d|never", settings.sync_at):
        raise SettingError(f"TIEOUT_SYNC_AT={settings.sync_at!r}: write HH:MM, such as 23:00, or never.")
    if settings.journals_every < 0:
        raise SettingError(f"TIEOUT_JOURNALS_EVERY={settings.journals_every!r}: write seconds, or 0 for never.")
    if not re.fullmatch(r"\w+=\w+", settings.journals_contract_line, re.ASCII):
        raise SettingError(
            f"TIEOUT_JOURNALS_CONTRACT_LINE={settings.journals_contract_line!r}: write COLUMN=COLUMN, that of Finance "
            "before that of Dataverse."
        )
    if settings.metrics is not None and not re.fullmatch(r"\S+:\d{1,5}", settings.metrics):
        raise SettingError(f"TIEOUT_METRICS={settings.metrics!r}: use host:port, such as 127.0.0.1:9464.")
    if settings.expose_without_sign_in is not None and not _is_ipv4(settings.expose_without_sign_in):
        raise SettingError(
            f"TIEOUT_EXPOSE_WITHOUT_SIGN_IN={settings.expose_without_sign_in!r}: write the IPv4 address to listen on, "
            "such as 0.0.0.0."
        )
    if settings.webhook is not None and not _is_webhook(settings.webhook):
        raise SettingError("TIEOUT_WEBHOOK: write https://host/path; http for this machine alone.")
    if settings.alert_amount is not None and (settings.alert_limit is None or settings.alert_limit < 0):
        raise SettingError(f"TIEOUT_ALERT_AMOUNT={settings.alert_amount!r}: write an amount, such as 10000.00.")
    if settings.log_level not in ("debug", "info", "warning", "error"):
        raise SettingError(f"TIEOUT_LOG_LEVEL={settings.log_level!r}: use debug, info, warning or error.")


def _check_store(store: str) -> None:
    try:
        url = make_url(store)
    except (ArgumentError, ValueError):  # a port that is no number is the latter
        raise SettingError(
            f"TIEOUT_STORE{_held('store', store)}: use sqlite:///path/to/file or "
            "postgresql+psycopg://user@host/database."
        ) from None
    if "@" in f"{url.host}{url.database}":
        # Only here: every command reads the settings, and few need the store.
        from store.schema.dialects import file_of

        if file_of(url) is None:
            # SQLAlchemy ends the password at the first of them, and would show the rest as the host.
            raise SettingError("TIEOUT_STORE: in a password write %40 for @, %2F for /, %3A for : and %25 for %.")


def _check_connections(settings: Settings) -> None:
    """Addresses of the two systems, and what is needed to sign in to them."""
    for name in ("finance", "dataverse"):
        address = getattr(settings, name)
        if address is not None and not _is_address(address):
            raise SettingError(
                f"TIEOUT_{name.upper()}{_held(name, address)}: write https://host, without a path; http for this "
                "machine alone."
            )
    if not (_is_address(settings.authority) and settings.authority.startswith("https:")):
        raise SettingError(
            f"TIEOUT_AUTHORITY{_held('authority', settings.authority)}: write https://host, without a path."
        )
    # What is called by http is on this machine, and signs nobody in.
    if any(address and address.startswith("https:") for address in (settings.finance, settings.dataverse)):
        _check_sign_in(settings)
    for entry in settings.poll or ():
        if not re.fullmatch(r"\w+(=\w+)?", entry):
            raise SettingError(f"TIEOUT_POLL: {entry!r} is neither entity nor entity=EntitySet.")
    if wrong := [name for name in settings.confirmed if name not in PREREQUISITES]:
        raise SettingError(f"TIEOUT_CONFIRMED: {wrong[0]!r} is none of {', '.join(PREREQUISITES)}.")
    _check_processes(settings)


def _check_sign_in(settings: Settings) -> None:
    """One way to sign in, with what it needs."""
    ways = [f"TIEOUT_{name.upper()}" for name in _CREDENTIALS if getattr(settings, name)]
    if len(ways) != 1:
        wanted = "TIEOUT_CLIENT_SECRET, TIEOUT_CLIENT_CERTIFICATE or TIEOUT_MANAGED_IDENTITY"
        found = f"{' and '.join(ways)} are set: unset all but one" if ways else f"set one of {wanted}"
        raise SettingError(f"TIEOUT_FINANCE or TIEOUT_DATAVERSE is set, which needs one way to sign in; {found}.")
    if settings.managed_identity:
        if not re.fullmatch(r"system|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", settings.managed_identity):
            # Not the value, as below.
            raise SettingError(
                "TIEOUT_MANAGED_IDENTITY is no identity: write system, or the client id of one that is assigned to "
                "this machine."
            )
        return
    if missing := [f"TIEOUT_{name.upper()}" for name in ("tenant", "client_id") if not getattr(settings, name)]:
        raise SettingError(f"{ways[0]} is set, {' and '.join(missing)} not: set what is missing, too.")
    if not re.fullmatch(r"[\w.-]+", settings.tenant or "", re.ASCII):
        # Not the value: a secret that was put into the wrong setting may be here.
        raise SettingError("TIEOUT_TENANT is no directory: write the directory's id or domain name.")


def _is_address(address: str) -> bool:
    """Whether it is an address at whose host an API may be asked: a secret travels there, so encrypted."""
    try:
        url = urlsplit(address)
        return _encrypted(url) and url.path in ("", "/") and not (url.query or url.username or "@" in url.netloc)
    except ValueError:
        return False


def _is_webhook(address: str) -> bool:
    """Whether it is an address that may be told something; path and query often hold the receiver's key."""
    try:
        url = urlsplit(address)
        return _encrypted(url) and "@" not in url.netloc and url.port != 0 and not re.search(r"\s", address)
    except ValueError:
        return False


def _is_ipv4(address: str) -> bool:
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return True


def _encrypted(url: SplitResult) -> bool:
    return bool(url.hostname) and (url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK))


def _check_processes(settings: Settings) -> None:
    for process in PROCESSES:
        written = getattr(settings, f"process_{process}")
        if written is not None and read_target(process, written) is None:
            wanted = "the name of an action" if process in IN_DATAVERSE else "EntitySet/action or batch-job:NUMBER"
            raise SettingError(f"TIEOUT_PROCESS_{process.upper()}={written!r}: write {wanted}.")


def _check_broker(settings: Settings) -> None:
    servers = settings.broker[len(_KAFKA) :].split(",")
    wrong = [server for server in servers if not re.fullmatch(r"[^\s/@:]+:\d{1,5}", server.strip())]
    if wrong:
        harmless = "@" not in settings.broker and re.fullmatch(r"[\w.-]*", wrong[0], re.ASCII)
        shown = repr(wrong[0]) if harmless else "a server"
        raise SettingError(
            f"TIEOUT_BROKER: {shown} is not host:port. Write kafka://host:port,host:port; user and password have "
            "settings of their own (TIEOUT_BROKER_USER, TIEOUT_BROKER_PASSWORD)."
        )
    if settings.broker_mechanism not in _MECHANISMS:
        raise SettingError(f"TIEOUT_BROKER_MECHANISM={settings.broker_mechanism!r}: use {', '.join(_MECHANISMS)}.")
    if settings.broker_user and not settings.broker_password:
        raise SettingError("TIEOUT_BROKER_USER is set and TIEOUT_BROKER_PASSWORD is not: set both, or neither.")
