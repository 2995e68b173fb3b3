"""What people type into a form means in the address what it means in their language."""

from datetime import date
from typing import Any

import pytest
from babel import localedata
from hypothesis import given
from hypothesis import strategies as st

from engine import money
from engine.errors import QueryError
from tieout.workspace.web import form_input
from tieout.workspace.web.locales import Locale, preferred

LOCALES = st.sampled_from(["", *sorted(localedata.locale_identifiers())]).map(
    lambda tag: preferred(tag.replace("_", "-"))
)
UNITS = st.integers(-money.LARGEST, money.LARGEST)


@pytest.mark.requirement("R35")
@given(LOCALES, UNITS, st.sampled_from(["USD", "JPY", "KWD", "CLF"]))
def test_an_amount_that_a_page_shows_can_be_typed_as_it_stands_there(locale: Locale, units: int, currency: str) -> None:
    shown = locale.amount(units, currency)
    assert form_input.amount(shown, locale) == money.text(units, currency)
    assert form_input.amount(
        shown.replace("\u2212", "-").replace("\u202f", " ").replace("\xa0", " ").replace("’", "'"), locale
    ) == money.text(units, currency)


@given(LOCALES, st.dates())
def test_a_date_that_a_page_shows_can_be_typed_as_it_stands_there(locale: Locale, day: date) -> None:
    assert form_input.jump_target(locale.day(day.isoformat()), locale) == day.isoformat()
    assert form_input.jump_target(day.isoformat(), locale) == day.isoformat()


@pytest.mark.requirement("R35")
@given(LOCALES, UNITS, UNITS, st.sampled_from(["{}", ">={}", "<{}", "!{}", "{}..{}", "..{}", "{}.."]))
def test_a_filter_that_a_page_shows_means_what_stands_in_the_address(
    locale: Locale, first: int, second: int, pattern: str
) -> None:
    text = pattern.format(money.text(first, "USD"), money.text(second, "USD"))
    assert form_input.filters({"amount": form_input.filter_text("amount", text, locale)}, locale) == (
        {"amount": text},
        {},
    )


@pytest.mark.parametrize(
    ("language", "name", "text", "expected"),
    [
        ("de", "amount", "39.600", "39600"),
        ("de", "amount", ">= 1.000,50", ">=1000.50"),
        ("de", "amount", "1.000..2.000,5", "1000..2000.5"),
        ("en-US", "amount", "39.600", "39.600"),
        ("en-US", "amount", "39,600", "39600"),
        ("fr", "amount", "1 000,5", "1000.5"),
        ("de-CH", "amount", "1'000.5", "1000.5"),
        ("", "amount", "1000.5", "1000.5"),
        ("de", "date", "8.1.2025", "2025-01-08"),
        ("en-US", "date", ">=1/8/2025", ">=2025-01-08"),
        ("en-GB", "posted_date", "01/08/2025..", "2025-08-01.."),
        ("en-US", "since", "2025-01", "2025-01"),
        ("cs", "last_retried", "8. 1. 2025", "2025-01-08"),
        ("de", "voucher", "1.000", "1.000"),
    ],
)
def test_what_is_typed_is_read_as_the_language_has_it(language: str, name: str, text: str, expected: str) -> None:
    assert form_input.filters({name: text}, preferred(language)) == ({name: expected}, {})


@pytest.mark.parametrize(
    ("language", "name", "text", "told"),
    [
        ("de", "amount", "39600.50", '"39600.50" isn\'t an amount. Example: 1.000,50.'),
        ("en-US", "amount", "39.600,00", "Example: 1,000.50."),
        ("en-US", "amount", "1,00", "Example: 1,000.50."),
        ("en-US", "amount", "much", '"much" isn\'t an amount.'),
        ("en-US", "amount", "\u0663", "isn't an amount."),
        ("en-US", "date", "13/13/2025", '"13/13/2025" isn\'t a date.'),
        ("de", "date", "1/8/2025", '"1/8/2025" isn\'t a date.'),
    ],
)
def test_what_cannot_be_read_is_named_and_never_guessed(language: str, name: str, text: str, told: str) -> None:
    read, wrong = form_input.filters({name: text, "voucher": "V"}, preferred(language))
    assert read == {"voucher": "V"}
    assert told in str(wrong[name])


@pytest.mark.requirement("R35")
@pytest.mark.parametrize("text", [">=39,600", ">= 39600", ">=39,600.00"])
def test_an_amount_written_into_an_address_by_hand_is_shown_as_it_would_be_typed(text: str) -> None:
    german = preferred("de")
    shown = form_input.filter_text("amount", text, german)
    assert shown.startswith(">=39.600")
    read, wrong = form_input.filters({"amount": shown}, german)
    assert (read["amount"].removesuffix(".00"), wrong) == (">=39600", {})


@pytest.mark.parametrize("text", ["", "much", "1/8/25"])
def test_a_place_that_is_neither_date_nor_amount_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="isn't an amount"):
        form_input.jump_target(text, preferred("en-US"))


@given(LOCALES, st.text(max_size=12))
def test_whatever_is_typed_is_read_or_refused(locale: Locale, text: str) -> None:
    names: list[Any] = ["amount", "date", "since", "voucher", "actual", "last_retried"]
    read, wrong = form_input.filters(dict.fromkeys(names, text), locale)
    assert read.keys() | wrong.keys() == set(names)
    assert not read.keys() & wrong.keys()
