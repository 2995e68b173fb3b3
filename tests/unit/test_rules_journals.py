"""What follows for a general journal, and what is logged when it fails (R60, R61, R63)."""

from random import Random

import pytest

from engine.errorlog.known_messages import recognise
from engine.sync.attempts import ATTEMPTS_MAX
from engine.sync.general_journals import (
    DataverseJournal,
    Journal,
    JournalLine,
    JournalStep,
    NextStep,
    amounts_of,
    decide_next_step,
    failure,
    line_key,
    matching_journal,
    number_in,
    read_line_key,
)

LINES = (JournalLine(11, True), JournalLine(12, False))
JOURNAL = Journal("USPM-000095", 5541230, True, LINES)
WHOLE = frozenset(amounts_of(JOURNAL))
EMPTY = DataverseJournal("a")
SHARED = Journal("USPM-000095", 5541230, True, LINES, shared=True)

CASES: list[tuple[str, Journal, DataverseJournal | None, int, NextStep]] = [
    ("not posted", Journal("J", 1, False, LINES), None, 0, NextStep("nothing")),
    ("without project lines", Journal("J", 1, True, ()), None, 0, NextStep("nothing")),
    ("nothing there", JOURNAL, None, 0, NextStep("header")),
    ("found by its batch number", JOURNAL, EMPTY, 0, NextStep("lines", ((11, "cost"), (11, "sales"), (12, "cost")))),
    (
        "some lines there",
        JOURNAL,
        DataverseJournal("a", frozenset({(11, "cost"), (12, "cost")})),
        2,
        NextStep("lines", ((11, "sales"),)),
    ),
    ("all lines there", JOURNAL, DataverseJournal("a", WHOLE), 4, NextStep("confirm")),
    ("confirmed meanwhile", JOURNAL, DataverseJournal("a", WHOLE, confirmed=True), 0, NextStep("closed")),
    ("confirmed at count five", JOURNAL, DataverseJournal("a", WHOLE, confirmed=True), 5, NextStep("closed")),
    ("count five", JOURNAL, DataverseJournal("a", WHOLE), 5, NextStep("waits")),
    ("200 lines", Journal("J", 1, True, tuple(JournalLine(n, True) for n in range(200))), None, 0, NextStep("header")),
    (
        "201 lines",
        Journal("J", 1, True, tuple(JournalLine(n, True) for n in range(201))),
        None,
        0,
        NextStep("too-many-lines"),
    ),
    (
        "201 lines at count five",
        Journal("J", 1, True, tuple(JournalLine(n, True) for n in range(201))),
        None,
        5,
        NextStep("waits"),
    ),
    ("begun by Finance itself", JOURNAL, DataverseJournal("a", foreign=2), 0, NextStep("foreign-lines")),
    ("confirmed by Finance itself", JOURNAL, DataverseJournal("a", foreign=3, confirmed=True), 5, NextStep("closed")),
    (
        "confirmed, whose is not known",
        SHARED,
        DataverseJournal("a", foreign=3, confirmed=True),
        0,
        NextStep("foreign-lines"),
    ),
    ("shared number, our lines", SHARED, DataverseJournal("a", WHOLE, confirmed=True), 0, NextStep("closed")),
]


@pytest.mark.requirement("R60", "R63")
@pytest.mark.parametrize(
    ("journal", "twin", "attempts", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_follows_comes_from_what_both_systems_hold(
    journal: Journal, twin: DataverseJournal | None, attempts: int, expected: NextStep
) -> None:
    assert decide_next_step(journal, twin, attempts) == expected


@pytest.mark.requirement("R60")
def test_of_several_journals_of_a_batch_number_the_one_that_got_farthest_goes_on() -> None:
    fuller, done = DataverseJournal("b", frozenset({(11, "cost")})), DataverseJournal("c", WHOLE, confirmed=True)
    assert matching_journal(JOURNAL, []) is None
    assert matching_journal(JOURNAL, [DataverseJournal("b"), EMPTY]) == EMPTY
    assert matching_journal(JOURNAL, [EMPTY, fuller]) == fuller
    assert matching_journal(JOURNAL, [EMPTY, fuller, done]) == done


@pytest.mark.requirement("R60")
def test_a_journal_of_another_company_with_the_same_number_is_not_taken_for_this_one() -> None:
    others = DataverseJournal("a", frozenset({(99, "cost")}), confirmed=True)
    assert matching_journal(JOURNAL, [others]) is None
    assert matching_journal(SHARED, [EMPTY]) is None
    ours = DataverseJournal("b", ours=True)
    assert matching_journal(SHARED, [EMPTY, ours, others]) == ours


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (line_key(5431130, "sales"), (5431130, "sales")),
        ("5431130/cost", (5431130, "cost")),
        ("5431130/other", None),
        ("x/cost", None),
        ("5431130", None),
        ("", None),
        (None, None),
    ],
)
def test_a_line_of_dataverse_says_which_amount_it_is_or_is_somebody_elses(text: object, key: object) -> None:
    assert read_line_key(text) == key


@pytest.mark.requirement("R62")
@pytest.mark.parametrize(
    ("subject", "number"),
    [
        ("USPM-015270", "USPM-015270"),
        ("Unavailable.", None),
        (
            "Failed to sync journal header USPM-015270 to Dataverse. Manual synch required at count 5. Count 3.",
            "USPM-015270",
        ),
        ("Failed to sync journal line to Dataverse. Manual synch required at count 5. Count 3.", None),
        ("Failed to confirm journal 5541230 in Dataverse.", None),
    ],
)
def test_what_an_error_is_about_names_its_journal_or_nobody_knows(subject: str, number: str | None) -> None:
    assert number_in(subject) == number


@pytest.mark.requirement("R61")
@pytest.mark.parametrize(
    ("step", "line", "code", "parameters"),
    [
        ("header", None, "GJ_HEADER", {"journal": "USPM-000095", "limit": "5", "count": "3"}),
        ("lines", None, "GJ_LINE", {"limit": "5", "count": "3"}),
        ("lines", 11, "GJ_LINE_CREATE", {"line": "11"}),
        ("foreign-lines", None, "GJ_LINE", {"limit": "5", "count": "3"}),
        ("confirm", None, "GJ_CONFIRM", {"journal": "5541230"}),
        ("confirm", 11, "GJ_LINE_CREATE", {"line": "11"}),
        ("too-many-lines", None, "UNKNOWN", {}),
    ],
)
def test_a_failure_is_logged_as_the_product_words_it(
    step: JournalStep, line: int | None, code: str, parameters: dict[str, str]
) -> None:
    found = recognise(failure(JOURNAL, step, 3, line))
    assert (found.code, found.parameters) == (code, parameters)


@pytest.mark.requirement("R60", "R63")
@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_lost_nothing_is_written_twice_and_the_journal_ends_closed_or_waits(seed: int) -> None:
    """Calls fail, and responses are lost after the effect: only missing rows are requested."""
    chance = Random(seed)
    twins: list[DataverseJournal] = []
    attempts = calls = 0
    writes = ("header", "lines", "confirm")
    while (follows := decide_next_step(JOURNAL, twin := matching_journal(JOURNAL, twins), attempts)).step in writes:
        calls += 1
        happens = chance.random() < 0.6
        if happens and follows.step == "header":
            assert twins == []
            twins.append(EMPTY)
        elif happens and follows.step == "lines":
            assert twin is not None
            assert twin.lines.isdisjoint(follows.amounts)
            written = follows.amounts[: chance.randint(1, len(follows.amounts))]
            twins = [DataverseJournal("a", twin.lines | set(written))]
        elif happens:
            twins = [DataverseJournal("a", WHOLE, confirmed=True)]
        attempts += not happens or chance.random() < 0.3
    assert attempts <= ATTEMPTS_MAX
    assert len(twins) <= 1
    assert follows.step == ("closed" if twins and twins[0].confirmed else "waits")
