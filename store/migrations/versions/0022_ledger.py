"""Entries of the ledger on the integration accounts, and balances that people entered."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_KEYS = ("company", "account", "date", "at")
_COLUMNS = ("amount", "currency", "who")
_OF_ENTRIES = "Accounting currency of the ledger; '' if unknown"


def upgrade() -> None:
    """Create the tables, empty: a replay reads the entries from the topics. Changes of balances go to the state topic
    (see 0017).
    """
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    _create_entries(key)
    _create_balances(key)
    postgres = op.get_context().dialect.name == "postgresql"
    for statement in _on_postgres() if postgres else _on_sqlite():
        op.execute(statement)


def _create_entries(key: sa.types.TypeEngine[str]) -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("key", key, nullable=False),
        sa.Column("company", key, nullable=False, comment="'' while unknown"),
        sa.Column(
            "account", sa.Text(), nullable=False, comment="expense, vendor-invoice-line or both; '' while unknown"
        ),
        sa.Column(
            "lacks",
            sa.Text(),
            nullable=False,
            comment=(
                "'' for an entry that counts, else what it lacks: header, main-account, layer, period, company, amount"
            ),
        ),
        sa.Column("number", sa.Text(), nullable=False, comment="Number of the main account; '' while unknown"),
        sa.Column("voucher", key, nullable=False, comment="'' if unknown"),
        sa.Column("date", sa.Text(), nullable=False, comment="Accounting date; '' if unknown"),
        sa.Column("currency", sa.Text(), nullable=False, comment=_OF_ENTRIES),
        sa.Column("amount", sa.BigInteger(), comment="In accounting currency; debits are positive"),
        sa.Column("journal", sa.Text(), nullable=False, comment="Journal number; '' if unknown"),
        sa.Column("operating", sa.Integer(), nullable=False, comment="0 if no event names the fiscal period, else 1"),
        sa.PrimaryKeyConstraint("key"),
        comment="Entries of the ledger on the integration accounts",
    )
    for name, columns in (
        ("ix_ledger_entries_day", ["company", "lacks", "account", "date", "amount", "operating"]),
        ("ix_ledger_entries_voucher", ["company", "voucher", "account", "lacks", "date", "amount"]),
    ):
        op.create_index(name, "ledger_entries", columns)
    op.create_index(
        "ix_ledger_entries_waiting",
        "ledger_entries",
        ["lacks", "company", "number"],
        sqlite_where=sa.text("lacks <> ''"),
        postgresql_where=sa.text("lacks <> ''"),
    )


def _create_balances(key: sa.types.TypeEngine[str]) -> None:
    op.create_table(
        "ledger_balances",
        sa.Column("company", key, nullable=False),
        sa.Column(
            "account",
            sa.Text(),
            nullable=False,
            comment="expense, vendor_invoice, or both for both together",
        ),
        sa.Column("date", sa.Text(), nullable=False, comment="Day at whose end the account had this balance"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="Time at which the balance was entered"),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False, comment="Accounting currency; '' if unknown"),
        sa.Column("who", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(*_KEYS),
        comment="Balances of the integration accounts that people entered; on the state topic",
    )


def _on_postgres() -> list[str]:
    arguments = ", ".join(f"'{name}'" for name in ("ledger-balance", *_KEYS))
    old, new = (", ".join(f'{row}."{column}"' for column in _COLUMNS) for row in ("OLD", "NEW"))
    conditions = {"insert": "true", "update": f"({old}) IS DISTINCT FROM ({new})", "delete": "true"}
    return [
        f'CREATE TRIGGER state_{event} AFTER {event.upper()} ON "ledger_balances" FOR EACH ROW WHEN ({condition}) '
        f"EXECUTE FUNCTION note_state({arguments})"
        for event, condition in conditions.items()
    ]


def _on_sqlite() -> list[str]:
    differs = " OR ".join(f'OLD."{column}" IS NOT NEW."{column}"' for column in _COLUMNS)
    statements = []
    for event, row, condition in (("insert", "NEW", "true"), ("update", "NEW", differs), ("delete", "OLD", "true")):
        names = ", ".join(f'{row}."{name}"' for name in _KEYS)
        array = f"json_array('ledger-balance', {names})"
        statements.append(
            f'CREATE TRIGGER state_ledger_balances_{event} AFTER {event.upper()} ON "ledger_balances" '  # noqa: S608
            f"WHEN {condition} BEGIN DELETE FROM state_outbox WHERE key = {array}; "
            f"INSERT INTO state_outbox (key) VALUES ({array}); END"
        )
    return statements
