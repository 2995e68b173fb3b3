"""Settings, read once at start from environment variables `TIEOUT_*` and a TOML file, and validated.

Environment variables take precedence over the file. The file is `tieout.toml` in the working folder, or the one in
`TIEOUT_SETTINGS`. `README.md`, "Settings" lists all settings.
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
from engine.reconciliation.asynchronous import ASYNC_MAPS, waiting_for
from engine.reconciliation.beginning_balances import BeginningBalances, beginning_balances
from engine.reconciliation.ledger_accounts import LedgerAccounts, read_numbers
from engine.sync.prerequisites import NAMES as PREREQUISITES
from handlers.processes import IN_DATAVERSE, PROCESSES, read_target

FILE: Final = "tieout.toml"
_EMBEDDED: Final = "embedded:///"
_KAFKA: Final = "kafka://"
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_LISTS: Final = (
    "companies",
    "beginning_balance",
    "environments",
    "maps",
    "poll",
    "confirmed",
    "async_maps",
    "expense_account",
    "procurement_account",
)
_SECRETS: Final = ("broker_password", "client_secret", "webhook")
_ADDRESSES: Final = ("broker", "store", "finance", "dataverse", "authority")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_CREDENTIALS: Final = ("client_secret", "client_certificate", "managed_identity")

SYSTEM_ASSIGNED: Final = "system"
"""The value of `managed_identity` for the system-assigned identity of the machine."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one installation."""

    broker: str = "embedded:///.tieout/log.sqlite"
    """The event log: `embedded:///relative/file`, `embedded:////absolute/file`, or `kafka://host:port,…`."""

    broker_user: str | None = None
    """The Kafka user; by default none, for Azure Event Hubs `$ConnectionString`."""

    broker_password: str | None = None
    """The password, or the connection string of Event Hubs."""

    broker_mechanism: str = "PLAIN"
    """The SASL mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."""

    broker_tls: bool | None = None
    """Whether the connection to Kafka is encrypted; by default only for Event Hubs."""

    broker_ca: str | None = None
    """A file of trusted certificates; by default those of the system."""

    store: str = "sqlite:///.tieout/store.sqlite"
    """The store: a SQLAlchemy URL."""

    today: date | None = None
    """The business date (demonstrations, tests, closing days); by default the date in the company's time zone."""

    prefix: str = "tieout"
    """The prefix of the topic names of this environment."""

    partitions: int = 1
    """Partitions of each change topic that is created."""

    companies: tuple[str, ...] | None = None
    """The companies of this environment; documents of others are excluded as `other-company`. By default every
    company.
    """

    beginning_balance: tuple[str, ...] = ()
    """The cut-off date of beginning balances: `COMPANY=YYYY-MM-DD` entries, or one date for all companies. An actual
    dated on or before it never gets an integration journal line.
    """

    expense_account: tuple[str, ...] = ()
    """The main accounts that are the expense integration account: `NUMBER` for every company, `COMPANY=NUMBER` for one.
    Their ledger entries are read and compared (R87); by default none is.
    """

    procurement_account: tuple[str, ...] = ()
    """The main accounts that are the integration account of vendor invoices; same format."""

    environments: tuple[str, ...] | None = None
    """The environments from which events are accepted: names in the source of CloudEvents, ids or names of Dataverse
    organisations, hosts of APIs. Others are rejected. By default the first name received is pinned (R85).
    """

    maps: tuple[str, ...] = ()
    """Additional map files, which override single keys of the shipped ones."""

    finance: str | None = None
    """The address of Finance, such as https://contoso.operations.dynamics.com; by default it is not called."""

    dataverse: str | None = None
    """The address of the Dataverse environment, such as https://org.crm4.dynamics.com; by default it is not called."""

    finance_links: str = "form"
    """What a link to a record of Finance opens: `form`, its own form, or `table`, the table browser, for versions
    before Finance has `McpDeepLinkNavigator`.
    """

    tenant: str | None = None
    """The Microsoft Entra tenant of the application: its id or a domain name."""

    client_id: str | None = None
    """The id of the application that signs in to both systems."""

    client_secret: str | None = None
    """The secret of the application. Exactly one of secret, certificate and managed identity is set."""

    client_certificate: str | None = None
    """A PEM file with the certificate of the application and its private key."""

    managed_identity: str | None = None
    """The managed identity of this machine in Azure: `system`, or the client id of a user-assigned one. Tenant and
    client id are then not needed.
    """

    authority: str = "https://login.microsoftonline.com"
    """Where the application signs in; https only."""

    outgoing: bool = False
    """Whether calls that change Finance or Dataverse are permitted (R49). Reading needs no permission."""

    confirmed: tuple[str, ...] = ()
    """Prerequisites of Sync that no API returns and that an administrator has checked (R48)."""

    async_maps: tuple[str, ...] = ()
    """The dual-write maps that run asynchronously, by the Dataverse table in their names (`msdyn_actuals`). Documents
    that wait for their rows have more time.
    """

    poll: tuple[str, ...] | None = None
    """The entities to poll, by their names in the maps; `entity=EntitySet` if the metadata of the system does not
    contain its entity set. By default all entities that the maps read.
    """

    process_import: str | None = None
    """Starts Import from staging in Finance: `EntitySet/action` or `batch-job:NUMBER`."""

    process_posting: str | None = None
    """Starts the posting of integration journals in Finance; same format."""

    process_export: str | None = None
    """Makes Finance write a posted document to Dataverse again; same format."""

    process_approval: str | None = None
    """The action of Dataverse that approves a submitted expense."""

    process_confirmation: str | None = None
    """The action of Dataverse that confirms a vendor invoice."""

    process_resend: str | None = None
    """The action of Dataverse that sends an actual to Finance again."""

    process_journal: str | None = None
    """The action of Dataverse, bound to a journal, that confirms it. General journals are synced only if it is set."""

    sync_posts: bool = False
    """Whether Sync may post draft integration journals (R42)."""

    sync_at: str = "23:00"
    """When the recurring job syncs each company, HH:MM in its time zone; `never` turns it off (R41)."""

    journals_every: int = 300
    """The interval in seconds at which unsynced general journals are processed (R60); 0 turns it off."""

    journals_contract_line: str = "assumed_contractline=assumed_contractlinenumber"
    """`FINANCE=DATAVERSE`: the column of `LedgerJournalTrans_Project` with the name of a contract line, and the column
    of Dataverse's `salesorderdetail` with that name.
    """

    webhook: str | None = None
    """The https address that receives alerts (R84). It is a secret, because it permits writing to the receiver."""

    alert_amount: str | None = None
    """An alert is sent if the unreconciled amount of a period before its close exceeds this amount, in the company's
    accounting currency; by default none is sent.
    """

    error_history_days: int = 90
    """The retention of errors that are not current, in days."""

    metrics: str | None = None
    """Where a worker serves metrics and readiness, as `host:port`; by default nowhere."""

    expose_without_sign_in: str | None = None
    """The IPv4 address on which the workspace listens, such as 0.0.0.0; by default 127.0.0.1 only.

    There is no sign-in, so anyone who can reach this address can read everything and start a sync. It is meant for a
    container whose port is published on 127.0.0.1 only. Requests for other host names than those of the loopback
    address are refused in any case. The setting will be removed when sign-in exists.
    """

    log_level: str = "info"
    """The log level: debug, info, warning or error."""

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
    def delayed(self) -> frozenset[str]:
        """What waits for rows of asynchronous maps (`engine.reconciliation.asynchronous`)."""
        return waiting_for(self.async_maps)

    @property
    def alert_limit(self) -> int | None:
        """`alert_amount` in units of 1/10000."""
        return None if self.alert_amount is None else units(self.alert_amount)

    @property
    def beginning_balances(self) -> BeginningBalances:
        """`beginning_balance`, parsed."""
        return beginning_balances(self.beginning_balance)

    @property
    def ledger_accounts(self) -> LedgerAccounts:
        """The main accounts of `expense_account` and `procurement_account`."""
        return LedgerAccounts(read_numbers(self.expense_account), read_numbers(self.procurement_account))

    def has(self, company: str) -> bool:
        """Return True if a company belongs to this environment."""
        return self.companies is None or company in self.companies

    def shown(self) -> dict[str, str]:
        """Return the settings as text, without secrets."""
        # Imported here, because every command reads the settings and few need the store.
        from store.schema.database import shown_url

        values = {name: getattr(self, name) for name in self.__struct_fields__}
        for secret in _SECRETS:
            if values[secret]:
                values[secret] = "***"
        values["store"] = shown_url(self.store)
        return {name: "" if value is None else str(value) for name, value in values.items()}


def load(environ: Mapping[str, str] = os.environ, folder: Path = Path()) -> Settings:
    """Load the settings. Raises `SettingError` with the setting, its value (unless secret) and the valid values."""
    _refuse_misspelt(environ)
    values: dict[str, Any] = _file(environ, folder)
    for name in Settings.__struct_fields__:
        text = environ.get(f"TIEOUT_{name.upper()}", "").strip()
        if text:
            values[name] = _split(text) if name in _LISTS else text
    return _validated(values)


def _refuse_misspelt(environ: Mapping[str, str]) -> None:
    """Raise `SettingError` for a variable that resembles a setting: the restriction that it was meant to set would be
    missing. Other variables with the prefix belong to other programs.
    """
    names = Settings.__struct_fields__
    for variable in sorted(name for name in environ if name.startswith("TIEOUT_")):
        name = variable.removeprefix("TIEOUT_").lower()
        if name not in names and (close := get_close_matches(name, names, 1, 0.8)):
            meant = f"TIEOUT_{close[0].upper()}"
            raise SettingError(f"{variable} is no setting: {meant} is. Correct its name, or unset it.")


def readable_secrets(environ: Mapping[str, str] = os.environ, folder: Path = Path()) -> tuple[Path, list[str]] | None:
    """Return the settings file and the secrets in it if every user of the machine can read it; else None."""
    path = Path(environ.get("TIEOUT_SETTINGS") or folder / FILE)
    if not path.exists() or not path.stat().st_mode & S_IROTH:
        return None
    values = _file(environ, folder)
    secrets: list[str] = [name for name in _SECRETS if name in values]
    secrets += [name for name in _ADDRESSES if re.search(r"@|pass", str(values.get(name, "")))]
    return (path, secrets) if secrets else None


def readable_key(settings: Settings) -> Path | None:
    """Return the file of the application's private key if every user of the machine can read it; else None."""
    path = Path(settings.client_certificate) if settings.client_certificate else None
    return path if path is not None and path.exists() and path.stat().st_mode & S_IROTH else None


def _file(environ: Mapping[str, str], folder: Path) -> dict[str, Any]:
    setting = environ.get("TIEOUT_SETTINGS")
    path = Path(setting) if setting else folder / FILE
    if not setting and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"the settings file {path} (TIEOUT_SETTINGS) cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"the settings file {path} is not TOML: {error}.") from None


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _validated(values: dict[str, Any]) -> Settings:
    unknown = values.keys() - set(Settings.__struct_fields__)
    if unknown:
        raise SettingError(
            f"unknown setting {', '.join(sorted(unknown))}; known are {', '.join(Settings.__struct_fields__)}."
        )
    try:
        settings = convert(values, Settings, strict=False)
    except ConversionError as error:
        name = error.path[0]
        secret = _printable(name, values[name]) == ""
        reason = error.reason if secret else str(error)
        raise SettingError(f"TIEOUT_{' '.join((name.upper(), *error.path[1:]))}: {reason}.") from None
    _check_values(settings)
    if settings.companies is not None:
        settings = msgspec.structs.replace(settings, companies=tuple(code.upper() for code in settings.companies))
    _check_ledger_accounts(settings)
    return settings


def _printable(name: str, value: object) -> str:
    """Return the value of an invalid setting for its message; empty if it may contain a secret: a password in an
    address, a key in its path or query, or a value meant for another setting.
    """
    harmless = re.fullmatch(r"[a-z]+://[\w.-]*(:\d+)?/?", str(value), re.ASCII)
    return "" if name in _SECRETS or (name in _ADDRESSES and not harmless) else f"={value!r}"


def _check_values(settings: Settings) -> None:
    if not settings.broker.startswith((_EMBEDDED, _KAFKA)) or settings.log_file == Path():
        raise SettingError(
            f"TIEOUT_BROKER{_printable('broker', settings.broker)}: use embedded:///path/to/file (three slashes "
            "relative, four absolute) or kafka://host:port."
        )
    _check_store(settings.store)
    try:
        beginning_balances(settings.beginning_balance)
    except ValueError as error:
        raise SettingError(
            f"TIEOUT_BEGINNING_BALANCE: {str(error)!r} is no cut-off date. Write COMPANY=YYYY-MM-DD, each company once "
            "and separated by commas, or one date for all companies."
        ) from None
    if not 1 <= settings.partitions <= 1_000:
        raise SettingError(f"TIEOUT_PARTITIONS={settings.partitions}: use a number from 1 to 1000.")
    if not 1 <= settings.error_history_days <= 36_500:
        raise SettingError(f"TIEOUT_ERROR_HISTORY_DAYS={settings.error_history_days}: use a number of days from 1 on.")
    if not settings.broker.startswith(_EMBEDDED):
        _check_broker(settings)
    _check_connections(settings)
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d|never", settings.sync_at):
        raise SettingError(f"TIEOUT_SYNC_AT={settings.sync_at!r}: write HH:MM, such as 23:00, or never.")
    if settings.finance_links not in ("form", "table"):
        raise SettingError(f"TIEOUT_FINANCE_LINKS={settings.finance_links!r}: write form, or table for older versions.")
    unknown = [name for name in settings.async_maps if name not in ASYNC_MAPS]
    if unknown:
        raise SettingError(
            f"TIEOUT_ASYNC_MAPS: {unknown[0]!r} is no dual-write map of Project Operations; known are "
            f"{', '.join(ASYNC_MAPS)}."
        )
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


def _check_ledger_accounts(settings: Settings) -> None:
    for name in ("expense_account", "procurement_account"):
        try:
            numbers = read_numbers(getattr(settings, name))
        except ValueError as error:
            raise SettingError(
                f"TIEOUT_{name.upper()}: {str(error)!r} is no main account: write NUMBER for every company or "
                "COMPANY=NUMBER for one, several separated by commas, such as 160500,BRIM=161000."
            ) from None
        for company in sorted(numbers):
            if company and not settings.has(company):
                raise SettingError(
                    f"TIEOUT_{name.upper()} names the company {company}, which TIEOUT_COMPANIES does not "
                    f"({', '.join(settings.companies or ())}): correct one of them."
                )


def _check_store(store: str) -> None:
    try:
        url = make_url(store)
    except (ArgumentError, ValueError):  # a port that is no number is the latter
        raise SettingError(
            f"TIEOUT_STORE{_printable('store', store)}: use sqlite:///path/to/file or "
            "postgresql+psycopg://user@host/database."
        ) from None
    if "@" in f"{url.host}{url.database}":
        # Only here: every command reads the settings, and few need the store.
        from store.schema.dialects import file_of

        if file_of(url) is None:
            # SQLAlchemy ends the password at the first of these characters, and would show the rest as the host.
            raise SettingError("TIEOUT_STORE: in a password write %40 for @, %2F for /, %3A for : and %25 for %.")


def _check_connections(settings: Settings) -> None:
    """Check the addresses of the two systems, and the settings for signing in to them."""
    for name in ("finance", "dataverse"):
        address = getattr(settings, name)
        if address is not None and not _is_address(address):
            raise SettingError(
                f"TIEOUT_{name.upper()}{_printable(name, address)}: write https://host, without a path; http for this "
                "machine alone."
            )
    if not (_is_address(settings.authority) and settings.authority.startswith("https:")):
        raise SettingError(
            f"TIEOUT_AUTHORITY{_printable('authority', settings.authority)}: write https://host, without a path."
        )
    # A system that is called over http is on this machine, and needs no sign-in.
    if any(address and address.startswith("https:") for address in (settings.finance, settings.dataverse)):
        _check_sign_in(settings)
    for entry in settings.poll or ():
        if not re.fullmatch(r"\w+(=\w+)?", entry):
            raise SettingError(f"TIEOUT_POLL: {entry!r} is neither entity nor entity=EntitySet.")
    if wrong := [name for name in settings.confirmed if name not in PREREQUISITES]:
        raise SettingError(f"TIEOUT_CONFIRMED: {wrong[0]!r} is none of {', '.join(PREREQUISITES)}.")
    _check_processes(settings)


def _check_sign_in(settings: Settings) -> None:
    """Check that exactly one credential is set, and what it requires."""
    ways = [f"TIEOUT_{name.upper()}" for name in _CREDENTIALS if getattr(settings, name)]
    if len(ways) != 1:
        choices = "TIEOUT_CLIENT_SECRET, TIEOUT_CLIENT_CERTIFICATE or TIEOUT_MANAGED_IDENTITY"
        remedy = f"{' and '.join(ways)} are set: unset all but one" if ways else f"set one of {choices}"
        raise SettingError(f"TIEOUT_FINANCE or TIEOUT_DATAVERSE is set, which needs one way to sign in; {remedy}.")
    if settings.managed_identity:
        if not re.fullmatch(r"system|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", settings.managed_identity):
            # Without the value, for the same reason as below.
            raise SettingError(
                "TIEOUT_MANAGED_IDENTITY is no identity: write system, or the client id of one that is assigned to "
                "this machine."
            )
        return
    if missing := [f"TIEOUT_{name.upper()}" for name in ("tenant", "client_id") if not getattr(settings, name)]:
        raise SettingError(f"{ways[0]} is set, {' and '.join(missing)} not: set what is missing, too.")
    if not re.fullmatch(r"[\w.-]+", settings.tenant or "", re.ASCII):
        # Without the value: it may be a secret in the wrong setting.
        raise SettingError("TIEOUT_TENANT is no directory: write the directory's id or domain name.")


def _is_address(address: str) -> bool:
    """Return True for the address of an API host. It must be encrypted, because a secret is sent there."""
    try:
        url = urlsplit(address)
        return _encrypted(url) and url.path in ("", "/") and not (url.query or url.username or "@" in url.netloc)
    except ValueError:
        return False


def _is_webhook(address: str) -> bool:
    """Return True for the address of a webhook. Its path and query often contain the key of the receiver."""
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
        value = getattr(settings, f"process_{process}")
        if value is not None and read_target(process, value) is None:
            valid = "the name of an action" if process in IN_DATAVERSE else "EntitySet/action or batch-job:NUMBER"
            raise SettingError(f"TIEOUT_PROCESS_{process.upper()}={value!r}: write {valid}.")


def _check_broker(settings: Settings) -> None:
    servers = settings.broker[len(_KAFKA) :].split(",")
    invalid = [server for server in servers if not re.fullmatch(r"[^\s/@:]+:\d{1,5}", server.strip())]
    if invalid:
        harmless = "@" not in settings.broker and re.fullmatch(r"[\w.-]*", invalid[0], re.ASCII)
        shown = repr(invalid[0]) if harmless else "a server"
        raise SettingError(
            f"TIEOUT_BROKER: {shown} is not host:port. Write kafka://host:port,host:port; user and password have "
            "settings of their own (TIEOUT_BROKER_USER, TIEOUT_BROKER_PASSWORD)."
        )
    if settings.broker_mechanism not in _MECHANISMS:
        raise SettingError(f"TIEOUT_BROKER_MECHANISM={settings.broker_mechanism!r}: use {', '.join(_MECHANISMS)}.")
    if settings.broker_user and not settings.broker_password:
        raise SettingError("TIEOUT_BROKER_USER is set and TIEOUT_BROKER_PASSWORD is not: set both, or neither.")
