"""An index on projects: a filter on one project read every document of its company."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_documents_project", "documents", ["project", "company", "kind", "date", "key"], unique=False)
