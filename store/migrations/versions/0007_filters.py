"""A column for every filter of a grid, and an index on vouchers.

Before, a filter on a value that was only in chains read every document of the company.
"""

from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.types import TypeEngine

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_AT_ONCE = 1_000
_COLUMNS: dict[str, TypeEngine[Any]] = {
    "project_name": sa.Text(),
    "vendor_name": sa.Text(),
    "line_number": sa.Text(),
    "exchange_rate": sa.Text(),
    "journal_line_amount": sa.BigInteger(),
    "journal_line_currency": sa.Text(),
    "journal_voucher": sa.Text(),
    "posted_date": sa.Text(),
    "findings": sa.Text(),
}
# The layout of chains and documents. A copy of the engine's, because the engine may change and a migration must not.
_DOCUMENTS = 2
_PLACES = (17, 22, 24, 19, 27, 28, 30, 31, 32)
_HAS_ACTUAL = 25


def upgrade() -> None:
    """Add the columns, fill them from the chains, and add the index."""
    for name, kind in _COLUMNS.items():
        comment = "Their codes, separated by blanks" if name == "findings" else None
        op.add_column("documents", sa.Column(name, kind, nullable=True, comment=comment))
    # SQLite requires a default for a new column.
    has_actual = sa.Column("has_actual", sa.Integer(), nullable=False, server_default="0", comment="1 or 0")
    op.add_column("documents", has_actual)
    if not context.is_offline_mode():
        _fill()
    op.create_index("ix_documents_voucher", "documents", ["voucher", "company", "kind", "date", "key"], unique=False)


def _fill() -> None:
    connection = op.get_bind()
    chains = sa.table("chains", sa.column("id"), sa.column("body"))
    documents = sa.table("documents", sa.column("key"), *map(sa.column, [*_COLUMNS, "has_actual"]))
    update = sa.update(documents).where(documents.c.key == sa.bindparam("of"))
    update = update.values({name: sa.bindparam(name) for name in [*_COLUMNS, "has_actual"]})
    last = ""
    while True:
        found = connection.execute(
            sa.select(chains).where(chains.c.id > last).order_by(chains.c.id).limit(_AT_ONCE)
        ).all()
        if not found:
            return
        rows = [_row(one) for chain in found for one in msgspec.msgpack.decode(chain.body)[_DOCUMENTS]]
        if rows:
            connection.execute(update, rows)
        last = found[-1].id


def _row(document: list[Any]) -> dict[str, Any]:
    row = dict(zip(_COLUMNS, (document[place] for place in _PLACES), strict=True))
    findings = " ".join(row["findings"]) or None
    return {**row, "of": document[0], "has_actual": int(document[_HAS_ACTUAL]), "findings": findings}
