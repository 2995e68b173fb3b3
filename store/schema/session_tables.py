"""The table of the sessions of people who signed in to the workspace (R83)."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from store.schema.document_columns import Key
from store.schema.ledger_tables import metadata

sessions = Table(
    "sessions",
    metadata,
    Column("id", Key, primary_key=True, comment="SHA-256 of the token in the cookie; the token itself is not stored"),
    Column("sign_in", Key, nullable=False, unique=True, comment="SHA-256 of the nonce: a sign-in begins one session"),
    Column("subject", Text, nullable=False, comment="Identifier of the person at the identity provider"),
    Column("name", Text, nullable=False, comment="Name of the person"),
    Column("roles", Text, nullable=False, comment="JSON array of the role values that the identity provider sent"),
    Column("id_token", Text, nullable=False, comment="For the sign-out at the identity provider; '' once ended"),
    Column("began", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False, comment="Time of the last request, within a minute"),
    Column("ends", BigInteger, nullable=False, comment="Absolute expiry"),
    Column("ended", BigInteger, comment="Time of the sign-out; NULL until then"),
    Index("ix_sessions_ends", "ends"),
    comment="Sessions of people who signed in to the workspace; not part of the projection",
)
