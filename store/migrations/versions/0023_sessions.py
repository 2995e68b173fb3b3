"""Sessions of people who signed in to the workspace."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, empty."""
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "sessions",
        sa.Column(
            "id", key, nullable=False, comment="SHA-256 of the token in the cookie; the token itself is not stored"
        ),
        sa.Column("sign_in", key, nullable=False, comment="SHA-256 of the nonce: a sign-in begins one session"),
        sa.Column("subject", sa.Text(), nullable=False, comment="Identifier of the person at the identity provider"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name of the person"),
        sa.Column(
            "roles", sa.Text(), nullable=False, comment="JSON array of the role values that the identity provider sent"
        ),
        sa.Column(
            "id_token", sa.Text(), nullable=False, comment="For the sign-out at the identity provider; '' once ended"
        ),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False, comment="Time of the last request, within a minute"),
        sa.Column("ends", sa.BigInteger(), nullable=False, comment="Absolute expiry"),
        sa.Column("ended", sa.BigInteger(), comment="Time of the sign-out; NULL until then"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sign_in"),
        comment="Sessions of people who signed in to the workspace; not part of the projection",
    )
    op.create_index("ix_sessions_ends", "sessions", ["ends"])
