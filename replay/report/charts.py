"""Charts as SVG: small, without scripts, in colours that the page sets for light and dark.

Every chart has a title and a description for those who do not see it, and the table beside it has its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from pullarm.domain.numerals import numeral

WIDTH = 760
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 12, 34
COLOURS = 8
"""Series beyond as many begin again with the first colour, dashed."""


class Point(NamedTuple):
    """A value at x, and the interval around it."""

    x: float
    value: float
    lower: float
    upper: float


class Bar(NamedTuple):
    """A named value with its interval, which may be missing."""

    label: str
    value: float
    lower: float | None
    upper: float | None


def curves(
    title: str, series: Mapping[str, Sequence[Point]], *, x_label: str, percent: bool
) -> str:
    """A line for each series over its band."""
    every = [point for points in series.values() for point in points]
    scale = _Scale(
        (min(point.x for point in every), max(point.x for point in every)),
        (min(point.lower for point in every), max(point.upper for point in every)),
        height=300,
    )
    parts = [scale.grid(x_label, percent=percent)]
    for number, points in enumerate(series.values()):
        band = [scale.at(point.x, point.upper) for point in points]
        band += [scale.at(point.x, point.lower) for point in reversed(points)]
        style = f"s{number % COLOURS}" + (" dashed" if number >= COLOURS else "")
        parts.append(f'<polygon class="band {style}" points="{_path(band)}"/>')
        line = _path([scale.at(point.x, point.value) for point in points])
        parts.append(f'<polyline class="line {style}" points="{line}"/>')
    said = ", ".join(f"{name} ends at {points[-1].value:.4f}" for name, points in series.items())
    return _svg(title, said, "".join(parts), scale.height) + _legend(list(series))


def forest(title: str, bars: Sequence[Bar], *, zero: float | None, percent: bool) -> str:
    """A row for each value: a dot on its interval; a line at `zero`, where there is one."""
    ends = [each.value for each in bars]
    ends += [end for each in bars for end in (each.lower, each.upper) if end is not None]
    if zero is not None:
        ends.append(zero)
    low, high = _widened(min(ends), max(ends))
    height = 26 * len(bars) + 34
    left = 190

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - 90)

    parts = []
    if zero is not None:
        parts.append(_line("zero", (x(zero), 4), (x(zero), height - 26)))
    for number, each in enumerate(bars):
        y = 18 + 26 * number
        parts.append(_text(left - 10, y + 4, each.label, "end"))
        if each.lower is not None and each.upper is not None:
            parts.append(_line("whisker", (x(each.lower), y), (x(each.upper), y)))
        parts.append(f'<circle class="dot" cx="{x(each.value):.1f}" cy="{y}" r="4.5"/>')
        parts.append(_text(WIDTH - 4, y + 4, number_of(each.value, percent), "end"))
    for tick in _ticks(low, high):
        parts.append(_text(x(tick), height - 8, number_of(tick, percent), "middle", kind="tick"))
    said = ", ".join(f"{each.label} {number_of(each.value, percent)}" for each in bars)
    return _svg(title, said, "".join(parts), height)


def histogram(title: str, edges: Sequence[float], counts: Sequence[int], *, x_label: str) -> str:
    """Bars between edges (n + 1,), as high as their counts (n,)."""
    scale = _Scale((edges[0], edges[-1]), (0.0, float(max(counts))), height=220)
    parts = [scale.grid(x_label, percent=False)]
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        x_0, y_0 = scale.at(low, float(count))
        x_1, y_1 = scale.at(high, 0.0)
        wide, tall = max(x_1 - x_0 - 1, 1.0), y_1 - y_0
        parts.append(
            f'<rect class="bar s0" x="{x_0:.1f}" y="{y_0:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>'
        )
    return _svg(title, f"{sum(counts):,} in all, at most {max(counts):,}", "".join(parts), 220)


def number_of(value: float, percent: bool) -> str:
    """As axes and tables show it."""
    return f"{numeral(100 * value, '.2f')} %" if percent else numeral(value, ",.4g")


class _Scale:
    def __init__(self, x: tuple[float, float], y: tuple[float, float], *, height: int) -> None:
        self._x = x if x[1] > x[0] else _widened(*x)
        self._y = _widened(*y)
        self.height = height

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a value is drawn."""
        across = (x - self._x[0]) / (self._x[1] - self._x[0])
        up = (y - self._y[0]) / (self._y[1] - self._y[0])
        left = _LEFT + across * (WIDTH - _LEFT - _RIGHT)
        return left, self.height - _BOTTOM - up * (self.height - _TOP - _BOTTOM)

    def grid(self, x_label: str, *, percent: bool) -> str:
        parts = []
        for tick in _ticks(*self._y):
            x, y = self.at(self._x[0], tick)
            parts.append(_line("grid", (x, y), (WIDTH - _RIGHT, y)))
            parts.append(_text(x - 6, y + 4, number_of(tick, percent), "end", kind="tick"))
        for tick in _ticks(*self._x):
            x, _ = self.at(tick, self._y[0])
            parts.append(_text(x, self.height - 16, f"{tick:,.6g}", "middle", kind="tick"))
        parts.append(_text(WIDTH - _RIGHT, self.height - 2, x_label, "end", kind="tick"))
        return "".join(parts)


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = (high - low) * 0.04 or max(abs(low), 1.0) * 0.05
    return low - margin if low else low, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from low to high."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= rough)
    first = np.ceil(low / step)
    return [float(each * step) + 0.0 for each in np.arange(first, np.floor(high / step) + 1)]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _line(kind: str, start: tuple[float, float], end: tuple[float, float]) -> str:
    (x_0, y_0), (x_1, y_1) = start, end
    return f'<line class="{kind}" x1="{x_0:.1f}" y1="{y_0:.1f}" x2="{x_1:.1f}" y2="{y_1:.1f}"/>'


def _text(x: float, y: float, said: str, anchor: str, *, kind: str = "") -> str:
    named = f'class="{kind}" ' if kind else ""
    return f'<text {named}x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def _svg(title: str, said: str, inner: str, height: int) -> str:
    label = f"{escape(title)}: {escape(said)}"
    image = f'<svg role="img" viewBox="0 0 {WIDTH} {height}" aria-label="{label}">{inner}</svg>'
    return f'<div class="scroll">{image}</div>'


def _legend(names: Sequence[str]) -> str:
    parts = [
        f'<li><span class="key s{number % COLOURS}"></span>{escape(name)}</li>'
        for number, name in enumerate(names)
    ]
    return f'<ul class="legend">{"".join(parts)}</ul>'
