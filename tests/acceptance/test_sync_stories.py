"""From pressing Sync to the account being clear, against both systems simulated."""

from datetime import datetime, timedelta

import pytest

from engine.sync.actions import Skipped, Step
from engine.sync.attempts import ATTEMPTS_MAX
from tests.support.desks import Desk
from tests.support.history_events import BEGINNING, finance, row_event
from tests.support.stores import MAPS, Event
from tests.support.workspace import posted_expense
from tieout.presenters import chain_json
from tieout.simulator.pair import InjectedFault
from tieout.sync.planning import sync_every_company


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.requirement("R40")
@pytest.mark.requirement("R42")
def test_of_the_4_000_of_the_screenshot_all_is_sent_again_but_what_is_a_persons(desk: Desk) -> None:
    assert desk.tiles()["expense_missing_actuals"] == ("4000.00", 40)
    assert desk.tiles()["vendor_invoice_missing_actuals"] == ("5000.00", 1)
    synced = desk.sync()
    assert {sync.attempts.state for sync in synced} == {"done"}
    assert desk.tiles()["expense_missing_actuals"] == ("1000.00", 10)
    assert desk.tiles()["vendor_invoice_missing_actuals"] == ("0.00", 0)
    left = [one for one in desk.plan().documents if one.row.document.position == "missing-actual"]
    assert {one.row.cause for one in left} == {
        *("actual-reversed", "cancelled-in-dataverse"),
        *("rejected-in-dataverse", "recalled-in-dataverse"),
    }
    assert all(isinstance(one.step, Skipped) for one in left)


@pytest.mark.requirement("R42")
def test_sync_again_and_again_comes_to_an_end_with_what_a_person_must_do() -> None:
    desk = Desk(sync_posts=True)
    for _ in range(4):
        desk.sync()
        desk.site.clock.seconds += 3_600
    waiting = {one.row.cause for one in desk.plan().documents if isinstance(one.step, Step)}
    assert waiting <= {"line-not-seen"}
    assert desk.tiles()["expense_missing_journal_lines"] == ("2400.00", 5)
    assert desk.tiles()["vendor_invoice_missing_journal_lines"] == ("8500.00", 5)


@pytest.mark.requirement("R42")
def test_without_leave_no_journal_is_posted(desk: Desk) -> None:
    for _ in range(3):
        desk.sync()
    assert not [call for call in desk.site.pair.calls if "postIntegrationJournals" in call]
    assert "draft" in {one.row.cause for one in desk.plan().left}


@pytest.mark.requirement("R5", "R42")
def test_sync_leaves_alone_what_may_rest_on_rows_that_were_not_read_yet(desk: Desk) -> None:
    before = {one.row.document.document: one.row.cause for one in desk.plan().documents}
    desk.notice("msdyn_actual")
    left = {one.row.document.document: one.row.cause for one in desk.plan().left}
    assert {left[name] for name, cause in before.items() if cause == "no-actual-made"} == {"not-read-yet"}
    assert desk.tiles()["expense_missing_actuals"] == ("4000.00", 40)


INVOICE = {"InvoiceId": "TWICE-1", "InvoiceDate": "2025-01-08"}


def posted_invoice(hour: int, *transactions: str) -> list[Event]:
    """The events of a posted vendor invoice, a line for each transaction id."""
    header = {"InvoiceAccount": "USPM-000011", "LedgerVoucher": "V-TWICE"}
    steps = [finance("VendInvoiceJour", "901", "USPM", **INVOICE, **header)]
    for number, transaction in enumerate(transactions, 1):
        amount = {"LineAmount": f"{number}00.00", "CurrencyCode": "USD", "LineNum": str(number)}
        project = {"ProjId": "P-001000-D", "ProjTransId": transaction, "VendInvoiceInfoLineRefRecId": 930 + number}
        steps += [
            finance("VendInvoiceTrans", f"91{number}", "USPM", **INVOICE, **amount, SourceDocumentLine=920 + number),
            finance("VendInvoiceInfoLine", f"93{number}", "USPM", SourceDocumentLine=920 + number),
            finance("VendInvoiceInfoLine_Project", f"94{number}", "USPM", **project),
        ]
    return [row_event(step, number, BEGINNING + timedelta(hours=hour)) for number, step in enumerate(steps)]


@pytest.mark.requirement("R10", "R42")
def test_an_invoice_with_a_line_whose_link_is_ambiguous_is_not_exported_for_its_other_lines(desk: Desk) -> None:
    desk.also(posted_invoice(0, "TWICE-A", "TWICE-B", "TWICE-C"))
    (task,) = [task for task in desk.plan().tasks if "USPM/TWICE-A" in task.documents]
    assert (task.action, len(task.documents)) == ("export", 3)
    desk.also(posted_invoice(1, "TWICE-A", "TWICE-B", "TWICE-B"))
    assert not [task for task in desk.plan().tasks if "TWICE-1" in task.subject]
    left = {
        one.row.document.document: one.step.code
        for one in desk.plan().left
        if one.row.document.invoice == "TWICE-1" and isinstance(one.step, Skipped)
    }
    assert left == {
        "USPM/TWICE-A": "invoice-left-alone",
        "USPM/TWICE-B": "ambiguous-link",
        "USPM/913": "ambiguous-link",
    }


@pytest.mark.requirement("R42")
def test_a_pair_that_would_create_a_second_cost_is_never_made_to(desk: Desk) -> None:
    """Dataverse has the actual of an expense without its source document, so approving the expense makes another."""
    waiting = next(
        one
        for one in desk.plan().documents
        if one.row.cause == "no-actual-made" and one.row.document.kind == "expense" and isinstance(one.step, Step)
    )
    assert isinstance(waiting.step, Step)
    document, expense = waiting.row.document, waiting.step.subject
    tables = desk.site.pair.tables
    row, project, currency = (
        tables.first(entity, column, value or "")
        for entity, column, value in (
            ("cdm_company", "cdm_companycode", document.company),
            ("msdyn_project", "assumed_projectnumber", document.project),
            ("transactioncurrency", "isocurrencycode", document.currency),
        )
    )
    assert row is not None
    assert project is not None
    assert currency is not None
    unlinked = {
        "msdyn_transactiontypecode": 192350000,
        "msdyn_amount": "100.00",
        "msdyn_accountingdate": document.date,
        "transactioncurrencyid": {"entity": "transactioncurrency", "id": currency.id, "name": None},
        "msdyn_project": {"entity": "msdyn_project", "id": project.id, "name": None},
        "assumed_owningcompany": {"entity": "cdm_company", "id": row.id, "name": None},
    }
    actual = "0a110000-0000-4000-8000-000000000001"
    desk.site.pair.write("msdyn_actual", actual, unlinked)
    desk.arrive()
    (left,) = [one for one in desk.plan().left if one.row.document.key == document.key]
    assert isinstance(left.step, Skipped)
    assert left.step.code == "possible-match"
    desk.sync()
    assert desk.ask(document.document) == []
    assert desk.status_of(document.document) == "missing-actual: no-actual-made"
    assert desk.site.rows("msdyn_actual", lambda found: found.lookup("assumed_sourcedocument") == expense) == []
    # Once the actual has its document, it is followed and nothing is approved again.
    source = {"entity": "msdyn_expense", "id": expense, "name": None}
    desk.site.pair.write("msdyn_actual", actual, {"assumed_sourcedocument": source})
    desk.arrive()
    assert "no-actual-made" not in desk.status_of(document.document)
    assert document.key not in {one.row.document.key for one in desk.plan().documents if isinstance(one.step, Step)}


@pytest.mark.requirement("R40")
def test_the_dry_run_says_exactly_what_the_run_then_does(desk: Desk) -> None:
    told = [(task.action, task.subject, task.documents) for task in desk.plan().tasks]
    before = len(desk.site.pair.calls)
    synced = desk.sync()
    assert sorted({(sync.action, sync.subject) for sync in synced}) == sorted((one, name) for one, name, _ in told)
    assert sorted(sync.document for sync in synced) == sorted(name for *_, names in told for name in names)
    called = [call for call in desk.site.pair.calls[before:] if call.startswith("POST")]
    assert len(called) == len(told)


@pytest.mark.requirement("R40")
def test_one_document_is_synced_alone(desk: Desk) -> None:
    document = next(one.row.document.document for one in desk.plan().documents if isinstance(one.step, Step))
    (sync,) = desk.sync(document)
    assert (sync.document, sync.attempts.state, sync.attempts.made) == (document, "done", 1)
    assert len(desk.attempts.syncs()) == 1


@pytest.fixture
def exported(desk: Desk) -> str:
    """An expense that is not in Dataverse."""
    return next(
        one.row.document.document
        for one in desk.plan().documents
        if isinstance(one.step, Step) and one.step.action == "export" and one.row.document.kind == "expense"
    )


@pytest.mark.requirement("R45")
@pytest.mark.parametrize("fault", ["lost", "gateway", "cut"])
def test_an_answer_that_is_lost_after_the_write_makes_no_second_record(
    desk: Desk, exported: str, fault: InjectedFault
) -> None:
    transaction = exported.partition("/")[2]
    desk.site.pair.faults.next(fault, "exportDocument")
    (sync,) = desk.sync(exported)
    assert sync.attempts.state == "done"
    made = desk.site.rows("msdyn_expense", lambda row: row.text("assumed_externalexpenseid") == transaction)
    assert len(made) == 1
    assert not desk.status_of(exported).endswith("not-synced-to-dataverse")


@pytest.mark.requirement("R43")
def test_five_failures_wait_for_a_person_whom_alone_they_obey(desk: Desk, exported: str) -> None:
    desk.site.pair.faults.next("unavailable", "exportDocument", times=ATTEMPTS_MAX)
    (sync,) = desk.sync(exported)
    assert (sync.attempts.state, sync.attempts.made) == ("stopped", ATTEMPTS_MAX)
    assert "503" in sync.last_text
    assert desk.ask(exported, by_person=False) == []
    (sync,) = desk.sync(exported)
    assert (sync.attempts.state, sync.attempts.round, sync.attempts.made) == ("done", 2, 1)


@pytest.mark.requirement("R43")
@pytest.mark.requirement("R46")
def test_being_throttled_uses_no_attempt(desk: Desk, exported: str) -> None:
    desk.site.pair.faults.next("throttled", "exportDocument", times=3)
    (sync,) = desk.sync(exported)
    assert (sync.attempts.state, sync.attempts.made, sync.attempts.calls) == ("done", 1, 4)


@pytest.mark.requirement("R44")
def test_what_is_set_up_wrongly_is_tried_again_once_that_has_changed(desk: Desk, exported: str) -> None:
    """A currency that is missing in Dataverse blocks the export; the recurring job exports once it exists."""
    with desk.reader.snapshot() as snapshot:
        (row,) = snapshot.documents_named([exported])
    currency = desk.site.pair.feed.reference("transactioncurrency", row.document.currency or "")
    assert currency is not None
    desk.site.pair.delete("transactioncurrency", currency.id)
    desk.arrive()
    (sync,) = desk.sync(exported)
    assert (sync.attempts.state, sync.attempts.made) == ("blocked", 1)
    assert "Currency USD does not exist in Dataverse" in sync.last_text
    assert desk.ask(exported, by_person=False) == []  # nothing has changed
    desk.site.clock.seconds += 3_600
    desk.site.pair.write("transactioncurrency", None, currency.columns)
    desk.arrive()
    (sync,) = desk.sync(exported, by_person=False)
    assert (sync.attempts.state, sync.attempts.round, sync.attempts.made) == ("done", 1, 2)


@pytest.mark.requirement("R47")
def test_each_attempt_stands_on_its_document_with_the_time_of_the_last(desk: Desk, exported: str) -> None:
    desk.site.pair.faults.next("unavailable", "exportDocument")
    desk.sync(exported)
    with desk.reader.snapshot() as snapshot:
        (view,) = snapshot.chain(exported)
        told = chain_json(view, MAPS, snapshot.moment)
    assert [(one["action"], one["number"], one["outcome"]) for one in told["attempts"]] == [
        ("export", 2, "succeeded"),
        ("export", 1, "transient"),
    ]
    assert told["last_retried"] == told["attempts"][0]["ended"]


@pytest.mark.requirement("R49")
def test_nothing_leaves_while_outgoing_calls_are_off(desk: Desk, exported: str) -> None:
    desk.site.on = False
    before = len(desk.site.pair.calls)
    (sync,) = desk.sync(exported)
    assert sync.attempts.state == "blocked"
    assert "TIEOUT_OUTGOING" in sync.last_text
    assert desk.site.pair.calls[before:] == []


def test_a_document_that_was_mended_meanwhile_is_not_called_for(desk: Desk, exported: str) -> None:
    desk.ask(exported)
    desk.site.processes.start("export", next(task.parameters for task in desk.plan(exported).tasks))
    desk.arrive()
    desk.handle()
    (sync,) = desk.attempts.syncs([exported])
    assert (sync.attempts.state, sync.attempts.calls, sync.last_outcome) == ("done", 0, "not-needed")


@pytest.mark.requirement("R41")
def test_the_recurring_job_syncs_each_company_once_a_day_at_its_own_time(desk: Desk) -> None:
    def due(moment: str) -> list[tuple[str, int]]:
        now = datetime.fromisoformat(moment)
        asked = sync_every_company(desk.reader, desk.attempts, desk.settings, now, desk.attempts.request)
        return [
            (day, sum(len(task.documents) for task in request.tasks))
            for company, day, request in asked
            if company == "USPM"
        ]

    # USPM keeps the time of Chicago: 23:00 there is 05:00 of the next day in UTC.
    assert due("2025-01-08T12:00:00Z") == []  # the first day of an installation
    assert due("2025-01-09T04:59:00Z") == []
    ((day, documents),) = due("2025-01-09T05:00:00Z")
    assert (day, documents > 30) == ("2025-01-08", True)
    assert due("2025-01-09T05:30:00Z") == []
    assert {sync.by for sync in desk.attempts.syncs()} == {"recurring job"}
    desk.handle()
    needed = sum(len(task.documents) for task in desk.plan().tasks)
    assert due("2025-01-10T05:00:00Z") == [("2025-01-09", needed)]


@pytest.mark.requirement("R41")
def test_a_company_without_a_calendar_does_not_keep_the_others_from_their_sync() -> None:
    desk = Desk(companies=None)
    desk.also([posted_expense("1", "10.00", company="AAAA")])

    def due(moment: str) -> dict[str, int]:
        now = datetime.fromisoformat(moment)
        asked = sync_every_company(desk.reader, desk.attempts, desk.settings, now, desk.attempts.request)
        return {company: len(request.tasks) for company, _, request in asked}

    due("2025-01-08T12:00:00Z")  # the first day of an installation
    found = due("2025-01-10T12:00:00Z")
    assert found["AAAA"] == 0
    assert found["USPM"] > 20
    assert due("2025-01-10T13:00:00Z") == {}
    with desk.reader.snapshot() as snapshot:
        (run,) = snapshot.runs("AAAA", 10)
    assert run.scope.startswith("Recurring job, not run: ")
    assert "period" in run.scope


@pytest.mark.requirement("R41")
def test_a_company_outside_the_settings_is_not_looked_at(desk: Desk) -> None:
    desk.also([posted_expense("1", "10.00", company="AAAA")])
    for moment in ("2025-01-08T12:00:00+00:00", "2025-01-10T12:00:00+00:00"):
        now = datetime.fromisoformat(moment)
        asked = list(sync_every_company(desk.reader, desk.attempts, desk.settings, now, desk.attempts.request))
    assert {company for company, *_ in asked} == {"USPM"}


def test_the_recurring_job_can_be_off() -> None:
    desk = Desk(sync_at="never")
    for moment in ("2025-01-08T12:00:00+00:00", "2025-01-20T12:00:00+00:00"):
        now = datetime.fromisoformat(moment)
        assert list(sync_every_company(desk.reader, desk.attempts, desk.settings, now, desk.attempts.request)) == []
