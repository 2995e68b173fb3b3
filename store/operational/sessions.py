"""Sessions of people who signed in to the workspace: when they begin, expire and end (R83).

A session is found by the token in the cookie of its browser. The store has the digest of the token, so a copy of the
store opens no session. Times are microseconds since 1970 UTC.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Engine, delete, select, update

from store.schema import tables
from store.schema.bulk_sql import insert_absent

MINUTE: Final = 60 * 1_000_000
NOTED_EVERY: Final = MINUTE
"""The last request of a session is noted at most this often."""

_table: Final = tables.sessions


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session. `roles` are the role values that the identity provider sent; `id_token` is its token, for the
    sign-out there.
    """

    subject: str
    name: str
    roles: tuple[str, ...]
    id_token: str
    began: int
    seen: int
    ends: int

    def __repr__(self) -> str:
        return f"Session(name={self.name!r})"


def digest(secret: str) -> str:
    """Return the SHA-256 of a token or nonce, in hexadecimal digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Sessions:
    """The sessions in the store. `reading` and `writing` are its two connection pools; `idle` is the time without a
    request after which a session ends.
    """

    def __init__(self, reading: Engine, writing: Engine, *, idle: int) -> None:
        self._reading = reading
        self._writing = writing
        self._idle = idle

    def begin(self, token: str, nonce: str, session: Session) -> bool:
        """Begin a session, found by `token` from now on. Return False if the sign-in with this nonce has begun one
        before. Sessions that expired are deleted.
        """
        row = {
            "id": digest(token),
            "sign_in": digest(nonce),
            "subject": session.subject,
            "name": session.name,
            "roles": json.dumps(session.roles),
            "id_token": session.id_token,
            "began": session.began,
            "seen": session.seen,
            "ends": session.ends,
            "ended": None,
        }
        with self._writing.begin() as connection:
            connection.execute(delete(_table).where(_table.c.ends <= session.began))
            return insert_absent(connection, _table, row)

    def find(self, token: str, now: int) -> Session | None:
        """Return the session of a token; None if there is none, or it has ended or expired."""
        with self._reading.connect() as connection:
            row = connection.execute(select(_table).where(_table.c.id == digest(token))).first()
        if row is None or row.ended is not None or now >= row.ends or now >= row.seen + self._idle:
            return None
        return _session(row)

    def note(self, token: str, now: int) -> None:
        """Note a request of a session: its time without requests begins again."""
        alive = _table.c.ended.is_(None) & (_table.c.ends > now) & (_table.c.seen > now - self._idle)
        with self._writing.begin() as connection:
            own = (_table.c.id == digest(token)) & (_table.c.seen < now)
            connection.execute(update(_table).where(own, alive).values(seen=now))

    def end(self, token: str, now: int) -> None:
        """End a session. Its row remains until its absolute expiry, so that its sign-in cannot be used again."""
        with self._writing.begin() as connection:
            own = (_table.c.id == digest(token)) & _table.c.ended.is_(None)
            connection.execute(update(_table).where(own).values(ended=now, id_token=""))


def _session(row: Any) -> Session:
    roles: Sequence[str] = json.loads(row.roles)
    return Session(
        subject=row.subject,
        name=row.name,
        roles=tuple(roles),
        id_token=row.id_token,
        began=row.began,
        seen=row.seen,
        ends=row.ends,
    )
