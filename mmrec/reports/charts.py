"""Charts with axes as plain SVG: curves, points, distributions. Nothing is loaded from anywhere.

line_chart("Loss", [Line(name="train", points=[(1, 2.3), (2, 1.9)])], x="epoch", y="InfoNCE")
"""

import html
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 78, 16, 28, 44
SQUARE = 420
"""Height of a chart whose two axes mean the same."""
COLORS = ("#1a7f5a", "#b3541e", "#3566a8", "#8a4fa3", "#807518", "#a83258")
OTHERS = "#8886"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve."""

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    """(x, low, high)."""
    with_dots: bool = False
    is_dashed: bool = False


def line_chart(
    title: str, lines: Sequence[Line], *, x: str, y: str, from_zero: bool = True, log_x: bool = False
) -> str:
    """Curves over common axes; an empty text where there is no point."""
    xs = [p[0] for line in lines for p in line.points]
    ys = [p[1] for line in lines for p in line.points] + [v for line in lines for b in line.band for v in b[1:]]
    if not xs:
        return ""
    axes = _Axes.around(xs, ys, from_zero=from_zero, log_x=log_x)
    parts = [*_frame(title, x, y), *axes.grid()]
    for number, line in enumerate(lines):
        color = COLORS[number % len(COLORS)]
        if line.band:
            edge = [axes.at(p[0], p[2]) for p in line.band] + [axes.at(p[0], p[1]) for p in reversed(line.band)]
            parts.append(f'<polygon points="{" ".join(edge)}" fill="{color}" opacity="0.15"/>')
        path = " ".join(axes.at(*point) for point in line.points)
        dashes = ' stroke-dasharray="4 4"' if line.is_dashed else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.8"{dashes}/>')
        if line.with_dots:
            dots = (axes.at(*point).split(",") for point in line.points)
            parts += [f'<circle cx="{cx}" cy="{cy}" r="2.6" fill="{color}"/>' for cx, cy in dots]
    if len(lines) > 1:
        parts += legend([line.name for line in lines])
    return svg(parts, HEIGHT)


def scatter_chart(
    title: str, xs: Sequence[float], ys: Sequence[float], labels: Sequence[str], *, x: str, y: str
) -> str:
    """Points in the colors of the most frequent labels; the others are gray."""
    if not xs:
        return ""
    named = [label for label, _ in Counter(labels).most_common(len(COLORS))]
    color_of = dict(zip(named, COLORS, strict=False))
    axes = _Axes.around(xs, ys, from_zero=False, height=SQUARE)
    parts = [*_frame(title, x, y, height=SQUARE), *axes.grid()]
    for point_x, point_y, label in zip(xs, ys, labels, strict=True):
        place_x, place_y = axes.at(point_x, point_y).split(",")
        color = color_of.get(label, OTHERS)
        parts.append(f'<circle cx="{place_x}" cy="{place_y}" r="2" fill="{color}" opacity="0.6"/>')
    return svg([*parts, *legend(named)], SQUARE)


def histogram_chart(title: str, edges: Sequence[float], counts: Mapping[str, Sequence[float]], *, x: str) -> str:
    """Distributions over the same bins, each as shares of its own sum, drawn over each other."""
    shares = {name: [value / (sum(values) or 1.0) for value in values] for name, values in counts.items()}
    tops = [value for values in shares.values() for value in values]
    if not tops:
        return ""
    axes = _Axes.around(edges, tops, from_zero=True)
    parts = [*_frame(title, x, "share"), *axes.grid()]
    for number, values in enumerate(shares.values()):
        color, points = COLORS[number % len(COLORS)], [(edges[0], 0.0)]
        for low, high, value in zip(edges, edges[1:], values, strict=False):
            points += [(low, value), (high, value)]
        outline = " ".join(axes.at(*point) for point in [*points, (edges[-1], 0.0)])
        parts.append(f'<polygon points="{outline}" fill="{color}" fill-opacity="0.25" stroke="{color}"/>')
    return svg([*parts, *legend(list(shares))], HEIGHT)


def legend(names: Sequence[str]) -> list[str]:
    """Names in the colors of their numbers, one under the other in the upper right corner."""
    return [
        f'<text x="{WIDTH - RIGHT}" y="{TOP + 6 + 15 * number}" class="tick" text-anchor="end" '
        f'style="fill:{COLORS[number % len(COLORS)]}">{html.escape(name)}</text>'
        for number, name in enumerate(names)
    ]


@dataclass(frozen=True, kw_only=True)
class _Axes:
    """Where values stand on the paper."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float
    height: int
    log_x: bool

    @classmethod
    def around(
        cls, xs: Sequence[float], ys: Sequence[float], *, from_zero: bool, height: int = HEIGHT, log_x: bool = False
    ) -> "_Axes":
        low_x, high_x = _span([_log(v) if log_x else v for v in xs], from_zero=False)
        low_y, high_y = _span(ys, from_zero=from_zero)
        return cls(low_x=low_x, high_x=high_x, low_y=low_y, high_y=high_y, height=height, log_x=log_x)

    def at(self, x: float, y: float) -> str:
        """Place of a point in pixels, as SVG writes it: "x,y"."""
        across = ((_log(x) if self.log_x else x) - self.low_x) / (self.high_x - self.low_x)
        up = (y - self.low_y) / (self.high_y - self.low_y)
        place_y = self.height - BOTTOM - up * (self.height - TOP - BOTTOM)
        return f"{LEFT + across * (WIDTH - LEFT - RIGHT):.1f},{place_y:.1f}"

    def grid(self) -> list[str]:
        """Lines and numbers of both axes."""
        parts, first_x = [], 10.0**self.low_x if self.log_x else self.low_x
        for tick in _ticks(self.low_y, self.high_y):
            up = self.at(first_x, tick).split(",")[1]
            parts.append(f'<line x1="{LEFT}" y1="{up}" x2="{WIDTH - RIGHT}" y2="{up}" class="grid"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{up}" class="tick" text-anchor="end" dy="4">{short(tick)}</text>')
        powers = range(math.floor(self.low_x), math.ceil(self.high_x) + 1)
        for tick in [10.0**n for n in powers] if self.log_x else _ticks(self.low_x, self.high_x):
            if self.low_x <= (_log(tick) if self.log_x else tick) <= self.high_x:
                across, under = self.at(tick, self.low_y).split(",")[0], self.height - BOTTOM + 16
                parts.append(f'<text x="{across}" y="{under}" class="tick" text-anchor="middle">{short(tick)}</text>')
        return parts


def _frame(title: str, x: str, y: str, *, height: int = HEIGHT) -> list[str]:
    across, down = (LEFT + WIDTH - RIGHT) / 2, (TOP + height - BOTTOM) / 2
    return [
        f'<text x="{LEFT}" y="16" class="title">{html.escape(title)}</text>',
        f'<text x="{across}" y="{height - 8}" class="tick" text-anchor="middle">{html.escape(x)}</text>',
        f'<text x="14" y="{down}" class="tick" text-anchor="middle" transform="rotate(-90 14 {down})">'
        f"{html.escape(y)}</text>",
    ]


def svg(parts: Sequence[str], height: int, *, width: int = WIDTH) -> str:
    """A drawing of these parts."""
    style = (
        "<style>text{font:12px system-ui,sans-serif;fill:#777}.title{font-size:13.5px;font-weight:600}"
        ".grid{stroke:#8884}</style>"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img">{style}{"".join(parts)}</svg>'
    )


def _log(value: float) -> float:
    return math.log10(max(value, 1e-3))


def _span(values: Sequence[float], *, from_zero: bool) -> tuple[float, float]:
    low, high = (0.0 if from_zero else min(values)), max(values)
    room = (high - low) * 0.05
    return low - (0.0 if from_zero else room), (high + room if high > low else low + 1.0)


def _ticks(low: float, high: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    return [round(n * step, 10) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def short(value: float) -> str:
    """A number for an axis."""
    if abs(value) >= 1_000_000:
        return f"{value / 1e6:g}M"
    return f"{value / 1_000:g}k" if abs(value) >= 1_000 else f"{value:g}"
