"""The catalogues: templates that list every text, and languages that are one file each."""

from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from engine.reconciliation.explanations import CAUSES, explain, explain_finding
from engine.reconciliation.invoice_proposals import Proposal, Transaction
from tests.support.story import ALL_KNOWN, decide
from tieout.texts import ENGLISH, Catalogues, Texts
from tools.texts import FOLDER, template_text, templates, updated

Messages = tuple[tuple[str | None, str | tuple[str, str], str | tuple[str, ...]], ...]
"""Context, text and translation of each message."""


def language(folder: Path, name: str, messages: Messages = ()) -> Texts:
    """The texts of a language that has these messages alone."""
    catalogue = Catalog(locale=name)
    for context, text, translation in messages:
        catalogue.add(text, translation, context=context)
    with (folder / f"{name}.po").open("wb") as file:
        write_po(file, catalogue)
    return Catalogues(folder).preferred([name])


@pytest.mark.parametrize("name", ["reconciliation", "workspace"])
def test_a_template_lists_the_texts_of_today(name: str) -> None:
    written = (FOLDER / f"{name}.pot").read_text(encoding="utf-8")
    assert written == template_text(templates()[name]), "make texts"


def test_a_text_without_a_translation_stays_english(tmp_path: Path) -> None:
    texts = language(tmp_path, "de", (("draft", "Journal in draft", "Journal im Entwurf"),))
    assert texts.of_code("draft", "Journal in draft") == "Journal im Entwurf"
    assert texts.of_code("error", "Posting failed") == "Posting failed"
    # The code is part of the key.
    assert texts.of_code("error", "Journal in draft") == "Journal in draft"
    assert texts.gettext("Cancel") == ENGLISH.gettext("Cancel") == "Cancel"
    assert texts.of_code("anything", "") == ""


def test_placeholders_are_named_and_a_number_chooses_the_form_of_its_language(tmp_path: Path) -> None:
    one, many = "%(number)s document of %(company)s", "%(number)s documents of %(company)s"
    forms = tuple(f"%(company)s: %(number)s {noun}" for noun in ("dokument", "dokumenty", "dokumentów"))
    texts = language(tmp_path, "pl", ((None, (one, many), forms),))
    told = [texts.ngettext(one, many, number, number=number, company="USPM") for number in (1, 2, 5)]
    assert told == ["USPM: 1 dokument", "USPM: 2 dokumenty", "USPM: 5 dokumentów"]
    assert ENGLISH.ngettext(one, many, 2, number=2, company="USPM") == "2 documents of USPM"


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["de-AT", "en"], "de"),
        (["fr", "de"], "de"),
        (["en-GB", "de"], "en"),
        (["pt-PT"], "en"),
        (["pt-BR"], "pt-BR"),
        (["PT-br"], "pt-BR"),
        (["fr"], "en"),
        ([], "en"),
    ],
)
def test_the_first_language_with_a_catalogue_is_preferred(tmp_path: Path, tags: list[str], expected: str) -> None:
    language(tmp_path, "de")
    language(tmp_path, "pt_BR")
    assert Catalogues(tmp_path).preferred(tags).language == expected


def test_months_are_in_the_language_of_the_texts(tmp_path: Path) -> None:
    assert language(tmp_path, "de").month("2024-12") == "Dezember 2024"
    assert (ENGLISH.month("2024-12"), ENGLISH.month("2024-13")) == ("December 2024", "2024-13")


def test_a_catalogue_gets_new_texts_and_keeps_its_translations(tmp_path: Path) -> None:
    language(tmp_path, "de", (("draft", "Journal in draft", "Journal im Entwurf"), (None, "Gone", "Weg")))
    catalogue = updated(tmp_path / "de.po", templates().values())
    kept, added = catalogue.get("Journal in draft", "draft"), catalogue.get("Posting failed", "error")
    assert kept is not None
    assert added is not None
    assert kept.string == "Journal im Entwurf"
    assert not added.string
    assert (catalogue.get("Gone"), [old.string for old in catalogue.obsolete.values()]) == (None, ["Weg"])


@pytest.mark.parametrize(
    ("code", "text", "translation"),
    [
        ("amount-differs", "Here the amount is {other_amount}.", "Hier ist der Betrag {amount}."),
        (None, "%(number)s new", "%(zahl)s neu"),
        (None, "Cancel", "Abbrechen %(name)s"),
        (None, "Half", "50 %"),
        (None, ("%(number)s row", "%(number)s rows"), ("%(number)s Zeile", "%(zahl)s Zeilen")),
        (None, "View <b>all</b>", "<script>alles</script>"),
        (None, "Filter", 'Filter" onfocus="'),
        ("invalid-query", "there is no %(name)r.", "%(name)r gibt es in {name} nicht."),
    ],
)
def test_a_translation_with_other_placeholders_or_tags_is_refused(
    tmp_path: Path, code: str | None, text: str | tuple[str, str], translation: str | tuple[str, str]
) -> None:
    language(tmp_path, "de", ((code, text, translation),))
    template = Catalog()
    template.add(text, context=code)
    with pytest.raises(ValueError, match=r"placeholders|tags"):
        updated(tmp_path / "de.po", [template])


def test_every_catalogue_is_valid_and_has_the_texts_of_today() -> None:
    for path in FOLDER.glob("*.po"):
        with path.open("rb") as file:
            committed = read_po(file, locale=path.stem)
        assert [message.id for message in committed] == [message.id for message in updated(path, templates().values())]


# --- the texts of the engine -----------------------------------------------------------------------------------------


def shouted(code: str, text: str) -> str:
    """A translation that shows the code and keeps the placeholders."""
    return f"{code}! {text}"


def test_an_explanation_is_translated_sentence_by_sentence() -> None:
    story = decide(
        "expense E1\n record R1\n actual A1\n journal J1 number=USPM-041\n line L1 error\n staging S1 line=L1"
    )
    words = explain(story.document, ALL_KNOWN, shouted)
    assert words.seen == "error! The integration journal line in USPM-041 failed to post."
    assert (words.missing, words.do) == (f"error! {CAUSES['error'].missing}", f"error! {CAUSES['error'].do}")


def test_a_finding_is_translated_before_its_values_are_filled_in() -> None:
    finding = decide("record R1 status={0.__class__}{x}").finding("unknown-value")
    words = explain_finding(finding, shouted)
    assert words.seen.startswith("unknown-value! ")
    assert "{0.__class__}{x}" in words.seen


def test_a_proposal_is_translated_with_the_state_of_each_transaction() -> None:
    sale = Transaction("A1", "draft", "2025-01-08", 10_000, "USD", "USPM-041")
    proposal = Proposal("P1", "USPM", None, "USD", None, 1, 0, (sale,))
    assert proposal.message() == "Not posted yet: 2025-01-08 1.00 USD (draft in journal USPM-041)."
    told = proposal.message(translate=shouted)
    assert told.startswith("invoice-proposal! Not posted yet: invoice-proposal! 2025-01-08 1.00 USD (draft! draft in")
