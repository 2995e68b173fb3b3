"""The advice to turn on Project actuals prevalidation counts what it would have prevented, exactly (R51)."""

from typing import Any

import pytest
from sqlalchemy import Engine

from engine.errorlog.prevalidation import PREVENTED, PreventedError, Prevention, prevented
from engine.events.facts import UNDATED, Evidence, ProcessMessage
from tests.support.ingest_lines import row_change
from tests.support.reports import failed, ran
from tests.support.stores import Event, project, reader

pytestmark = pytest.mark.requirement("R51")

ACTUAL = "6e21a0c8-9f0b-ef11-9f89-6045bda11c3f"
OTHER = "7e21a0c8-9f0b-ef11-9f89-6045bda11c3f"
NOT_FOUND = f"Unable to look up msdyn_actuals with values {{{ACTUAL.upper()}}}"
INCOMPLETE = "Attribute msdyn_transactiontypecode not found in the record of type msdyn_actual"
NOT_WRITTEN = "Unable to write data to entity msdyn_actuals"


def line_failed(line: str, reason: str) -> str:
    return f"Integration journal (J-1): Line with RecId ({line}) and Voucher (PJ-1) failed to post due to ({reason})."


def line(number: str, cost: str | None = "100.00", currency: str | None = "USD", status: int = 1) -> Event:
    values: dict[str, Any] = {"ExtendedCost": cost, "CostCurrency": currency, "Status": status}
    return row_change("ProjAdvancedJournalLine", number, **values)


def staging(number: str, actual: str, of_line: str) -> Event:
    return row_change("ProjCDSActualsImport", number, ActualId=actual, ProjAdvancedJournalLine=of_line)


def prevention(*events: Event, company: str | None = "USPM") -> Prevention | None:
    engine: Engine = project(list(events))
    with reader(engine).snapshot() as snapshot:
        return snapshot.prevention(company)


CASES: list[tuple[str, list[Event], Prevention | None]] = [
    ("no error", [line("1")], None),
    ("another reason", [line("1"), failed(1, "1", text=line_failed("1", "the account is closed"))], None),
    (
        "a line that failed for this reason",
        [line("1"), failed(1, "1", text=line_failed("1", NOT_FOUND))],
        Prevention(1, (("USD", 1_000_000),), 0, 0),
    ),
    (
        "the line is the subject of a message that names no line",
        [line("1"), failed(1, "1", text=INCOMPLETE)],
        Prevention(1, (("USD", 1_000_000),), 0, 0),
    ),
    (
        "the line is found by the actual in the text",
        [line("1"), staging("9", ACTUAL, "1"), failed(1, None, text=NOT_FOUND)],
        Prevention(1, (("USD", 1_000_000),), 0, 0),
    ),
    (
        "two messages about one line",
        [
            line("1"),
            staging("9", ACTUAL, "1"),
            failed(1, "1", text=line_failed("1", "dual-write")),
            failed(1, None, text=NOT_FOUND),
            failed(1, "J-1", text=line_failed("1", NOT_WRITTEN)),
        ],
        Prevention(1, (("USD", 1_000_000),), 0, 0),
    ),
    (
        "lines of two currencies, and a correction",
        [
            line("1", "0.1"),
            line("2", "0.2"),
            line("3", "-50.05", "EUR"),
            *(failed(1, number, text=line_failed(number, NOT_WRITTEN)) for number in "123"),
        ],
        Prevention(3, (("EUR", -500_500), ("USD", 3_000)), 0, 0),
    ),
    (
        "a line without an amount or a currency",
        [
            line("1", None),
            line("2", "5.00", None),
            *(failed(1, number, text=line_failed(number, NOT_WRITTEN)) for number in "12"),
        ],
        Prevention(2, (), 2, 0),
    ),
    ("a line that was posted after all", [line("1", status=3), failed(1, "1", text=INCOMPLETE)], None),
    ("a line that no event brought", [failed(1, "1", text=INCOMPLETE)], Prevention(0, (), 0, 1)),
    (
        "an actual of another line",
        [line("1"), staging("9", OTHER, "1"), failed(1, None, text=NOT_FOUND)],
        Prevention(0, (), 0, 1),
    ),
    (
        "an error of another company",
        [line("1"), failed(1, "1", text=line_failed("1", NOT_FOUND), company="GBPM")],
        None,
    ),
    (
        "an error of dual-write itself",
        [line("1"), failed(1, "1", text=NOT_WRITTEN, process="dual-write")],
        None,
    ),
    (
        "an error that a later run took up",
        [line("1"), failed(1, "1", text=line_failed("1", NOT_FOUND)), *ran(2, 3, "r2", "J-1")],
        None,
    ),
]


@pytest.mark.parametrize(("events", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_prevalidation_would_have_prevented(events: list[Event], expected: Prevention | None) -> None:
    assert prevention(*events) == expected


def test_all_companies_are_counted_together_where_none_is_named() -> None:
    events = [line("1"), failed(1, "1", text=INCOMPLETE), failed(1, "2", text=INCOMPLETE, company="GBPM")]
    assert prevention(*events, company=None) == Prevention(1, (("USD", 1_000_000),), 0, 1)


@pytest.mark.parametrize(
    ("text", "subject", "named"),
    [
        (NOT_FOUND, None, PreventedError(None, ACTUAL)),
        (NOT_FOUND, "5637144582", PreventedError("5637144582", ACTUAL)),
        (NOT_FOUND, "J-1", PreventedError(None, ACTUAL)),
        ("Unable to look up msdyn_actuals with values X", None, PreventedError(None, None)),
        (line_failed("5637144582", NOT_FOUND), "J-1", PreventedError("5637144582", ACTUAL)),
        (line_failed("5637144582", "the account is closed"), "5637144582", None),
        ("It failed.", "5637144582", None),
        ("", None, None),
    ],
)
def test_what_an_error_names_that_it_would_have_prevented(
    text: str, subject: str | None, named: PreventedError | None
) -> None:
    evidence = Evidence(UNDATED, 0, b"", "/finance/contoso", "e1")
    message = ProcessMessage("message", "integration-journal-posting", "r", "USPM", (), subject, text, evidence)
    assert prevented(message) == named


def test_the_messages_are_those_of_invalid_actuals() -> None:
    assert {"ACTUAL_NOT_FOUND", "ACTUAL_INCOMPLETE", "ACTUAL_NOT_WRITTEN"} == PREVENTED
