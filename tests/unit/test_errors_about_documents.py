"""An error names its document by guid, voucher or number, and the document shows it (R50, R51)."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from engine.errorlog.about_documents import row_named
from engine.events.facts import row_id_of
from store.projection.writer import Writer
from store.queries.rows import ChainView
from store.queries.snapshot import Snapshot
from tests.support.reports import failed, ran
from tests.support.small_store import fill
from tests.support.stores import MAPS, Event, apply, batch_of, memory_store, reader
from tieout.presenters import chain_json

pytestmark = pytest.mark.requirement("R50", "R51")

WAITING, DRAFTED, INVOICE = "USPM/USPM-PT000488", "USPM/USPM-PT000380", "USPM/USPM-PT001100"
"""An expense with its record in Dataverse, one with a draft journal line, and a vendor invoice line."""

TASK = (
    "Unable to write data to entity msdyn_expenses. Writes to ProjExpenseExportEntity failed with the error message "
    "Request failed with the status code BadRequest and CDS error code : 0x80040265 response message: Could not "
    "resolve project task for export expense. The specified task activity number doesn't uniquely identify the task."
)
LINE = (
    "Integration journal (USPM-000111): Line with RecId (5637145676) and Voucher (USPM-200151) failed to post due to "
    "(the account is closed)."
)


@pytest.fixture(scope="module")
def company() -> Engine:
    return fill(memory_store())


@pytest.fixture
def store(company: Engine) -> Iterator[Engine]:
    """The small company; what a test adds to its error log goes again."""
    yield company
    with company.begin() as connection:
        for table in ("process_messages", "error_states", "deletions", "outbox"):
            connection.exec_driver_sql(f"DELETE FROM {table}")


def messages(store: Engine) -> int:
    with store.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM process_messages").scalar_one())


def chain_after(store: Engine, document: str, *events: Event) -> tuple[ChainView, list[str]]:
    """The document after these events, and the codes of the errors that it shows."""
    apply(Writer(store, MAPS, ("USPM",)), batch_of(events))
    with reader(store).snapshot() as snapshot:
        view = chain(snapshot, document)
        return view, [error["code"] for error in chain_json(view, MAPS, snapshot.moment)["errors"]]


def chain(snapshot: Snapshot, document: str) -> ChainView:
    (view,) = snapshot.chain(document)
    return view


def dual_write(subject: str | None, text: str = TASK, *, run: str = "r1", company: str | None = "USPM") -> Event:
    return failed(1, subject, run, text=text, process="dual-write", company=company)


def guid_of(store: Engine, document: str, entity: str) -> str:
    with reader(store).snapshot() as snapshot:
        return next(row_id_of(row.id) for row in chain(snapshot, document).records if row.entity == entity)


@pytest.mark.parametrize(
    ("document", "subject"),
    [
        (WAITING, "USPM/USPM-PT000488"),
        (WAITING, "USPM-PT000488"),
        (WAITING, " USPM-PT000488 "),
        (WAITING, "USPM-000488"),
        (DRAFTED, "USPM-200151"),
        (INVOICE, "Inv-6"),
        (INVOICE, "USPM-1100006"),
    ],
    ids=["name", "number", "number in blanks", "voucher", "journal voucher", "invoice", "invoice voucher"],
)
def test_an_error_is_shown_on_the_document_that_it_names(store: Engine, document: str, subject: str) -> None:
    view, codes = chain_after(store, document, dual_write(subject))
    assert codes == ["DW_TASK_NOT_UNIQUE"]
    assert view.errors[0].as_json()["process"] == "dual-write"
    assert view.errors[0].as_json()["resolution"].startswith("Recall the expense report")


@pytest.mark.parametrize("spelling", ["{}", "{{{}}}", "upper"])
@pytest.mark.parametrize("company_code", ["USPM", None])
def test_an_error_names_a_row_of_the_document_by_its_guid(
    store: Engine, spelling: str, company_code: str | None
) -> None:
    record = guid_of(store, WAITING, "msdyn_expense")
    spelled = record.upper() if spelling == "upper" else spelling.format(record)
    view, codes = chain_after(store, WAITING, dual_write(spelled, company=company_code))
    assert codes == ["DW_TASK_NOT_UNIQUE"]
    assert view.errors[0].message.subject == record


def test_an_actual_in_the_text_names_the_document_where_no_subject_does(store: Engine) -> None:
    actual = guid_of(store, DRAFTED, "msdyn_actual")
    text = f"Unable to look up msdyn_actuals with values {{{actual.upper()},uspm}}."
    assert chain_after(store, DRAFTED, dual_write(None, text))[1] == ["ACTUAL_NOT_FOUND"]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (dual_write("USPM-000488", company="GBPM"), "another company"),
        (dual_write("USPM-000488", company=None), "no company, and numbers of two companies may be the same"),
        (dual_write("USPM-000489"), "another voucher"),
        (dual_write("5637144696"), "a RecId of which table?"),
        (dual_write(None), "nothing"),
        (dual_write("   "), "blanks"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_that_does_not_name_the_document_for_certain_is_not_shown_on_it(
    store: Engine, event: Event, why: str
) -> None:
    before = messages(store)
    assert chain_after(store, WAITING, event)[1] == [], why
    assert messages(store) == before + 1, "it is in the error log all the same"


def test_an_integration_journal_line_is_named_by_its_record_id(store: Engine) -> None:
    posting = failed(1, "5637145676", text=LINE)
    assert chain_after(store, DRAFTED, posting)[1] == ["LINE_FAILED"]
    assert chain_after(store, WAITING)[1] == []


def test_an_error_leaves_the_document_when_a_later_run_took_its_row_up(store: Engine) -> None:
    assert chain_after(store, WAITING, dual_write("USPM-000488"))[1] == ["DW_TASK_NOT_UNIQUE"]
    later = ran(2, 3, "r2", " USPM-000488 ", process="dual-write")
    assert chain_after(store, WAITING, *later)[1] == []


@pytest.mark.parametrize(
    ("text", "code"),
    [("Concurrency failure", "stale-version"), ("Conflict failures: it was changed.", "refused-version")],
)
def test_a_version_that_was_not_written_is_a_finding_of_its_document(store: Engine, text: str, code: str) -> None:
    record = guid_of(store, WAITING, "msdyn_expense")
    view, _ = chain_after(store, WAITING, dual_write(record, text))
    with reader(store).snapshot() as snapshot:
        findings = chain_json(view, MAPS, snapshot.moment)["findings"]
    (found,) = [finding for finding in findings if finding["code"] == code]
    assert (found["document"], found["parameters"]) == (WAITING, {"row": record})
    assert record in found["explanation"]["seen"]
    assert "Compare the row in both systems" in found["explanation"]["do"]
    assert "do not change what is posted" in found["explanation"]["do"].lower()


def test_another_error_is_no_finding_of_a_version(store: Engine) -> None:
    view, _ = chain_after(store, WAITING, dual_write("USPM-000488"))
    with reader(store).snapshot() as snapshot:
        text = json.dumps(chain_json(view, MAPS, snapshot.moment)["findings"])
    assert "version" not in text


@pytest.mark.parametrize(
    ("name", "text", "row"),
    [
        ("000123", None, "000123"),
        ("", None, None),
        (None, "Concurrency failure", None),
        (None, "Unable to look up msdyn_actuals with values X", None),
        ("V-1", "Unable to look up msdyn_actuals with values 6e21a0c8-9f0b-ef11-9f89-6045bda11c3f", "V-1"),
    ],
)
def test_what_an_error_names(name: str | None, text: str | None, row: str | None) -> None:
    assert row_named(name, text) == row
