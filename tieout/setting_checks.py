"""Checks of the settings: what their types do not check, each with a message that says what to write."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from engine.errors import SettingError
from engine.reconciliation.asynchronous import ASYNC_MAPS
from engine.reconciliation.beginning_balances import beginning_balances
from engine.reconciliation.ledger_accounts import read_numbers
from engine.sync.prerequisites import NAMES as PREREQUISITES
from handlers.processes import IN_DATAVERSE, PROCESSES, read_target

if TYPE_CHECKING:
    from tieout.settings import Settings

_EMBEDDED: Final = "embedded:///"
_KAFKA: Final = "kafka://"
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_SECRETS: Final = ("broker_password", "client_secret", "sign_in_secret", "webhook")
_ADDRESSES: Final = ("broker", "store", "finance", "dataverse", "authority", "workspace_address", "issuer")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_CREDENTIALS: Final = ("client_secret", "client_certificate", "managed_identity")


def printable(name: str, value: object) -> str:
    """Return the value of an invalid setting for its message; empty if it may contain a secret: a password in an
    address, a key in its path or query, or a value meant for another setting.
    """
    harmless = re.fullmatch(r"[a-z]+://[\w.-]*(:\d+)?/?", str(value), re.ASCII)
    return "" if name in _SECRETS or (name in _ADDRESSES and not harmless) else f"={value!r}"


def check_values(settings: "Settings") -> None:
    """Check every setting that its type does not check. Raises `SettingError` with what to write."""
    if not settings.broker.startswith((_EMBEDDED, _KAFKA)) or settings.log_file == Path():
        raise SettingError(
            f"TIEOUT_BROKER{printable('broker', settings.broker)}: use embedded:///path/to/file (three slashes "
            "relative, four absolute) or kafka://host:port."
        )
    _check_store(settings.store)
    _check_beginning_balance(settings)
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
    if settings.webhook is not None and not _is_webhook(settings.webhook):
        raise SettingError("TIEOUT_WEBHOOK: write https://host/path; http for this machine alone.")
    if settings.alert_amount is not None and (settings.alert_limit is None or settings.alert_limit < 0):
        raise SettingError(f"TIEOUT_ALERT_AMOUNT={settings.alert_amount!r}: write an amount, such as 10000.00.")
    if settings.log_level not in ("debug", "info", "warning", "error"):
        raise SettingError(f"TIEOUT_LOG_LEVEL={settings.log_level!r}: use debug, info, warning or error.")


def _check_beginning_balance(settings: "Settings") -> None:
    try:
        beginning_balances(settings.beginning_balance)
    except ValueError as error:
        raise SettingError(
            f"TIEOUT_BEGINNING_BALANCE: {str(error)!r} is no cut-off date. Write COMPANY=YYYY-MM-DD, each company once "
            "and separated by commas, or one date for all companies."
        ) from None


def check_ledger_accounts(settings: "Settings") -> None:
    """Check the main accounts, and that their companies are of this environment. Raises `SettingError`."""
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
            f"TIEOUT_STORE{printable('store', store)}: use sqlite:///path/to/file or "
            "postgresql+psycopg://user@host/database."
        ) from None
    if "@" in f"{url.host}{url.database}":
        # Only here: every command reads the settings, and few need the store.
        from store.schema.dialects import file_of

        if file_of(url) is None:
            # SQLAlchemy ends the password at the first of these characters, and would show the rest as the host.
            raise SettingError("TIEOUT_STORE: in a password write %40 for @, %2F for /, %3A for : and %25 for %.")


def _check_connections(settings: "Settings") -> None:
    """Check the addresses of the two systems, and the settings for signing in to them."""
    for name in ("finance", "dataverse"):
        address = getattr(settings, name)
        if address is not None and not _is_address(address):
            raise SettingError(
                f"TIEOUT_{name.upper()}{printable(name, address)}: write https://host, without a path; http for this "
                "machine alone."
            )
    if not (_is_address(settings.authority) and settings.authority.startswith("https:")):
        raise SettingError(
            f"TIEOUT_AUTHORITY{printable('authority', settings.authority)}: write https://host, without a path."
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


def _check_sign_in(settings: "Settings") -> None:
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


def _encrypted(url: SplitResult) -> bool:
    return bool(url.hostname) and (url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK))


def _check_processes(settings: "Settings") -> None:
    for process in PROCESSES:
        value = getattr(settings, f"process_{process}")
        if value is not None and read_target(process, value) is None:
            valid = "the name of an action" if process in IN_DATAVERSE else "EntitySet/action or batch-job:NUMBER"
            raise SettingError(f"TIEOUT_PROCESS_{process.upper()}={value!r}: write {valid}.")


def _check_broker(settings: "Settings") -> None:
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
