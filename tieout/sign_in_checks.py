"""Checks of the settings with which the workspace is reached, and people sign in."""

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from engine.errors import SettingError

if TYPE_CHECKING:
    from tieout.settings import Settings

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_NEED_SIGN_IN: Final = (
    "workspace_address",
    "trusted_hosts",
    "trusted_proxies",
    "tls_certificate",
    "tls_key",
    "sign_in_client_id",
    "sign_in_secret",
    "roles",
)
"""Settings that are meant for a workspace with sign-in."""


def check_sign_in(settings: "Settings") -> None:
    """Check that the settings of sign-in are complete, and encrypted wherever others could listen. Raises
    `SettingError`.
    """
    _check_forms(settings)
    if settings.issuer is None:
        if given := [f"TIEOUT_{name.upper()}" for name in _NEED_SIGN_IN if getattr(settings, name)]:
            raise SettingError(
                f"{given[0]} is set, and the workspace has no sign-in: set TIEOUT_ISSUER, or unset {given[0]}."
            )
        return
    required = ("sign_in_client_id", "workspace_address")
    if missing := [f"TIEOUT_{name.upper()}" for name in required if not getattr(settings, name)]:
        raise SettingError(f"TIEOUT_ISSUER is set, {' and '.join(missing)} not: set what is missing, too.")
    encrypted = (settings.workspace_address or "").startswith("https:")
    if encrypted and not (settings.tls_certificate or settings.trusted_proxies):
        raise SettingError(
            "TIEOUT_WORKSPACE_ADDRESS is https: set TIEOUT_TLS_CERTIFICATE for an own certificate, or "
            "TIEOUT_TRUSTED_PROXIES for a reverse proxy that has one."
        )
    if settings.tls_certificate and not encrypted:
        raise SettingError("TIEOUT_TLS_CERTIFICATE is set: write https in TIEOUT_WORKSPACE_ADDRESS.")


def _check_forms(settings: "Settings") -> None:
    """Check each setting by itself. Values that may contain a secret are not repeated."""
    if settings.issuer is not None and (not is_secure(settings.issuer) or {"?", "#"}.intersection(settings.issuer)):
        raise SettingError(
            "TIEOUT_ISSUER: write the issuer as the identity provider names it, https://host/path; http for this "
            "machine alone."
        )
    if settings.workspace_address is not None and not _is_origin(settings.workspace_address):
        raise SettingError(
            "TIEOUT_WORKSPACE_ADDRESS: write https://host or https://host:port, without a path; http for this machine "
            "alone."
        )
    if settings.tls_key and not settings.tls_certificate:
        raise SettingError("TIEOUT_TLS_KEY is set and TIEOUT_TLS_CERTIFICATE is not: set both, or neither.")
    for host in settings.trusted_hosts:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", host, re.ASCII | re.IGNORECASE):
            raise SettingError(f"TIEOUT_TRUSTED_HOSTS: {host!r} is no host name: write it without scheme and port.")
    for proxy in settings.trusted_proxies:
        if not _is_network(proxy):
            raise SettingError(f"TIEOUT_TRUSTED_PROXIES: {proxy!r} is no address or network, such as 10.0.0.0/24.")
    _check_roles(settings)
    if not 1 <= settings.session_idle_minutes <= 60 * settings.session_hours:
        raise SettingError(
            f"TIEOUT_SESSION_IDLE_MINUTES={settings.session_idle_minutes}: use a number from 1 to that of "
            "TIEOUT_SESSION_HOURS."
        )
    if not 1 <= settings.session_hours <= 168:
        raise SettingError(f"TIEOUT_SESSION_HOURS={settings.session_hours}: use a number from 1 to 168.")


def _check_roles(settings: "Settings") -> None:
    # Imported here, because every command reads the settings, and few have this one.
    from tieout.access.role_values import read_table

    try:
        table = read_table(settings.roles)
    except ValueError as error:
        raise SettingError(
            f"TIEOUT_ROLES: {str(error)!r} gives no role: write VALUE=ROLE or VALUE=ROLE:COMPANY, separated by commas. "
            "Roles are viewer, operator, administrator and raw-events."
        ) from None
    for grant in (grant for grants in table.values() for grant in grants):
        if grant.company and not settings.has(grant.company):
            raise SettingError(
                f"TIEOUT_ROLES names the company {grant.company}, which TIEOUT_COMPANIES does not: correct one of them."
            )


def is_secure(address: str) -> bool:
    """Return True for an address that only its own host can answer: https, or http of this machine."""
    try:
        url = urlsplit(address)
        encrypted = url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK)
        return encrypted and bool(url.hostname) and "@" not in url.netloc
    except ValueError:
        return False


def _is_origin(address: str) -> bool:
    """Return True for an address without a path, in the form in which browsers send an origin."""
    try:
        url = urlsplit(address)
        default = {"https": 443, "http": 80}.get(url.scheme)
        is_bare = not (url.path or url.query or url.fragment)
        return is_secure(address) and is_bare and url.netloc == url.netloc.lower() and url.port != default
    except ValueError:
        return False


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
