"""An older store keeps what it holds, and gets what today's questions ask of it, whichever database it is."""

import json
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select, text

from engine.alerts import Alert
from engine.cursors import Cursor
from store.operational import state_topic
from store.operational.alerts import SqlAlerts
from store.operational.attempts import SqlAttempts
from store.operational.cursors import SqlCursors
from store.operational.state_topic import StateTopicOffset
from store.projection.writer import Writer
from store.proof.dump import contents as dump
from store.schema import tables
from store.schema.bulk_sql import upsert
from store.schema.database import migrate
from tests.contract.test_attempts import HOUR, claim, request, task
from tests.support.stores import MAPS, apply, batch_of
from tieout.simulator import ingest_lines, simulate

COLUMNS = (
    *("project_name", "vendor_name", "line_number", "exchange_rate", "journal_line_amount", "journal_line_currency"),
    *("journal_voucher", "posted_date", "findings", "has_actual"),
)


ACCOUNT_COLUMNS = ("booked", "cleared", "exchange_difference")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.containers)])
def engine(request: pytest.FixtureRequest) -> Engine:
    store: Engine = request.getfixturevalue(f"{request.param}_store")
    return store


def make_older(connection: Connection) -> None:
    """Take away what 0009 fills, and what 0010 to 0023 make."""
    take_state_away(connection)
    tables.error_states.drop(connection)
    connection.execute(text("ALTER TABLE offsets DROP COLUMN last"))
    tables.notices.drop(connection)
    tables.inbox.drop(connection)
    tables.sync_runs.drop(connection)
    tables.sync_run_documents.drop(connection)
    for name in ("open_projects", "category", "vendor", "invoice", "journal"):
        connection.execute(text(f"DROP INDEX ix_documents_{name}"))
    if connection.dialect.name == "postgresql":
        for bits in (1, 2, 3):
            connection.execute(text(f"DROP STATISTICS documents_views_{bits}"))
    tables.reconciliations.drop(connection)
    connection.execute(text("DELETE FROM totals"))
    connection.execute(text("UPDATE alembic_version SET version_num = '0008'"))


def take_state_away(connection: Connection) -> None:
    connection.execute(text("DROP INDEX ix_findings_loose"))
    # The index covers the columns of 0020, which makes it again.
    connection.execute(text("DROP INDEX ix_documents_category"))
    for name in ACCOUNT_COLUMNS:
        connection.execute(text(f"ALTER TABLE documents DROP COLUMN {name}"))
    connection.execute(text("CREATE INDEX ix_documents_category ON documents (company)"))
    tables.postings.drop(connection)
    tables.posting_totals.drop(connection)
    tables.unlinked_actuals.drop(connection)
    tables.ledger_entries.drop(connection)
    tables.ledger_balances.drop(connection)
    tables.sessions.drop(connection)
    if connection.dialect.name == "postgresql":
        connection.execute(text("DROP FUNCTION note_state CASCADE"))
        connection.execute(text("DROP FUNCTION number_state_after"))
    else:
        for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            connection.execute(text(f"DROP TRIGGER {name}"))
    tables.state_outbox.drop(connection)


@pytest.mark.requirement("R71", "R74")
def test_all_of_the_state_of_an_older_store_is_published(engine: Engine) -> None:
    log = SqlAttempts(engine)
    log.request(request(task("USPM/1", "USPM/1", "USPM/2"), run="r1"))
    held = claim(log, 0)
    log.begin(held, now=1, until=HOUR)
    SqlCursors(engine).save(Cursor(table="finance/Vendors", rows=1))
    SqlAlerts(engine).record([Alert("a", "feed-silent", None, "silent")], {"feed-silent"}, 1)
    with engine.begin() as connection:
        upsert(connection, tables.settings, [("job sync USPM", "2025-01-07"), ("job alerts", "now")])
        upsert(connection, tables.offsets, [("tieout.finance.changes", 0, 7, None)])
        before = dict(state_topic.contents(connection))
        take_state_away(connection)
        connection.execute(text("UPDATE alembic_version SET version_num = '0016'"))
    migrate(engine)
    with engine.connect() as connection:
        assert state_topic.unpublished(connection) == set(before)
        # It has nothing to learn from the topic but what is newer.
        assert state_topic.load_offset(connection) == StateTopicOffset()
    assert not log.is_acknowledged(held)


@pytest.mark.requirement("R35", "R74")
def test_documents_of_an_older_store_get_the_columns_that_filters_ask(engine: Engine) -> None:
    writer = Writer(engine, MAPS, ("USPM",))
    apply(writer, batch_of([json.loads(line) for line in ingest_lines(simulate("small", 1).events)]))
    while writer.recompute():
        pass
    # What documents booked and cleared is not in an older store: a replay fills it.
    kept = [column for column in tables.documents.c if column.name not in ACCOUNT_COLUMNS]
    rows = select(*kept).order_by(tables.documents.c.key)
    with engine.begin() as connection:
        before = connection.execute(rows).all()
        make_older(connection)
        connection.execute(text("DROP INDEX ix_documents_voucher"))
        for name in COLUMNS:
            connection.execute(text(f"ALTER TABLE documents DROP COLUMN {name}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0006'"))
    assert migrate(engine)[0] == "0006"
    with engine.connect() as connection:
        assert connection.execute(rows).all() == before
    assert {row.has_actual for row in before} == {0, 1}
    assert any(row.findings for row in before)


@pytest.mark.requirement("R32", "R37", "R74")
def test_an_older_store_gets_its_sums_by_cause_and_what_left_the_balance_by_day(engine: Engine) -> None:
    writer = Writer(engine, MAPS, ("USPM",))
    apply(writer, batch_of([json.loads(line) for line in ingest_lines(simulate("small", 1).events)]))
    with engine.begin() as connection:
        before = known_to_older(connection)
        make_older(connection)
    assert migrate(engine)[0] == "0008"
    with engine.connect() as connection:
        assert known_to_older(connection) == before
    assert {"total", "reconciliation"} <= {name for row in before for name in row}


def known_to_older(connection: Connection) -> list[dict[str, Any]]:
    """Return the dump without what a rebuild fills: the account, unlinked actuals, and why documents are excluded."""
    lines = []
    for line in dump(connection):
        if (row := line.get("document_row")) is not None:
            line = {"document_row": {name: value for name, value in row.items() if name not in ACCOUNT_COLUMNS}}
        elif (total := line.get("total")) is not None:
            if total["position"] == "excluded":
                continue
            line = {"total": {**total, "sums": total["sums"].split()[:12]}}
        elif line.keys() & {"posting", "posting_total", "unlinked_actual"}:
            continue
        lines.append(line)
    return lines
