"""Formats of numbers, dates and times by the reader's language, from the CLDR data that Babel carries.

The browser's preferred language decides how amounts and dates are written and read, also where the texts have no
catalogue for it (`tieout.texts`). Addresses and exports never depend on it. Patterns are read from Babel once for each
language: a page formats thousands of numbers, and Babel's own functions interpret the pattern for each of them.
"""

import re
from datetime import date, datetime, tzinfo
from functools import lru_cache
from typing import Final

import babel
import msgspec

from engine import money
from engine.events.facts import moment

_TAGS_MAX: Final = 20
"""Languages of one `Accept-Language` header that are considered."""
_TAG: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8}){0,3}", re.ASCII)
_NUMERIC_DATE: Final = re.compile(r"(?=.*d)(?=.*M)(?=.*y)[dMy./\- ]+")
_ISO_DATE: Final = "y-MM-dd"
_PARTS: Final = {"d": "{0.day}", "dd": "{0.day:02}", "M": "{0.month}", "MM": "{0.month:02}"}


class Locale(msgspec.Struct, frozen=True):
    """How one language writes numbers and dates.

    `tag` is empty for the neutral format. `higher_groups` is the number of digits in the groups above the thousands: 3,
    or 2 in India. `date_pattern` has the fields d, dd, M, MM and y of CLDR, with a year of four digits.
    """

    tag: str
    point: str
    group: str
    date_pattern: str
    half_days: bool = False
    higher_groups: int = 3

    def amount(self, units: int | None, currency: str | None) -> str:
        """Return an amount (units of 1/10000) with the currency's decimals and grouped digits; empty for None."""
        return "" if units is None else self.digits(money.text(units, currency))

    def digits(self, text: str) -> str:
        """Return plain digits (`-1234.50`) as this language writes them, without rounding.

        All numbers are grouped, also where CLDR would begin at five digits, so that columns line up.
        """
        sign = "-" if text.startswith("-") else ""
        whole, point, fraction = text.removeprefix("-").partition(".")
        # The true minus sign is as wide as a digit.
        return ("\u2212" if sign else "") + self._grouped(int(whole or 0)) + (self.point + fraction if point else "")

    def _grouped(self, number: int) -> str:
        if self.higher_groups == 3 or number < 1000:
            return f"{number:,}".replace(",", self.group)
        higher, thousands = divmod(number, 1000)
        pairs = re.sub(r"(?<=\d)(?=(\d\d)+$)", self.group, str(higher))
        return f"{pairs}{self.group}{thousands:03}"

    def plain(self, text: str) -> str | None:
        """Return the plain digits of a number typed in this language, or None if it is not one.

        `39.600` is 39600 for a German and 39.6 for an American, so nothing is guessed. Any kind of space counts as the
        group separator where that is a space; so does either apostrophe.

        >>> preferred("de").plain("-39.600,50"), preferred("en").plain("39.600"), preferred("de").plain("39600.50")
        ('-39600.50', '39.600', None)
        """
        typed = text.strip().replace("\u2212", "-")
        group = re.escape(self.group)
        if self.group.isspace():
            group = r"\s"
        elif self.group in "'’":
            group = "['’]"
        whole, _, fraction = typed.removeprefix("-").partition(self.point)
        digits = rf"[0-9]+|[0-9]{{1,3}}({group}[0-9]{{{self.higher_groups}}})*{group}[0-9]{{3}}"
        if not re.fullmatch(digits, whole) or not re.fullmatch(r"[0-9]*", fraction):
            return None
        sign = "-" if typed.startswith("-") else ""
        return sign + re.sub(r"[^0-9]", "", whole) + (f".{fraction}" if fraction else "")

    def number(self, value: int) -> str:
        """Return a whole number with grouped digits."""
        return self.digits(str(value))

    def day(self, text: str | None) -> str:
        """Return a date `YYYY-MM-DD` in this language; any other text unchanged."""
        if not text:
            return ""
        try:
            day = date.fromisoformat(text)
        except ValueError:
            return text
        return self._day(day)

    def _day(self, day: date) -> str:
        return _formatter(self.date_pattern).format(day)

    def iso(self, text: str) -> str | None:
        """Return the date `YYYY-MM-DD` of one typed in this language, with or without leading zeros; None if it is not
        a date.

        >>> preferred("de").iso("8.1.2025"), preferred("en").iso("1/8/2025"), preferred("en").iso("2025-01-08")
        ('2025-01-08', '2025-01-08', None)
        """
        match = _reader(self.date_pattern).fullmatch(text.strip())
        try:
            return date(*(int(match[name]) for name in "yMd")).isoformat() if match else None
        except ValueError:
            return None

    def time(self, at: int | datetime, zone: tzinfo) -> str:
        """Return a moment (microseconds since 1970, or an aware datetime) in a time zone, to the second."""
        local = (at if isinstance(at, datetime) else moment(at)).astimezone(zone)
        if self.half_days:
            hour = f"{local.hour % 12 or 12}:{local:%M:%S} {'AM' if local.hour < 12 else 'PM'}"
        else:
            hour = f"{local:%H:%M:%S}"
        return f"{self._day(local.date())} {hour}"


NEUTRAL: Final = Locale("", ".", ",", _ISO_DATE)
"""For languages without CLDR data: a date that nobody misreads."""


def languages(accept_language: str) -> list[str]:
    """Return the language tags of an `Accept-Language` header in lower case, in the order of preference.

    >>> languages("en;q=0.8, de-DE, de;q=0.9, *;q=0.1")
    ['de-de', 'de', 'en']
    """
    preferences = []
    for number, part in enumerate(accept_language.split(",")[:_TAGS_MAX]):
        tag, _, quality = part.strip().lower().partition(";q=")
        try:
            preferences.append((-float(quality or 1), number, tag))
        except ValueError:
            continue
    return [tag for _, _, tag in sorted(preferences) if _TAG.fullmatch(tag)]


def preferred(accept_language: str) -> Locale:
    """Return the locale for an `Accept-Language` header: the first one with CLDR data in the order of preference.

    >>> preferred("de-DE,de;q=0.9,en;q=0.8").tag, preferred("en-US").tag, preferred("").tag
    ('de-DE', 'en-US', '')
    """
    locales = (_of_tag(tag) for tag in languages(accept_language))
    return next((locale for locale in locales if locale is not None), NEUTRAL)


@lru_cache(maxsize=256)
def _of_tag(tag: str) -> Locale | None:
    """The locale of a language tag in lower case, or of its language; None if CLDR has neither."""
    language, _, region = tag.partition("-")
    if language == "en" and not region:
        # English without a region does not say the order of day and month; most who send it live in the United States.
        tag = "en-us"
    for name in (tag, language):
        try:
            return _from_cldr(babel.Locale.parse(name, sep="-"))
        except (babel.UnknownLocaleError, ValueError):
            if language == "en":
                return NEUTRAL
    return None


def _from_cldr(locale: babel.Locale) -> Locale:
    symbols = locale.number_symbols["latn"]
    pattern = locale.date_formats["short"].pattern
    time = locale.time_formats["medium"].pattern
    grouping = locale.decimal_formats[None].grouping
    return Locale(
        str(locale).replace("_", "-"),
        symbols["decimal"],
        symbols["group"],
        re.sub(r"y+", "y", pattern) if _NUMERIC_DATE.fullmatch(pattern) else _ISO_DATE,
        half_days="a" in re.sub(r"'[^']*'", "", time),
        higher_groups=2 if grouping[1] == 2 else 3,
    )


@lru_cache(maxsize=64)
def _formatter(pattern: str) -> str:
    """A CLDR date pattern as a template of `str.format` for a date."""
    return re.sub(r"d+|M+|y", lambda field: _PARTS.get(field[0], "{0.year:04}"), pattern)


@lru_cache(maxsize=64)
def _reader(pattern: str) -> re.Pattern[str]:
    """A CLDR date pattern as an expression with the groups d, M and y; spaces between them are optional."""

    def field(match: re.Match[str]) -> str:
        letter = match[0][0]
        if letter in "dMy":
            return rf"(?P<{letter}>\d{{{4 if letter == 'y' else '1,2'}}})"
        return rf"{re.escape(match[0].strip())}\s*"

    return re.compile(re.sub(r"d+|M+|y|[^dMy]+", field, pattern), re.ASCII)
