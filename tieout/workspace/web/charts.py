"""SVG charts rendered on the server, without script or inline style; a table with the same data is beside each."""

from collections.abc import Sequence
from itertools import cycle
from typing import Final

import msgspec
from markupsafe import Markup, escape

from store.queries.balance import AgeBucket, TrendDay
from tieout.texts import Texts
from tieout.workspace.web.context import Frame
from tieout.workspace.web.locales import Locale

_WIDTH: Final = 720
_WIDE: Final = 1_100
_HEIGHT: Final = 220
_LEFT: Final = 84
_BOTTOM: Final = 28
_TOP: Final = 12
_TICKS: Final = 4
SERIES: Final = ("first", "second", "third", "fourth")
"""The classes of the parts of a stacked bar, one for each document kind."""


class Bar(msgspec.Struct, frozen=True):
    """A stacked bar of amounts, with its name."""

    name: str
    amounts: tuple[int, ...]


def trend(days: Sequence[TrendDay], frame: Frame, currency: str | None) -> Markup:
    """Render the unreconciled amount by day as steps."""
    locale = frame.locale
    if not days:
        return Markup()
    amounts = [day.amount for day in days]
    low, high = min(0, *amounts), max(0, *amounts)
    scale = _Scale(low, high)
    width = (_WIDE - _LEFT) / len(days)
    path = []
    for number, day in enumerate(days):
        x, y = _LEFT + number * width, scale.y(day.amount)
        path.append(f"{'M' if number == 0 else 'L'}{x:.1f} {y:.1f}H{x + width:.1f}")
    line = "".join(path)
    area = f"{line}V{scale.y(0):.1f}H{_LEFT}Z"
    months = [number for number, day in enumerate(days) if day.date.endswith("-01")]
    every = max(1, -(-len(months) // 14))
    labels = [
        _label(_LEFT + number * width, _HEIGHT - 8, locale.day(days[number].date), "start")
        for number in months[::every]
        if number * width < _WIDE - _LEFT - 60
    ]
    return _svg(
        frame.texts.gettext("Unreconciled amount by day"),
        [
            *scale.grid(locale, currency, _WIDE),
            f'<path class="area" d="{area}"/>',
            f'<path class="line" d="{line}"/>',
            *labels,
        ],
        _WIDE,
    )


def ageing(ages: Sequence[AgeBucket], frame: Frame, currency: str | None) -> Markup:
    """Render the unreconciled amount by age, the document kinds stacked."""
    bars = [Bar(age_name(age, frame.texts), tuple(amount.amount for amount in age.by_kind.values())) for age in ages]
    scale = _Scale(
        min(0, *(sum(min(amount, 0) for amount in bar.amounts) for bar in bars)),
        max(0, *(sum(max(amount, 0) for amount in bar.amounts) for bar in bars)),
    )
    step = (_WIDTH - _LEFT) / len(bars)
    parts = scale.grid(frame.locale, currency)
    for number, bar in enumerate(bars):
        x = _LEFT + number * step + step * 0.2
        up = down = 0
        for name, amount in zip(cycle(SERIES), bar.amounts, strict=False):
            base = up if amount >= 0 else down
            top, bottom = sorted((scale.y(base), scale.y(base + amount)))
            if amount:
                parts.append(
                    f'<rect class="{name}" x="{x:.1f}" y="{top:.1f}" width="{step * 0.6:.1f}" '
                    f'height="{max(bottom - top, 1):.1f}"/>'
                )
            up, down = (up + amount, down) if amount >= 0 else (up, down + amount)
        parts.append(_label(x + step * 0.3, _HEIGHT - 8, bar.name, "middle"))
    return _svg(frame.texts.gettext("Unreconciled amount by age of the document in days"), parts)


def age_name(age: AgeBucket, texts: Texts) -> str:
    """Return the label of an age bucket: `0–7 days`."""
    if age.to is None:
        return texts.gettext("over %(days)s days", days=age.start - 1)
    return texts.gettext("%(first)s–%(last)s days", first=age.start, last=age.to)


class _Scale:
    """Maps amounts to heights, with grid lines at round amounts."""

    def __init__(self, low: int, high: int) -> None:
        step = _round_step(max(high - low, 1))
        self.low = low // step * step
        self.high = max(-(-high // step) * step, self.low + step)
        self.step = step

    def y(self, amount: int) -> float:
        room = _HEIGHT - _BOTTOM - _TOP
        return _TOP + room - room * (amount - self.low) / (self.high - self.low)

    def grid(self, locale: Locale, currency: str | None, width: int = _WIDTH) -> list[str]:
        parts = []
        for amount in range(self.low, self.high + 1, self.step):
            y = self.y(amount)
            kind = "axis" if amount == 0 else "rule"
            parts.append(f'<line class="{kind}" x1="{_LEFT}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}"/>')
            text = locale.amount(amount, "JPY" if self.step % 10_000 == 0 else currency)
            parts.append(_label(_LEFT - 8, y + 4, text, "end"))
        return parts


def _round_step(span: int) -> int:
    """Return a step of 1, 2 or 5 times a power of ten that divides a span into about four."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if span <= factor * power * _TICKS:
                return factor * power
        power *= 10


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, parts: Sequence[str], width: int = _WIDTH) -> Markup:
    # All parts are numbers or escaped text.
    return Markup(  # noqa: S704
        f'<svg class="chart{" wide" if width > _WIDTH else ""}" viewBox="0 0 {width} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
