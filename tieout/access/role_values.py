"""The roles that an identity provider's values give (R83).

Without a table, a value names a role (`operator`) or a role in a company (`operator:USPM`). With a table of the
settings, whose entries are `VALUE=ROLE` or `VALUE=ROLE:COMPANY`, only its values count: the id of a group, a role of
the directory, or `sub:` and the identifier of one person. Values without a role are ignored.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tieout.access.identities import Grant, Role

VALUES_MAX: Final = 500
"""More role values of one person are ignored: a session stores them."""
_VALUE_MAX: Final = 200


def read_grant(text: str) -> Grant | None:
    """Return the role that a text names: `ROLE` or `ROLE:COMPANY`; None if it names none."""
    role, colon, company = text.partition(":")
    if role not in tuple(Role) or (colon and not company.strip()):
        return None
    return Grant(Role(role), company.strip().upper() if colon else None)


def read_table(entries: Iterable[str]) -> dict[str, set[Grant]]:
    """Return the roles of each value of a table. Raises `ValueError` with the first entry that is none."""
    table: dict[str, set[Grant]] = {}
    for entry in entries:
        # A value may contain an equals sign; a role contains none.
        value, _, role = entry.rpartition("=")
        grant = read_grant(role)
        if not value or grant is None:
            raise ValueError(entry)
        table.setdefault(value, set()).add(grant)
    return table


def grants_of(values: Iterable[str], subject: str, entries: Sequence[str]) -> frozenset[Grant]:
    """Return the roles of a person with these role values, by the table of the settings if it has entries."""
    if not entries:
        return frozenset(grant for value in values if (grant := read_grant(value)) is not None)
    table = read_table(entries)
    own = [value for value in values if not value.startswith("sub:")]
    return frozenset(grant for value in (*own, f"sub:{subject}") for grant in table.get(value, ()))


def values_of(claims: Mapping[str, Any], claim: str) -> tuple[str, ...]:
    """Return the role values of an ID token: those of the claim of this name, else of this path (`a.b`). A value is a
    text, or one of a list of texts.
    """
    value: Any = claims.get(claim)
    if value is None:
        value = claims
        for name in claim.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
    values = value if isinstance(value, list) else [value]
    texts = [text for text in values if isinstance(text, str) and 0 < len(text) <= _VALUE_MAX]
    return tuple(texts[:VALUES_MAX])
