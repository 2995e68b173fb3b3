"""Schema: every table, column and index of the store.

Amounts are integers in units of 1/10000 (`engine.money`). Times are microseconds since 1970 UTC. Dates are `YYYY-MM-DD`
text. Bodies are MessagePack of the engine's values; the columns beside a body are those that queries filter, sort and
add up. A store holds one environment.

PostgreSQL shows the comments to integrators, so they name no modules. A changed comment needs a migration.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from engine.reconciliation.fields import FIELDS
from store.schema.case_folding import folded
from store.schema.document_columns import Key, document_columns
from store.schema.ledger_tables import ledger_balances as ledger_balances
from store.schema.ledger_tables import ledger_entries as ledger_entries
from store.schema.ledger_tables import metadata as metadata
from store.schema.session_tables import sessions as sessions

Id = BigInteger().with_variant(Integer, "sqlite")

records = Table(
    "records",
    metadata,
    Column("key", Key, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    comment="Row of either system, merged from its events",
)

links = Table(
    "links",
    metadata,
    Column("token", Key, primary_key=True),
    Column("record", Key, primary_key=True),
    sqlite_with_rowid=False,
    comment="Identity values, references (a record key, or =link:VALUES) and offers (+link:VALUES) of each record",
)

chains = Table(
    "chains",
    metadata,
    Column("id", Key, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    comment="Records of one document line and the result of their reconciliation",
)

documents = Table(
    "documents",
    metadata,
    *document_columns(),
    Index("ix_documents_name", "document"),
    Index("ix_documents_all", "company", "kind", "date", "key"),
    Index("ix_documents_amount", "company", "kind", "amount", "key"),
    Index("ix_documents_since", "company", "kind", "since", "key"),
    # These columns cover a page that is sorted by amount or time.
    Index(
        "ix_documents_missing_actuals",
        *("company", "kind", "date", "key", "views", "amount", "since"),
        sqlite_where=text("views & 1 <> 0"),
        postgresql_where=text("views & 1 <> 0"),
    ),
    Index(
        "ix_documents_missing_journal_lines",
        *("company", "kind", "date", "key", "views", "amount", "since"),
        sqlite_where=text("views & 2 <> 0"),
        postgresql_where=text("views & 2 <> 0"),
    ),
    Index(
        "ix_documents_open",
        "company",
        "since",
        sqlite_where=text("views & 3 <> 0"),
        postgresql_where=text("views & 3 <> 0"),
    ),
    # Covers totals that are filtered on its columns, in the order of their groups.
    Index(
        "ix_documents_category",
        *("company", "kind", "category", "currency", "accounting_currency", "date", "views"),
        *("amount", "missing_actual", "missing_journal_line", "reconciled", "difference"),
        *("accounting_amount", "accounting_missing_actual", "accounting_missing_journal_line"),
        *("accounting_reconciled", "accounting_difference", "booked", "cleared", "exchange_difference"),
    ),
    # Covers unreconciled amounts by project.
    Index(
        "ix_documents_open_projects",
        "company",
        "project",
        *("kind", "views", "date", "accounting_missing_actual", "accounting_missing_journal_line"),
        sqlite_where=text("views & 3 <> 0"),
        postgresql_where=text("views & 3 <> 0"),
    ),
    comment="Document lines: the values that grids filter, sort and add up",
)

# The name comes first: behind company and kind, SQLite would choose the index for every filter. An expense has no
# vendor and no invoice, and a document that waits for its actual has no journal.
for _name in [field.column for field in FIELDS if field.indexed]:
    _named = None if _name in ("project", "voucher") else text(f"{_name} IS NOT NULL")
    Index(
        f"ix_documents_{_name}",
        folded(documents.c[_name]),
        *(documents.c[name] for name in ("company", "kind", "date", "key")),
        postgresql_ops={f"{_name}_folded": "text_pattern_ops"},
        sqlite_where=_named,
        postgresql_where=_named,
    )

totals = Table(
    "totals",
    metadata,
    Column("company", Key, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("date", Text, primary_key=True),
    Column("views", Integer, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("accounting_currency", Text, primary_key=True),
    Column("position", Text, primary_key=True),
    Column("cause", Text, primary_key=True, comment="'' if none"),
    # Text, because totals may exceed 64 bits: the values of `store.projection.tile_totals.Totals`, separated by blanks.
    Column("sums", Text, nullable=False),
    sqlite_with_rowid=False,
    comment="Materialised totals of documents by day, updated in the transaction of each change",
)

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("company", Key, primary_key=True),
    Column("date", Text, primary_key=True, comment="Date of the documents; '' if unknown"),
    Column("day", Text, primary_key=True, comment="Day of the reconciliation, not before the date of the documents"),
    # Text, because totals may exceed 64 bits.
    Column("amount", Text, nullable=False, comment="Reconciled amount in accounting currency; never 0"),
    sqlite_with_rowid=False,
    comment="Materialised totals of reconciled amounts by day, for the trend",
)

postings = Table(
    "postings",
    metadata,
    Column("key", Key, primary_key=True, comment="Record key of the journal line, else of the actual or staging row"),
    Column("chain", Key, nullable=False),
    Column("company", Key, nullable=False, comment="The company that posted it; '' if unknown"),
    Column("kind", Text, nullable=False, comment="The kind whose account it is in; '' if unknown"),
    Column("document", Key, nullable=False, comment="Key of the document that counts it; '' if none"),
    Column("part", Text, nullable=False, comment="Part of the account that it is in; '' if a document counts it"),
    Column("currency", Text, nullable=False, comment="Accounting currency of the company; '' if unknown"),
    Column("amount", BigInteger, comment="What it cleared; NULL if unknown"),
    Column("date", Text, nullable=False, comment="Accounting date; '' if unknown"),
    Column("voucher", Text),
    Column("project", Text),
    Column("name", Key, comment="Name of the document that it belongs to, whether that counts it or not"),
    Index(
        "ix_postings_loose",
        *("company", "part", "key"),
        sqlite_where=text("part <> ''"),
        postgresql_where=text("part <> ''"),
    ),
    Index("ix_postings_voucher", "company", "voucher"),
    comment="Postings of the integration journal: what each took out of an integration account",
)

posting_totals = Table(
    "posting_totals",
    metadata,
    Column("company", Key, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("part", Text, primary_key=True, comment="'' for postings that a document counts"),
    Column("currency", Text, primary_key=True),
    Column("day", Text, primary_key=True, comment="'' if unknown"),
    Column("postings", Integer, nullable=False),
    Column("unknown", Integer, nullable=False, comment="How many of them have no amount"),
    # Text, because totals may exceed 64 bits.
    Column("amount", Text, nullable=False, comment="What they cleared"),
    sqlite_with_rowid=False,
    comment="Materialised totals of postings by day, updated in the transaction of each change",
)

findings = Table(
    "findings",
    metadata,
    Column("owner", Key, primary_key=True, comment="Chain, or record key of a referenced row"),
    Column("number", Integer, primary_key=True),
    Column("code", Text, nullable=False),
    Column("document", Key),
    Column("body", LargeBinary, nullable=False),
    Index("ix_findings_code", "code"),
    # Those without a document are few and have a list of their own.
    Index(
        "ix_findings_loose",
        *("code", "owner", "number"),
        sqlite_where=text("document IS NULL"),
        postgresql_where=text("document IS NULL"),
    ),
    comment="Findings of chains and of referenced rows",
)

unsynced = Table(
    "unsynced",
    metadata,
    Column("chain", Key, primary_key=True),
    Column("company", Key, primary_key=True),
    Column("currency", Text, primary_key=True, comment="'' if unknown"),
    Column("records", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Index("ix_unsynced_company", "company"),
    comment="Actuals without a staging row, by chain",
)

unlinked_actuals = Table(
    "unlinked_actuals",
    metadata,
    Column("chain", Key, primary_key=True),
    Column("token", Key, primary_key=True, comment="Company, amount, date and project: what a document has in common"),
    Column("actual", Key, primary_key=True),
    Column("currency", Text, comment="NULL if unknown"),
    Column("category", Text, comment="NULL if unknown"),
    Index("ix_unlinked_actuals_token", "token"),
    comment="Cost actuals without a document, by each of their dates",
)

offsets = Table(
    "offsets",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next", BigInteger, nullable=False),
    Column("last", Text, comment="Digest of the record before the offset; NULL until a worker has read it"),
    comment="Committed offsets; advanced by compare-and-set in the transaction of the batch",
)

sources = Table(
    "sources",
    metadata,
    Column("source", Text, primary_key=True),
    Column("until", BigInteger, nullable=False),
    comment="Heartbeats: the time up to which a source has sent all events (R21)",
)

notices = Table(
    "notices",
    metadata,
    Column("key", Key, primary_key=True, comment="Record key of the row, or key of the event if it names no row"),
    Column("source", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("named", Integer, nullable=False, comment="1 if the event names a row, else 0"),
    Column("noticed", BigInteger, nullable=False, comment="Time of the last re-read request; lowest integer if none"),
    Column("answered", BigInteger, nullable=False, comment="Time as of which the row was read; lowest if never"),
    Index(
        "ix_notices_waiting",
        "entity",
        sqlite_where=text("noticed > answered"),
        postgresql_where=text("noticed > answered"),
    ),
    comment="Re-read requests for rows whose event was cut or carries keys only (R5)",
)

cursors = Table(
    "cursors",
    metadata,
    Column("table", Key, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    comment="Cursors of the poller by table of Finance or Dataverse; on the state topic",
)

recomputations = Table(
    "recomputations",
    metadata,
    Column("token", Key, primary_key=True),
    Column("cursor", Key, nullable=False, comment="Last record that was re-evaluated"),
    comment="Changed rows with many dependents that still need re-evaluation",
)

process_messages = Table(
    "process_messages",
    metadata,
    Column("source", Text, primary_key=True),
    Column("event", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("stage", Text, nullable=False),
    Column("process", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("company", Text),
    Column("subject", Text),
    Column("code", Text, comment="Code of the known message; unknown if the text matches none"),
    Column("body", LargeBinary, nullable=False),
    Column("about", Key, nullable=False, comment="Key of the subject"),
    Index("ix_process_messages_at", "at"),
    Index("ix_process_messages_about", "about", "at"),
    Index("ix_process_messages_run", "run"),
    comment="Error log: messages of Finance's processes",
)

deletions = Table(
    "deletions",
    metadata,
    Column("id", Key, primary_key=True, comment="ID of the command"),
    Column("at", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("company", Text),
    Column("process", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("about", Key, nullable=False, comment="Key of the subject"),
    Column("until", BigInteger, nullable=False, comment="Time of the last deleted error"),
    Index("ix_deletions_about", "about"),
    comment="Errors that a person removed from the list of current errors",
)

error_states = Table(
    "error_states",
    metadata,
    Column("about", Key, primary_key=True, comment="Key of the subject"),
    Column("process", Text, nullable=False),
    Column(
        "open",
        Integer,
        nullable=False,
        comment="0: final; 1: an event may change it; 2: time may, too",
    ),
    Column("key", LargeBinary, nullable=False, comment="Record key on the errors topic"),
    Column("told", LargeBinary, nullable=False, comment="Digest of the last published value"),
    Index("ix_error_states_open", "open", "process"),
    comment="Last published status of each error subject; not part of the projection",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("topic", Text, nullable=False, comment="Topic name without the prefix of the environment"),
    Column("key", LargeBinary, nullable=False),
    Column("value", LargeBinary, comment="NULL for a tombstone"),
    Column("at", BigInteger, nullable=False, comment="Insertion time, by the worker's clock"),
    comment="Transactional outbox: records to publish at least once",
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Key, primary_key=True),
    Column("at", BigInteger, nullable=False, comment="Insertion time, by the clock of the process that inserted it"),
    Column("key", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
    comment="Commands from processes that cannot write to the event log; not part of the projection",
)

# Database triggers insert into this table, so that no writer can omit it. A key occurs once: several changes of a row
# are published together.
state_outbox = Table(
    "state_outbox",
    metadata,
    Column("number", Id, primary_key=True, autoincrement=True, comment="Increases with every change; never reused"),
    Column("key", Key, nullable=False, unique=True, comment="Record key on the state topic"),
    sqlite_autoincrement=True,
    comment="Rows with changes that are not yet on the state topic",
)

syncs = Table(
    "syncs",
    metadata,
    Column("document", Key, primary_key=True, comment="Name of the document"),
    Column("action", Text, primary_key=True, comment="Action, such as export"),
    Column("subject", Key, nullable=False, comment="Documents of one subject share their calls"),
    Column("company", Text, nullable=False),
    Column("parameters", Text, nullable=False, comment="JSON parameters of the call"),
    Column("round", Integer, nullable=False),
    Column("made", Integer, nullable=False, comment="Counted attempts of the current attempt cycle"),
    Column("calls", Integer, nullable=False, comment="Calls begun in all attempt cycles"),
    Column("state", Text, nullable=False, comment="waiting, running, done, blocked or stopped"),
    Column("due", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False, comment="Time of the request"),
    Column("change", Text, nullable=False, comment="Input fingerprint at the time of blocking"),
    Column("by", Text, nullable=False),
    Column("holder", Text, nullable=False, comment="Handler that holds the claim; '' if none"),
    Column("until", BigInteger, nullable=False, comment="Expiry of the claim unless the holder renews it"),
    Column("last_at", BigInteger),
    Column("last_outcome", Text, nullable=False),
    Column("last_text", Text, nullable=False),
    Index("ix_syncs_subject", "action", "subject"),
    Index("ix_syncs_due", "state", "due"),
    comment="Requested syncs and their attempt counters; on the state topic",
)

attempts = Table(
    "attempts",
    metadata,
    Column("document", Key, primary_key=True),
    Column("action", Text, primary_key=True),
    Column("call", Integer, primary_key=True),
    Column("round", Integer, nullable=False),
    Column("number", Integer, comment="Number in its attempt cycle; NULL if the attempt does not count"),
    Column("begun", BigInteger, nullable=False),
    Column("ended", BigInteger, comment="NULL until the outcome is known"),
    Column("outcome", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("holder", Text, nullable=False),
    comment="Attempts, each recorded before its call is sent; on the state topic",
)

sync_runs = Table(
    "sync_runs",
    metadata,
    Column("id", Key, primary_key=True, comment="ID of the request"),
    Column("at", BigInteger, nullable=False, comment="Time of the request"),
    Column("who", Text, nullable=False),
    Column("by_person", Integer, nullable=False),
    Column("company", Text, nullable=False),
    Column("scope", Text, nullable=False, comment="Description of the selected documents"),
    Column("calls", Integer, nullable=False),
    Column("documents", Integer, nullable=False),
    Index("ix_sync_runs_company", "company", "at"),
    comment="Sync runs: requests for syncs, with requester and time; on the state topic",
)

sync_run_documents = Table(
    "sync_run_documents",
    metadata,
    Column("run", Key, primary_key=True),
    Column("document", Key, primary_key=True),
    Column("action", Text, primary_key=True),
    Column("joined", Integer, nullable=False, comment="1 if the request began no new attempt cycle"),
    Column("state", Text, comment="Final state, set when a later request restarts the sync; NULL: see syncs"),
    Column("made", Integer, comment="Like the next three columns: of the attempts until then"),
    Column("last_at", BigInteger),
    Column("outcome", Text),
    Column("text", Text),
    Index("ix_sync_run_documents_document", "document", "action"),
    comment="Documents of sync runs; their progress is in syncs until the state is set",
)

alerts = Table(
    "alerts",
    metadata,
    Column("key", Key, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("company", Text),
    Column("says", Text, nullable=False),
    Column("detail", Text, nullable=False, comment="JSON"),
    Column("began", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("told", Text, comment="Last stage that was sent: began"),
    Column("until", BigInteger, nullable=False, comment="Expiry of the claim to send it"),
    comment="Alerts in force and those whose end was not yet sent; on the state topic",
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False, comment="Fencing token: increases with each new holder"),
    Column("until", BigInteger, nullable=False, comment="Expiry, by the database's clock"),
    Column("since", BigInteger, nullable=False, comment="Acquisition time, by the same clock"),
    comment="Lease of the writer",
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="Settings the store was built under, such as the digest of the maps and the identities of topics",
)
