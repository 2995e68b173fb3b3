"""Write the templates of the catalogues again from the code, and update each language: `make texts`.

The texts of codes are read from the tables that define them, by import; the texts of pages from the templates and the
Python code of the workspace. Files have no line numbers and no dates, so that they change only with a text.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from string import Formatter
from types import ModuleType
from typing import Any, Final

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po

from engine.errorlog import known_messages, posting_periods
from engine.errors import BY_OPTIONS, ON_THE_PAGE, NoOpenPeriod, NotFound, QueryError
from engine.mapping.roles import CHOICES
from engine.reconciliation import account, explanations, finding_texts, invoice_proposals, kinds
from engine.sync import actions
from engine.texts import Words
from tieout import presenters
from tieout.sync import general_journals, planning, previews
from tieout.texts import COLUMN
from tieout.worker import loops
from tieout.workspace.pages import account_part, document, grid, troubleshoot, unmatched
from tieout.workspace.pages import general_journals as journal_page
from tieout.workspace.web import error_texts, grid_columns, grid_state, run_texts, scopes

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "tieout" / "texts"
_HEADER: Final = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'
_KEYWORDS: Final[dict[str, Any]] = {"_": None, "gettext": None, "ngettext": (1, 2)}

_PERCENT: Final = re.compile(r"%\(\w+\)[a-z]|%(?!%)|%%")
_MARKUP: Final = re.compile(r"<[^<>]*>|[<>&\"]")
"""What a translation must not add: texts of templates are HTML, some of them in attributes."""

Text = tuple[str, str]
"""A code and its English text."""


def _words(*tables: Mapping[str, Words]) -> Iterator[Text]:
    for table in tables:
        for code, words in table.items():
            yield from ((code, text) for text in (words.seen, words.missing, words.do) if text)


def _engine() -> Iterator[tuple[ModuleType, Iterable[Text]]]:
    """Yield the texts of codes in the engine, by the module that defines them."""
    tables = (
        explanations.CAUSES,
        explanations.EXCLUDED,
        explanations.POSITIONS,
        explanations.LEFT,
        explanations.UNKNOWN,
    )
    for name, texts in account.PARTS.items():
        yield account, [(name, text) for text in (texts.title, texts.meaning, texts.do)]
    yield account, account.UNKNOWN_BALANCES.items()
    yield explanations, explanations.LABELS.items()
    yield explanations, _words(*tables)
    yield explanations, [*explanations.SEEN_IN_JOURNAL.items(), *explanations.STATUS_LEFT.items()]
    yield explanations, [("none", explanations.NONE)]
    yield finding_texts, _words(finding_texts.FINDINGS, finding_texts.POSTED)
    yield finding_texts, _words({"ambiguous-link": finding_texts.SEVERAL_COUNTERPARTS})
    yield finding_texts, [(code, finding_texts.REVERSAL_DATE_DIFFERS) for code in ("date-differs", "date-shifted")]
    proposal = (invoice_proposals.MESSAGES, invoice_proposals.TRANSACTIONS, invoice_proposals.RESOLUTIONS)
    yield invoice_proposals, [(invoice_proposals.CODE, text) for table in proposal for text in table.values()]
    yield invoice_proposals, invoice_proposals.STATE_TEXTS.items()
    for kind in kinds.KINDS.values():
        yield kinds, [(kind.code, text) for text in (kind.label, kind.account, kind.unreconciled)]
    yield kinds, [(tile.name, tile.title) for tile in kinds.TILES]
    for message in known_messages.CATALOGUE:
        yield known_messages, [(message.code, message.details), (message.code, message.resolution)]
    yield posting_periods, [*posting_periods.ADVICE.items(), *posting_periods.STATUS_TEXTS.items()]
    yield actions, [*actions.ACTION_TEXTS.items(), *actions.SKIPPED.items(), *actions.PROCESS_NOT_SET.items()]


def _workspace() -> Iterator[tuple[ModuleType, Iterable[Text]]]:
    """Yield the texts of codes of the pages, by the module that defines them."""
    yield presenters, [*presenters.SYNC_STATES.items(), *presenters.OUTCOMES.items(), (presenters.FIELD, "deleted")]
    yield presenters, [(presenters.FIELD, field.replace("_", " ")) for field in presenters.STATE_FIELDS]
    choices = [(field, choice) for (_, field), values in CHOICES.items() for choice in sorted(values)]
    yield presenters, [choice for choice in choices if choice[0] in presenters.STATE_FIELDS]
    yield general_journals, general_journals.STATE_LABELS.items()
    for columns in grid_columns.GRIDS.values():
        yield grid_columns, [(COLUMN, column.title) for column in columns]
    for views in grid_state.VIEWS.values():
        yield grid_state, views.items()
    yield grid, [(COLUMN, title) for title in grid.GROUP_NAMES.values()]
    yield grid, [("status", title) for title in grid.STATUSES]
    yield document, [*document.RECORD_NAMES.items(), *((COLUMN, title) for _, title in document.PARTS)]
    yield run_texts, run_texts.STATE_NAMES.items()
    yield loops, [("loop", name) for name in loops.LOOP_NAMES]
    yield previews, [(previews.OBSTACLE, text) for text in previews.obstacles_of_settings()]
    yield previews, [(scopes.RECORDED, text) for text in previews.SCOPES.values()]
    yield journal_page, journal_page.STEP_LABELS.items()
    too_many = (planning.MORE_CALLS, planning.MORE_DOCUMENTS, planning.MORE_NAMES)
    yield planning, [(planning.TooManyCalls.code, text) for text in too_many]
    yield account_part, [("list", text) for text in account_part.MEANINGS.values()]
    yield account_part, [("movement", title) for title in account_part.MOVEMENTS.values()]
    yield unmatched, unmatched.ACTUAL_TYPES.items()
    yield troubleshoot, [(COLUMN, title) for title in troubleshoot.COLUMNS.values()]
    yield troubleshoot, [(COLUMN, title) for title in troubleshoot.GROUPINGS.values()]
    yield troubleshoot, troubleshoot.STATUSES.items()
    yield error_texts, error_texts.PROCESS_NAMES.items()


def _add_codes(catalogue: Catalog, modules: Iterable[tuple[ModuleType, Iterable[Text]]]) -> None:
    for module, texts in modules:
        assert module.__file__ is not None
        name = Path(module.__file__).relative_to(ROOT).as_posix()
        for code, text in texts:
            catalogue.add(text, context=code, locations=[(name, 0)])


def _add_files(catalogue: Catalog, paths: Iterable[Path]) -> None:
    """Add the texts in templates and Python code."""
    for path in sorted(paths):
        name = path.relative_to(ROOT).as_posix()
        method = "python" if path.suffix == ".py" else "jinja2.ext:babel_extract"
        options = {"silent": "false", "newstyle_gettext": "true", "trim_blocks": "true", "lstrip_blocks": "true"}
        for _, text, _, context in extract_from_file(method, path, keywords=_KEYWORDS, options=options):
            catalogue.add(text, context=context, locations=[(name, 0)])


def _add_errors(catalogue: Catalog, paths: Iterable[Path]) -> None:
    """Add the messages of queries without an answer, which pages show."""
    for path in sorted(paths):
        name = path.relative_to(ROOT).as_posix()
        for error in (QueryError, NotFound, NoOpenPeriod):
            for _, text, *_ in extract_from_file("python", path, keywords={error.__name__: None}):
                assert isinstance(text, str)
                endings = (BY_OPTIONS, ON_THE_PAGE) if error is NoOpenPeriod else ("",)
                for ending in endings:
                    catalogue.add(f"{text}{ending}", context=error.code, locations=[(name, 0)])


def templates() -> dict[str, Catalog]:
    """Return the template of each surface by its name."""
    reconciliation, workspace = Catalog(charset="utf-8"), Catalog(charset="utf-8")
    _add_codes(reconciliation, _engine())
    _add_codes(workspace, _workspace())
    for singular, plural, _ in run_texts.RESULTS:
        workspace.add((singular, plural), locations=[("tieout/workspace/web/run_texts.py", 0)])
    folder = ROOT / "tieout" / "workspace"
    _add_files(workspace, (*folder.rglob("*.html"), *folder.rglob("*.py")))
    _add_errors(workspace, folder.rglob("*.py"))
    for shared in ("engine", "store/queries", "tieout/sync"):
        _add_errors(reconciliation, (ROOT / shared).rglob("*.py"))
    return {"reconciliation": reconciliation, "workspace": workspace}


def template_text(catalogue: Catalog) -> str:
    """Return a template as it is written."""
    return _HEADER + _written(_merged([catalogue]), omit_header=True)


def _merged(catalogues: Iterable[Catalog]) -> Catalog:
    """Return the texts of catalogues by code and then by text, so that the texts of a code are side by side."""
    merged = Catalog(charset="utf-8")
    messages = [message for catalogue in catalogues for message in catalogue if message.id]
    for message in sorted(messages, key=lambda message: (message.context or "", _first(message.id))):
        merged.add(message.id, context=message.context, locations=message.locations)
    return merged


def _first(text: str | Sequence[str]) -> str:
    """Return a text, or the singular of one with a plural."""
    return text if isinstance(text, str) else text[0]


def _written(catalogue: Catalog, **options: Any) -> str:
    file = BytesIO()
    write_po(file, catalogue, width=120, include_lineno=False, **options)
    return file.getvalue().decode().rstrip("\n") + "\n"


def updated(path: Path, every: Iterable[Catalog]) -> Catalog:
    """Return the catalogue of a language with the texts of today: new ones without a translation, old ones as comments.

    Raises `ValueError` for translations with other placeholders or other tags than their texts.
    """
    merged = _merged(every)
    with path.open("rb") as file:
        language = read_po(file, locale=path.stem)
    # A guess from a similar text would be shown as a translation once somebody removes its mark.
    language.update(merged, no_fuzzy_matching=True, update_creation_date=False)
    wrong = [f"{message.id!r}: {error}" for message in language if message.id for error in _errors(message, language)]
    if wrong:
        raise ValueError("\n".join([f"{path.name} has translations that cannot be used:", *wrong]))
    return language


def _errors(message: Message, language: Catalog) -> list[str]:
    """Return why a translation cannot be used. Babel's own checks look at some placeholders of some texts alone."""
    errors = [str(error) for error in message.check(language)] if _is_translated(message) else []
    for text, translation in _pairs(message):
        if _placeholders(translation, message.context) != _placeholders(text, message.context):
            errors.append(f"placeholders differ in {translation!r}")
        if sorted(_MARKUP.findall(translation)) != sorted(_MARKUP.findall(text)):
            errors.append(f"tags, quotes or ampersands differ in {translation!r}")
    return errors


def _is_translated(message: Message) -> bool:
    return bool(message.string) if isinstance(message.string, str) else any(message.string or ())


def _pairs(message: Message) -> list[tuple[str, str]]:
    """Return each translated form with its text; the first form of a text is its singular."""
    texts = (message.id,) if isinstance(message.id, str) else message.id
    forms = (message.string,) if isinstance(message.string, str) else message.string or ()
    return [(texts[min(number, len(texts) - 1)], form) for number, form in enumerate(forms) if form]


def _placeholders(text: str, code: str | None) -> set[str]:
    """Return the placeholders of a text: those of %-formatting, and in the texts of codes those in braces.

    A percent sign alone is one, too: it would fail.
    """
    names = set(_PERCENT.findall(text))
    return names | {f"{{{name}}}" for _, name, _, _ in Formatter().parse(text) if name is not None} if code else names


def main() -> int:
    """Write the templates, then update each language and count what is not translated."""
    every = templates()
    for name, catalogue in every.items():
        (FOLDER / f"{name}.pot").write_text(template_text(catalogue), encoding="utf-8")
    for path in sorted(FOLDER.glob("*.po")):
        language = updated(path, every.values())
        path.write_text(_written(language), encoding="utf-8")
        missing = sum(not _is_translated(message) for message in language if message.id)
        sys.stdout.write(f"{path.name}: {missing} of {len(language)} texts are not translated\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
