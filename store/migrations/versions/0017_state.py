"""The outbox of the state topic: triggers record every change of its tables."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# By table: the kind of its records, its primary key, and the columns whose change is one.
KEPT = {
    "syncs": (
        "sync",
        "document action",
        "subject company parameters round made calls state due since change by last_at last_outcome last_text",
    ),
    "attempts": ("attempt", "document action call", "round number begun ended outcome text holder"),
    "sync_runs": ("run", "id", "at who by_person company scope calls documents"),
    "sync_run_documents": ("run-document", "run document action", "joined state made last_at outcome text"),
    "cursors": ("cursor", "table", "body"),
    "alerts": ("alert", "key", "kind company says detail began ended told"),
    "deletions": ("deletion", "id", "at who why company process subject about until"),
    "settings": ("setting", "name", "value"),
}
COMMENTS = {
    "syncs": "What is to be synced, with its counter: engine.attempts.Sync; kept on the state topic",
    "attempts": "Every attempt, recorded before its call leaves; kept on the state topic",
    "sync_runs": "Who requested which sync when: engine.attempts.SyncRun; kept on the state topic",
    "alerts": "What a person should hear of: engine.alerts.Told; kept on the state topic",
    "cursors": "How far the poller read each table of both systems: engine.cursors.Cursor; kept on the state topic",
}
NAMES = ("applied ", "job sync ", "pin ")
"""Prefixes of the settings that belong to the state."""


def upgrade() -> None:
    """Create the outbox and the triggers, and queue all existing rows."""
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "state_outbox",
        sa.Column(
            "number",
            number,
            autoincrement=True,
            nullable=False,
            comment="Grows with every change, never used again",
        ),
        sa.Column("key", key, nullable=False, comment="Of the record on the topic: store.state.key_of"),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("key"),
        comment="Rows that changed since the state topic got them: store.state",
        sqlite_autoincrement=True,
    )
    postgres = op.get_context().dialect.name == "postgresql"
    if postgres:
        op.execute(_FUNCTIONS)
        for table, comment in COMMENTS.items():
            op.create_table_comment(table, comment)
    for table, (kind, keys, columns) in KEPT.items():
        for statement in (_on_postgres if postgres else _on_sqlite)(table, kind, keys.split(), columns.split()):
            op.execute(statement)
        names = ", ".join(f'"{name}"' for name in keys.split())
        array = f"jsonb_build_array('{kind}', {names})::text" if postgres else f"json_array('{kind}', {names})"
        where = f" WHERE {_named('', table)}" if table == "settings" else ""
        op.execute(f'INSERT INTO state_outbox ("key") SELECT {array} FROM "{table}"{where}')  # noqa: S608
    # The topic is new and does not contain the rows of an existing store yet.
    op.execute("INSERT INTO settings (name, value) SELECT 'state place', '{}' WHERE EXISTS (SELECT 1 FROM offsets)")


# Both functions run as the owner and in the schema of the tables: permissions on tables do not include their sequences,
# and the search path of an administrator may differ. Temporary tables come last in the path, otherwise a user with
# write permission could make the owner write to a table of that user.
_FUNCTIONS = """
CREATE FUNCTION note_state() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    changed jsonb := to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END);
    name jsonb := jsonb_build_array(TG_ARGV[0]);
BEGIN
    FOR part IN 1 .. TG_NARGS - 1 LOOP
        name := name || jsonb_build_array(changed -> TG_ARGV[part]);
    END LOOP;
    INSERT INTO state_outbox (key) VALUES (name::text) ON CONFLICT (key) DO UPDATE SET number = excluded.number;
    RETURN NULL;
END $$;

CREATE FUNCTION number_state_after(highest bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    own text := pg_get_serial_sequence('state_outbox', 'number');
BEGIN
    PERFORM setval(own, greatest(nextval(own), least(highest, 4611686018427387904)));
END $$;

DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION note_state() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION number_state_after(bigint) SET search_path = %I, pg_temp', current_schema());
END $$;
"""


def _on_postgres(table: str, kind: str, keys: list[str], columns: list[str]) -> list[str]:
    arguments = ", ".join(f"'{one}'" for one in (kind, *keys))
    old, new = (", ".join(f'{row}."{column}"' for column in columns) for row in ("OLD", "NEW"))
    conditions = {
        "insert": _named("NEW.", table),
        "update": f"({old}) IS DISTINCT FROM ({new}) AND {_named('NEW.', table)}",
        "delete": _named("OLD.", table),
    }
    return [
        f'CREATE TRIGGER state_{event} AFTER {event.upper()} ON "{table}" FOR EACH ROW WHEN ({condition}) '
        f"EXECUTE FUNCTION note_state({arguments})"
        for event, condition in conditions.items()
    ]


def _on_sqlite(table: str, kind: str, keys: list[str], columns: list[str]) -> list[str]:
    differs = " OR ".join(f'OLD."{column}" IS NOT NEW."{column}"' for column in columns)
    conditions = {
        "insert": ("NEW", _named("NEW.", table)),
        "update": ("NEW", f"({differs}) AND {_named('NEW.', table)}"),
        "delete": ("OLD", _named("OLD.", table)),
    }
    statements = []
    for event, (row, condition) in conditions.items():
        names = ", ".join(f'{row}."{name}"' for name in keys)
        array = f"json_array('{kind}', {names})"
        statements.append(
            f'CREATE TRIGGER state_{table}_{event} AFTER {event.upper()} ON "{table}" WHEN {condition} BEGIN '  # noqa: S608
            f"DELETE FROM state_outbox WHERE key = {array}; "
            f"INSERT INTO state_outbox (key) VALUES ({array}); END"
        )
    return statements


def _named(row: str, table: str) -> str:
    """Return the condition on a row: only some of the settings belong to the state."""
    if table != "settings":
        return "true"
    return "(" + " OR ".join(f"substr({row}name, 1, {len(name)}) = '{name}'" for name in NAMES) + ")"
