"""The cause of a missing actual (R15) or journal line (R16), by the progress of the chain."""

import pytest

from engine.reconciliation.explanations import explain
from tests.support.story import ALL_KNOWN, BEGINNING, MINUTE, decide

EXPENSE = """
    08:00   expense  E1   voucher=USPM-463
"""
INVOICE = """
    08:00   pending-line     P1
            pending-project  X1
            invoice          V1
    08:10   invoice-line     I1
    08:20   invoice-record   N1
"""

REVERSED = "actual A1\n staging S1\n actual A2 of=\n staging S2\n reversal C1 A2 of=A1"
MISSING_ACTUAL = {
    "no Dataverse record": (EXPENSE, "not-synced-to-dataverse"),
    "a record of another document": (EXPENSE + "record R2 approved", "not-synced-to-dataverse"),
    "a deleted record": (EXPENSE + "record R1 approved\n record R1 delete", "not-synced-to-dataverse"),
    "an expense still in draft": (EXPENSE + "record R1 draft", "not-approved"),
    "submitted": (EXPENSE + "record R1 submitted", "not-approved"),
    "rejected": (EXPENSE + "record R1 rejected", "rejected-in-dataverse"),
    "recalled": (EXPENSE + "record R1 recall-requested", "recalled-in-dataverse"),
    "rejected, and cancelled since": (EXPENSE + "record R1 rejected state=inactive", "cancelled-in-dataverse"),
    "rejected, and its actual is reversed": (EXPENSE + "record R1 rejected\n" + REVERSED, "rejected-in-dataverse"),
    "recalled, and its actual is reversed": (
        EXPENSE + "record R1 recall-requested\n" + REVERSED,
        "recalled-in-dataverse",
    ),
    "a draft again after its actual was reversed": (EXPENSE + "record R1 draft\n" + REVERSED, "recalled-in-dataverse"),
    "approved, and its actual is reversed": (EXPENSE + "record R1 approved\n" + REVERSED, "actual-reversed"),
    "rejected, while its actual has not reached Finance": (
        EXPENSE + "record R1 rejected\n actual A1",
        "actual-not-synced-back",
    ),
    "a record whose status was never told": (EXPENSE + "record R1", "not-approved"),
    "approved": (EXPENSE + "record R1 approved", "no-actual-made"),
    "posted comes after approved": (EXPENSE + "record R1 posted", "no-actual-made"),
    "paid comes after approved": (EXPENSE + "record R1 paid", "no-actual-made"),
    "a record that is inactive, approved or not": (
        EXPENSE + "record R1 approved state=inactive",
        "cancelled-in-dataverse",
    ),
    "only a sales actual": (EXPENSE + "record R1 approved\n actual A1 type=unbilled-sales", "no-actual-made"),
    "an actual in Dataverse only": (EXPENSE + "record R1 approved\n actual A1", "actual-not-synced-back"),
    "an actual, whatever the record says": (EXPENSE + "record R1 draft\n actual A1", "actual-not-synced-back"),
    "an actual before its record": (EXPENSE + "origin W1\n actual A1 of=", "not-synced-to-dataverse"),
    "one of two actuals not in Finance": (
        EXPENSE + "record R1 approved\n actual A1\n staging S1 voucher=PJ-1\n actual A2 of=R1",
        "actual-not-synced-back",
    ),
    "an actual and its reversal": (
        EXPENSE + "record R1 approved\n actual A1\n staging S1\n actual A2 of=\n staging S2\n reversal C1 A2 of=A1",
        "actual-reversed",
    ),
    "a reversal that has not reached Finance": (
        EXPENSE + "record R1 approved\n actual A1\n staging S1\n actual A2 of=\n reversal C1 A2 of=A1",
        "actual-not-synced-back",
    ),
    "a vendor invoice line without a record": (
        INVOICE.replace("invoice-record   N1", "header H1 confirmed"),
        "not-synced-to-dataverse",
    ),
    "its header was never seen": (INVOICE, "not-confirmed"),
    "its header is a draft": (INVOICE + "header H1 draft", "not-confirmed"),
    "its header is in process": (INVOICE + "header H1 in-process automatic=true", "not-confirmed"),
    "left to a person": (INVOICE + "header H1 draft automatic=false", "awaiting-manual-verification"),
    "left to a person and in process": (
        INVOICE + "header H1 in-process automatic=false",
        "awaiting-manual-verification",
    ),
    "confirmed by hand": (INVOICE + "header H1 confirmed automatic=false", "no-actual-made"),
    "confirmed by itself": (INVOICE + "header H1 confirmed automatic=true", "no-actual-made"),
    "its header is cancelled": (INVOICE + "header H1 cancelled automatic=false", "cancelled-in-dataverse"),
    "its header is inactive": (INVOICE + "header H1 confirmed state=inactive", "cancelled-in-dataverse"),
    "the line itself is inactive": (
        INVOICE + "invoice-record N1 state=inactive\n header H1 confirmed",
        "cancelled-in-dataverse",
    ),
    "its header is cancelled, and its actual is reversed": (
        INVOICE
        + """header H1 cancelled
        actual A1 of=N1
        staging S1 voucher=PJ-1
        actual A2 of=
        staging S2 voucher=PJ-2
        reversal C1 A2 of=A1""",
        "cancelled-in-dataverse",
    ),
    "a record that is inactive, and its actual is reversed": (
        EXPENSE
        + "record R1 approved state=inactive\n actual A1\n staging S1\n"
        + "actual A2 of=\n staging S2\n reversal C1 A2 of=A1",
        "cancelled-in-dataverse",
    ),
    "confirmed, and its actual is in Dataverse": (
        INVOICE + "header H1 confirmed\n actual A1 of=N1",
        "actual-not-synced-back",
    ),
}


@pytest.mark.requirement("R15")
@pytest.mark.parametrize(("table", "cause"), MISSING_ACTUAL.values(), ids=MISSING_ACTUAL.keys())
def test_a_missing_actual_names_how_far_the_chain_got(table: str, cause: str) -> None:
    # The second document gives the record of "another document" its own line.
    story = decide(table + "\n expense E2 draft")
    assert story.status == f"missing-actual: {cause}"


IN_STAGING = """
    08:00   expense  E1
    08:10   record   R1   approved
    08:20   actual   A1
    08:30   staging  S1
"""
IN_A_JOURNAL = """
    08:00   expense  E1
    08:10   record   R1   approved
    08:20   actual   A1
    08:30   journal  J1   number=USPM-041
    08:40   line     L1   voucher=PJ-1
    08:50   staging  S1   line=L1
"""

MISSING_JOURNAL_LINE = {
    "no line (RecId 0)": (IN_STAGING, "not-imported"),
    "line empty": (IN_STAGING + "staging S1 line=", "not-imported"),
    "named, but not seen": (IN_STAGING + "staging S1 line=L1", "line-not-seen"),
    "named, and deleted": (IN_A_JOURNAL + "line L1 delete", "line-not-seen"),
    "draft": (IN_A_JOURNAL + "line L1 draft", "draft"),
    "error": (IN_A_JOURNAL + "line L1 error", "error"),
    "processing": (IN_A_JOURNAL + "line L1 processing", "processing"),
    "unrecoverable": (IN_A_JOURNAL + "line L1 unrecoverable", "unrecoverable"),
    "invalid actual": (IN_A_JOURNAL + "line L1 invalid-actual", "invalid-actual"),
    "a line without a state takes its journal's": (IN_A_JOURNAL + "journal J1 error", "error"),
    "the line's own state before its journal's": (IN_A_JOURNAL + "line L1 error\n journal J1 draft", "error"),
    "neither tells a state": (IN_A_JOURNAL, "draft"),
    "a state that is unknown counts as draft": (IN_A_JOURNAL + "line L1 status=77\n journal J1 error", "draft"),
}


@pytest.mark.requirement("R16")
@pytest.mark.parametrize(("table", "cause"), MISSING_JOURNAL_LINE.values(), ids=MISSING_JOURNAL_LINE.keys())
def test_a_missing_journal_line_names_the_state_of_its_line(table: str, cause: str) -> None:
    assert decide(table).status == f"missing-journal-line: {cause}"


# "Least advanced (R16), in order"; each step is given by the events of the second actual.
IN_ORDER = {
    "not-imported": "staging S2",
    "line-not-seen": "staging S2 line=L2",
    "draft": "staging S2 line=L2\n line L2 draft",
    "invalid-actual": "staging S2 line=L2\n line L2 invalid-actual",
    "error": "staging S2 line=L2\n line L2 error",
    "unrecoverable": "staging S2 line=L2\n line L2 unrecoverable",
    "processing": "staging S2 line=L2\n line L2 processing",
    "posted": "staging S2 line=L2\n line L2 posted",
}
STEPS = list(IN_ORDER)


@pytest.mark.requirement("R16")
@pytest.mark.parametrize(
    ("less", "more"), [(less, more) for n, less in enumerate(STEPS) for more in STEPS[n + 1 :]], ids=" before ".join
)
def test_of_several_actuals_the_least_advanced_is_named(less: str, more: str) -> None:
    further = IN_ORDER[more].replace("S2", "S3").replace("L2", "L3")
    for one, other in ((IN_ORDER[less], further), (further, IN_ORDER[less])):
        story = decide(f"expense E1\n record R1 approved\n actual A2 of=R1\n actual A3 of=R1\n {one}\n {other}")
        assert story.status == f"missing-journal-line: {less}"


@pytest.mark.requirement("R16")
@pytest.mark.parametrize(
    ("less", "more"), [(less, more) for n, less in enumerate(STEPS) for more in STEPS[n + 1 :]], ids=" before ".join
)
def test_of_several_staging_rows_of_one_actual_the_most_advanced_is_judged(less: str, more: str) -> None:
    further = IN_ORDER[more].replace("S2", "S3 of=A2", 1).replace("L2", "L3")
    story = decide(f"expense E1\n record R1 approved\n actual A2 of=R1\n {IN_ORDER[less]}\n {further}")
    assert story.status == ("reconciled" if more == "posted" else f"missing-journal-line: {more}")


@pytest.mark.requirement("R16")
def test_a_missing_journal_line_names_its_journal_and_the_line_in_it() -> None:
    document = decide(IN_A_JOURNAL + "line L1 error amount=100.00 currency=USD").document
    assert (document.journal, document.journal_voucher, document.journal_line_amount) == ("USPM-041", "PJ-1", 100_0000)
    assert "USPM-041" in explain(document, ALL_KNOWN).seen


@pytest.mark.requirement("R16")
@pytest.mark.parametrize(
    ("state", "process"),
    [
        ("not-imported", "Run Import from staging"),
        ("line-not-seen", "Run Import from staging"),
        ("draft", "Post the journal"),
        ("error", "error log"),
        ("processing", "24 hours"),
        ("unrecoverable", "run Import from staging"),
        ("invalid-actual", "Check the actual in Dataverse"),
    ],
)
def test_a_missing_journal_line_names_the_process_that_would_help(state: str, process: str) -> None:
    document = decide(f"expense E1\n record R1 approved\n actual A2 of=R1\n {IN_ORDER[state]}").document
    assert document.cause == state
    assert process in explain(document, ALL_KNOWN).do


# --- since when -------------------------------------------------------------------------------------------------------

SINCE = {
    "the posting of the expense": (EXPENSE + "09:00 expense E1 category=Flight", "08:00"),
    "the posting when the voucher came later": ("08:00 expense E1\n 09:00 expense E1 voucher=V-1", "09:00"),
    "the existence of the invoice line": (INVOICE.replace("invoice-record   N1", "header H1"), "08:10"),
    "the status of the record": (EXPENSE + "08:30 record R1 submitted\n 09:00 record R1 amount=1", "08:30"),
    "the approval": (EXPENSE + "08:30 record R1 submitted\n 09:00 record R1 approved", "09:00"),
    "the state of the record": (EXPENSE + "08:30 record R1 approved\n 09:00 record R1 state=inactive", "09:00"),
    "the status of the header": (INVOICE + "08:45 header H1 draft\n 09:00 header H1 number=Inv-2", "08:45"),
    "the confirmation": (INVOICE + "08:45 header H1 draft\n 09:00 header H1 confirmed", "09:00"),
    "the cancellation of the header": (INVOICE + "08:45 header H1 draft\n 09:00 header H1 cancelled", "09:00"),
    "a header of a status, then set to verification": (
        INVOICE + "08:45 header H1 draft\n 09:00 header H1 automatic=false",
        "08:45",
    ),
    "the actual": (EXPENSE + "record R1 approved\n 08:30 actual A1", "08:30"),
    "the staging row": (IN_STAGING, "08:30"),
    "the line that the staging row names": (IN_STAGING + "09:15 staging S1 line=L1", "09:15"),
    "the state of the line": (IN_A_JOURNAL + "09:15 line L1 error\n 09:30 line L1 amount=1.00", "09:15"),
    "the state of the journal, where the line has none": (
        IN_STAGING + "08:40 line L1\n 08:45 staging S1 line=L1\n 08:50 journal J1 draft\n"
        "09:15 journal J1 processing\n 09:30 line L1 amount=1.00",
        "09:15",
    ),
    "the posting of the journal, where the line has no state": (
        IN_STAGING + "08:40 line L1\n 08:45 staging S1 line=L1\n 08:50 journal J1 draft\n 09:15 journal J1 posted",
        "09:15",
    ),
}


@pytest.mark.requirement("R20")
@pytest.mark.parametrize(("table", "clock"), SINCE.values(), ids=SINCE.keys())
def test_the_time_of_a_step_is_that_of_the_event_that_set_the_column_which_decided(table: str, clock: str) -> None:
    hours, minutes = map(int, clock.split(":"))
    document = decide(table).document
    assert document.since == BEGINNING + ((hours - 8) * 60 + minutes) * MINUTE
    assert document.evidence.event.endswith(f"@{clock}")
