"""From a general journal posted in Finance to its confirmation in Dataverse, against the simulated pair: failures,
their entries in the error log, and their remedies.
"""

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from engine.errorlog.known_messages import recognise
from engine.sync.attempts import ATTEMPTS_MAX, SECOND
from handlers.errors import TargetError
from tests.support.journaling import CONFIRM, HEADER, JOURNAL, LINES, NUMBER, JournalDesk
from tieout.simulator.pair import InjectedFault
from tieout.simulator.pair.injected_faults import AFTER_THE_FACT, KINDS

WHOLE = ["5431130/cost", "5431130/sales", "5431131/cost", "5431131/sales", "5431132/cost"]
"""What Dataverse must hold of the journal: pairs for time and material, also where sales are 0; else the cost."""


@pytest.fixture
def desk() -> JournalDesk:
    return JournalDesk()


# --- the way ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R60")
def test_posted_journals_with_project_lines_are_brought_to_dataverse_header_lines_confirm(desk: JournalDesk) -> None:
    desk.run()
    assert desk.journal_in_dataverse() == (1, WHOLE, True)
    assert desk.journal_in_dataverse("USPM-000096") == (1, ["5431134/cost"], True)
    written = [call for call in desk.site.pair.calls if call.startswith(("PATCH", "POST"))]
    own = [call for call in written if "msdyn" in call][:7]
    assert [HEADER in own[0], [LINES in call for call in own[1:6]], CONFIRM in own[6]] == [True, [True] * 5, True]
    # One without project lines, a draft, and another company's are left alone.
    assert {row.text("msdyn_description") for row in desk.site.rows("msdyn_journal")} == {NUMBER, "USPM-000096"}
    assert (desk.texts(), desk.statuses()) == ([], {})


@pytest.mark.requirement("R60")
def test_every_company_is_taken_where_the_settings_name_none() -> None:
    desk = JournalDesk(companies=None)
    desk.run()
    assert desk.journal_in_dataverse("GBPM-000012") == (1, ["5431138/cost"], True)


@pytest.mark.requirement("R60")
def test_amounts_of_both_sides_stand_in_dataverse_to_the_cent_with_what_they_point_to(desk: JournalDesk) -> None:
    desk.run()
    rows = {row.text("msdyn_externaldescription"): row for row in desk.site.rows("msdyn_journalline")}
    told = {key: (row.text("msdyn_amount"), row.text("msdyn_quantity")) for key, row in rows.items()}
    assert told == {
        "5431130/cost": ("240.00", "2"),
        "5431130/sales": ("300.00", "2"),
        "5431131/cost": ("75.50", "1"),
        "5431131/sales": ("0.00", "1"),
        "5431132/cost": ("410.25", "3"),
        "5431134/cost": ("99.99", "1"),
    }
    tables = desk.site.pair.tables

    def points_to(key: str, lookup: str, entity: str, column: str) -> str:
        row = tables.row(entity, rows[key].lookup(lookup))
        return row.text(column) if row else ""

    assert points_to("5431134/cost", "transactioncurrencyid", "transactioncurrency", "isocurrencycode") == "EUR"
    assert points_to("5431130/sales", "msdyn_project", "msdyn_project", "assumed_projectnumber") == "P-001002-D"
    category = ("msdyn_transactioncategory", "msdyn_transactioncategorynumber")
    assert points_to("5431132/cost", "msdyn_transactioncategory", *category) == "Hotel-Expense"
    contract = ("salesorderdetail", "assumed_contractlinenumber")
    assert points_to("5431132/cost", "msdyn_salescontractline", *contract) == "CL-000102"
    assert points_to("5431134/cost", "msdyn_salescontractline", *contract) == ""


@pytest.mark.requirement("R60")
def test_a_journal_that_is_through_is_not_asked_for_again(desk: JournalDesk) -> None:
    desk.runs(2)
    before = len(desk.site.pair.calls)
    desk.runs(3)
    assert [call for call in desk.site.pair.calls[before:] if "msdyn" in call] == []
    assert desk.counter().calls == 1


# --- failures and their remedies --------------------------------------------------------------------------------------


def header_refused(desk: JournalDesk) -> Callable[[], Any]:
    desk.site.pair.refusals["msdyn_journal"] = "Principal user is missing prvCreatemsdyn_journal privilege."
    return desk.site.pair.refusals.clear


def lines_refused(desk: JournalDesk) -> Callable[[], Any]:
    desk.site.pair.refusals["msdyn_journalline"] = "The project is closed for new transactions."
    return desk.site.pair.refusals.clear


def not_confirmed(desk: JournalDesk) -> Callable[[], Any]:
    desk.site.pair.refusals["contoso_ConfirmJournal"] = "A rule of Project Operations refuses."
    return desk.site.pair.refusals.clear


def without_project(desk: JournalDesk) -> Callable[[], Any]:
    row = desk.site.pair.feed.reference("msdyn_project", "P-001002-D")
    assert row is not None
    desk.site.pair.delete("msdyn_project", row.id)
    return lambda: desk.site.pair.write("msdyn_project", row.id, row.columns)


def without_currency(desk: JournalDesk) -> Callable[[], Any]:
    row = desk.site.pair.feed.reference("transactioncurrency", "USD")
    assert row is not None
    desk.site.pair.delete("transactioncurrency", row.id)
    return lambda: desk.site.pair.write("transactioncurrency", row.id, row.columns)


def without_contract_line(desk: JournalDesk) -> Callable[[], Any]:
    rows = desk.site.pair.tables["salesorderdetail"].rows
    found = next(row for row in rows.values() if row.text("assumed_contractlinenumber") == "CL-000101")
    del rows[found.id]
    return lambda: rows.update({found.id: found})


def without_category(desk: JournalDesk) -> Callable[[], Any]:
    row = desk.site.pair.feed.reference("msdyn_transactioncategory", "Taxi-Expense")
    assert row is not None
    desk.site.pair.delete("msdyn_transactioncategory", row.id)
    return lambda: desk.site.pair.write("msdyn_transactioncategory", row.id, row.columns)


Cause = Callable[[JournalDesk], Callable[[], Any]]

COUNT = "Manual synch required at count 5. Count {count}."
HEADER_FAILED = f"Failed to sync journal header {NUMBER} to Dataverse. {COUNT}"
LINE_FAILED = f"Failed to sync journal line to Dataverse. {COUNT}"
NOT_MADE = (
    "Error encountered while creating journal line entity for journal line record 5431130. "
    "Failed to retrieve data from Dataverse."
)
NOT_CONFIRMED = "Failed to confirm journal 5541230 in Dataverse."

# The cause, what is logged and under which code, the step that failed, and what is named as the reason.
STORIES: list[tuple[str, Cause, str, str, str, str]] = [
    ("header", header_refused, "GJ_HEADER", HEADER_FAILED, "header", "privilege"),
    ("lines", lines_refused, "GJ_LINE", LINE_FAILED, "lines", "closed for new"),
    ("confirm", not_confirmed, "GJ_CONFIRM", NOT_CONFIRMED, "confirm", "A rule"),
    ("project", without_project, "GJ_LINE_CREATE", NOT_MADE, "lines", "'P-001002-D'"),
    ("currency", without_currency, "GJ_LINE_CREATE", NOT_MADE, "lines", "'USD'"),
    ("contract", without_contract_line, "GJ_LINE_CREATE", NOT_MADE, "lines", "'CL-000101'"),
    ("category", without_category, "GJ_LINE", LINE_FAILED, "lines", "'Taxi-Expense'"),
]
CASES = pytest.mark.parametrize(
    ("cause", "code", "words", "step", "reason"), [story[1:] for story in STORIES], ids=[story[0] for story in STORIES]
)


@pytest.mark.requirement("R44", "R61", "R62")
@CASES
def test_a_failure_is_logged_with_its_count_waits_at_five_and_goes_when_a_person_mended_and_synced(
    desk: JournalDesk, cause: Cause, code: str, words: str, step: str, reason: str
) -> None:
    mend = cause(desk)
    for count in range(1, ATTEMPTS_MAX + 1):
        desk.run()
        (entry,) = (entry for entry in desk.errors() if entry.message.subject == NUMBER)
        told = entry.message
        assert told.text == words.format(count=count)
        assert (told.process, told.company, entry.count) == ("general-journal-sync", "USPM", count)
        assert recognise(told.text or "").code == code
        found = desk.statuses()[NUMBER]
        assert (found.count, found.step, found.code) == (count, step, code)
        assert reason in found.reason
        assert found.state == ("waits-for-a-person" if count == ATTEMPTS_MAX else "waiting")
    desk.runs(2)
    assert (desk.counter().state, desk.counter().calls) == ("stopped", ATTEMPTS_MAX)
    mend()
    desk.run()  # not retried, so it remains
    assert desk.counter().calls == ATTEMPTS_MAX
    desk.sync()
    assert (desk.counter().state, desk.counter().round, desk.counter().made) == ("done", 2, 1)
    assert desk.journal_in_dataverse() == (1, WHOLE, True)
    assert NUMBER not in desk.statuses()
    assert [entry for entry in desk.errors() if entry.message.subject == NUMBER] == []
    gone = [entry for entry in desk.errors(history=True) if entry.message.subject == NUMBER]
    assert {(entry.status.state, entry.count) for entry in gone} == {("history", ATTEMPTS_MAX)}


@pytest.mark.requirement("R61")
def test_what_is_mended_before_the_fifth_goes_by_itself(desk: JournalDesk) -> None:
    mend = without_project(desk)
    desk.runs(3)
    assert desk.statuses()[NUMBER].count == 3
    mend()
    desk.run()
    assert (desk.counter().state, desk.counter().made, desk.texts()) == ("done", 4, [])


@pytest.mark.requirement("R62")
@CASES
def test_deleting_the_log_entry_retries_as_well(
    desk: JournalDesk, cause: Cause, code: str, words: str, step: str, reason: str
) -> None:
    mend = cause(desk)
    desk.runs(ATTEMPTS_MAX)
    mend()
    desk.delete()
    assert (desk.counter().state, desk.counter().round, desk.texts()) == ("waiting", 2, [])
    assert desk.of().by == "anna"
    desk.work()
    assert (desk.journal_in_dataverse(), desk.counter().state, desk.texts()) == ((1, WHOLE, True), "done", [])


@pytest.mark.requirement("R62")
def test_who_deletes_what_is_not_mended_sees_it_again_with_a_new_count(desk: JournalDesk) -> None:
    header_refused(desk)
    desk.runs(ATTEMPTS_MAX)
    assert {text[-8:] for text in desk.texts()} == {"Count 5."}
    desk.delete()
    assert desk.texts() == []
    desk.work()
    assert {text[-8:] for text in desk.texts()} == {"Count 1."}


@pytest.mark.requirement("R60")
def test_a_journal_of_more_than_200_project_lines_is_refused_in_the_products_words(desk: JournalDesk) -> None:
    from tieout.simulator.pair import general_journals

    line = general_journals.JOURNALS[0].lines[0]
    for number, lines in (("USPM-000200", 200), ("USPM-000201", 201)):
        journal = general_journals.LedgerJournal("USPM", number, general_journals.JOURNALS[0].day, (line,) * lines)
        general_journals.add_journal(desk.site.pair.feed, journal)
    desk.run()
    count, lines_there, confirmed = desk.journal_in_dataverse("USPM-000200")
    assert (count, len(lines_there), confirmed) == (1, 400, True)
    assert desk.journal_in_dataverse("USPM-000201") == (0, [], False)
    assert desk.texts() == ["A maximum of 200 project-based lines are supported"]
    assert "divide it" in desk.statuses()["USPM-000201"].reason
    desk.runs(6)
    assert desk.statuses()["USPM-000201"].state == "waits-for-a-person"


@pytest.mark.requirement("R45")
def test_a_journal_that_finance_began_itself_is_not_written_beside(desk: JournalDesk) -> None:
    header = desk.site.pair.write("msdyn_journal", None, {"msdyn_description": NUMBER, "msdyn_isposted": False})
    lookup = {"entity": "msdyn_journal", "id": header.id, "name": None}
    line = desk.site.pair.write("msdyn_journalline", None, {"msdyn_journal": lookup, "msdyn_amount": "240.00"})
    desk.run()
    assert desk.statuses()[NUMBER].code == "GJ_LINE"
    assert "did not write" in desk.statuses()[NUMBER].reason
    assert desk.journal_in_dataverse() == (1, [""], False)
    desk.site.pair.delete("msdyn_journalline", line.id)
    desk.run()
    assert desk.journal_in_dataverse() == (1, WHOLE, True)  # the header was found by the batch number


# --- Dataverse first --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R63")
@pytest.mark.parametrize("failures", range(1, ATTEMPTS_MAX + 1))
def test_a_journal_that_dataverse_confirmed_meanwhile_is_closed_without_another_attempt(
    desk: JournalDesk, failures: int
) -> None:
    not_confirmed(desk)
    desk.runs(failures)
    assert desk.texts().count("Failed to confirm journal 5541230 in Dataverse.") == 1
    calls = desk.calls(CONFIRM)
    (journal,) = desk.site.pair.tables.where("msdyn_journal", "msdyn_description", NUMBER)
    desk.site.pair.feed.write("msdyn_journal", journal.id, {"msdyn_isposted": True})
    desk.run()
    assert desk.calls(CONFIRM) == calls + (failures < ATTEMPTS_MAX)  # that of the other journal
    assert (desk.counter().state, desk.counter().calls) == ("done", failures)
    assert [entry for entry in desk.errors() if entry.message.subject == NUMBER] == []
    assert (desk.of().last_outcome, desk.of().last_text) == ("not-needed", "Dataverse has confirmed it")


@pytest.mark.requirement("R63")
@pytest.mark.parametrize("fault", sorted(AFTER_THE_FACT))
def test_a_confirmation_that_failed_though_it_happened_is_closed_at_the_next_look(
    desk: JournalDesk, fault: InjectedFault
) -> None:
    desk.site.pair.faults.next(fault, CONFIRM)
    desk.run()
    assert (desk.counter().made, desk.journal_in_dataverse()[2]) == (1, True)
    assert "Failed to confirm journal 5541230 in Dataverse." in desk.texts()
    desk.run()
    assert (desk.counter().state, desk.counter().calls, desk.texts()) == ("done", 1, [])


# --- counting ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R43", "R60")
def test_a_failed_journal_is_tried_again_every_five_minutes_and_not_before(desk: JournalDesk) -> None:
    header_refused(desk)
    desk.run()
    assert desk.counter().due - (desk.of().last_at or 0) == 300 * SECOND
    desk.run(minutes=4)
    assert desk.counter().calls == 1
    desk.run(minutes=1)
    assert desk.counter().calls == 2


@pytest.mark.requirement("R43", "R46")
@pytest.mark.parametrize("part", [HEADER, LINES, CONFIRM])
def test_an_answer_429_uses_no_attempt_and_is_no_error(desk: JournalDesk, part: str) -> None:
    desk.site.pair.faults.next("throttled", part, times=3)
    desk.run()
    assert (desk.counter().state, desk.counter().made, desk.counter().calls) == ("done", 1, 4)
    assert (desk.errors(history=True), desk.journal_in_dataverse()) == ([], (1, WHOLE, True))


@pytest.mark.requirement("R43")
def test_one_counter_belongs_to_the_journal_whichever_step_fails(desk: JournalDesk) -> None:
    for refused in ("msdyn_journal", "msdyn_journalline", "contoso_ConfirmJournal"):
        desk.site.pair.refusals = {refused: "no"}
        desk.run()
    assert (desk.counter().made, desk.counter().round) == (3, 1)
    codes = [recognise(entry.message.text or "").code for entry in desk.errors(history=True)]
    assert [code for code in codes if code.startswith("GJ")][::2] == ["GJ_CONFIRM", "GJ_LINE", "GJ_HEADER"]


@pytest.mark.requirement("R43", "R61")
def test_a_dataverse_that_is_away_uses_attempts_and_says_so(desk: JournalDesk) -> None:
    desk.site.pair.revoked.add("dataverse")
    for journal in ("USPM-000095", "USPM-000096"):
        desk.sync(f"USPM/{journal}")
    assert [text[-8:] for text in desk.texts()] == ["Count 1."] * 2
    assert "privilege" in desk.statuses()[NUMBER].reason
    desk.site.pair.revoked.clear()
    desk.run()
    assert (desk.texts(), desk.journal_in_dataverse()) == ([], (1, WHOLE, True))


@pytest.mark.requirement("R49")
def test_nothing_is_written_while_outgoing_calls_are_off(desk: JournalDesk) -> None:
    desk.site.on = False
    desk.run()
    assert desk.journal_in_dataverse() == (0, [], False)
    assert "TIEOUT_OUTGOING" in desk.statuses()[NUMBER].reason


def test_where_no_setting_says_how_a_journal_is_confirmed_none_is_touched() -> None:
    desk = JournalDesk(process_journal=None)
    desk.sync()
    assert (desk.counter().state, desk.site.pair.calls) == ("done", [])
    assert "TIEOUT_PROCESS_JOURNAL" in desk.of().last_text


# --- invariants -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R45", "R60")
@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_lost_no_journal_and_no_line_is_there_twice(seed: int) -> None:
    desk = JournalDesk()
    faults = desk.site.pair.faults
    faults.rate, faults.kinds, faults._chance = 0.25, [kind for kind in KINDS if kind != "slow"], Random(seed)
    for _ in range(8):
        with suppress(TargetError):  # what looks for journals may fail, too
            desk.run()
        count, lines, confirmed = desk.journal_in_dataverse()
        assert count <= 1
        assert len(lines) == len(set(lines))
        assert not confirmed or lines == WHOLE
        for sync in desk.attempts.syncs():
            assert sync.attempts.made <= ATTEMPTS_MAX
    faults.rate = 0.0
    desk.sync()
    desk.run()
    assert desk.journal_in_dataverse() == (1, WHOLE, True)
    assert desk.calls(CONFIRM) <= 2 * ATTEMPTS_MAX + 2


@pytest.mark.requirement("R61")
def test_what_could_not_be_reported_is_reported_later_and_once(desk: JournalDesk) -> None:
    mend = header_refused(desk)
    desk.log_away = True
    desk.runs(2)
    assert desk.errors(history=True) == []
    desk.log_away = False
    desk.run()
    counts = sorted(entry.message.text[-8:] for entry in desk.errors(history=True) if entry.message.text)
    assert counts == ["Count 1.", "Count 1.", "Count 2.", "Count 2.", "Count 3.", "Count 3."]
    ids = [event.value for event in desk.reports]
    assert len(ids) == len(set(ids))
    mend()
    desk.log_away = True
    desk.run()
    assert (desk.counter().state, len(desk.texts()), desk.statuses()) == ("done", 2, {})
    desk.log_away = False
    desk.run()
    assert desk.texts() == []


@pytest.mark.requirement("R43", "R61")
def test_an_attempt_whose_worker_was_killed_is_logged_with_its_count(desk: JournalDesk) -> None:
    lines_refused(desk)
    desk.run()
    desk.site.clock.seconds += 300
    claim = desk.attempts.claim(
        "dead", now=desk.now(), until=desk.now() + SECOND, chance=0.0, only=("journal", JOURNAL)
    )
    assert claim is not None
    desk.attempts.begin(claim, now=desk.now(), until=desk.now() + SECOND)
    desk.site.clock.seconds += 2
    while desk.of().last_outcome != "interrupted":
        assert desk.executor.execute_next()
    desk.journals.request_unconfirmed()
    entry = next(entry for entry in desk.errors() if entry.message.subject == NUMBER)
    assert entry.message.text == "Failed to sync journal line to Dataverse. Manual synch required at count 5. Count 2."
