"""Numbers, dates and times as a reader's language writes them.

The words of the workspace are English; what a browser's preferred language decides is how amounts and dates are
written, on the page and by the reader. Addresses and exports never depend on it.
"""

import re
from datetime import UTC, date, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from engine import money
from engine.events.facts import moment

_NARROW: Final = "\u202f"


class Locale(msgspec.Struct, frozen=True):
    """How one language writes numbers and dates. `pattern` has the fields d, dd, m, mm, y of `str.format`."""

    tag: str
    point: str
    group: str
    pattern: str
    half_days: bool = False

    def amount(self, units: int | None, currency: str | None) -> str:
        """An amount (units of 1/10000) with the currency's decimals, thousands apart; empty when there is none."""
        return "" if units is None else self.digits(money.text(units, currency))

    def digits(self, text: str) -> str:
        """Plain digits (`-1234.50`) as this language writes them. Nothing is rounded."""
        sign = "-" if text.startswith("-") else ""
        whole, point, fraction = text.removeprefix("-").partition(".")
        grouped = f"{int(whole or 0):,}".replace(",", self.group)
        # The true minus sign is as wide as a digit.
        return ("\u2212" if sign else "") + grouped + (self.point + fraction if point else "")

    def plain(self, text: str) -> str | None:
        """The plain digits of a number as this language writes it; None when it is none. `39.600` is 39600 for a German
        and 39.6 for an American, so nothing is guessed.

        >>> preferred("de").plain("-39.600,50"), preferred("en").plain("39.600"), preferred("de").plain("39600.50")
        ('-39600.50', '39.600', None)
        """
        typed = re.sub(r"\s", _NARROW, text.strip()).replace("\u2212", "-").replace("'", "’")
        whole, _, fraction = typed.removeprefix("-").partition(self.point)
        digits = rf"\d+|\d{{1,3}}({re.escape(self.group)}\d{{3}})+"
        if not re.fullmatch(digits, whole, re.ASCII) or not re.fullmatch(r"\d*", fraction, re.ASCII):
            return None
        sign = "-" if typed.startswith("-") else ""
        return sign + whole.replace(self.group, "") + (f".{fraction}" if fraction else "")

    def number(self, value: int) -> str:
        """A whole number, thousands apart."""
        return self.digits(str(value))

    def day(self, text: str | None) -> str:
        """A date `YYYY-MM-DD`; anything else as it is."""
        if not text:
            return ""
        try:
            day = date.fromisoformat(text)
        except ValueError:
            return text
        return self._day(day)

    def _day(self, day: date) -> str:
        return self.pattern.format(d=day.day, dd=f"{day.day:02}", m=day.month, mm=f"{day.month:02}", y=f"{day.year:04}")

    def iso(self, text: str) -> str | None:
        """The date `YYYY-MM-DD` of one as this language writes it, with or without zeros before; None when it is none.

        >>> preferred("de").iso("8.1.2025"), preferred("en").iso("1/8/2025"), preferred("en").iso("2025-01-08")
        ('2025-01-08', '2025-01-08', None)
        """
        number = {name: rf"(?P<{name[0]}>\d{{1,2}})" for name in ("d", "dd", "m", "mm")}
        pattern = re.escape(self.pattern).replace(r"\{", "{").replace(r"\}", "}").replace(r"\ ", r"\s?")
        found = re.fullmatch(pattern.format(**number, y=r"(?P<y>\d{4})"), text.strip(), re.ASCII)
        try:
            return date(*(int(found[name]) for name in "ymd")).isoformat() if found else None
        except ValueError:
            return None

    def month(self, text: str) -> str:
        """A month `YYYY-MM` in words."""
        try:
            return date.fromisoformat(f"{text}-01").strftime("%B %Y")
        except ValueError:
            return text

    def time(self, at: int | datetime, zone: tzinfo) -> str:
        """A moment (microseconds since 1970, or with a zone) in a zone, to the second."""
        shown = (at if isinstance(at, datetime) else moment(at)).astimezone(zone)
        if self.half_days:
            hour = f"{shown.hour % 12 or 12}:{shown:%M:%S} {'AM' if shown.hour < 12 else 'PM'}"
        else:
            hour = f"{shown:%H:%M:%S}"
        return f"{self._day(shown.date())} {hour}"


_US: Final = Locale("en-US", ".", ",", "{m}/{d}/{y}", half_days=True)
KNOWN: Final = (
    _US,
    Locale("en-GB", ".", ",", "{dd}/{mm}/{y}"),
    Locale("en-IE", ".", ",", "{d}/{m}/{y}"),
    Locale("en-AU", ".", ",", "{d}/{m}/{y}", half_days=True),
    Locale("en-CA", ".", ",", "{y}-{mm}-{dd}", half_days=True),
    Locale("en-ZA", ".", _NARROW, "{y}/{mm}/{dd}"),
    Locale("de", ",", ".", "{dd}.{mm}.{y}"),
    Locale("de-CH", ".", "’", "{dd}.{mm}.{y}"),
    Locale("de-AT", ",", _NARROW, "{dd}.{mm}.{y}"),
    Locale("fr", ",", _NARROW, "{dd}/{mm}/{y}"),
    Locale("fr-CA", ",", _NARROW, "{y}-{mm}-{dd}"),
    Locale("es", ",", ".", "{d}/{m}/{y}"),
    Locale("es-MX", ".", ",", "{dd}/{mm}/{y}"),
    Locale("it", ",", ".", "{dd}/{mm}/{y}"),
    Locale("nl", ",", ".", "{d}-{m}-{y}"),
    Locale("pt", ",", _NARROW, "{dd}/{mm}/{y}"),
    Locale("pt-BR", ",", ".", "{dd}/{mm}/{y}"),
    Locale("da", ",", ".", "{dd}.{mm}.{y}"),
    Locale("nb", ",", _NARROW, "{dd}.{mm}.{y}"),
    Locale("sv", ",", _NARROW, "{y}-{mm}-{dd}"),
    Locale("fi", ",", _NARROW, "{d}.{m}.{y}"),
    Locale("pl", ",", _NARROW, "{dd}.{mm}.{y}"),
    Locale("cs", ",", _NARROW, "{d}. {m}. {y}"),
    Locale("ja", ".", ",", "{y}/{mm}/{dd}"),
    Locale("zh", ".", ",", "{y}/{m}/{d}"),
    Locale("ko", ".", ",", "{y}. {m}. {d}."),
)
_BY_TAG: Final = {locale.tag.lower(): locale for locale in KNOWN}
_NEUTRAL: Final = Locale("", ".", ",", "{y}-{mm}-{dd}")
"""For languages not listed: a date that nobody reads wrongly."""


def preferred(accept_language: str) -> Locale:
    """The locale for an `Accept-Language` header: the first known one in the browser's order of preference.

    >>> preferred("de-DE,de;q=0.9,en;q=0.8").tag, preferred("en-US").tag, preferred("").tag
    ('de', 'en-US', '')
    """
    wanted = []
    for number, part in enumerate(accept_language.split(",")[:20]):
        tag, _, quality = part.strip().lower().partition(";q=")
        try:
            wanted.append((-float(quality or 1), number, tag))
        except ValueError:
            continue
    for _, _, tag in sorted(wanted):
        language, _, region = tag.partition("-")
        found = _BY_TAG.get(tag) or _BY_TAG.get(language)
        if language == "en" and found is None:
            # English says nothing of the order of days and months; those who name no region mostly live in one.
            found = _NEUTRAL if region else _US
        if found is not None:
            return found
    return _NEUTRAL


def zone(name: str | None) -> tzinfo:
    """A time zone by its IANA name; UTC when there is none of that name."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
