"""SVG charts rendered on the server, without script or inline style; a table with the same data is beside each."""

from collections.abc import Sequence
from itertools import cycle
from typing import Final

from markupsafe import Markup, escape

from store.queries.balance import AgeBucket, TrendDay
from tieout.texts import Texts
from tieout.workspace.web.context import Frame
from tieout.workspace.web.locales import Locale

_WIDTH: Final = 640
_HEIGHT: Final = 220
_LEFT: Final = 84
_BOTTOM: Final = 28
_TOP: Final = 12
_TICKS: Final = 4
_BAR_WIDTH: Final = 200
SERIES: Final = ("s1", "s2", "s3", "s4")
"""The classes of the parts of a bar, one for each document kind."""


def trend(days: Sequence[TrendDay], frame: Frame, currency: str | None) -> Markup:
    """Render the unreconciled amount by day as steps."""
    locale = frame.locale
    if not days:
        return Markup()
    amounts = [day.amount for day in days]
    low, high = min(0, *amounts), max(0, *amounts)
    scale = _Scale(low, high)
    width = (_WIDTH - _LEFT) / len(days)
    path = []
    for number, day in enumerate(days):
        x, y = _LEFT + number * width, scale.y(day.amount)
        path.append(f"{'M' if number == 0 else 'L'}{x:.1f} {y:.1f}H{x + width:.1f}")
    line = "".join(path)
    area = f"{line}V{scale.y(0):.1f}H{_LEFT}Z"
    months = [number for number, day in enumerate(days) if day.date.endswith("-01")]
    every = max(1, -(-len(months) // 6))
    labels = [
        _label(_LEFT + number * width, _HEIGHT - 8, locale.day(days[number].date), "start")
        for number in months[::every]
        if number * width < _WIDTH - _LEFT - 60
    ]
    return _svg(
        frame.texts.gettext("Unreconciled amount by day"),
        [
            *scale.grid(locale, currency),
            f'<path class="area" d="{area}"/>',
            f'<path class="line" d="{line}"/>',
            *labels,
        ],
    )


def age_bars(ages: Sequence[AgeBucket], texts: Texts) -> list[Markup]:
    """Render the unreconciled amount of each age as a bar, the document kinds side by side; all bars have one scale."""
    rows = [[amount.amount for amount in age.by_kind.values()] for age in ages]
    low = min(0, *(sum(min(amount, 0) for amount in amounts) for amounts in rows))
    high = max(0, *(sum(max(amount, 0) for amount in amounts) for amounts in rows))
    pixels = _BAR_WIDTH / max(high - low, 1)
    return [_bar(age_name(age, texts), amounts, low, pixels) for age, amounts in zip(ages, rows, strict=True)]


def _bar(name: str, amounts: Sequence[int], low: int, pixels: float) -> Markup:
    up = down = -low
    parts = []
    for series, amount in zip(cycle(SERIES), amounts, strict=False):
        left = up if amount >= 0 else down + amount
        if amount:
            parts.append(
                f'<rect class="{series}" x="{left * pixels:.1f}" width="{abs(amount) * pixels:.1f}" height="14"/>'
            )
        up, down = (up + amount, down) if amount >= 0 else (up, down + amount)
    # All parts are numbers or escaped text. The amounts are in the cells beside the bar.
    return Markup(  # noqa: S704
        f'<svg class="bar" viewBox="0 0 {_BAR_WIDTH} 14" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(name)}">{"".join(parts)}</svg>'
    )


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

    def grid(self, locale: Locale, currency: str | None) -> list[str]:
        parts = []
        for amount in range(self.low, self.high + 1, self.step):
            y = self.y(amount)
            kind = "axis" if amount == 0 else "rule"
            parts.append(f'<line class="{kind}" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
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


def _svg(title: str, parts: Sequence[str]) -> Markup:
    # All parts are numbers or escaped text.
    return Markup(  # noqa: S704
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
