"""What left the balance is kept by day: the trend read every reconciled document."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import context, op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def upgrade() -> None:
    """Add the table, and fill it from the documents."""
    table = op.create_table(
        "reconciliations",
        sa.Column("company", _KEY, nullable=False),
        sa.Column("date", sa.Text(), nullable=False, comment="Of the documents; '' when not known"),
        sa.Column("day", sa.Text(), nullable=False, comment="When they were reconciled, not before their date"),
        sa.Column("amount", sa.Text(), nullable=False, comment="Accounting currency; never 0"),
        sa.PrimaryKeyConstraint("company", "date", "day"),
        comment="What left the balance on which day, kept with every change: the trend would read every document",
        sqlite_with_rowid=False,
    )
    if not context.is_offline_mode():
        op.bulk_insert(table, _reconciliations())


def _reconciliations() -> list[dict[str, str]]:
    rows = op.get_bind().execute(
        sa.text(
            "SELECT company, date, since / 86400000000 AS number,"
            " sum(accounting_reconciled >> 20) AS high, sum(accounting_reconciled & 1048575) AS low"
            " FROM documents WHERE views & 8 <> 0 GROUP BY company, date, since / 86400000000"
        )
    )
    amounts: dict[tuple[str, str, str], int] = {}
    for row in rows:
        day = (_EPOCH + timedelta(days=row.number)).date().isoformat()
        key = (row.company, row.date, max(row.date, day))
        amounts[key] = amounts.get(key, 0) + (int(row.high) << 20) + int(row.low)
    return [
        {"company": company, "date": date, "day": day, "amount": str(amount)}
        for (company, date, day), amount in sorted(amounts.items())
        if amount
    ]
