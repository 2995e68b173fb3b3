"""The tables of the ledger: entries on the integration accounts, and balances that people entered (R87)."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text, text

from store.schema.document_columns import Key

metadata = MetaData()
"""The tables of the store: those of this module and of `store.schema.tables`."""

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("key", Key, primary_key=True),
    Column("company", Key, nullable=False, comment="'' while unknown"),
    Column("account", Text, nullable=False, comment="expense, vendor-invoice-line or both; '' while unknown"),
    Column(
        "lacks",
        Text,
        nullable=False,
        comment="'' for an entry that counts, else what it lacks: header, main-account, layer, period, company, amount",
    ),
    Column("number", Text, nullable=False, comment="Number of the main account; '' while unknown"),
    Column("voucher", Key, nullable=False, comment="'' if unknown"),
    Column("date", Text, nullable=False, comment="Accounting date; '' if unknown"),
    Column("currency", Text, nullable=False, comment="Accounting currency of the ledger; '' if unknown"),
    Column("amount", BigInteger, comment="In accounting currency; debits are positive"),
    Column("journal", Text, nullable=False, comment="Journal number; '' if unknown"),
    Column("operating", Integer, nullable=False, comment="0 if no event names the fiscal period, else 1"),
    # Both cover what they serve: sums of an account by day, and sums by voucher in the order of vouchers.
    Index("ix_ledger_entries_day", *("company", "lacks", "account", "date", "amount", "operating")),
    Index("ix_ledger_entries_voucher", *("company", "voucher", "account", "lacks", "date", "amount")),
    # Those that cannot be counted yet are few.
    Index(
        "ix_ledger_entries_waiting",
        *("lacks", "company", "number"),
        sqlite_where=text("lacks <> ''"),
        postgresql_where=text("lacks <> ''"),
    ),
    comment="Entries of the ledger on the integration accounts",
)

ledger_balances = Table(
    "ledger_balances",
    metadata,
    Column("company", Key, primary_key=True),
    Column("account", Text, primary_key=True, comment="expense, vendor_invoice, or both for both together"),
    Column("date", Text, primary_key=True, comment="Day at whose end the account had this balance"),
    Column("at", BigInteger, primary_key=True, comment="Time at which the balance was entered"),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False, comment="Accounting currency; '' if unknown"),
    Column("who", Text, nullable=False),
    comment="Balances of the integration accounts that people entered; on the state topic",
)
