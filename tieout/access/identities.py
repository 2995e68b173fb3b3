"""Identities: who acts, with which rights in which companies (R83)."""

import getpass
import socket
from enum import StrEnum
from typing import Final

import msgspec

LOCAL: Final = " (local)"
"""The end of the name of an identity of this machine. No name of an identity provider may have it."""


class Right(StrEnum):
    """What an identity may do."""

    VIEW = "view"
    """Read the pages and files of a company."""
    OPERATE = "operate"
    """Start syncs, retry, delete errors."""
    ADMINISTER = "administer"
    """See the configuration, and run the health checks."""
    READ_EVENTS = "read-events"
    """Read raw events."""


class Role(StrEnum):
    """A role that a person has in a company, or in every company."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"
    RAW_EVENTS = "raw-events"
    """May see raw events; a role beside the others, which do not include it."""


RIGHTS: Final[dict[Role, frozenset[Right]]] = {
    Role.VIEWER: frozenset({Right.VIEW}),
    Role.OPERATOR: frozenset({Right.VIEW, Right.OPERATE}),
    Role.ADMINISTRATOR: frozenset({Right.VIEW, Right.OPERATE, Right.ADMINISTER}),
    Role.RAW_EVENTS: frozenset({Right.READ_EVENTS}),
}


class Grant(msgspec.Struct, frozen=True):
    """A role in a company; in every company if `company` is None."""

    role: Role
    company: str | None = None


class Identity(msgspec.Struct, frozen=True):
    """Who acts. `name` is recorded with each action; `signed_in` is False for the user of this machine."""

    name: str
    grants: frozenset[Grant]
    signed_in: bool = True

    def may(self, right: Right, company: str) -> bool:
        """Return True if the identity has a right in a company. Codes of companies are compared ignoring case."""
        return any(self._gives(grant, right) and grant.company in (None, company.upper()) for grant in self.grants)

    def may_everywhere(self, right: Right) -> bool:
        """Return True if the identity has a right in every company."""
        return any(self._gives(grant, right) and grant.company is None for grant in self.grants)

    def may_somewhere(self, right: Right) -> bool:
        """Return True if the identity has a right in some company."""
        return any(self._gives(grant, right) for grant in self.grants)

    @staticmethod
    def _gives(grant: Grant, right: Right) -> bool:
        return right in RIGHTS[grant.role]


EVERY_ROLE: Final = frozenset(map(Grant, Role))


def local_identity() -> Identity:
    """Return the user of this process on this machine, who may do everything: reaching this machine is the right."""
    return Identity(local_name(), EVERY_ROLE, signed_in=False)


def local_name() -> str:
    """Return the name of the user of this process and of this machine, marked as local: `ann@host (local)`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}{LOCAL}"
