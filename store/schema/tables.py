"""Every table on one page.

Amounts are whole units of 1/10000 (`engine.money`), times are microseconds since 1970 UTC, dates are `YYYY-MM-DD`
text. Bodies are msgpack of the engine's values; the columns beside them are what queries filter, sort and add up. A
store holds one environment.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.sql.type_api import TypeEngine

from store.schema.case_folding import folded

metadata = MetaData()

# Keys sort by their bytes on both databases: paging and "the smallest key" must not depend on a locale.
Key: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
Id = BigInteger().with_variant(Integer, "sqlite")

records = Table(
    "records",
    metadata,
    Column("key", Key, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    comment="A row of either system as last seen: engine.records.Record",
)

links = Table(
    "links",
    metadata,
    Column("token", Key, primary_key=True),
    Column("record", Key, primary_key=True),
    sqlite_with_rowid=False,
    comment="Identity values, references (a record key, or =link:VALUES) and offers (+link:VALUES) by record",
)

chains = Table(
    "chains",
    metadata,
    Column("id", Key, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    comment="What was decided about the records of one document line: engine.documents.Chain",
)

documents = Table(
    "documents",
    metadata,
    Column("key", Key, primary_key=True),
    Column("chain", Key, nullable=False),
    Column("document", Key, nullable=False),
    Column("company", Key, nullable=False, comment="'' when not known"),
    Column("kind", Text, nullable=False),
    Column("date", Text, nullable=False, comment="'' when not known"),
    Column("views", Integer, nullable=False, comment="Bits of store.views"),
    Column("position", Text, nullable=False),
    Column("excluded", Text),
    Column("cause", Text),
    Column("since", BigInteger, nullable=False),
    Column("currency", Text),
    Column("amount", BigInteger),
    Column("missing_actual", BigInteger, nullable=False),
    Column("missing_journal_line", BigInteger, nullable=False),
    Column("reconciled", BigInteger, nullable=False),
    Column("difference", BigInteger, nullable=False),
    Column("accounting_currency", Text),
    Column("accounting_amount", BigInteger),
    Column("accounting_missing_actual", BigInteger, nullable=False),
    Column("accounting_missing_journal_line", BigInteger, nullable=False),
    Column("accounting_reconciled", BigInteger, nullable=False),
    Column("accounting_difference", BigInteger, nullable=False),
    Column("voucher", Text),
    Column("project", Text),
    Column("category", Text),
    Column("vendor", Text),
    Column("invoice", Text),
    Column("journal", Text),
    Column("project_name", Text),
    Column("vendor_name", Text),
    Column("line_number", Text),
    Column("exchange_rate", Text),
    Column("journal_line_amount", BigInteger),
    Column("journal_line_currency", Text),
    Column("journal_voucher", Text),
    Column("posted_date", Text),
    Column("findings", Text, comment="Their codes, separated by blanks"),
    Column("has_actual", Integer, nullable=False, server_default="0", comment="1 or 0"),
    Index("ix_documents_name", "document"),
    Index("ix_documents_all", "company", "kind", "date", "key"),
    Index("ix_documents_amount", "company", "kind", "amount", "key"),
    Index("ix_documents_since", "company", "kind", "since", "key"),
    # Sorted by amount or time, too, a page of these is found from the index alone.
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
    # Totals that are filtered on what it holds are told from this index alone, in its order.
    Index(
        "ix_documents_category",
        *("company", "kind", "category", "currency", "accounting_currency", "date", "views"),
        *("amount", "missing_actual", "missing_journal_line", "reconciled", "difference"),
        *("accounting_amount", "accounting_missing_actual", "accounting_missing_journal_line"),
        *("accounting_reconciled", "accounting_difference"),
    ),
    # What is unreconciled by project, too.
    Index(
        "ix_documents_open_projects",
        "company",
        "project",
        *("kind", "views", "date", "accounting_missing_actual", "accounting_missing_journal_line"),
        sqlite_where=text("views & 3 <> 0"),
        postgresql_where=text("views & 3 <> 0"),
    ),
    comment="One row for each document line: what the grids filter, sort and add up",
)

# Their name first: behind company and kind, SQLite would take such an index for every filter. An expense has no vendor
# and no invoice, and what waits for its actual no journal.
for _name in ("project", "voucher", "vendor", "invoice", "journal"):
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
    Column("cause", Text, primary_key=True, comment="'' for none"),
    # Text, for sums have no limit of 64 bits: the numbers of store.projection.tile_totals.Totals, separated by blanks.
    Column("sums", Text, nullable=False),
    sqlite_with_rowid=False,
    comment="Sums over documents by day, kept with every change for a summary of millions is a few hundred rows",
)

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("company", Key, primary_key=True),
    Column("date", Text, primary_key=True, comment="Of the documents; '' when not known"),
    Column("day", Text, primary_key=True, comment="When they were reconciled, not before their date"),
    # Text, as the sums of `totals`.
    Column("amount", Text, nullable=False, comment="Accounting currency; never 0"),
    sqlite_with_rowid=False,
    comment="What left the balance on which day, kept with every change: the trend would read every document",
)

findings = Table(
    "findings",
    metadata,
    Column("owner", Key, primary_key=True, comment="A chain, or the record key of a row that others point to"),
    Column("number", Integer, primary_key=True),
    Column("code", Text, nullable=False),
    Column("document", Key),
    Column("body", LargeBinary, nullable=False),
    Index("ix_findings_code", "code"),
    comment="What is wrong: engine.documents.Finding",
)

unsynced = Table(
    "unsynced",
    metadata,
    Column("chain", Key, primary_key=True),
    Column("company", Key, primary_key=True),
    Column("currency", Text, primary_key=True, comment="'' when not known"),
    Column("records", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Index("ix_unsynced_company", "company"),
    comment="Actuals that have no staging row, by chain",
)

offsets = Table(
    "offsets",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next", BigInteger, nullable=False),
    Column("last", Text, comment="A digest of the last record before it; NULL until a worker has seen it"),
    comment="The next record to read; moved in the transaction of its effect, as compare-and-set",
)

sources = Table(
    "sources",
    metadata,
    Column("source", Text, primary_key=True),
    Column("until", BigInteger, nullable=False),
    comment="Up to when a source says that it has sent everything (R21)",
)

notices = Table(
    "notices",
    metadata,
    Column("key", Key, primary_key=True, comment="The record key of the row; of one that is not named, the event's"),
    Column("source", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("named", Integer, nullable=False, comment="1 when the notices name a row, else 0"),
    Column("noticed", BigInteger, nullable=False, comment="The last notice about it; the lowest number for none"),
    Column("answered", BigInteger, nullable=False, comment="As of when it was read; the lowest number for never"),
    Index(
        "ix_notices_waiting",
        "entity",
        sqlite_where=text("noticed > answered"),
        postgresql_where=text("noticed > answered"),
    ),
    comment="Rows that are to be read again, and as of when they were (R5): engine.notices.Notice",
)

cursors = Table(
    "cursors",
    metadata,
    Column("table", Key, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    comment="How far the poller read each table of both systems: engine.cursors.Cursor; kept on the state topic",
)

recomputations = Table(
    "recomputations",
    metadata,
    Column("token", Key, primary_key=True),
    Column("cursor", Key, nullable=False, comment="The last record done"),
    comment="Rows whose many dependents are still to be decided again",
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
    Column("code", Text, comment="A code of engine.messages; unknown when the text is none of them"),
    Column("body", LargeBinary, nullable=False),
    Column("about", Key, nullable=False, comment="The subject: engine.errorlog.Subject.key"),
    Index("ix_process_messages_at", "at"),
    Index("ix_process_messages_about", "about", "at"),
    Index("ix_process_messages_run", "run"),
    comment="What Finance's processes said: the error log",
)

deletions = Table(
    "deletions",
    metadata,
    Column("id", Key, primary_key=True, comment="Of the command"),
    Column("at", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("company", Text),
    Column("process", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("about", Key, nullable=False, comment="The subject: engine.errorlog.Subject.key"),
    Column("until", BigInteger, nullable=False, comment="The last error that is deleted"),
    Index("ix_deletions_about", "about"),
    comment="Errors that a person took off the current list: engine.errorlog.Deletion",
)

error_states = Table(
    "error_states",
    metadata,
    Column("about", Key, primary_key=True, comment="The subject: engine.errorlog.Subject.key"),
    Column("process", Text, nullable=False),
    Column("open", Integer, nullable=False, comment="0: settled; 1: an event may change it; 2: time may, too"),
    Column("key", LargeBinary, nullable=False, comment="Of its records on the topic"),
    Column("told", LargeBinary, nullable=False, comment="A digest of the last value published"),
    Index("ix_error_states_open", "open", "process"),
    comment="What the errors topic says of each subject: store.errorstates; no projection",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("topic", Text, nullable=False, comment="Without the environment's prefix"),
    Column("key", LargeBinary, nullable=False),
    Column("value", LargeBinary, comment="NULL is a tombstone"),
    Column("at", BigInteger, nullable=False, comment="Since when it waits, by the clock of the worker"),
    comment="What is to be published; written with its cause, sent after, at least once",
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Key, primary_key=True),
    Column("at", BigInteger, nullable=False, comment="Since when it waits, by the clock of who left it"),
    Column("key", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
    comment="Commands for their topic, from processes that cannot write to the log: store.inbox; no projection",
)

# Who writes to a table that is kept on the state topic says so here by a trigger of the database, so that none forgets
# it, and no key is written twice for what is published once.
state_outbox = Table(
    "state_outbox",
    metadata,
    Column("number", Id, primary_key=True, autoincrement=True, comment="Grows with every change, never used again"),
    Column("key", Key, nullable=False, unique=True, comment="Of the record on the topic: store.state.key_of"),
    sqlite_autoincrement=True,
    comment="Rows that changed since the state topic got them: store.state",
)

syncs = Table(
    "syncs",
    metadata,
    Column("document", Key, primary_key=True, comment="Its name"),
    Column("action", Text, primary_key=True, comment="engine.syncing.Action"),
    Column("subject", Key, nullable=False, comment="Documents of one subject share their calls"),
    Column("company", Text, nullable=False),
    Column("parameters", Text, nullable=False, comment="JSON: what the call is given"),
    Column("round", Integer, nullable=False),
    Column("made", Integer, nullable=False, comment="Attempts of this round that count"),
    Column("calls", Integer, nullable=False, comment="All calls ever begun"),
    Column("state", Text, nullable=False, comment="waiting, running, done, blocked or stopped"),
    Column("due", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False, comment="When it was asked for"),
    Column("change", Text, nullable=False, comment="A digest of the surroundings when it was blocked"),
    Column("by", Text, nullable=False),
    Column("holder", Text, nullable=False, comment="Who sees to it, '' for nobody"),
    Column("until", BigInteger, nullable=False, comment="How long the holder may be silent"),
    Column("last_at", BigInteger),
    Column("last_outcome", Text, nullable=False),
    Column("last_text", Text, nullable=False),
    Index("ix_syncs_subject", "action", "subject"),
    Index("ix_syncs_due", "state", "due"),
    comment="What is to be synced, with its counter: engine.attempts.Sync; kept on the state topic",
)

attempts = Table(
    "attempts",
    metadata,
    Column("document", Key, primary_key=True),
    Column("action", Text, primary_key=True),
    Column("call", Integer, primary_key=True),
    Column("round", Integer, nullable=False),
    Column("number", Integer, comment="In its round; NULL when it was given back"),
    Column("begun", BigInteger, nullable=False),
    Column("ended", BigInteger, comment="NULL while its outcome is not known"),
    Column("outcome", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("holder", Text, nullable=False),
    comment="Every attempt, recorded before its call leaves; kept on the state topic",
)

sync_runs = Table(
    "sync_runs",
    metadata,
    Column("id", Key, primary_key=True, comment="Of the request"),
    Column("at", BigInteger, nullable=False, comment="When it was requested"),
    Column("who", Text, nullable=False),
    Column("by_person", Integer, nullable=False),
    Column("company", Text, nullable=False),
    Column("scope", Text, nullable=False, comment="What was chosen, in words"),
    Column("calls", Integer, nullable=False),
    Column("documents", Integer, nullable=False),
    Index("ix_sync_runs_company", "company", "at"),
    comment="Who requested which sync when: engine.attempts.SyncRun; kept on the state topic",
)

sync_run_documents = Table(
    "sync_run_documents",
    metadata,
    Column("run", Key, primary_key=True),
    Column("document", Key, primary_key=True),
    Column("action", Text, primary_key=True),
    Column("joined", Integer, nullable=False, comment="1 when no new round began for it"),
    Column("state", Text, comment="What it came to, kept when a later request begins again; NULL: as syncs says"),
    Column("made", Integer, comment="As the next three: of the attempts until then"),
    Column("last_at", BigInteger),
    Column("outcome", Text),
    Column("text", Text),
    Index("ix_sync_run_documents_document", "document", "action"),
    comment="The documents of each sync run; until they are kept here, their progress is in syncs",
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
    Column("told", Text, comment="The stage that was told last: began"),
    Column("until", BigInteger, nullable=False, comment="For how long somebody is telling it"),
    comment="What a person should hear of: engine.alerts.Told; kept on the state topic",
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False, comment="One more with each new holder"),
    Column("until", BigInteger, nullable=False, comment="By the database's clock"),
    Column("since", BigInteger, nullable=False, comment="When this holder took it, by the same clock"),
    comment="Which worker writes: store.lease",
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="What this store was built under: the digest of the maps, the identities of the topics",
)
