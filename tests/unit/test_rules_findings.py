"""The findings of a chain (R18), each with its explanation (R20)."""

import tomllib
from importlib.resources import files

import pytest

from engine.chains.records import LINK_VALUES_MAX
from engine.mapping.compiler import compile_maps
from engine.reconciliation.explanations import explain_finding
from engine.reconciliation.grace import AHEAD, STUCK, timed_findings
from tests.support.memory_world import MemoryWorld
from tests.support.story import BEGINNING, MINUTE, REFERENCE, changes, decide, key_of

pytestmark = pytest.mark.requirement("R18")

# A chain without findings: every comparable value is present, and the same in all rows.
CLEAN = """
    project   D1   P-1
    project   D2   P-2
    category  Y1   TCN-1
    category  Y2   TCN-2
    expense   E1   100.00 voucher=USPM-463 category=Flight rate=100 booked=100.00
    record    R1   approved amount=100.00 currency=USD project=D1
    actual    A1   100.00 currency=USD project=D1 category=Y1 accounting-date=2025-01-08 voucher=PJ-1
    staging   S1   line=L1 amount=100.00 currency=USD rate=100 project=P-1 category=TCN-1 voucher=PJ-1
    journal   J1   number=USPM-041 posted
    line      L1   posted amount=100.00 currency=USD project=P-1 category=Flight voucher=PJ-1
"""

# The first actual holds a part of the document's amount only.
SIXTY = "actual A1 60.00\n staging S1 amount=60.00\n line L1 amount=60.00\n"

# Each case: the additional events, and the resulting findings (code and row).
COMPARISONS = {
    "nothing wrong": ("", set()),
    "the record tells another amount": ("record R1 amount=99.99", {"amount-differs R1"}),
    "half a cent is within the tolerance": ("record R1 amount=100.005", set()),
    "a little more is not": ("record R1 amount=100.0051", {"amount-differs R1"}),
    "the staging row tells another amount": ("staging S1 amount=99.00", {"amount-differs S1"}),
    "the journal line tells another amount": (
        "line L1 amount=99.00",
        {"amount-differs L1", "cleared-amount-differs E1"},
    ),
    "the actual tells another amount than all the others": (
        "actual A1 90.00",
        {"amount-differs E1", "amount-differs L1", "amount-differs S1", "cleared-amount-differs E1"},
    ),
    "the record holds the amount that was entered": (
        "expense E1 net=80.00\n record R1 amount=100.00",
        {"amount-differs E1"},
    ),
    "the record holds the net amount": ("expense E1 net=80.00\n record R1 amount=80.00", {"amount-differs E1"}),
    "the record holds neither": (
        "expense E1 net=80.00\n record R1 amount=90.00",
        {"amount-differs E1", "amount-differs R1"},
    ),
    "a copy in a currency that the actual may be in": (
        "actual A1 currency=\n line L1 currency=EUR amount=90.00",
        set(),
    ),
    "the record is in another currency": ("record R1 currency=EUR", {"currency-differs R1"}),
    "the staging row is in another currency": ("staging S1 currency=EUR", {"currency-differs S1"}),
    "the journal line is in another currency": ("line L1 currency=EUR", {"currency-differs L1"}),
    "the actual is in another currency": (
        "actual A1 currency=EUR",
        {"currency-differs A1", "currency-differs S1", "currency-differs L1", "not-computable E1"},
    ),
    "currency codes compare without case": ("staging S1 currency=usd\n expense E1 currency=usd", set()),
    "the record is of another project": ("record R1 project=D2", {"project-differs R1"}),
    "the actual is of another project": ("actual A1 project=D2", {"project-differs A1"}),
    "the staging row is of another project": ("staging S1 project=P-2", {"project-differs S1"}),
    "the journal line is of another project": ("line L1 project=P-2", {"project-differs L1"}),
    "project numbers compare without case": ("line L1 project=p-1", set()),
    "a project whose row was not seen is not compared": ("record R1 project=D9", set()),
    "the staging row is of another category": ("staging S1 category=TCN-2", {"category-differs S1"}),
    "the journal line is of another category": ("line L1 category=Hotel", {"category-differs L1"}),
    "categories compare without case": ("line L1 category=FLIGHT", set()),
    "accounted on another day of the month": ("actual A1 accounting-date=2025-01-31", set()),
    "accounted in another month": ("actual A1 accounting-date=2025-02-01", {"date-differs A1"}),
    "accounted in another month, as the journal line says": (
        "line L1 accounting-date=2025-02-03",
        {"date-differs L1"},
    ),
    "accounted in another month, as the staging row says": (
        "staging S1 accounting-date=2025-02-03",
        {"date-differs S1"},
    ),
    "posted in the month after all": (
        "actual A1 accounting-date=2025-02-01\n line L1 accounting-date=2025-01-31",
        set(),
    ),
    "the document date of an actual is no accounting date": (
        "actual A1 accounting-date= document-date=2025-02-01",
        {"no-accounting-date A1"},
    ),
    "posted without an accounting date": ("actual A1 accounting-date=", {"no-accounting-date A1"}),
    "posted with the date of its staging row": (
        "actual A1 accounting-date=\n staging S1 accounting-date=2025-01-08",
        set(),
    ),
    "posted with the date of its journal line": (
        "actual A1 accounting-date=\n line L1 accounting-date=2025-01-08",
        set(),
    ),
    "not posted, without an accounting date": (
        "actual A1 accounting-date= voucher=\n staging S1 voucher=\n line L1 draft",
        set(),
    ),
    "the empty date of Finance is no date": (
        "actual A1 accounting-date=\n staging S1 accounting-date=1900-01-01T00:00:00Z",
        {"no-accounting-date A1"},
    ),
    "posted at another rate": ("staging S1 rate=101.5", {"cleared-amount-differs E1", "rate-differs S1"}),
    "the journal line at another rate": ("line L1 rate=101.5", {"cleared-amount-differs E1", "rate-differs L1"}),
    "the journal line at the same rate": ("line L1 rate=100.00", set()),
    "the journal line at a rate of another currency": (
        "line L1 rate=110 currency=EUR",
        {"cleared-amount-differs E1", "currency-differs L1"},
    ),
    "a journal line without a currency is in that of its actual": (
        "line L1 rate=110 currency=",
        {"cleared-amount-differs E1", "rate-differs L1"},
    ),
    "a rate of a currency that nobody tells": (
        "line L1 rate=110 currency=\n staging S1 rate=110 currency=\n actual A1 currency=",
        {"cleared-amount-differs E1"},
    ),
    "a rate to the accounting currency of another company": (
        "staging S1 rate=123.4567 @GBPM\n line L1 rate=123.4567 @GBPM",
        set(),
    ),
    "a rate that makes half a cent of difference": ("staging S1 rate=100.005", {"cleared-amount-differs E1"}),
    "a rate that makes more": ("staging S1 rate=100.0051", {"cleared-amount-differs E1", "rate-differs S1"}),
    "the same rate written otherwise": ("staging S1 rate=100.000000000000", set()),
    "no rate yet": ("staging S1 rate=0", set()),
    "a second record of the document": ("record R2 of=T1 approved", {"duplicate-record R2"}),
    "a second staging row of the actual": (
        "staging S2 of=A1",
        {"duplicate-staging-row S2"},
    ),
    "a second journal line of the actual": (
        "line L2 draft in=J1\n staging S2 of=A1 line=L2",
        {"duplicate-staging-row S2", "duplicate-journal-line L2"},
    ),
    "a second journal line of the actual, posted": (
        "line L2 posted 100.00 in=J1\n staging S2 of=A1 line=L2",
        {"duplicate-staging-row S2", "duplicate-journal-line L2", "posted-twice L2"},
    ),
    "a second record that was cancelled": ("record R2 of=T1 approved state=inactive", set()),
    "the row that got furthest is the one that stays": (
        "staging S1 line=0 voucher=\n actual A1 voucher=\n staging S2 of=A1 line=L1 voucher=PJ-1",
        {"duplicate-staging-row S1", "not-written-back A1"},
    ),
    "the line that is posted is the one that stays": (
        "line L1 draft\n staging S1 voucher=\n line L2 posted in=J1\n staging S2 of=A1 line=L2 voucher=PJ-1",
        {"cleared-amount-assumed A1", "duplicate-journal-line L1", "duplicate-staging-row S1"},
    ),
    "two actuals that share the document's amount": (
        SIXTY + "actual A2 40.00 of=R1 accounting-date=2025-01-08 voucher=PJ-2\n staging S2",
        {"cleared-amount-assumed A2"},
    ),
    "two actuals that fall short of it": (
        SIXTY + "actual A2 30.00 of=R1 accounting-date=2025-01-08 voucher=PJ-2\n staging S2",
        {"amount-differs E1", "cleared-amount-assumed A2"},
    ),
    "a third actual beyond the two": (
        SIXTY + "actual A2 40.00 of=R1 accounting-date=2025-01-08 voucher=PJ-2\n staging S2\n"
        "actual A3 100.00 of=R1 accounting-date=2025-01-08 voucher=PJ-3\n staging S3",
        {"amount-differs E1", "cleared-amount-assumed A2", "cleared-amount-assumed A3", "duplicate-actual A3"},
    ),
    "a second actual of a credit": (
        "expense E1 -100.00 booked=-100.00\n record R1 amount=-100.00\n actual A1 -100.00\n staging S1 amount=-100.00\n"
        "line L1 amount=-100.00\n actual A2 -100.00 of=R1 accounting-date=2025-01-08 voucher=PJ-2\n staging S2",
        {"amount-differs E1", "cleared-amount-assumed A2", "duplicate-actual A2"},
    ),
    "an actual reversed and replaced": (
        "actual A2 -100.00 of= accounting-date=2025-01-08 voucher=PJ-2\n staging S2\n reversal C1 A2 of=A1\n"
        "actual A3 100.00 of= accounting-date=2025-01-08 voucher=PJ-3\n staging S3\n replacement C2 A3 of=A1",
        {"cleared-amount-assumed A2", "cleared-amount-assumed A3"},
    ),
    "an actual replaced while its reversal is under way": (
        "actual A2 -100.00 of=\n reversal C1 A2 of=A1\n"
        "actual A3 100.00 of= accounting-date=2025-01-08 voucher=PJ-3\n staging S3\n replacement C2 A3 of=A1",
        {"cleared-amount-assumed A3"},
    ),
    "an actual replaced before its reversal is seen": (
        "actual A3 100.00 of= accounting-date=2025-01-08 voucher=PJ-3\n staging S3\n replacement C2 A3 of=A1",
        {"amount-differs E1", "cleared-amount-assumed A3"},
    ),
    "a wrong project that was reversed and replaced": (
        "actual A1 project=D2\n staging S1 project=P-2\n line L1 project=P-2\n"
        "actual A2 -100.00 of= project=D2 accounting-date=2025-01-08 voucher=PJ-2\n"
        " staging S2 project=P-2\n reversal C1 A2 of=A1\n"
        "actual A3 100.00 of= project=D1 accounting-date=2025-01-08 voucher=PJ-3\n"
        " staging S3 project=P-1\n replacement C2 A3 of=A1",
        {"cleared-amount-assumed A2", "cleared-amount-assumed A3"},
    ),
    "a wrong date that was reversed on the same date and replaced": (
        "actual A1 accounting-date=2025-02-01\n"
        "actual A2 -100.00 of= accounting-date=2025-02-01 voucher=PJ-2\n staging S2\n reversal C1 A2 of=A1\n"
        "actual A3 100.00 of= accounting-date=2025-01-08 voucher=PJ-3\n staging S3\n replacement C2 A3 of=A1",
        {"cleared-amount-assumed A2", "cleared-amount-assumed A3"},
    ),
    "a reversal in another month than its original": (
        "actual A2 -100.00 of= accounting-date=2025-02-01 voucher=PJ-2\n staging S2\n reversal C1 A2 of=A1\n"
        "actual A3 100.00 of= accounting-date=2025-01-08 voucher=PJ-3\n staging S3\n replacement C2 A3 of=A1",
        {"cleared-amount-assumed A2", "cleared-amount-assumed A3", "date-differs A2"},
    ),
    "a second actual": (
        "actual A2 100.00 of=R1 accounting-date=2025-01-08 voucher=PJ-2\n staging S2",
        {"amount-differs E1", "cleared-amount-assumed A2", "duplicate-actual A2"},
    ),
    "a second actual that was reversed": (
        "actual A2 100.00 of=R1 accounting-date=2025-01-08 voucher=PJ-2\n staging S2\n"
        "actual A3 -100.00 of= accounting-date=2025-01-08 voucher=PJ-3\n staging S3\n reversal C1 A3 of=A2",
        {"cleared-amount-assumed A2", "cleared-amount-assumed A3"},
    ),
    "a second line with the transaction id": (
        "expense E2 id=T1 draft voucher=USPM-464",
        {"ambiguous-link E1", "ambiguous-link E2"},
    ),
    "posted, but no voucher on the actual": ("actual A1 voucher=", {"not-written-back A1"}),
    "a status that the map does not know": ("record R1 status=999", {"unknown-value R1"}),
    "a state of a line that the map does not know": ("line L1 status=77", {"unknown-value L1"}),
    "a state of a journal that the map does not know": ("journal J1 status=77", {"unknown-value J1"}),
    "an amount that is none": ("staging S1 amount=a-lot", {"unknown-value S1"}),
    "an amount with the noise of a double": ("staging S1 amount=100.0000000000002", {"rounded S1"}),
    "an id that is none": ("actual A1 project=nobody", {"unknown-value A1"}),
    "a date that is none": ("expense E1 date=2025-02-30", {"unknown-value E1"}),
    "the actual was rolled back": ("actual A1 delete", {"record-deleted-after-posting A1"}),
    "a staging row of an actual that was never seen": ("staging S5", {"orphan-in-finance S5"}),
    "a staging row without the id of its actual": ("staging S5 of=", set()),
    "a staging row without the id of its actual, of a journal line": ("staging S5 of= line=L5\n line L5 draft", set()),
    "an id of an actual that is none": ("staging S5 of=nobody", {"unknown-value S5"}),
    "a journal line that no staging row names": ("line L5 draft voucher=PJ-5", {"orphan-journal-line L5"}),
    "a record of a line that Finance does not have": ("record R5 approved", {"orphan-in-dataverse R5"}),
    "a cancelled record of a line that Finance does not have": ("record R5 approved state=inactive", set()),
    "a cancelled record that made a cost": (
        "record R5 approved state=inactive\n actual A5",
        {"orphan-in-dataverse R5"},
    ),
    "a record with no Finance id is not Finance's": ("record R5 approved of=", set()),
    "an invoice record of a line that Finance does not have": (
        "header H5 draft\n invoice-record N5",
        {"orphan-in-dataverse N5"},
    ),
    "an invoice record of a line that is still pending": (
        "header H5 draft\n invoice-record N5\n pending-line P5\n pending-project X5",
        set(),
    ),
    "an invoice confirmed before its lines came": ("header H5 confirmed", {"header-before-lines H5"}),
    "a confirmed invoice without lines that is inactive": ("header H5 confirmed state=inactive", set()),
    "an invoice without lines, in draft": ("header H5 draft", set()),
    "an invoice whose only line was deleted": (
        "header H5 confirmed\n invoice-record N5\n invoice-record N5 delete",
        {"header-before-lines H5"},
    ),
}


@pytest.mark.requirement("R20")
@pytest.mark.parametrize(("events", "found"), COMPARISONS.values(), ids=COMPARISONS.keys())
def test_a_finding_names_what_is_wrong_and_where(events: str, found: set[str]) -> None:
    story = decide(CLEAN + events)
    assert story.finding_codes == found
    for finding in story.world.findings:
        words = explain_finding(finding)
        assert "(none)" not in f"{words.seen} {words.missing} {words.do}", finding.code


def test_the_codes_of_its_findings_stand_on_the_document() -> None:
    document = decide(CLEAN + "staging S1 rate=101.5\n record R1 amount=1.00\n line L5 voucher=PJ-5").document
    assert document.findings == ("amount-differs", "cleared-amount-differs", "rate-differs")


# Company, date of the document, accounting date as sent, and the finding.
SHIFTED = {
    "midnight in Berlin": ("Europe/Berlin", "2025-01-01", "2024-12-31T23:00:00Z", "date-shifted"),
    "midnight in Berlin in summer": ("Europe/Berlin", "2025-07-01", "2025-06-30T22:00:00Z", "date-shifted"),
    "midnight in Auckland, noon in UTC": ("Pacific/Auckland", "2025-07-01", "2025-06-30T12:00:00Z", "date-shifted"),
    "an offset in place of Z": ("Europe/Berlin", "2025-01-01", "2024-12-31T18:00:00-05:00", "date-shifted"),
    "another day of the month that it is in Berlin": (
        "Europe/Berlin",
        "2025-01-20",
        "2024-12-31T23:00:00Z",
        "date-shifted",
    ),
    "an hour too early for Berlin": ("Europe/Berlin", "2025-01-01", "2024-12-31T22:00:00Z", "date-differs"),
    "midnight in Berlin, of a company in London": (
        "Europe/London",
        "2025-01-01",
        "2024-12-31T23:00:00Z",
        "date-differs",
    ),
    "really another day": ("Europe/Berlin", "2025-01-01", "2024-12-20T23:00:00Z", "date-differs"),
    "a date without a time": ("Europe/Berlin", "2025-01-01", "2024-12-31", "date-differs"),
    "midnight in UTC, as both systems write a date": (
        "Europe/Berlin",
        "2025-01-01",
        "2024-12-31T00:00:00Z",
        "date-differs",
    ),
    "a company whose time zone is unknown": ("", "2025-01-01", "2024-12-31T23:00:00Z", "date-differs"),
    "a time zone that does not exist": ("Mars/Olympus", "2025-01-01", "2024-12-31T23:00:00Z", "date-differs"),
    "the same month as written": ("Europe/Berlin", "2024-12-31", "2024-12-31T23:00:00Z", None),
    "the end of the calendar": ("Europe/Berlin", "2025-01-01", "9999-12-31T23:00:00Z", "date-differs"),
}


@pytest.mark.parametrize(("zone", "day", "sent", "found"), SHIFTED.values(), ids=SHIFTED.keys())
def test_a_date_that_differs_by_the_time_zone_of_the_company_alone_is_shifted(
    zone: str, day: str, sent: str, found: str | None
) -> None:
    story = decide(f"{CLEAN} company K1 zone={zone}\n expense E1 date={day}\n actual A1 accounting-date={sent}")
    assert story.finding_codes == ({f"{found} A1"} if found else set())
    row = story.world.row(key_of("A1"))
    assert row is not None
    assert row["accounting_date"] == sent[:10]


def test_a_reversal_of_a_shifted_date_is_shifted_with_it() -> None:
    shifted = """
        company   K1   zone=Europe/Berlin
        expense   E1   date=2025-01-01
        actual    A1   accounting-date=2025-01-01
        actual    A2   -100.00 of= accounting-date=2024-12-31T23:00:00Z voucher=PJ-2
        staging   S2
        reversal  C1   A2 of=A1
        actual    A3   100.00 of=R1 accounting-date=2025-01-01 voucher=PJ-3
        staging   S3
    """
    dates = {code for code in decide(CLEAN + shifted).finding_codes if code.startswith("date")}
    assert dates == {"date-shifted A2"}


def test_the_date_without_a_time_zone_is_preferred_where_it_is_mapped() -> None:
    """As of Finance 10.0.4x, actuals have an accounting date without a time zone; its column is mapped by overlay."""
    named = {"accounting_date": ["own_dateonly", "msdyn_accountingdate"]}
    overlay = {"schema": 1, "version": "7", "source": "dataverse", "entities": {"msdyn_actual": {"columns": named}}}
    folder = files("tieout") / "maps"
    shipped = [(name, tomllib.loads((folder / name).read_text())) for name in ("finance.toml", "dataverse.toml")]
    maps = compile_maps(shipped, [("own.toml", overlay)])
    table = f"{CLEAN} company K1 zone=Europe/Berlin\n expense E1 date=2025-01-01\n"
    sent = changes(REFERENCE + table + "actual A1 accounting-date=2024-12-31T23:00:00Z")
    assert {finding.code for finding in MemoryWorld(sent, maps).findings} == {"date-shifted"}
    sent[-1].columns["own_dateonly"] = "2025-01-01"
    assert MemoryWorld(sent, maps).findings == []


@pytest.mark.parametrize(
    ("currency", "other", "found"),
    [("USD", "100.01", True), ("USD", "100.005", False), ("JPY", "101", True), ("JPY", "100.5", False)],
)
def test_the_tolerance_is_half_the_smallest_unit_of_the_currency(currency: str, other: str, found: bool) -> None:
    story = decide(
        f"expense E1 100 currency={currency} rate=100\n record R1 approved amount={other} currency={currency}"
    )
    assert ("amount-differs R1" in story.finding_codes) == found


def test_sums_know_no_tolerance() -> None:
    story = decide("expense E1 100.00\n record R1 approved\n actual A1 99.995\n staging S1 voucher=PJ-1")
    assert "amount-differs E1" not in story.finding_codes
    assert story.parts == "0.00 0.00 99.995 0.005"


def test_while_an_actual_is_under_way_the_sum_is_not_compared() -> None:
    story = decide("expense E1 100.00\n record R1 approved\n actual A1 60.00\n staging S1\n actual A2 30.00 of=R1")
    assert "amount-differs E1" not in story.finding_codes


# The company's ledger calendar splits January: its periods decide, not the months.
CALENDAR = """
    year           F1   2025-01-01 until=2025-12-31
    period         M1   2025-01-01 until=2025-01-14 year=F1
    period         M2   2025-01-15 until=2025-02-28 year=F1
    period-status  Q1   open
    period-status  Q2   open
"""


@pytest.mark.parametrize(
    ("day", "accounted", "found"),
    [
        ("2025-01-08", "2025-01-14", False),
        ("2025-01-08", "2025-01-15", True),
        ("2025-01-20", "2025-02-20", False),
        ("2024-12-31", "2025-01-01", True),
        ("2030-03-01", "2030-03-31", False),
    ],
    ids=["same period", "next period, same month", "same period, next month", "before the calendar", "no calendar"],
)
def test_dates_differ_over_a_boundary_of_the_companys_periods(day: str, accounted: str, found: bool) -> None:
    story = decide(CALENDAR + f"expense E1 date={day}\n record R1 approved\n actual A1 accounting-date={accounted}")
    assert ("date-differs A1" in story.finding_codes) == found


@pytest.mark.parametrize(
    ("state", "after", "found"),
    [("processing", STUCK, ()), ("processing", STUCK + 1, ("processing-too-long",)), ("draft", 9 * STUCK, ())],
)
def test_a_line_is_in_processing_for_too_long_after_a_day(state: str, after: int, found: tuple[str, ...]) -> None:
    document = decide(f"expense E1\n record R1 approved\n actual A1\n staging S1 line=L1\n line L1 {state}").document
    assert STUCK == 24 * 60 * MINUTE
    assert timed_findings(document, document.since + after) == found


@pytest.mark.parametrize(
    ("ahead", "found"), [(AHEAD, ()), (AHEAD + 1, ("clock-ahead",)), (9 * 365 * AHEAD, ("clock-ahead",))]
)
def test_an_event_from_days_to_come_is_a_finding(ahead: int, found: tuple[str, ...]) -> None:
    document = decide("expense E1\n record R1 approved").document
    assert timed_findings(document, document.since - ahead) == found


def test_actuals_that_reverse_each_other_end_in_findings_not_in_a_circle() -> None:
    circle = "actual A2 of=R1\n staging S2 of=A2 line=L1\n reversal C1 A2 of=A1\n reversal C2 A1 of=A2"
    document = decide(CLEAN + circle).document
    assert document.position in ("missing-actual", "missing-journal-line", "reconciled")


def test_no_finding_is_told_twice() -> None:
    lines = "line L2 posted in=J1\n staging S2 of=A1 line=L2\n staging S3 of=A1 line=L2"
    findings = decide(CLEAN + lines).chain.findings
    events = [(finding.code, finding.subject) for finding in findings]
    assert sorted(set(events)) == sorted(events)


def test_a_document_names_the_findings_of_its_chain_that_are_about_it() -> None:
    assert decide(CLEAN + "line L1 status=77").document.findings == ("unknown-value",)
    # A row without counterpart in the other system is no finding of the document.
    assert decide(CLEAN + "line L9 posted in=J1\n staging S9 of=A9 line=L9").document.findings == ()


def test_more_than_200_records_in_a_chain_are_a_finding() -> None:
    many = "\n".join(f"record R{n} of=T1" for n in range(2, 202))
    assert "chain-too-large E1" in decide("expense E1\n" + many).finding_codes
    few = "\n".join(f"record R{n} of=T1" for n in range(2, 201))
    assert "chain-too-large E1" not in decide("expense E1\n" + few).finding_codes


@pytest.mark.parametrize(("values", "found"), [(LINK_VALUES_MAX, False), (LINK_VALUES_MAX + 1, True)])
def test_a_link_column_of_which_values_were_dropped_is_a_finding(values: int, found: bool) -> None:
    story = decide("expense E1\n" + "\n".join(f"expense E1 id=T{n}" for n in range(2, values + 1)))
    assert ("former-links-dropped E1" in story.finding_codes) is found
    if found:
        assert explain_finding(story.finding("former-links-dropped")).seen.startswith("ProjTransId of this row")


def test_the_event_of_a_posting_that_was_not_written_back_is_the_posting() -> None:
    staged = "08:00 expense E1\n 08:10 record R1 approved\n 08:20 actual A1\n 08:30 staging S1\n"
    story = decide(staged + "09:00 staging S1 voucher=PJ-1")
    assert explain_finding(story.finding("not-written-back")).since == "2025-01-08T09:00:00Z"


def test_a_line_is_in_processing_since_its_journal_is_when_it_has_no_state_of_its_own() -> None:
    story = decide(
        """
        08:00   expense   E1
        08:10   record    R1   approved
        08:20   actual    A1
        08:30   line      L1
        08:40   staging   S1   line=L1
        08:50   journal   J1   draft
        20:00   journal   J1   processing
        """
    )
    assert story.document.cause == "processing"
    assert story.document.since == BEGINNING + 12 * 60 * MINUTE


def test_a_sum_too_large_to_keep_is_no_duplicate_and_no_exception() -> None:
    nine = "9000000000000"
    events = "\n".join(f"actual A{n} {nine} of=R1 voucher=PJ-{n}\n staging S{n}" for n in (1, 2))
    assert decide(f"expense E1 {nine}\n record R1 approved\n {events}").finding_codes >= {
        "not-computable E1",
        "duplicate-actual A2",
    }
