"""What the two simulated systems do: they sync, repair, import and post, and report their processes."""

from datetime import date
from typing import Any

import pytest

from engine.errorlog.known_messages import recognise
from engine.events.facts import Heartbeat, ProcessMessage
from handlers.errors import Configuration, Permanent
from tests.support.pairs import Site, decoded_facts, documents_after, export

USPM = {"company": "USPM"}


def messages(site: Site) -> list[tuple[str, str | None, str | None]]:
    return [
        (fact.stage, fact.subject, fact.text) for fact in decoded_facts(site.events) if isinstance(fact, ProcessMessage)
    ]


@pytest.mark.requirement("R42")
def test_a_sync_by_cause_clears_the_documented_4_000() -> None:
    site = Site()
    missing = {key: found for key, found in documents_after(site).items() if found.position == "missing-actual"}
    today = {key: found for key, found in missing.items() if found.kind == "expense" and found.date == "2025-01-08"}
    assert len(today) == 40
    for key, document in today.items():
        transaction = key.partition("/")[2]
        if document.cause == "actual-not-synced-back":
            expense = site.pair.tables.first("msdyn_expense", "assumed_externalexpenseid", transaction)
            assert expense is not None
            for actual in site.pair.feed.cost_of(expense.id):
                site.processes.start("resend", {"actual": actual.id})
        else:
            export(site, transaction)
    after = documents_after(site)
    assert {after[key].position for key in today} == {"missing-journal-line"}
    site.processes.start("import", USPM)
    site.processes.start("posting", USPM)
    after = documents_after(site)
    assert {after[key].position for key in today} == {"reconciled"}
    told = [(stage, subject) for stage, subject, _ in messages(site)]
    imported = [("started", None), ("message", "PI-000214"), ("failed", None)]  # its proposal waits for the posting
    assert told[:4] == [*imported, ("started", None)]


def test_what_was_repaired_once_stays_as_it_is_when_it_is_repaired_again() -> None:
    site = Site()
    export(site, "USPM-PT000487")
    rows = {entity: len(site.rows(entity)) for entity in site.pair.tables.names()}
    export(site, "USPM-PT000487")
    expense = site.pair.tables.first("msdyn_expense", "assumed_externalexpenseid", "USPM-PT000487")
    assert expense is not None
    site.processes.start("approval", {"expense": expense.id})
    for actual in site.pair.feed.cost_of(expense.id):
        site.processes.start("resend", {"actual": actual.id})
        site.processes.start("resend", {"actual": actual.id})
    grown = {entity: len(site.rows(entity)) - count for entity, count in rows.items()}
    assert {entity for entity, more in grown.items() if more} <= {"ProjCDSActualsImport"}
    assert grown["ProjCDSActualsImport"] <= 1


def test_a_confirmed_invoice_gets_the_actual_it_never_got() -> None:
    site = Site()
    waiting = [
        key
        for key, found in documents_after(site).items()
        if found.kind == "vendor-invoice-line" and found.cause == "no-actual-made"
    ]
    assert len(waiting) == 1
    line = site.pair.tables.first("msdyn_projectvendorinvoiceline", "msdyn_externalinvoiceline", waiting[0][5:])
    assert line is not None
    site.processes.start("confirmation", {"invoice": line.lookup("msdyn_vendorinvoice")})
    assert documents_after(site)[waiting[0]].cause == "not-imported"


@pytest.mark.requirement("R42")
def test_an_invoice_left_to_a_persons_verification_is_not_confirmed() -> None:
    site = Site()
    (header,) = [
        row for row in site.rows("msdyn_projectvendorinvoice") if row.text("msdyn_vendorinvoicenumber") == "Inv-2"
    ]
    with pytest.raises(Permanent, match="project manager"):
        site.processes.start("confirmation", {"invoice": header.id})


def test_an_invoice_that_was_never_copied_is_exported_and_confirmed() -> None:
    site = Site()
    posted = site.pair.tables.first("VendInvoiceTrans", "InvoiceId", "Inv-4")
    assert posted is not None
    parameters = {**USPM, "table": "VendInvoiceTrans", "recId": int(posted.id)}
    site.processes.start("export", parameters)
    site.processes.start("export", parameters)
    headers = site.rows("msdyn_projectvendorinvoice", lambda row: row.text("msdyn_vendorinvoicenumber") == "Inv-4")
    assert len(headers) == 1
    lines = site.pair.tables.where("msdyn_projectvendorinvoiceline", "msdyn_vendorinvoice", headers[0].id)
    assert len(lines) == 1
    assert documents_after(site)[f"USPM/{lines[0].text('msdyn_externalinvoiceline')}"].cause == "not-imported"


@pytest.mark.requirement("R44")
def test_a_cause_that_stands_is_refused_until_it_is_mended() -> None:
    site = Site()
    dollar = site.pair.feed.reference("transactioncurrency", "USD")
    assert dollar is not None
    site.pair.delete("transactioncurrency", dollar.id)
    with pytest.raises(Configuration, match="Currency USD does not exist"):
        export(site, "USPM-PT000486")
    site.pair.write("transactioncurrency", None, {"isocurrencycode": "USD"})
    export(site, "USPM-PT000486")
    site.pair.documents.maps_stopped = True
    with pytest.raises(Configuration, match="map is not running"):
        export(site, "USPM-PT000485")


def test_a_batch_job_runs_a_process_for_every_company() -> None:
    site = Site()
    site.finance.requeue(5637144580)
    started = [
        fact.company
        for fact in decoded_facts(site.events)
        if isinstance(fact, ProcessMessage) and fact.stage == "started"
    ]
    assert started == ["USPM", "GBPM"]
    with pytest.raises(Permanent, match="no batch job 1"):
        site.finance.requeue(1)


def test_a_heartbeat_says_that_all_is_sent() -> None:
    site = Site()
    site.clock.sleep(60)
    site.pair.feed.send_heartbeats()
    beats = [fact for fact in decoded_facts(site.events) if isinstance(fact, Heartbeat)]
    assert {beat.source for beat in beats} == {"finance", "dataverse"}


def not_imported(site: Site) -> list[Any]:
    return site.rows(
        "ProjCDSActualsImport",
        lambda row: (
            (row.text("ProjAdvancedJournalLine"), row.text("IsDuplicate"), row.company) == ("0", "0", "USPM")
            and not row.text("InvoiceProposalId")
        ),
    )


@pytest.mark.requirement("R50", "R51")
def test_an_actual_of_a_company_without_trade_is_not_imported_until_it_is_set_up() -> None:
    site = Site()
    row = not_imported(site)[0]
    site.pair.feed.change(row, {"ProjectDataAreaId": "gbpm"})
    site.processes.start("import", USPM)
    actual = row.text("ActualId").strip("{}").upper()
    (message,) = [told for told in messages(site) if told[0] == "message" and told[1] != "PI-000214"]
    assert message[2] == (
        f"Unable to import actual {{{actual}}}. Intercompany relationship has to be set up between legal entity USPM "
        "and GBPM in Project Management and Accounting Parameters."
    )
    assert recognise(message[2] or "").code == "NO_INTERCOMPANY"
    assert [left.id for left in not_imported(site)] == [row.id]
    site.pair.journals.trading.add(("USPM", "GBPM"))
    site.processes.start("import", USPM)
    assert [told for told in messages(site) if told[1] == message[1]] == [message]
    assert not_imported(site) == []


@pytest.mark.requirement("R50", "R51")
@pytest.mark.parametrize(("lost", "code"), [(0, "NOT_POSTED"), (1, "BILLED_MISMATCH")])
def test_a_proposal_that_cannot_be_imported_is_told(lost: int, code: str) -> None:
    site = Site()
    sales = site.rows("ProjCDSActualsImport", lambda row: row.text("Amount") == "480.00")
    billed = site.pair.journals.propose("PINV-000017", sales, lost=lost)
    site.processes.start("import", USPM)
    told = {subject: recognise(text or "").code for stage, subject, text in messages(site) if stage == "message"}
    assert told == {"PI-000214": "NOT_POSTED", "PINV-000017": code}
    site.clock.sleep(60)
    for actual in billed:
        site.processes.start("resend", {"actual": actual})
    site.processes.start("posting", USPM)
    site.processes.start("import", USPM)
    assert messages(site)[-1][0] == "finished"
    headers = site.rows("ProjProposalJour")
    assert {row.text("ProposalId"): row.text("InvoiceAmount") for row in headers} == {
        "PI-000214": "11700.00",
        "PINV-000017": "480.00",
    }


def drafts(site: Site, day: str) -> Any:
    """A draft journal line of a document, moved to a date, and its journal's number."""
    (line, *_) = site.rows("ProjAdvancedJournalLine", lambda row: row.text("Status") == "0" and row.company == "USPM")
    site.pair.feed.change(line, {"AccountingDate": day})
    header = site.pair.tables.row("ProjAdvancedJournal", line.text("ProjAdvancedJournal"))
    assert header is not None
    return line, header.text("ProjAdvancedJournalId")


@pytest.mark.requirement("R50", "R51", "R57")
@pytest.mark.parametrize(
    ("day", "automatic", "code", "says"),
    [
        (
            "2024-02-12",
            0,
            "NO_OPEN_PERIOD",
            "No open fiscal period was found for the specified accounting date 2/12/2024.",
        ),
        (
            "2026-02-12",
            1,
            "NO_OPEN_PERIOD_AFTER",
            "No open fiscal period was found in or after the specified accounting date 2/12/2026.",
        ),
    ],
)
def test_a_line_outside_every_open_period_fails_with_both_messages(
    day: str, automatic: int, code: str, says: str
) -> None:
    site = Site()
    for parameters in site.rows("ProjParameters"):
        site.pair.feed.change(parameters, {"assumed_autosetaccountingdate": automatic})
    line, journal = drafts(site, day)
    site.processes.start("posting", {**USPM, "journals": [journal]})
    told = [(subject, text) for stage, subject, text in messages(site) if stage == "message"]
    assert (told[0], told[1][0]) == ((journal, says), line.id)
    assert [recognise(text or "").code for _, text in told] == [code, "LINE_FAILED"]
    assert recognise(told[1][1] or "").parameters == {
        "journal": journal,
        "line": line.id,
        "voucher": line.text("Voucher"),
        "reason": says.rstrip("."),
    }
    now = site.pair.tables.row("ProjAdvancedJournalLine", line.id)
    assert now is not None
    assert now.text("Status") == "1"


@pytest.mark.requirement("R57")
def test_with_the_automatic_parameter_the_next_open_period_is_used() -> None:
    site = Site()
    for parameters in site.rows("ProjParameters"):
        site.pair.feed.change(parameters, {"assumed_autosetaccountingdate": 1})
    line, journal = drafts(site, "2024-02-12")
    site.processes.start("posting", {**USPM, "journals": [journal]})
    now = site.pair.tables.row("ProjAdvancedJournalLine", line.id)
    assert now is not None
    assert (now.text("AccountingDate"), now.text("Status")) == ("2024-03-01", "3")
    assert date.fromisoformat(now.text("AccountingDate")) == date(2024, 3, 1)
    assert messages(site)[-1][0] == "finished"


@pytest.mark.requirement("R50")
def test_a_refused_line_says_why_and_posts_once_the_reason_is_gone() -> None:
    site = Site()
    line, journal = drafts(site, "2024-12-30")
    site.pair.journals.refusals[line.text("ProjId")] = "The project stage does not allow postings"
    site.processes.start("posting", {**USPM, "journals": [journal]})
    (told,) = [text for stage, _, text in messages(site) if stage == "message"]
    assert told == (
        f"Integration journal ({journal}): Line with RecId ({line.id}) and Voucher ({line.text('Voucher')}) failed to "
        "post due to (The project stage does not allow postings)."
    )
    site.pair.journals.refusals.clear()
    site.pair.feed.change(line, {"Status": 0})
    site.processes.start("posting", {**USPM, "journals": [journal]})
    assert messages(site)[-1][0] == "finished"
