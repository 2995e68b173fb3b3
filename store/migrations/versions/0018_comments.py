"""Comments of tables and columns in plain technical English, without names of modules (PostgreSQL)."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLES = {
    "records": "Row of either system, merged from its events",
    "links": "Identity values, references (a record key, or =link:VALUES) and offers (+link:VALUES) of each record",
    "chains": "Records of one document line and the result of their reconciliation",
    "documents": "Document lines: the values that grids filter, sort and add up",
    "totals": "Materialised totals of documents by day, updated in the transaction of each change",
    "reconciliations": "Materialised totals of reconciled amounts by day, for the trend",
    "findings": "Findings of chains and of referenced rows",
    "unsynced": "Actuals without a staging row, by chain",
    "offsets": "Committed offsets; advanced by compare-and-set in the transaction of the batch",
    "sources": "Heartbeats: the time up to which a source has sent all events (R21)",
    "notices": "Re-read requests for rows whose event was cut or carries keys only (R5)",
    "cursors": "Cursors of the poller by table of Finance or Dataverse; on the state topic",
    "recomputations": "Changed rows with many dependents that still need re-evaluation",
    "process_messages": "Error log: messages of Finance's processes",
    "deletions": "Errors that a person removed from the list of current errors",
    "error_states": "Last published status of each error subject; not part of the projection",
    "outbox": "Transactional outbox: records to publish at least once",
    "inbox": "Commands from processes that cannot write to the event log; not part of the projection",
    "state_outbox": "Rows with changes that are not yet on the state topic",
    "syncs": "Requested syncs and their attempt counters; on the state topic",
    "attempts": "Attempts, each recorded before its call is sent; on the state topic",
    "sync_runs": "Sync runs: requests for syncs, with requester and time; on the state topic",
    "sync_run_documents": "Documents of sync runs; their progress is in syncs until the state is set",
    "alerts": "Alerts in force and those whose end was not yet sent; on the state topic",
    "leases": "Lease of the writer",
    "settings": "Settings the store was built under, such as the digest of the maps and the identities of topics",
}
COLUMNS = {
    "documents": {
        "company": "'' if unknown",
        "date": "'' if unknown",
        "views": "Bit field of the views that contain the document",
        "findings": "Codes of the findings, separated by blanks",
        "has_actual": "1 if an actual exists, else 0",
    },
    "totals": {
        "cause": "'' if none",
    },
    "reconciliations": {
        "date": "Date of the documents; '' if unknown",
        "day": "Day of the reconciliation, not before the date of the documents",
        "amount": "Reconciled amount in accounting currency; never 0",
    },
    "findings": {
        "owner": "Chain, or record key of a referenced row",
    },
    "unsynced": {
        "currency": "'' if unknown",
    },
    "offsets": {
        "last": "Digest of the record before the offset; NULL until a worker has read it",
    },
    "notices": {
        "key": "Record key of the row, or key of the event if it names no row",
        "named": "1 if the event names a row, else 0",
        "noticed": "Time of the last re-read request; lowest integer if none",
        "answered": "Time as of which the row was read; lowest if never",
    },
    "recomputations": {
        "cursor": "Last record that was re-evaluated",
    },
    "process_messages": {
        "code": "Code of the known message; unknown if the text matches none",
        "about": "Key of the subject",
    },
    "deletions": {
        "id": "ID of the command",
        "about": "Key of the subject",
        "until": "Time of the last deleted error",
    },
    "error_states": {
        "about": "Key of the subject",
        "open": "0: final; 1: an event may change it; 2: time may, too",
        "key": "Record key on the errors topic",
        "told": "Digest of the last published value",
    },
    "outbox": {
        "topic": "Topic name without the prefix of the environment",
        "value": "NULL for a tombstone",
        "at": "Insertion time, by the worker's clock",
    },
    "inbox": {
        "at": "Insertion time, by the clock of the process that inserted it",
    },
    "state_outbox": {
        "number": "Increases with every change; never reused",
        "key": "Record key on the state topic",
    },
    "syncs": {
        "document": "Name of the document",
        "action": "Action, such as export",
        "parameters": "JSON parameters of the call",
        "made": "Counted attempts of the current attempt cycle",
        "calls": "Calls begun in all attempt cycles",
        "since": "Time of the request",
        "change": "Input fingerprint at the time of blocking",
        "holder": "Handler that holds the claim; '' if none",
        "until": "Expiry of the claim unless the holder renews it",
    },
    "attempts": {
        "number": "Number in its attempt cycle; NULL if the attempt does not count",
        "ended": "NULL until the outcome is known",
    },
    "sync_runs": {
        "id": "ID of the request",
        "at": "Time of the request",
        "scope": "Description of the selected documents",
    },
    "sync_run_documents": {
        "joined": "1 if the request began no new attempt cycle",
        "state": "Final state, set when a later request restarts the sync; NULL: see syncs",
        "made": "Like the next three columns: of the attempts until then",
    },
    "alerts": {
        "told": "Last stage that was sent: began",
        "until": "Expiry of the claim to send it",
    },
    "leases": {
        "epoch": "Fencing token: increases with each new holder",
        "until": "Expiry, by the database's clock",
        "since": "Acquisition time, by the same clock",
    },
}


def upgrade() -> None:
    """Replace the comments. SQLite stores none."""
    if op.get_context().dialect.name != "postgresql":
        return
    for table, comment in TABLES.items():
        op.create_table_comment(table, comment)
    for table, comments in COLUMNS.items():
        for column, comment in comments.items():
            text = comment.replace("'", "''")
            op.execute(f'COMMENT ON COLUMN "{table}"."{column}" IS \'{text}\'')
