"""The error catalogue as stories on the simulated company and its two systems: the cause of each message, its entry in
the log, the remedy, and that the message is then resolved and the amount cleared.
"""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from engine.errorlog.known_messages import CATALOGUE
from tests.support.desks import COMPANY, Desk
from tests.support.history_events import finance, row_event
from tieout.simulator.integration_journal import UNBILLED_SALES
from tieout.simulator.pair.current_rows import SimulatedRow
from tieout.simulator.pair.import_and_post import POSTING, SimulatedRun

pytestmark = pytest.mark.requirement("R50", "R51")

DRAFTED, IMPORTABLE = "USPM/USPM-PT000380", "USPM/USPM-PT000382"
"""An expense of 550.00 on 2024-12-30 whose journal line is a draft, and one of 1,200.00 that is not imported."""

SALES = str(UNBILLED_SALES)
RESOLUTIONS = {message.code: message.resolution for message in CATALOGUE}


@pytest.fixture
def desk() -> Desk:
    return Desk(sync_posts=True)


def of(code: str, errors: list[dict[str, Any]], subject: str | None = None) -> dict[str, Any]:
    """The one error of a message, about a subject where the company's own story has another."""
    (found,) = [one for one in errors if one["code"] == code and subject in (None, one["subject"])]
    return found


def codes(errors: list[dict[str, Any]]) -> list[str]:
    return [one["code"] for one in errors]


def press_sync(desk: Desk, document: str = DRAFTED) -> None:
    """A person presses Sync for one document, an hour later."""
    desk.site.clock.seconds += 3_600
    assert {sync.attempts.state for sync in desk.sync(document)} == {"done"}


def line_of(desk: Desk, document: str = DRAFTED) -> tuple[SimulatedRow, str]:
    """Return the current integration journal line of a document, and the number of its journal."""
    with desk.reader.snapshot() as snapshot:
        (view,) = snapshot.chain(document)
    (key,) = [record.key for record in view.records if record.entity == "ProjAdvancedJournalLine"]
    line = desk.site.pair.tables.row("ProjAdvancedJournalLine", key.rpartition(":")[2])
    assert line is not None
    journal = desk.site.pair.tables.row("ProjAdvancedJournal", line.text("ProjAdvancedJournal"))
    assert journal is not None
    return line, journal.text("ProjAdvancedJournalId")


def reset_to_draft(desk: Desk) -> None:
    """Do what the workspace recommends for a line in error: correct the cause, reset the line to draft."""
    assert desk.status_of(DRAFTED) == "missing-journal-line: error"
    desk.site.pair.feed.change(line_of(desk)[0], {"Status": 0})
    desk.arrive()
    assert desk.status_of(DRAFTED) == "missing-journal-line: draft"


def set_periods(desk: Desk, status: int, first: str) -> None:
    """Open (1) or close (2) the ledger periods of the company from one that starts on a day on."""
    books = desk.site.pair.feed
    ledger = books.ledger(COMPANY)
    assert ledger is not None
    for link in books.tables.where("LedgerFiscalCalendarPeriod", "Ledger", ledger.id):
        period = books.tables.row("FiscalCalendarPeriod", link.text("FiscalCalendarPeriod"))
        if period is not None and period.text("StartDate") >= first:
            books.change(link, {"Status": status})
    desk.arrive()


@pytest.mark.requirement("R57")
def test_no_open_period(desk: Desk) -> None:
    """December is closed before its last expense is posted."""
    before = codes(desk.errors())
    line, journal = line_of(desk)
    set_periods(desk, 2, "2024-12-01")
    set_periods(desk, 1, "2025-01-01")
    press_sync(desk)
    error = of("NO_OPEN_PERIOD", desk.errors(), journal)
    assert error["text"] == "No open fiscal period was found for the specified accounting date 12/30/2024."
    assert (error["parameters"], error["count"]) == ({"date": "12/30/2024"}, 1)
    assert error["resolution"] == RESOLUTIONS["NO_OPEN_PERIOD"]
    assert error["advice"] == (
        "The period of 2024-12-30, 2024-12-01 to 2024-12-31, is closed. With that parameter on, it is posted on "
        "2025-01-01, the first day of the next open period."
    )
    assert of("LINE_FAILED", desk.errors(), line.id)["parameters"]["reason"] == error["text"].rstrip(".")
    reset_to_draft(desk)
    press_sync(desk)
    assert of("NO_OPEN_PERIOD", desk.errors(), journal)["count"] == 2
    assert desk.tiles()["expense_missing_journal_lines"] == ("5000.00", 9)
    set_periods(desk, 1, "2024-12-01")
    reset_to_draft(desk)
    press_sync(desk)
    assert codes(desk.errors()) == before
    assert [one["standing"] for one in desk.errors(history=True) if one["subject"] == journal] == ["history"] * 2
    assert desk.status_of(DRAFTED) == "reconciled"
    assert desk.tiles()["expense_missing_journal_lines"] == ("4450.00", 8)


@pytest.mark.requirement("R43", "R54")
def test_what_ended_in_an_error_is_run_again_once_it_is_mended(desk: Desk) -> None:
    """The error is retried, not the document; a retry that changes nothing leads to a new error."""
    before = codes(desk.errors())
    line, journal = line_of(desk)
    set_periods(desk, 2, "2024-12-01")
    press_sync(desk)
    desk.site.clock.seconds += 3_600
    reset_to_draft(desk)
    (first,) = desk.retry(journal)
    assert (first.document, first.action, first.attempts.state) == (f"USPM/{journal}", "posting", "done")
    assert of("NO_OPEN_PERIOD", desk.errors(), journal)["count"] == 2
    set_periods(desk, 1, "2024-12-01")
    reset_to_draft(desk)
    desk.site.clock.seconds += 3_600
    # The error of the line names the line; its text names the journal that is to be posted.
    (again,) = desk.retry(line.id)
    assert (again.document, again.subject) == (f"USPM/{line.id}", f"USPM/{journal}")
    assert codes(desk.errors()) == before
    assert desk.status_of(DRAFTED) == "reconciled"
    assert desk.retry(journal) == []


@pytest.mark.requirement("R42", "R43")
def test_a_retry_does_not_post_a_journal_that_has_a_line_in_the_way_by_then(desk: Desk) -> None:
    """The retry is requested; before it runs, another line of a posted or drafted actual comes into the journal."""
    line, journal = line_of(desk)
    set_periods(desk, 2, "2024-12-01")
    press_sync(desk)
    desk.site.clock.seconds += 3_600
    set_periods(desk, 1, "2024-12-01")
    reset_to_draft(desk)
    names = desk.ask_retry(journal)
    (staging,) = desk.site.pair.tables.where("ProjCDSActualsImport", "ProjAdvancedJournalLine", line.id)
    second = finance("ProjAdvancedJournalLine", "5637999001", COMPANY, **dict(line.columns))
    named = {"ActualId": staging.text("ActualId"), "ProjAdvancedJournalLine": 5637999001}
    also = finance("ProjCDSActualsImport", "5637999002", COMPANY, **named)
    moment = datetime.fromtimestamp(desk.now() / 1_000_000, UTC)
    desk.also([row_event(step, number, moment) for number, step in enumerate((second, also))])
    desk.handle()
    assert desk.attempts.syncs(names)[0].last_text.startswith("no longer needed: the error is resolved, or must not")
    assert desk.status_of(DRAFTED) == "missing-journal-line: draft"
    assert desk.retry(journal) == []


@pytest.mark.requirement("R57")
def test_no_open_period_in_or_after(desk: Desk) -> None:
    """Finance may move the accounting date to the next open period, and there is none."""
    before = codes(desk.errors())
    for parameters in desk.site.rows("ProjParameters"):
        desk.site.pair.feed.change(parameters, {"assumed_autosetaccountingdate": 1})
    _, journal = line_of(desk)
    set_periods(desk, 2, "2024-12-01")
    press_sync(desk)
    error = of("NO_OPEN_PERIOD_AFTER", desk.errors(), journal)
    assert error["text"] == "No open fiscal period was found in or after the specified accounting date 12/30/2024."
    assert (error["parameters"], error["count"]) == ({"date": "12/30/2024"}, 1)
    assert error["resolution"] == RESOLUTIONS["NO_OPEN_PERIOD_AFTER"]
    assert error["advice"] == (
        "The period of 2024-12-30, 2024-12-01 to 2024-12-31, is closed, and no later one is open."
    )
    reset_to_draft(desk)
    press_sync(desk)
    assert of("NO_OPEN_PERIOD_AFTER", desk.errors(), journal)["count"] == 2
    set_periods(desk, 1, "2025-01-01")
    advice = of("NO_OPEN_PERIOD_AFTER", desk.errors(), journal)["advice"]
    assert advice == "Post again: it is now posted on 2025-01-01."
    reset_to_draft(desk)
    press_sync(desk)
    assert codes(desk.errors()) == before
    assert desk.status_of(DRAFTED) == "reconciled"
    assert line_of(desk)[0].text("AccountingDate") == "2025-01-01"
    assert desk.tiles()["expense_missing_journal_lines"] == ("4450.00", 8)


def test_line_failed(desk: Desk) -> None:
    """The project refuses postings: every line of it fails, and each is listed."""
    before = codes(desk.errors())
    line, journal = line_of(desk)
    refusals = desk.site.pair.journals.refusals
    refusals[line.text("ProjId")] = "The stage of project P-001002-D (Closed) does not allow postings"
    press_sync(desk)
    error = of("LINE_FAILED", desk.errors(), line.id)
    assert error["text"] == (
        f"Integration journal ({journal}): Line with RecId ({line.id}) and Voucher ({line.text('Voucher')}) failed to "
        "post due to (The stage of project P-001002-D (Closed) does not allow postings)."
    )
    assert error["parameters"] == {
        "journal": "USPM-000111",
        "line": line.id,
        "voucher": line.text("Voucher"),
        "reason": "The stage of project P-001002-D (Closed) does not allow postings",
    }
    assert error["resolution"] == RESOLUTIONS["LINE_FAILED"]
    reset_to_draft(desk)
    press_sync(desk)
    assert of("LINE_FAILED", desk.errors(), line.id)["count"] == 2
    refusals.clear()
    reset_to_draft(desk)
    press_sync(desk)
    assert codes(desk.errors()) == before
    assert desk.status_of(DRAFTED) == "reconciled"
    assert desk.tiles()["expense_missing_journal_lines"] == ("4450.00", 8)


def test_lines_of_one_journal_that_fail_are_listed_each(desk: Desk) -> None:
    press_sync(desk, IMPORTABLE)
    with desk.reader.snapshot() as snapshot:
        (row,) = snapshot.documents_named([IMPORTABLE])
    journal = row.document.journal
    for project in ("P-001002-D", "P-001003-D"):
        desk.site.pair.journals.refusals[project] = "The project does not allow postings"
    press_sync(desk, IMPORTABLE)
    failed = [one for one in desk.errors() if one["parameters"].get("journal") == journal]
    assert len(failed) > 1
    assert len({one["subject"] for one in failed}) == len(failed)


def test_no_intercompany(desk: Desk) -> None:
    """The actual is of a project that another company owns, and the two are not set up to trade."""
    pair = desk.site.pair
    (staged,) = desk.site.rows("ProjCDSActualsImport", lambda row: row.text("Amount") == "1200.00")[-1:]
    pair.feed.change(staged, {"ProjectDataAreaId": "gbpm"})
    press_sync(desk, IMPORTABLE)
    error = of("NO_INTERCOMPANY", desk.errors())
    actual = staged.text("ActualId").strip("{}")
    assert error["text"] == (
        f"Unable to import actual {{{actual.upper()}}}. Intercompany relationship has to be set up between legal "
        "entity USPM and GBPM in Project Management and Accounting Parameters."
    )
    assert error["parameters"] == {"actual": actual.lower(), "lending": "USPM", "borrowing": "GBPM"}
    assert error["resolution"] == RESOLUTIONS["NO_INTERCOMPANY"]
    press_sync(desk, IMPORTABLE)
    assert of("NO_INTERCOMPANY", desk.errors())["count"] == 2
    assert desk.status_of(IMPORTABLE) == "missing-journal-line: not-imported"
    pair.journals.trading.add(("USPM", "GBPM"))
    press_sync(desk, IMPORTABLE)
    assert "NO_INTERCOMPANY" not in codes(desk.errors())
    assert desk.status_of(IMPORTABLE) == "missing-journal-line: draft"
    press_sync(desk, IMPORTABLE)
    assert desk.status_of(IMPORTABLE) == "reconciled"
    assert desk.tiles()["expense_missing_journal_lines"] == ("3800.00", 8)


def proposal(desk: Desk, number: str) -> str:
    """The amount of an invoice proposal."""
    row = desk.site.pair.tables.first("ProjProposalJour", "ProposalId", number)
    assert row is not None
    return row.text("InvoiceAmount")


def waits_for(desk: Desk, number: str) -> str | None:
    """Return what an invoice proposal waits for, from the list of proposals; None if it is not listed."""
    with desk.reader.snapshot() as snapshot:
        return next((one.message() for one in snapshot.proposals(COMPANY) if one.number == number), None)


@pytest.mark.requirement("R56")
def test_not_posted(desk: Desk) -> None:
    """The invoice proposal of the day bills the sales of three documents that are not posted."""
    before = codes(desk.errors())
    assert waits_for(desk, "PI-000214") == (
        "Not posted yet: 2024-12-30 660.00 USD (not imported); 2025-01-03 1440.00 USD (not imported); 2025-01-06 "
        "9600.00 USD (not imported)."
    )
    desk.run("import")
    error = of("NOT_POSTED", desk.errors())
    assert error["text"] == (
        "Project transaction hasn't been posted yet. Verify that you have posted all of the related integration "
        "journals and try again."
    )
    assert (error["subject"], error["parameters"], error["count"]) == ("PI-000214", {}, 1)
    assert error["resolution"] == RESOLUTIONS["NOT_POSTED"]
    assert waits_for(desk, "PI-000214") == (
        "Not posted yet: 2024-12-30 660.00 USD (draft in journal USPM-000134); 2025-01-03 1440.00 USD (draft in "
        "journal USPM-000134); 2025-01-06 9600.00 USD (draft in journal USPM-000134)."
    )
    desk.run("import")
    assert of("NOT_POSTED", desk.errors())["count"] == 2
    assert proposal(desk, "PI-000214") == "0.00"
    press_sync(desk, IMPORTABLE)
    assert desk.status_of(IMPORTABLE) == "reconciled"
    assert desk.tiles()["expense_missing_journal_lines"] == ("3200.00", 7)  # with the 600.00 of a line that was deleted
    assert waits_for(desk, "PI-000214") == "All its transactions are posted."
    desk.run("import")
    assert waits_for(desk, "PI-000214") is None
    # The import took up what that of the night before could not process.
    assert codes(desk.errors()) == [code for code in before if code != "BILLED_MISMATCH"]
    assert proposal(desk, "PI-000214") == "11700.00"


def test_billed_mismatch(desk: Desk) -> None:
    """Of what an invoice proposal bills one actual has not come from Dataverse: waiting does not help, sending does."""
    unsynced = not_synced(desk)
    *_, lost = desk.site.pair.journals.propose("PI-000302", sales_posted(desk)[:2], lost=1)
    desk.run("import")
    error = of("BILLED_MISMATCH", desk.errors())
    assert error["text"] == (
        "Invoice proposal wasn't processed because of mismatched billed sales actuals with Dataverse. Please try "
        "again later. Contact your administrator if issue still exists."
    )
    assert (error["subject"], error["parameters"], error["count"]) == ("PI-000302", {}, 1)
    assert "Try again two or three times" in error["resolution"]
    assert not_synced(desk) == unsynced + 1
    for count in (2, 3):
        desk.run("import")
        assert of("BILLED_MISMATCH", desk.errors())["count"] == count
    desk.run("resend", actual=lost)
    assert not_synced(desk) == unsynced
    assert waits_for(desk, "PI-000302") == "All its transactions are posted."
    desk.run("import")
    assert "BILLED_MISMATCH" not in codes(desk.errors())
    assert proposal(desk, "PI-000302") != "0.00"


def sales_posted(desk: Desk) -> list[SimulatedRow]:
    """The staging rows of unbilled sales that are posted, the oldest first."""
    sales = {
        row.id for row in desk.site.rows("msdyn_actual", lambda row: row.text("msdyn_transactiontypecode") == SALES)
    }
    rows = desk.site.rows("ProjCDSActualsImport", lambda row: bool(row.text("VoucherNumber")))
    return [row for row in rows if row.text("ActualId").strip("{}").lower() in sales]


def not_synced(desk: Desk) -> int:
    """Return the number of actuals that have not reached Finance, from the summary."""
    with desk.reader.snapshot() as snapshot:
        company = snapshot.company(COMPANY)
        told = snapshot.summary(company, snapshot.window(company, None, None)).as_json()
    return int(told["not_synced_to_finance"]["records"])


@pytest.mark.requirement("R54")
def test_a_run_that_never_ends_is_shown_as_interrupted_and_its_errors_return(desk: Desk) -> None:
    line, _ = line_of(desk)
    desk.site.pair.journals.refusals[line.text("ProjId")] = "The project does not allow postings"
    press_sync(desk)
    reset_to_draft(desk)
    desk.site.pair.journals.batch_server_stops = True
    press_sync(desk)
    assert line.id not in {one["subject"] for one in desk.errors()}
    back = of("LINE_FAILED", desk.errors(today=date(2025, 1, 10)), line.id)
    assert (back["standing"], back["count"], back["interrupted"]["started"]) == ("current", 1, "2025-01-08T20:00:00Z")
    desk.site.pair.journals.batch_server_stops = False
    desk.site.pair.journals.refusals.clear()
    press_sync(desk)
    assert line.id not in {one["subject"] for one in desk.errors(today=date(2025, 1, 10))}
    assert desk.status_of(DRAFTED) == "reconciled"


def test_an_unknown_message_is_kept_as_unknown_with_its_whole_text(desk: Desk) -> None:
    text = "Der Buchungskreis ist gesperrt.\n" + "Wenden Sie sich an die Buchhaltung. " * 200
    run = SimulatedRun(desk.site.pair.feed, POSTING, COMPANY, ("USPM-000111",), desk.site.clock.now())
    run.message(text, "USPM-000111")
    run.end(desk.site.clock.now())
    desk.arrive()
    error = of("UNKNOWN", desk.errors())
    assert (error["text"], error["parameters"], error["resolution"]) == (text, {}, None)
    press_sync(desk)
    assert "UNKNOWN" not in codes(desk.errors())
    assert desk.status_of(DRAFTED) == "reconciled"
