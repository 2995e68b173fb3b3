"""What Sync leaves alone is known by the store: actuals without a document, invoices sent as a whole, rows not read."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event

from engine.calendar import Window
from engine.chains.records import record_key
from engine.events.facts import Change
from engine.events.notices import RereadRequest
from engine.mapping.compiler import EntityMap
from engine.reconciliation.kinds import Kind
from engine.sync.actions import Skipped
from store.projection.batch_plan import DecodedBatch
from store.projection.writer import Writer
from store.proof.dump import dump
from store.queries.grid_query import GridQuery
from store.queries.snapshot import Snapshot
from tests.support.stores import MAPS, apply, reader
from tests.support.story import BEGINNING, REFERENCE, changes, id_of
from tieout.presenters import chain_json
from tieout.settings import Settings
from tieout.sync.planning import plan, plan_for

EVERYTHING = Window("2000-01-01", "2030-01-01")
EXPENSES = """
    project   D1   P-1
    category  Y1   Hotel
    expense   E1   100.00 category=Hotel
    record    R1   approved
    actual    A1   100.00 of= currency=USD project=D1 category=Y1 accounting-date=2025-01-09
    expense   E2   50.00
    record    R2   approved
"""
# Two lines of one invoice that are missing in Dataverse, and one line of another invoice.
INVOICES = """
    project          D1  P-1
    invoice          V1  invoice=Inv-1 voucher=PIV-1
    invoice          V3  invoice=inv-1 date=2025-01-07 voucher=PIV-3
    invoice-line     I1  100.00 invoice=Inv-1
    pending-line     P1
    pending-project  X1
    invoice-line     I2  70.00 invoice=Inv-1 number=2
    pending-line     P2
    pending-project  X2
    invoice-line     I3  30.00 invoice=inv-1 date=2025-01-07
    pending-line     P3
    pending-project  X3
    invoice-record   N9
"""
NEVER_IN_DATAVERSE = {"USPM/T1": "export", "USPM/T2": "export", "USPM/T3": "export"}
SECOND_POSTED = """
    header          H2  confirmed
    invoice-record  N2
    actual          A2  70.00 of=N2
    staging         S2  voucher=PJ-2
"""

DEFAULTS = Settings()
POSTS = Settings(sync_posts=True)
# A draft line of a document, in a journal with another line.
IN_JOURNAL = """
    expense  E1  40.00
    record   R1  approved
    actual   A1  40.00
    journal  J1  number=USPM-041 draft
    line     L1  draft
    staging  S1  line=L1
"""
TWICE = """
    expense  E2
    record   R2  approved
    actual   A2
    line     L2  posted voucher=PJ-2 in=J2
    staging  S2  line=L2 voucher=PJ-2
    line     L3  draft in=J1
    staging  S3  of=A2 line=L3
"""
WAITS = "expense E2\n record R2 approved\n actual A2\n line L3 draft in=J1\n staging S2 line=L3\n"
IN_THE_WAY = {
    "a second line of a posted actual": (TWICE, "L3"),
    "a second line of an actual in this journal": (WAITS + "line L2 draft in=J1\n staging S3 of=A2 line=L2", "L3"),
    "a second line of a posted actual without a document": (TWICE + "expense E2 delete", "L3"),
    "the line of an ambiguous document": (WAITS + "expense E3 70.00 id=T2", "L3"),
    "the line of a cancelled document": (WAITS + "expense E2 cancelled voucher=USPM-463", "L3"),
    "a second line that is posted already": (TWICE + "line L3 posted", None),
    "a second line in another journal": (TWICE + "line L3 in=J2", None),
    "a line of another document": (WAITS, None),
    "nothing else": ("", None),
}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.containers)])
def engine(request: pytest.FixtureRequest) -> Engine:
    store: Engine = request.getfixturevalue(f"{request.param}_store")
    return store


def project(engine: Engine, *tables: str, reread: tuple[RereadRequest, ...] = ()) -> None:
    """Project tables of events, each as a batch of its own, and re-read requests."""
    writer = Writer(engine, MAPS, None)
    for table in (REFERENCE, *tables):
        batch = DecodedBatch(reread_requests=list(reread))
        batch.changes = [(change, _map(change)) for change in changes(table)]
        apply(writer, batch)
    while writer.recompute():
        pass


def _map(change: Change) -> EntityMap:
    entity_map = MAPS.find(change.entity)
    assert entity_map is not None
    return entity_map


def planned(engine: Engine, settings: Settings = DEFAULTS) -> dict[str, str]:
    """Return the action of each document in the plan of a sync, or the code of the reason to leave it alone."""
    with reader(engine).snapshot() as asked:
        found = plan(asked, settings, asked.company("USPM"), EVERYTHING)
    return {
        one.row.document.document: one.step.code if isinstance(one.step, Skipped) else one.step.action
        for one in found.documents
    }


def listed(asked: Snapshot, kind: Kind = "expense") -> dict[str, tuple[str, ...]]:
    """Return the findings of each document in a grid."""
    query = GridQuery(company="USPM", kind=kind, window=EVERYTHING)
    return {row.document.document: row.findings for row in asked.rows(query)}


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """Collect the statements that are sent to a store."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


@pytest.mark.requirement("R42")
def test_a_document_that_an_actual_may_belong_to_says_so_everywhere_and_is_left_alone(engine: Engine) -> None:
    project(engine, EXPENSES)
    with reader(engine).snapshot() as asked:
        assert listed(asked) == {"USPM/T1": ("possible-match",), "USPM/T2": ()}
        (view,) = asked.chain("USPM/T1")
        told = chain_json(view, MAPS, asked.moment)
    assert told["findings"][-1]["parameters"] == {"actual": id_of("A1")}
    assert told["explanation"]["do"].startswith("Check the actual that its finding names first")
    assert planned(engine) == {"USPM/T1": "possible-match", "USPM/T2": "approval"}


IN_FINANCE = {
    "a staging row": ("staging S9 amount=100.00 currency=USD project=P-1", "ProjCDSActualsImport", "S9"),
    "a posted line": ("line L9 posted 100.00 currency=USD project=P-1", "ProjAdvancedJournalLine", "L9"),
    "a draft line": ("line L9 draft 100.00 currency=USD project=P-1", "ProjAdvancedJournalLine", "L9"),
}


@pytest.mark.requirement("R11", "R42")
@pytest.mark.parametrize(("table", "entity", "row"), IN_FINANCE.values(), ids=IN_FINANCE.keys())
def test_a_document_is_left_alone_for_a_cost_that_only_finance_shows(
    engine: Engine, table: str, entity: str, row: str
) -> None:
    project(engine, table, EXPENSES.replace("actual    A1", "actual    A8").replace("100.00 of=", "99.00 of="))
    assert planned(engine) == {"USPM/T1": "possible-match", "USPM/T2": "approval"}
    with reader(engine).snapshot() as asked:
        assert listed(asked)["USPM/T1"] == ("possible-match",)
        (view,) = asked.chain("USPM/T1")
        told = chain_json(view, MAPS, asked.moment)
    assert told["findings"][-1]["parameters"] == {"actual": f"{entity} {id_of(row)}"}
    project(engine, f"20:00 {table.split()[0]} {row} delete")
    # A posting is not undone by deleting its line.
    assert planned(engine)["USPM/T1"] == ("possible-match" if "posted" in table else "approval")


@pytest.mark.requirement("R11", "R42")
@pytest.mark.parametrize(
    "later",
    ["actual A1 of=R1", "actual A1 100.01", "project D1 P-2", "actual A1 delete", "expense E1 date=2025-02-08"],
)
def test_what_no_longer_matches_is_offered_again(engine: Engine, later: str) -> None:
    project(engine, EXPENSES, f"20:00 {later}")
    assert planned(engine)["USPM/T1"] != "possible-match"
    with reader(engine).snapshot() as asked:
        assert "possible-match" not in listed(asked)["USPM/T1"]


@pytest.mark.requirement("R11")
def test_the_order_of_events_makes_no_difference(sqlite_store: Engine) -> None:
    project(sqlite_store, EXPENSES)
    with reader(sqlite_store).snapshot() as asked:
        before = listed(asked)
    project(sqlite_store, "\n".join(reversed(EXPENSES.strip().splitlines())))
    with reader(sqlite_store).snapshot() as asked:
        assert listed(asked) == before
    assert [item for item in dump(sqlite_store) if "unlinked_actual" in item]


@pytest.mark.requirement("R42")
def test_one_line_that_is_left_alone_keeps_its_whole_invoice_from_being_exported(engine: Engine) -> None:
    project(engine, INVOICES)
    assert planned(engine) == NEVER_IN_DATAVERSE
    project(engine, SECOND_POSTED)
    assert planned(engine) == {"USPM/T1": "invoice-left-alone", "USPM/T3": "export"}
    with reader(engine).snapshot() as asked:
        (view,) = asked.chain("USPM/T1")
        assert chain_json(view, MAPS, asked.moment)["explanation"]["do"].startswith("Check the other lines")


# Two lines of an invoice that is confirmed in Dataverse; the first has no actual.
CONFIRMED = """
    header           H1  confirmed
    invoice          V1  invoice=Inv-1
    invoice-line     I1  200.00 invoice=Inv-1
    pending-line     P1
    pending-project  X1
    invoice-record   N1
    invoice-line     I2  100.00 invoice=Inv-1 number=2
    pending-line     P2
    pending-project  X2
    invoice-record   N2  header=H1
    actual           A9  7.00 of=
"""
ACTUAL = "actual A2 100.00 of=N2 currency=USD company=USPM accounting-date=2025-01-08\n"
IN_DRAFT = ACTUAL + "journal J2 number=USPM-041 draft\n line L2 draft\n staging S2 line=L2\n"
SIBLINGS = {
    "has no actual either": ("", "confirmation"),
    "has an actual that did not reach Finance": (ACTUAL, "invoice-left-alone"),
    "has an actual in a draft line": (IN_DRAFT, "invoice-left-alone"),
    "has a reversed actual": (
        IN_DRAFT + "actual A3 -100.00 of=N2\n staging S3\n reversal C1 A3 of=A2",
        "invoice-left-alone",
    ),
    "is deleted in Finance, its actual in a draft line": (IN_DRAFT + "invoice-line I2 delete", "invoice-left-alone"),
    "is deleted in Finance, its actual posted": (
        IN_DRAFT + "line L2 posted voucher=PJ-2\n staging S2 voucher=PJ-2\n invoice-line I2 delete",
        "invoice-left-alone",
    ),
    "is deleted in Finance, its actual in Dataverse, with a row of it in Finance": (
        IN_DRAFT + "origin W2\n staging S2 amount=100.00 project=P-1\n invoice-line I2 delete\n actual A2 delete",
        "invoice-left-alone",
    ),
    "is deleted in Finance without an actual": ("invoice-line I2 delete", "confirmation"),
    "is of another invoice in Dataverse": (
        IN_DRAFT + "invoice-record N2 header=H2\n invoice-line I2 delete",
        "confirmation",
    ),
}


@pytest.mark.requirement("R42")
@pytest.mark.parametrize(("table", "expected"), SIBLINGS.values(), ids=SIBLINGS.keys())
def test_an_invoice_is_not_confirmed_again_once_one_of_its_lines_has_an_actual(
    engine: Engine, table: str, expected: str
) -> None:
    project(engine, f"{CONFIRMED}{table}")
    assert planned(engine)["USPM/T1"] == expected


@pytest.mark.requirement("R42")
def test_a_possible_match_of_one_line_keeps_its_whole_invoice_from_being_exported(engine: Engine) -> None:
    project(engine, INVOICES, "actual A9 70.00 of= currency=USD project=D1 accounting-date=2025-01-08")
    assert planned(engine) == {
        "USPM/T1": "invoice-left-alone",
        "USPM/T2": "possible-match",
        "USPM/T3": "export",
    }


def _unread(entity: str, row: str | None = None) -> RereadRequest:
    entity_map = MAPS.find(entity)
    assert entity_map is not None
    key = f"event:{entity}" if row is None else record_key(entity_map, row)
    return RereadRequest(key, entity_map.source, entity_map.entity, row is not None, BEGINNING + 10**12)


UNREAD = {
    "its own line": (_unread("TrvExpTrans", id_of("E2")), {"USPM/T2": "changed-not-read"}),
    "a line that no event names": (
        _unread("TrvExpTrans"),
        {"USPM/T1": "changed-not-read", "USPM/T2": "changed-not-read"},
    ),
    "the project that it names": (_unread("msdyn_project", id_of("D9")), {}),
    "an actual, which may be the missing one": (
        _unread("msdyn_actual", id_of("A77")),
        {"USPM/T1": "not-read-yet", "USPM/T2": "not-read-yet"},
    ),
    "a row that it does not rest on": (_unread("VendTable", "1"), {}),
}


@pytest.mark.requirement("R5", "R42")
@pytest.mark.parametrize(("unread", "left"), UNREAD.values(), ids=UNREAD.keys())
def test_what_rests_on_a_row_that_was_not_read_yet_is_left_alone(
    engine: Engine, unread: RereadRequest, left: dict[str, str]
) -> None:
    project(
        engine, EXPENSES.replace("actual    A1", "actual    A8").replace("100.00 of=", "99.00 of="), reread=(unread,)
    )
    assert planned(engine) == {"USPM/T1": "approval", "USPM/T2": "approval", **left}


def test_neither_a_page_nor_a_sync_asks_for_each_document(sqlite_store: Engine) -> None:
    few = [f"expense E{n} {n}.00\n record R{n} approved" for n in range(1, 4)]
    project(sqlite_store, *few)
    with counted(sqlite_store) as of_few:
        planned(sqlite_store)
    project(sqlite_store, *(f"expense E{n} {n}.00\n record R{n} approved" for n in range(4, 60)))
    with counted(sqlite_store) as of_many:
        assert len(planned(sqlite_store)) == 59
    assert len(of_many) <= len(of_few) + 2


@pytest.mark.requirement("R42")
@pytest.mark.parametrize(("table", "line"), IN_THE_WAY.values(), ids=IN_THE_WAY.keys())
def test_a_journal_with_a_line_that_must_not_be_posted_is_left_alone(
    engine: Engine, table: str, line: str | None
) -> None:
    project(engine, f"{IN_JOURNAL}\n{table}")
    assert planned(engine, POSTS)["USPM/T1"] == ("posting" if line is None else "journal-left-alone")
    with reader(engine).snapshot() as asked:
        (view,) = asked.chain("USPM/T1")
        do = chain_json(view, MAPS, asked.moment)["explanation"]["do"]
    assert do == "Post the journal." if line is None else f"Take journal line {id_of(line)} out of" in do


@pytest.mark.requirement("R5", "R42")
def test_a_line_that_was_not_read_yet_keeps_its_invoice_back_where_another_line_alone_is_synced(engine: Engine) -> None:
    project(engine, INVOICES, reread=(_unread("VendInvoiceTrans", id_of("I2")),))
    for name, expected in (("USPM/T1", "invoice-left-alone"), ("USPM/T2", "changed-not-read"), ("USPM/T3", "export")):
        with reader(engine).snapshot() as asked:
            (one,) = plan_for(asked, DEFAULTS, name).documents
        assert (one.step.code if isinstance(one.step, Skipped) else one.step.action) == expected
