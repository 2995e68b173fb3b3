"""What follows for a general journal, and what is logged when it fails (R60, R61, R63)."""

from random import Random

import pytest

from engine.errorlog.known_messages import recognise
from engine.sync.attempts import ATTEMPTS_MAX
from engine.sync.general_journals import (
    Journal,
    Line,
    Next,
    Step,
    Twin,
    amounts_of,
    failure,
    line_key,
    next_of,
    number_in,
    read_line_key,
    twin_of,
)

LINES = (Line(11, True), Line(12, False))
JOURNAL = Journal("USPM-000095", 5541230, True, LINES)
WHOLE = frozenset(amounts_of(JOURNAL))
EMPTY = Twin("a")
SHARED = Journal("USPM-000095", 5541230, True, LINES, shared=True)

CASES: list[tuple[str, Journal, Twin | None, int, Next]] = [
    ("not posted", Journal("J", 1, False, LINES), None, 0, Next("nothing")),
    ("without project lines", Journal("J", 1, True, ()), None, 0, Next("nothing")),
    ("nothing there", JOURNAL, None, 0, Next("header")),
    ("found by its batch number", JOURNAL, EMPTY, 0, Next("lines", ((11, "cost"), (11, "sales"), (12, "cost")))),
    (
        "some lines there",
        JOURNAL,
        Twin("a", frozenset({(11, "cost"), (12, "cost")})),
        2,
        Next("lines", ((11, "sales"),)),
    ),
    ("all lines there", JOURNAL, Twin("a", WHOLE), 4, Next("confirm")),
    ("confirmed meanwhile", JOURNAL, Twin("a", WHOLE, confirmed=True), 0, Next("closed")),
    ("confirmed at count five", JOURNAL, Twin("a", WHOLE, confirmed=True), 5, Next("closed")),
    ("count five", JOURNAL, Twin("a", WHOLE), 5, Next("waits")),
    ("200 lines", Journal("J", 1, True, tuple(Line(n, True) for n in range(200))), None, 0, Next("header")),
    ("201 lines", Journal("J", 1, True, tuple(Line(n, True) for n in range(201))), None, 0, Next("too-many-lines")),
    (
        "201 lines at count five",
        Journal("J", 1, True, tuple(Line(n, True) for n in range(201))),
        None,
        5,
        Next("waits"),
    ),
    ("begun by Finance itself", JOURNAL, Twin("a", foreign=2), 0, Next("foreign-lines")),
    ("confirmed by Finance itself", JOURNAL, Twin("a", foreign=3, confirmed=True), 5, Next("closed")),
    ("confirmed, whose is not known", SHARED, Twin("a", foreign=3, confirmed=True), 0, Next("foreign-lines")),
    ("shared number, our lines", SHARED, Twin("a", WHOLE, confirmed=True), 0, Next("closed")),
]


@pytest.mark.requirement("R60", "R63")
@pytest.mark.parametrize(
    ("journal", "twin", "attempts", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_follows_comes_from_what_both_systems_hold(
    journal: Journal, twin: Twin | None, attempts: int, expected: Next
) -> None:
    assert next_of(journal, twin, attempts) == expected


@pytest.mark.requirement("R60")
def test_of_several_journals_of_a_batch_number_the_one_that_got_farthest_goes_on() -> None:
    fuller, done = Twin("b", frozenset({(11, "cost")})), Twin("c", WHOLE, confirmed=True)
    assert twin_of(JOURNAL, []) is None
    assert twin_of(JOURNAL, [Twin("b"), EMPTY]) == EMPTY
    assert twin_of(JOURNAL, [EMPTY, fuller]) == fuller
    assert twin_of(JOURNAL, [EMPTY, fuller, done]) == done


@pytest.mark.requirement("R60")
def test_a_journal_of_another_company_with_the_same_number_is_not_taken_for_this_one() -> None:
    others = Twin("a", frozenset({(99, "cost")}), confirmed=True)
    assert twin_of(JOURNAL, [others]) is None
    assert twin_of(SHARED, [EMPTY]) is None
    ours = Twin("b", ours=True)
    assert twin_of(SHARED, [EMPTY, ours, others]) == ours


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
    step: Step, line: int | None, code: str, parameters: dict[str, str]
) -> None:
    found = recognise(failure(JOURNAL, step, 3, line))
    assert (found.code, found.parameters) == (code, parameters)


@pytest.mark.requirement("R60", "R63")
@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_lost_nothing_is_written_twice_and_the_journal_ends_closed_or_waits(seed: int) -> None:
    """Calls fail, and answers get lost after the effect: what is asked for is only ever what is not there."""
    chance = Random(seed)
    twins: list[Twin] = []
    attempts = calls = 0
    while (follows := next_of(JOURNAL, twin := twin_of(JOURNAL, twins), attempts)).calls:
        calls += 1
        happens = chance.random() < 0.6
        if happens and follows.step == "header":
            assert twins == []
            twins.append(EMPTY)
        elif happens and follows.step == "lines":
            assert twin is not None
            assert twin.lines.isdisjoint(follows.amounts)
            written = follows.amounts[: chance.randint(1, len(follows.amounts))]
            twins = [Twin("a", twin.lines | set(written))]
        elif happens:
            twins = [Twin("a", WHOLE, confirmed=True)]
        attempts += not happens or chance.random() < 0.3
    assert attempts <= ATTEMPTS_MAX
    assert len(twins) <= 1
    assert follows.step == ("closed" if twins and twins[0].confirmed else "waits")
