"""An index of the findings without a document."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index."""
    op.create_index(
        "ix_findings_loose",
        "findings",
        ["code", "owner", "number"],
        sqlite_where=sa.text("document IS NULL"),
        postgresql_where=sa.text("document IS NULL"),
    )
