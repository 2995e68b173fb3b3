"""The texts that people read, in their language: gettext catalogues, one file for each language.

The English text is the key, and the code of a label, cause, finding or action is its context. `reconciliation.pot`
lists the texts of the engine, which all surfaces share, `workspace.pot` those of the pages; `make texts` extracts them.
A language is one file beside them, `<language>.po`, with the texts of both (`docs/texts.md`). Catalogues are compiled
when they are loaded, so that no binary file has to be built or installed.
"""

from collections.abc import Iterable
from datetime import date
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BytesIO
from threading import Lock
from typing import Any, Final

import babel
from babel.dates import format_skeleton
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

COLUMN: Final = "column"
"""The context of the titles of columns and fields, which several tables share."""


class Texts:
    """The texts in one language. A text without a translation stays English.

    Placeholders are named: `%(number)s`, and `{amount}` in the texts of codes, which the engine fills in.
    """

    def __init__(self, language: str, translations: NullTranslations) -> None:
        self.language: Final = language
        """The language tag of HTML: `en`, `de`, `pt-BR`."""
        self.translations: Final = translations
        self._locale: Final = babel.Locale.parse(language, sep="-")

    def gettext(self, text: str, /, **values: Any) -> str:
        """Return a text with its placeholders filled in. A literal percent sign is `%%`."""
        return self.translations.gettext(text) % values

    def ngettext(self, singular: str, plural: str, number: int, /, **values: Any) -> str:
        """Return the form of a text for a number, with its placeholders filled in."""
        return self.translations.ngettext(singular, plural, number) % values

    def of_code(self, code: str, text: str) -> str:
        """Return the text of a code, with its placeholders as they are. This is an `engine.texts.Translate`."""
        return self.translations.pgettext(code, text) if text else ""

    def month(self, text: str) -> str:
        """Return a month `YYYY-MM` in words; any other text unchanged."""
        try:
            return str(format_skeleton("yMMMM", date.fromisoformat(f"{text}-01"), locale=self._locale))
        except ValueError:
            return text


ENGLISH: Final = Texts("en", NullTranslations())


class Catalogues:
    """The languages that a folder has catalogues of, and English."""

    def __init__(self, folder: Traversable | None = None) -> None:
        paths = (folder or files(__name__)).iterdir()
        self._paths = {_tag(path.name.removesuffix(".po")): path for path in paths if path.name.endswith(".po")}
        self._loaded: dict[str, Texts] = {}
        self._lock = Lock()

    def preferred(self, tags: Iterable[str]) -> Texts:
        """Return the texts in the first of these languages that has a catalogue or is English; English without one.

        `de-AT` is served by `de` if it has no catalogue of its own.
        """
        for tag in map(_tag, tags):
            for name in (tag, tag.partition("-")[0]):
                if name in self._paths:
                    return self._load(name)
                if name == "en":
                    return ENGLISH
        return ENGLISH

    def _load(self, name: str) -> Texts:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = Texts(*_compiled(self._paths[name]))
            return self._loaded[name]


def _tag(name: str) -> str:
    return name.replace("_", "-").lower()


def _compiled(path: Traversable) -> tuple[str, GNUTranslations]:
    """Return the language tag and the compiled texts of a catalogue."""
    locale = babel.Locale.parse(path.name.removesuffix(".po").replace("-", "_"))
    with path.open("rb") as file:
        catalogue = read_po(file, locale=locale)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return str(locale).replace("_", "-"), GNUTranslations(compiled)
