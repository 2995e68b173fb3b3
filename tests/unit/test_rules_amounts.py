"""How a document's amount is divided: missing actual, missing journal line, reconciled, difference (R14)."""

import pytest

from engine import money
from tests.support.story import Story, decide

pytestmark = pytest.mark.requirement("R14")

HUNDRED = """
    expense  E1   100.00
    record   R1   approved
"""
REVERSED = """
    expense  E1   100.00
    record   R1   approved
    actual   A1   100.00
    staging  S1   voucher=PJ-1
    actual   A2   -100.00 of=
    reversal C1   A2 of=A1
"""

# Each case: the events after the expense of 100.00 and its approved record, where the document stands, and its
# amount as: missing actual, missing journal line, reconciled, difference.
STAGES = {
    "no actual": ("", "missing-actual", "100.00 0.00 0.00 0.00"),
    "an actual that has not reached Finance": ("actual A1 100.00", "missing-actual", "100.00 0.00 0.00 0.00"),
    "without an effective actual the document's own amount is missing": (
        "actual A1 90.00",
        "missing-actual",
        "100.00 0.00 0.00 0.00",
    ),
    "in staging": ("actual A1 100.00\n staging S1", "missing-journal-line", "0.00 100.00 0.00 0.00"),
    "in a draft journal": (
        "actual A1 100.00\n staging S1 line=L1\n line L1 draft",
        "missing-journal-line",
        "0.00 100.00 0.00 0.00",
    ),
    "in a posted journal": (
        "actual A1 100.00\n staging S1 line=L1\n line L1 posted",
        "reconciled",
        "0.00 0.00 100.00 0.00",
    ),
    "the actual's amount counts, the rest is a difference": (
        "actual A1 90.00\n staging S1",
        "missing-journal-line",
        "0.00 90.00 0.00 10.00",
    ),
    "an actual larger than the document": (
        "actual A1 110.00\n staging S1 voucher=PJ-1",
        "reconciled",
        "0.00 0.00 110.00 -10.00",
    ),
    "a staging amount unlike the actual's does not count": (
        "actual A1 100.00\n staging S1 amount=99.00",
        "missing-journal-line",
        "0.00 100.00 0.00 0.00",
    ),
    "two actuals, one posted": (
        "actual A1 60.00\n staging S1 voucher=PJ-1\n actual A2 40.00 of=R1\n staging S2",
        "missing-journal-line",
        "0.00 40.00 60.00 0.00",
    ),
    "two actuals, one not in Finance": (
        "actual A1 60.00\n staging S1 voucher=PJ-1\n actual A2 40.00 of=R1",
        "missing-actual",
        "40.00 0.00 60.00 0.00",
    ),
    "two actuals, neither in Finance": (
        "actual A1 60.00\n actual A2 30.00 of=R1",
        "missing-actual",
        "100.00 0.00 0.00 0.00",
    ),
    "a sales actual is not counted": (
        "actual A1 100.00\n staging S1 voucher=PJ-1\n actual A2 150.00 of=R1 type=unbilled-sales\n staging S2",
        "reconciled",
        "0.00 0.00 100.00 0.00",
    ),
    "an actual that is Skip Sync is not counted": (
        "actual A1 100.00\n staging S1 voucher=PJ-1\n actual A2 70.00 of=R1 skip-sync=true\n staging S2",
        "reconciled",
        "0.00 0.00 100.00 0.00",
    ),
    "an actual never seen whole is not counted": (
        "actual A1 100.00 type=\n staging S1 voucher=PJ-1",
        "missing-actual",
        "100.00 0.00 0.00 0.00",
    ),
    "a deleted actual that was posted stays posted": (
        "actual A1 100.00\n staging S1 voucher=PJ-1\n actual A1 delete",
        "reconciled",
        "0.00 0.00 100.00 0.00",
    ),
    "a deleted actual that was not posted is gone": (
        "actual A1 100.00\n staging S1\n actual A1 delete",
        "missing-actual",
        "100.00 0.00 0.00 0.00",
    ),
    "two staging rows of an actual count it once": (
        "actual A1 100.00\n staging S1 line=L1\n staging S2 of=A1\n line L1 posted",
        "reconciled",
        "0.00 0.00 100.00 0.00",
    ),
}


@pytest.mark.parametrize(("events", "position", "parts"), STAGES.values(), ids=STAGES.keys())
def test_how_far_the_actuals_got_divides_the_amount(events: str, position: str, parts: str) -> None:
    story = decide(HUNDRED + events)
    assert (story.document.position, story.parts) == (position, parts)
    # The ledger is in the document's currency, so the accounting amounts are the same.
    assert story.accounting_parts == parts


REVERSALS = {
    "a reversal that has not reached Finance cancels nothing": (
        "",
        "missing-actual",
        "-100.00 0.00 100.00 100.00",
    ),
    "posted, it cancels: the whole document is missing again": (
        "staging S2 voucher=PJ-2",
        "missing-actual",
        "100.00 0.00 0.00 0.00",
    ),
    "in staging, it cancels, and its own line is missing": (
        "staging S2",
        "missing-actual",
        "100.00 -100.00 100.00 0.00",
    ),
    "a replacement that is posted takes the place": (
        "staging S2 voucher=PJ-2\n actual A3 90.00 of=\n replacement C2 A3 of=A1\n staging S3 voucher=PJ-3",
        "reconciled",
        "0.00 0.00 90.00 10.00",
    ),
    "a replacement in staging": (
        "staging S2 voucher=PJ-2\n actual A3 100.00 of=\n replacement C2 A3 of=A1\n staging S3",
        "missing-journal-line",
        "0.00 100.00 0.00 0.00",
    ),
    "a replacement that has not reached Finance does not count yet": (
        "staging S2 voucher=PJ-2\n actual A3 90.00 of=\n replacement C2 A3 of=A1",
        "missing-actual",
        "100.00 0.00 0.00 0.00",
    ),
    "a posted replacement while the reversal is in staging": (
        "staging S2\n actual A3 100.00 of=\n replacement C2 A3 of=A1\n staging S3 voucher=PJ-3",
        "missing-journal-line",
        "0.00 -100.00 200.00 0.00",
    ),
    "a reversal that is Skip Sync reverses nothing": (
        "actual A2 skip-sync=true",
        "reconciled",
        "0.00 0.00 100.00 0.00",
    ),
    "a reversal whose original was deleted reverses what was posted": (
        "staging S2 voucher=PJ-2\n actual A2 of=R1\n actual A1 delete",
        "missing-actual",
        "100.00 0.00 0.00 0.00",
    ),
}


@pytest.mark.parametrize(("events", "position", "parts"), REVERSALS.values(), ids=REVERSALS.keys())
def test_a_reversal_cancels_its_original_once_it_counts(events: str, position: str, parts: str) -> None:
    story = decide(REVERSED + events)
    assert (story.document.position, story.parts) == (position, parts)


@pytest.mark.parametrize(
    ("events", "position", "parts"),
    [
        ("expense E1 0.00", "missing-actual", "0.00 0.00 0.00 0.00"),
        ("expense E1 0.00\n actual A1 0.00\n staging S1", "missing-journal-line", "0.00 0.00 0.00 0.00"),
        ("expense E1 0.00\n actual A1 0.00\n staging S1 voucher=PJ-1", "reconciled", "0.00 0.00 0.00 0.00"),
        ("expense E1 -25.50", "missing-actual", "-25.50 0.00 0.00 0.00"),
        ("expense E1 -25.50\n actual A1 -25.50\n staging S1", "missing-journal-line", "0.00 -25.50 0.00 0.00"),
        ("expense E1 -25.50\n actual A1 -25.50\n staging S1 voucher=PJ-1", "reconciled", "0.00 0.00 -25.50 0.00"),
    ],
    ids=["0 missing", "0 staged", "0 posted", "negative missing", "negative staged", "negative posted"],
)
def test_zero_and_negative_amounts_have_positions_too(events: str, position: str, parts: str) -> None:
    story = decide(f"record R1 approved\n {events}")
    assert (story.document.position, story.parts, story.accounting_parts) == (position, parts, parts)


@pytest.mark.parametrize(
    ("line", "amount"),
    [
        ("expense E1 amount=120.00 net=100.00", "100.00"),
        ("expense E1 amount=120.00 net=", "120.00"),
        ("expense E1 amount=120.00 net=0.00", "0.00"),
    ],
    ids=["net when present", "else the amount entered", "a net amount of zero is present"],
)
def test_the_compared_amount_of_an_expense_is_net_of_recoverable_tax(line: str, amount: str) -> None:
    assert decide(line).parts == f"{amount} 0.00 0.00 0.00"


def test_the_grid_still_shows_the_amount_as_entered() -> None:
    document = decide("expense E1 amount=120.00 net=100.00").document
    assert document.entered_amount == 120_0000


def test_a_vendor_invoice_line_is_compared_by_its_line_amount() -> None:
    story = decide(
        """
        pending-line     P1
        pending-project  X1
        invoice-line     I1   5000.00
        invoice-record   N1
        header           H1   confirmed
        actual           A1   4000.00 of=N1
        staging          S1
        """
    )
    assert (story.document.position, story.parts) == ("missing-journal-line", "0.00 4000.00 0.00 1000.00")


# --- accounting currency ----------------------------------------------------------------------------------------------


def expense_with(line: str, *actuals: str) -> Story:
    """An expense with its cost actuals, each written as `AMOUNT posted`, `AMOUNT staged` or `AMOUNT sent`."""
    events = [line, "record R1 approved"]
    for number, actual in enumerate(actuals, 1):
        amount, how_far = actual.split()
        events.append(f"actual A{number} {amount} of=R1")
        if how_far != "sent":
            events.append(f"staging S{number} " + ("voucher=PJ-1" if how_far == "posted" else ""))
    return decide("\n".join(events))


IN_ACCOUNTING_CURRENCY = {
    "in the same proportions": (
        "expense E1 100.00 currency=EUR booked=110.00",
        ["60.00 posted", "40.00 staged"],
        "0.00 44.00 66.00 0.00",
    ),
    "the difference as well": (
        "expense E1 100.00 currency=EUR booked=110.00",
        ["90.00 posted"],
        "0.00 0.00 99.00 11.00",
    ),
    "the remainder goes to the largest part": (
        # 33.33 × 1.0001 = 33.333333; 33.34 × 1.0001 = 33.343334: together 100.00, so a cent is left over.
        "expense E1 100.00 currency=EUR booked=100.01",
        ["33.33 posted", "33.33 staged", "33.34 sent"],
        "33.35 33.33 33.33 0.00",
    ),
    "at a tie the first": (
        # 1.005 twice, each rounded away from zero to 1.01: a cent too many, taken from the first of the two.
        "expense E1 2.00 currency=EUR booked=2.01",
        ["1.00 posted", "1.00 staged"],
        "0.00 1.00 1.01 0.00",
    ),
    "negative halves are rounded away from zero": (
        "expense E1 -2.00 currency=EUR booked=-2.01",
        ["-1.00 posted", "-1.00 staged"],
        "0.00 -1.00 -1.01 0.00",
    ),
    "largest in absolute value": (
        # Parts −50, 150 and a difference of 0 of 100.00; × 1.0001 = −50.005, 150.015: −50.01, 150.02.
        "expense E1 100.00 currency=EUR booked=100.01",
        ["150.00 posted", "-50.00 staged"],
        "0.00 -50.01 150.02 0.00",
    ),
    "from the rate when the booked amount is missing": (
        "expense E1 100.00 currency=EUR rate=110",
        ["100.00 posted"],
        "0.00 0.00 110.00 0.00",
    ),
    "the booked amount before the rate": (
        "expense E1 100.00 currency=EUR rate=110 booked=111.00",
        ["100.00 posted"],
        "0.00 0.00 111.00 0.00",
    ),
    "the amount itself in the ledger's own currency": ("expense E1 100.00", ["100.00 staged"], "0.00 100.00 0.00 0.00"),
    "neither booked nor a rate: not known": (
        "expense E1 100.00 currency=EUR",
        ["100.00 staged"],
        "None None None None",
    ),
    "a rate of 0 is no rate": ("expense E1 100.00 currency=EUR rate=0", ["100.00 staged"], "None None None None"),
    "a document of 0: each part by its rate": (
        "expense E1 0.00 currency=EUR rate=110 booked=0.00",
        ["10.00 posted"],
        "0.00 0.00 11.00 -11.00",
    ),
    "a document of 0 with nothing to divide": (
        "expense E1 0.00 currency=EUR rate=110 booked=0.00",
        [],
        "0.00 0.00 0.00 0.00",
    ),
}


@pytest.mark.parametrize(("line", "actuals", "parts"), IN_ACCOUNTING_CURRENCY.values(), ids=IN_ACCOUNTING_CURRENCY)
def test_the_booked_amount_is_divided_in_the_same_proportions(line: str, actuals: list[str], parts: str) -> None:
    assert expense_with(line, *actuals).accounting_parts == parts


def test_parts_are_rounded_to_a_currency_without_decimals() -> None:
    events = (
        "expense E1 10.00 booked=1505\n actual A1 3.33\n staging S1 voucher=PJ-1\n actual A2 6.67 of=R1\n staging S2"
    )
    story = decide(f"ledger G1 JPY\n record R1 approved\n {events}")
    assert story.document.accounting_currency == "JPY"
    assert story.accounting_parts == "0 1004 501 0"


def test_parts_are_rounded_also_when_booked_and_compared_amount_are_the_same_number() -> None:
    # 33.335 is rounded to 33.34 and 66.665 to 66.67: a cent too many, taken from the larger.
    assert expense_with("expense E1 100.00 booked=100.00", "33.335 posted").accounting_parts == "0.00 0.00 33.34 66.66"


def test_without_a_ledger_the_documents_own_currency_is_the_accounting_currency() -> None:
    story = decide("expense E1 100.00 currency=EUR", reference="")
    assert (story.document.accounting_currency, story.accounting_parts) == ("EUR", "100.00 0.00 0.00 0.00")


# --- an actual in another currency ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expense", "booked"),
    [
        ("amount=120.00 net=100.00 booked=120.00", "100.00"),
        ("amount=100.00 booked=95.00", "100.00"),
        ("amount=120.00 net=100.00 currency=EUR booked=130.02", "108.35"),
        ("amount=-120.00 net=-100.00 currency=EUR booked=-130.02", "-108.35"),
        ("amount=3.00 net=1.00 currency=EUR booked=1.00", "0.33"),
        ("amount=120.00 net=0.00 currency=EUR booked=130.02", "130.02"),
        ("amount=100.00 currency=EUR booked=108.35", "108.35"),
        ("amount=120.00 net=100.00 currency=EUR rate=110", "110.00"),
        ("amount=12.345", "12.35"),
        ("amount=-12.345", "-12.35"),
        ("amount=100.00 currency=EUR booked=108.345", "108.35"),
    ],
    ids=[
        "net within one currency",
        "the amount itself within one currency, whatever was sent",
        "scaled to net",
        "a credit scaled to net",
        "rounded half up",
        "an amount of 0 books what was sent",
        "without tax",
        "converted, if nothing was sent",
        "half a cent within one currency",
        "half a cent of a credit",
        "half a cent of what was sent",
    ],
)
def test_posting_books_the_net_amount_in_accounting_currency(expense: str, booked: str) -> None:
    amounts = decide(f"expense E1 {expense}").document.accounting
    assert amounts is not None
    assert money.text(amounts.amount or 0, "USD") == booked


def test_amounts_of_one_currency_are_not_scaled_apart() -> None:
    story = decide(
        """
        expense  E1   amount=120.00 net=100.00 booked=120.00
        record   R1   approved
        actual   A1   110.00 voucher=PJ-1
        staging  S1   voucher=PJ-1
        """
    )
    assert story.parts == story.accounting_parts == "0.00 0.00 110.00 -10.00"


def in_dollars(booked: str) -> Story:
    return decide(
        f"""
        expense  E1   100.00 currency=EUR rate=110 booked=110.00
        record   R1   approved
        actual   A1   110.00 currency=USD {booked}
        staging  S1   voucher=PJ-1
        """
    )


def test_an_actual_in_another_currency_enters_by_its_accounting_amount_through_the_documents_rate() -> None:
    story = in_dollars("booked=110.00")
    assert (story.parts, story.accounting_parts) == ("0.00 0.00 100.00 0.00", "0.00 0.00 110.00 0.00")
    assert "currency-differs A1" in story.finding_codes


def test_a_staging_amount_of_0_that_finance_has_not_written_is_no_amount() -> None:
    unwritten = decide(
        """
        expense  E1   100.00 currency=EUR rate=110 booked=110.00
        record   R1   approved
        actual   A1   110.00 currency=USD
        line     L1   posted
        staging  S1   line=L1 booked=0.00
        """
    )
    assert (unwritten.parts, "not-computable E1" in unwritten.finding_codes) == ("None None None None", True)
    assert in_dollars("\n staging S1 booked=0.00").parts == "0.00 0.00 0.00 100.00"


def test_without_an_accounting_amount_the_position_stands_but_nothing_is_computed() -> None:
    story = in_dollars("")
    assert story.document.position == "reconciled"
    assert (story.parts, story.accounting_parts) == ("None None None None", "None None None None")
    assert {"not-computable E1", "currency-differs A1"} <= story.finding_codes


@pytest.mark.parametrize("amount", ["", "ten", "9" * 30], ids=["none", "no number", "30 digits"])
def test_an_amount_that_does_not_fit_counts_as_not_there(amount: str) -> None:
    story = decide(f"expense E1 amount={amount}")
    assert (story.document.position, story.parts) == ("missing-actual", "None None None None")
    assert "not-computable E1" in story.finding_codes
    assert ("unknown-value E1" in story.finding_codes) == bool(amount)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("1234.5600000000002", "1234.56"), ("1.00005", "1.0001"), ("-1.00005", "-1.0001"), ("0.0000499", "0.00")],
)
def test_an_amount_with_more_than_four_decimals_is_rounded_half_up_with_a_finding(amount: str, shown: str) -> None:
    story = decide(f"expense E1 amount={amount}")
    assert story.parts.split()[0] == shown
    assert "rounded E1" in story.finding_codes
    assert {"unknown-value E1", "not-computable E1"}.isdisjoint(story.finding_codes)


TOO_LARGE = {
    "an absurd rate": ("expense E1 1000000000000 currency=EUR rate=1000000000000000000000000", "1000000000000 posted"),
    "an absurd booked amount": ("expense E1 0.01 currency=EUR booked=1000000000000", "1000000000000 posted"),
    "a rate of 60 digits": (f"expense E1 1.00 currency=EUR rate={'9' * 30}.{'9' * 29}", "1.00 posted"),
    "a document of 0 at an absurd rate": (f"expense E1 0.00 currency=EUR rate=1{'0' * 30} booked=0.00", "1.00 posted"),
    "a difference beyond the bound": ("expense E1 -9000000000000 currency=EUR rate=1", "9000000000000 posted"),
}


@pytest.mark.parametrize(("line", "actual"), TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_what_leads_to_a_number_too_large_to_keep_is_not_computable(line: str, actual: str) -> None:
    story = expense_with(line, actual)
    assert story.document.position == "reconciled"
    assert story.document.accounting is None
    assert "not-computable E1" in story.finding_codes


def test_parts_that_add_up_beyond_the_bound_are_not_computable() -> None:
    story = expense_with("expense E1 9000000000000", "9000000000000 posted", "9000000000000 posted")
    assert (story.document.position, story.document.amounts, story.document.accounting) == ("reconciled", None, None)
    assert "not-computable E1" in story.finding_codes


def test_an_actual_that_is_too_large_through_the_rate_is_not_computable() -> None:
    story = decide(
        f"""
        expense  E1   100.00 currency=EUR rate=0.{"0" * 28}1 booked=110.00
        record   R1   approved
        actual   A1   110.00 currency=USD booked=110.00
        staging  S1   voucher=PJ-1
        """
    )
    assert (story.document.position, story.document.amounts) == ("reconciled", None)
    assert "not-computable E1" in story.finding_codes


def test_an_excluded_document_shows_no_amount_that_is_too_large() -> None:
    story = decide("expense E1 1000000000000 currency=EUR rate=1000000000000000000000000 project=")
    assert story.status == "excluded: no-project"
    assert story.document.accounting is not None
    assert story.document.accounting.amount is None
    assert "not-computable E1" not in story.finding_codes


def test_without_a_rate_the_sums_leave_a_document_out_and_a_finding_says_so() -> None:
    story = expense_with("expense E1 100.00 currency=EUR", "100.00 staged")
    assert story.parts == "0.00 100.00 0.00 0.00"
    assert "not-computable E1" in story.finding_codes


def test_actuals_not_synced_are_counted_without_the_amounts_that_are_too_large_together() -> None:
    events = [f"actual A{n} 9000000000000 booked=9000000000000 of=R1" for n in range(1, 101)]
    events.append("actual A101 5.00 booked=5.00 of=R1")
    (unsynced,) = decide("\n".join(["expense E1 100.00", "record R1 approved", *events])).chain.unsynced
    assert (unsynced.records, unsynced.amount) == (101, 9000000000005_0000)


def test_an_actual_not_synced_at_an_absurd_rate_is_counted_without_its_amount() -> None:
    events = (
        "expense E1 100.00 currency=EUR rate=1000000000000000000000000\n record R1 approved\n actual A1 1000000000000"
    )
    (unsynced,) = decide(events).chain.unsynced
    assert (unsynced.records, unsynced.amount) == (1, 0)
