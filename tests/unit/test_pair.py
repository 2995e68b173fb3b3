"""The simulated pair, asked through the connectors: it keeps the rules of the two systems, and does what they do."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from engine.errorlog.known_messages import recognise
from engine.events.facts import Change, Heartbeat, ProcessMessage
from engine.reconciliation.documents import Document
from handlers.errors import Changed, Configuration, Missing, Permanent, TargetError, Throttled, TokenExpired, Transient
from streams.codec import decode
from tests.support.memory_world import MemoryWorld
from tests.support.pairs import Site
from tests.support.stores import MAPS
from tieout.settings import load
from tieout.simulator import simulate
from tieout.simulator.pair import InjectedFault, InjectedFaults, settings_at
from tieout.simulator.pair.injected_faults import AFTER_THE_FACT, KINDS
from tieout.simulator.pair.systems import PORT
from tieout.simulator.scenario import SimulatedEvent, encode

ROOT = Path(__file__).parents[2]
USPM = {"company": "USPM"}
JOURNAL = {"msdyn_description": "USPM-000095"}


def facts(events: list[SimulatedEvent]) -> list[Any]:
    """What events say, as the product reads them."""
    found = []
    for event in events:
        headers = [(name, value.encode()) for name, value in event.headers.items()]
        found += decode(encode(event.value), headers)
    return found


def documents(site: Site) -> dict[str, Document]:
    """How the documents stand after the company's story and all that the pair sent."""
    story = facts(list(simulate("small", deliver=False).events))
    changes = [fact for fact in [*story, *facts(site.events)] if isinstance(fact, Change)]
    changes = [change for change in changes if MAPS.find(change.entity)]
    world = MemoryWorld(changes, MAPS, ["USPM"])
    return {document.document: document for chain in world.chains for document in chain.documents}


def messages(site: Site) -> list[tuple[str, str | None, str | None]]:
    return [(fact.stage, fact.subject, fact.text) for fact in facts(site.events) if isinstance(fact, ProcessMessage)]


def export(site: Site, transaction: str) -> dict[str, Any]:
    row = site.pair.tables.first("TrvExpTrans", "ProjTransId", transaction)
    assert row is not None
    return site.processes.start("export", {**USPM, "table": "TrvExpTrans", "recId": int(row.id)})


# --- reading ----------------------------------------------------------------------------------------------------------


def test_every_row_is_read_once_over_pages() -> None:
    site = Site(page_rows=50)
    expenses = [row["msdyn_expenseid"] for page in site.dataverse.pages("msdyn_expenses") for row in page.rows]
    assert sorted(expenses) == sorted(site.pair.tables["msdyn_expense"].rows)
    staged = [page.rows for page in site.finance.pages("ProjCDSActualsImports")]
    assert len(staged) > 2
    assert sum(map(len, staged)) == len(site.pair.tables["ProjCDSActualsImport"].rows)


def test_a_page_is_what_the_product_reads_from_a_poller() -> None:
    site = Site()
    for pages in (site.dataverse.changes("msdyn_actuals"), site.finance.pages("TrvExpTranss")):
        (page,) = pages
        found = decode(page.body, [("tieout-answered-at", page.answered.isoformat().encode())])
        assert len(found) == len(page.rows)
        assert all(isinstance(fact, Change) and MAPS.find(fact.entity) for fact in found)


def test_finance_shows_other_companies_and_filters_by_company() -> None:
    site = Site()
    everyone = {row["dataAreaId"] for page in site.finance.pages("TrvExpTranss") for row in page.rows}
    one = {row["dataAreaId"] for page in site.finance.pages("TrvExpTranss", companies=["GBPM"]) for row in page.rows}
    assert (everyone, one) == ({"uspm", "gbpm"}, {"gbpm"})
    dataverse = [page.rows for page in site.dataverse.pages("msdyn_expenses", where="msdyn_expensestatus eq 192350003")]
    assert len(dataverse[0]) == 2


def test_one_row_is_found_by_its_keys_or_is_missing() -> None:
    site = Site()
    key = {"dataAreaId": "uspm", "ProjTransId": "USPM-PT000487"}
    assert site.finance.read("TrvExpTranss", key).columns["AmountCurr"] == "100.00"
    with pytest.raises(Missing):
        site.finance.read("TrvExpTranss", {**key, "ProjTransId": "USPM-PT999999"})
    assert site.dataverse.read("transactioncurrencies", {"isocurrencycode": "EUR"}).etag.startswith('W/"')
    with pytest.raises(Configuration, match="names of tables"):
        list(site.finance.pages("NoSuchTables"))
    with pytest.raises(Configuration, match="table or action"):
        list(site.dataverse.pages("nosuchtables"))


@pytest.mark.requirement("R9")
def test_change_tracking_tells_what_changed_since_and_forgets_after_seven_days() -> None:
    site = Site()
    pages = list(site.dataverse.changes("msdyn_expenses", rows_per_page=40))
    assert sum(len(page.rows) for page in pages) == len(site.pair.tables["msdyn_expense"].rows)
    delta = pages[-1].delta
    site.clock.days(6)
    changed, deleted = list(site.pair.tables["msdyn_expense"].rows)[3:5]
    site.pair.write("msdyn_expense", changed, {"statecode": 1})
    site.pair.delete("msdyn_expense", deleted)
    (since,) = site.dataverse.changes("msdyn_expenses", since=delta)
    assert [row.get("msdyn_expenseid") or (row["id"], row["reason"]) for row in since.rows] == [
        changed,
        (deleted, "deleted"),
    ]
    found = decode(since.body, [("tieout-answered-at", since.answered.isoformat().encode())])
    assert [change.operation for change in found if isinstance(change, Change)] == ["upsert", "delete"]
    assert next(site.dataverse.changes("msdyn_expenses", since=since.delta)).rows == []
    site.clock.days(8)
    with pytest.raises(TokenExpired):
        list(site.dataverse.changes("msdyn_expenses", since=since.delta))


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R45")
def test_an_upsert_by_key_makes_one_row_however_often_it_is_called() -> None:
    site = Site()
    upsert = site.dataverse.upsert
    outcomes = [
        upsert("msdyn_journals", JOURNAL, {"msdyn_isposted": False}, only="create"),
        upsert("msdyn_journals", JOURNAL, {"msdyn_isposted": False}, only="create"),
        upsert("msdyn_journals", JOURNAL, {"msdyn_isposted": False}),
        upsert("msdyn_journals", JOURNAL, {"msdyn_isposted": False}, only="update"),
    ]
    assert outcomes == ["created", "exists", "updated", "updated"]
    assert len(site.rows("msdyn_journal")) == 1
    with pytest.raises(Missing):
        upsert("msdyn_journals", {"msdyn_description": "USPM-000096"}, {}, only="update")


def test_a_row_that_changed_since_it_was_read_is_not_overwritten() -> None:
    site = Site()
    site.dataverse.upsert("msdyn_journals", JOURNAL, {})
    read = site.dataverse.read("msdyn_journals", JOURNAL)
    site.dataverse.upsert("msdyn_journals", JOURNAL, {"statecode": 0}, etag=read.etag)
    with pytest.raises(Changed):
        site.dataverse.upsert("msdyn_journals", JOURNAL, {"statecode": 0}, etag=read.etag)


def test_a_journal_with_its_lines_is_confirmed_and_one_without_is_not() -> None:
    site = Site()
    site.dataverse.upsert("msdyn_journals", JOURNAL, {})
    journal = site.rows("msdyn_journal")[0]
    with pytest.raises(Permanent, match="without lines"):
        site.dataverse.act("contoso_ConfirmJournal", {}, on=f"msdyn_journals({journal.id})")
    line = {"msdyn_journal@odata.bind": f"/msdyn_journals({journal.id})", "msdyn_amount": "100.00"}
    site.dataverse.upsert("msdyn_journallines", {"msdyn_externaldescription": "5637144576/cost"}, line)
    site.dataverse.act("contoso_ConfirmJournal", {}, on=f"msdyn_journals({journal.id})")
    assert site.dataverse.read("msdyn_journals", JOURNAL).columns["msdyn_isposted"] is True
    missing = {"transactioncurrencyid@odata.bind": "/transactioncurrencies(isocurrencycode='CHF')"}
    with pytest.raises(Configuration, match="does not exist"):
        site.dataverse.upsert("msdyn_journallines", {"msdyn_externaldescription": "2"}, missing)


@pytest.mark.requirement("R42")
@pytest.mark.parametrize("entity_set", ["msdyn_actuals", "msdyn_projectvendorinvoices"])
def test_what_the_product_alone_may_write_is_refused(entity_set: str) -> None:
    site = Site()
    with pytest.raises(Permanent, match="can't be created or changed directly"):
        site.dataverse.upsert(entity_set, "0f1c0000-0000-4000-8000-000000000001", {"statecode": 0})


# --- who may call, and how often ------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["dataverse", "finance"])
def test_revoked_rights_are_for_a_person(system: str) -> None:
    site = Site()
    site.pair.revoked.add(system)
    api: Any = site.dataverse if system == "dataverse" else site.finance
    with pytest.raises(Configuration, match=r"403.*docs/connectors.md|403.*privilege"):
        list(api.pages("msdyn_actuals" if system == "dataverse" else "TrvExpTranss"))


@pytest.mark.requirement("R46")
def test_without_the_limiter_the_limits_are_enforced_and_with_it_they_are_never_met() -> None:
    """Through the whole of connector and pair; `test_limits.py` has 20,000 actions by many workers."""
    site = Site(pace=lambda request: 0.02)
    for _ in range(6_000):
        site.dataverse.connection.get("WhoAmI")
    with pytest.raises(Throttled) as raised:
        site.dataverse.connection.get("WhoAmI")
    assert raised.value.system_code == "0x80072322"
    assert raised.value.retry_after is not None
    assert 0 < raised.value.retry_after <= 300
    limited = Site(pace=lambda request: 0.02)
    limited.limited()
    for _ in range(6_500):
        limited.dataverse.connection.get("WhoAmI")
    assert limited.pair.protection("dataverse").refused == 0
    assert 300 < limited.clock.seconds < 1.05 * 310


# --- what goes wrong on the way -------------------------------------------------------------------------------------

ENDS: dict[InjectedFault, type[TargetError] | None] = {
    "unavailable": Transient,
    "throttled": Throttled,
    "throttled-silently": Throttled,
    "timeout": Transient,
    "refused": Transient,
    "lost": Transient,
    "gateway": Transient,
    "cut": Transient,
    "web-page": Configuration,
    "expired": None,
    "slow": None,
}


@pytest.mark.requirement("R44", "R45")
@pytest.mark.parametrize("fault", KINDS)
def test_a_fault_has_its_class_and_the_call_repeated_makes_no_second_row(fault: InjectedFault) -> None:
    site = Site()
    site.dataverse.connection.get("WhoAmI")
    site.pair.faults.next(fault, "msdyn_journals")
    ends = ENDS[fault]
    if ends is None:
        assert site.dataverse.upsert("msdyn_journals", JOURNAL, {}, only="create") == "created"
        assert (site.clock.seconds > 10) == (fault == "slow")
        return
    with pytest.raises(TargetError) as raised:
        site.dataverse.upsert("msdyn_journals", JOURNAL, {}, only="create")
    assert type(raised.value) is ends
    happened = fault in AFTER_THE_FACT
    assert len(site.rows("msdyn_journal")) == happened
    if happened:
        assert raised.value.outcome_unknown
    repeated = site.dataverse.upsert("msdyn_journals", JOURNAL, {}, only="create")
    assert repeated == ("exists" if happened else "created")
    assert len(site.rows("msdyn_journal")) == 1


@pytest.mark.parametrize("seed", range(5))
def test_drawn_faults_are_alike_for_the_same_seed_and_leave_one_record_for_each_expense(seed: int) -> None:
    def run() -> list[str]:
        site = Site(faults=InjectedFaults(seed, rate=0.3))
        ends = []
        for number in range(450, 490):
            for _ in range(50):
                try:
                    export(site, f"USPM-PT{number:06d}")
                    break
                except TargetError as error:
                    ends.append(type(error).__name__)
                    site.clock.sleep(300)
        keys = [row.text("assumed_externalexpenseid") for row in site.rows("msdyn_expense")]
        assert len(keys) == len(set(keys)), seed
        staged = [row.text("ActualId").strip("{}").lower() for row in site.rows("ProjCDSActualsImport")]
        doubled = 1  # the story has one that Finance staged twice
        assert len(staged) == len(set(staged)) + doubled, seed
        return ends

    first = run()
    assert len(set(first)) >= 2
    assert run() == first


# --- what the systems do ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("R42")
def test_a_sync_by_cause_clears_the_documented_4_000() -> None:
    site = Site()
    missing = {key: found for key, found in documents(site).items() if found.position == "missing-actual"}
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
    after = documents(site)
    assert {after[key].position for key in today} == {"missing-journal-line"}
    site.processes.start("import", USPM)
    site.processes.start("posting", USPM)
    after = documents(site)
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
        for key, found in documents(site).items()
        if found.kind == "vendor-invoice-line" and found.cause == "no-actual-made"
    ]
    assert len(waiting) == 1
    line = site.pair.tables.first("msdyn_projectvendorinvoiceline", "msdyn_externalinvoiceline", waiting[0][5:])
    assert line is not None
    site.processes.start("confirmation", {"invoice": line.lookup("msdyn_vendorinvoice")})
    assert documents(site)[waiting[0]].cause == "not-imported"


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
    assert documents(site)[f"USPM/{lines[0].text('msdyn_externalinvoiceline')}"].cause == "not-imported"


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
        fact.company for fact in facts(site.events) if isinstance(fact, ProcessMessage) and fact.stage == "started"
    ]
    assert started == ["USPM", "GBPM"]
    with pytest.raises(Permanent, match="no batch job 1"):
        site.finance.requeue(1)


def test_a_heartbeat_says_that_all_is_sent() -> None:
    site = Site()
    site.clock.sleep(60)
    site.pair.feed.send_heartbeats()
    beats = [fact for fact in facts(site.events) if isinstance(fact, Heartbeat)]
    assert {beat.source for beat in beats} == {"finance", "dataverse"}


# --- what Finance's processes say -----------------------------------------------------------------------------------


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


def test_the_file_of_settings_for_containers_reaches_the_pair_and_permits_to_post() -> None:
    lines = (ROOT / "simulated-pair.env").read_text(encoding="utf-8").splitlines()
    written = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert written == settings_at(f"http://127.0.0.1:{PORT}") | {"TIEOUT_SYNC_POSTS": "true"}
    assert load(written, Path("/nowhere")).sync_posts
