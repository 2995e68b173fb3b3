"""Settings, read once at start from environment variables `TIEOUT_*` and a TOML file, and validated.

Environment variables take precedence over the file. The file is `tieout.toml` in the working folder, or the one in
`TIEOUT_SETTINGS`. `README.md`, "Settings" lists all settings.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from stat import S_IROTH
from typing import Any, Final

import msgspec

from engine.conversion import ConversionError, convert
from engine.errors import SettingError
from engine.money import units
from engine.reconciliation.asynchronous import waiting_for
from engine.reconciliation.beginning_balances import BeginningBalances, beginning_balances
from engine.reconciliation.ledger_accounts import LedgerAccounts, read_numbers
from tieout.setting_checks import check_ledger_accounts, check_values, printable
from tieout.sign_in_checks import check_sign_in

FILE: Final = "tieout.toml"
_EMBEDDED: Final = "embedded:///"
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
    "trusted_hosts",
    "trusted_proxies",
    "roles",
)
_SECRETS: Final = ("broker_password", "client_secret", "sign_in_secret", "webhook")
_ADDRESSES: Final = ("broker", "store", "finance", "dataverse", "authority", "workspace_address", "issuer")

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

    workspace_address: str | None = None
    """The address at which browsers reach the workspace, such as https://tieout.contoso.com; it needs sign-in. By
    default it is reached on this machine only.
    """

    trusted_hosts: tuple[str, ...] = ()
    """Host names of requests that are accepted besides those of `workspace_address` and of this machine."""

    trusted_proxies: tuple[str, ...] = ()
    """The reverse proxies before the workspace, as addresses or networks (10.0.0.0/24). Forwarded headers are accepted
    from them alone.
    """

    tls_certificate: str | None = None
    """A PEM file with the certificate of the workspace and its chain."""

    tls_key: str | None = None
    """A PEM file with the private key of the certificate, not encrypted; by default it is in the file of the
    certificate.
    """

    issuer: str | None = None
    """The identity provider (OpenID Connect), such as https://login.microsoftonline.com/TENANT/v2.0. By default there
    is no sign-in, and the workspace is served on this machine only.
    """

    sign_in_client_id: str | None = None
    """The client id of the workspace at the identity provider."""

    sign_in_secret: str | None = None
    """The client secret of the workspace at the identity provider; none for a public client."""

    roles_claim: str = "roles"
    """The claim with a person's role values: its name or its path (`realm_access.roles`)."""

    name_claim: str = "preferred_username"
    """The claim with the name that is recorded with a person's actions."""

    roles: tuple[str, ...] = ()
    """The roles of role values: `VALUE=ROLE` or `VALUE=ROLE:COMPANY`. By default a value is the role itself."""

    session_idle_minutes: int = 60
    """Time without a request after which a person signs in again."""

    session_hours: int = 12
    """Time after which a person signs in again in any case."""

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


def readable_keys(settings: Settings) -> list[Path]:
    """Return the files of private keys that every user of the machine can read."""
    files = (settings.client_certificate, settings.tls_key or settings.tls_certificate)
    paths = [Path(file) for file in files if file]
    return [path for path in paths if path.exists() and path.stat().st_mode & S_IROTH]


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
        secret = printable(name, values[name]) == ""
        reason = error.reason if secret else str(error)
        raise SettingError(f"TIEOUT_{' '.join((name.upper(), *error.path[1:]))}: {reason}.") from None
    check_values(settings)
    if settings.companies is not None:
        settings = msgspec.structs.replace(settings, companies=tuple(code.upper() for code in settings.companies))
    check_ledger_accounts(settings)
    check_sign_in(settings)
    return settings
