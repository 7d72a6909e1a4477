"""Charts as plain SVG: lines with axes, and one bar of shares. Nothing is loaded from anywhere."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 78, 16, 28, 44
COLORS = ("#1a7f5a", "#b3541e", "#3566a8", "#8a4fa3", "#807518", "#a83258")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve."""

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    """(x, low, high)."""
    with_dots: bool = False


def line_chart(
    title: str, lines: Sequence[Line], *, x: str, y: str, from_zero: bool = True, log_x: bool = False
) -> str:
    """Curves over common axes; an empty text where there is no point."""
    xs = [p[0] for line in lines for p in line.points]
    ys = [p[1] for line in lines for p in line.points] + [v for line in lines for b in line.band for v in b[1:]]
    if not xs:
        return ""
    scale = _log if log_x else float
    low_x, high_x = _span([scale(v) for v in xs], from_zero=False)
    low_y, high_y = _span(ys, from_zero=from_zero)

    def at(value_x: float, value_y: float) -> str:
        place_x = LEFT + (scale(value_x) - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)
        place_y = HEIGHT - BOTTOM - (value_y - low_y) / (high_y - low_y) * (HEIGHT - TOP - BOTTOM)
        return f"{place_x:.1f},{place_y:.1f}"

    parts = [_frame(title, x, y)]
    for tick in _ticks(low_y, high_y):
        height = at(xs[0], tick).split(",")[1]
        parts.append(f'<line x1="{LEFT}" y1="{height}" x2="{WIDTH - RIGHT}" y2="{height}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{height}" class="tick" text-anchor="end" dy="4">{_short(tick)}</text>')
    ticks_x = [10.0**n for n in range(math.floor(low_x), math.ceil(high_x) + 1)] if log_x else _ticks(low_x, high_x)
    for tick in ticks_x:
        if low_x <= scale(tick) <= high_x:
            place = at(tick, low_y).split(",")[0]
            parts.append(
                f'<text x="{place}" y="{HEIGHT - BOTTOM + 16}" class="tick" text-anchor="middle">{_short(tick)}</text>'
            )
    for number, line in enumerate(lines):
        color = COLORS[number % len(COLORS)]
        if line.band:
            edge = [at(p[0], p[2]) for p in line.band] + [at(p[0], p[1]) for p in reversed(line.band)]
            parts.append(f'<polygon points="{" ".join(edge)}" fill="{color}" opacity="0.15"/>')
        path = " ".join(at(*point) for point in line.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.8"/>')
        if line.with_dots:
            dots = (at(*point).split(",") for point in line.points)
            parts += [f'<circle cx="{cx}" cy="{cy}" r="2.6" fill="{color}"/>' for cx, cy in dots]
        if len(lines) > 1:
            parts.append(
                f'<text x="{WIDTH - RIGHT}" y="{TOP + 6 + 15 * number}" class="tick" text-anchor="end" '
                f'style="fill:{color}">{html.escape(line.name)}</text>'
            )
    return _svg(parts, HEIGHT)


def share_bar(title: str, shares: dict[str, float]) -> str:
    """One bar, a part per name, with a legend under it."""
    kept = {name: value for name, value in shares.items() if value > 0}
    total = sum(kept.values())
    if not total:
        return ""
    parts, place = [f'<text x="{LEFT}" y="16" class="title">{html.escape(title)}</text>'], float(LEFT)
    for number, (name, value) in enumerate(kept.items()):
        width, color = value / total * (WIDTH - LEFT - RIGHT), COLORS[number % len(COLORS)]
        parts.append(f'<rect x="{place:.1f}" y="28" width="{width:.1f}" height="30" fill="{color}"/>')
        row, column = divmod(number, 3)
        parts.append(
            f'<text x="{LEFT + column * 165}" y="{78 + 16 * row}" class="tick" style="fill:{color}">'
            f"{html.escape(name.replace('_', ' '))} {value / total:.0%}</text>"
        )
        place += width
    return _svg(parts, 84 + 16 * ((len(kept) - 1) // 3))


def _frame(title: str, x: str, y: str) -> str:
    middle = (LEFT + WIDTH - RIGHT) / 2
    return (
        f'<text x="{LEFT}" y="16" class="title">{html.escape(title)}</text>'
        f'<text x="{middle}" y="{HEIGHT - 8}" class="tick" text-anchor="middle">{html.escape(x)}</text>'
        f'<text x="14" y="{(TOP + HEIGHT - BOTTOM) / 2}" class="tick" text-anchor="middle" '
        f'transform="rotate(-90 14 {(TOP + HEIGHT - BOTTOM) / 2})">{html.escape(y)}</text>'
    )


def _svg(parts: Sequence[str], height: int) -> str:
    style = (
        "<style>text{font:12px system-ui,sans-serif;fill:#777}.title{font-size:13.5px;font-weight:600}"
        ".grid{stroke:#8884}</style>"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
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


def _short(value: float) -> str:
    if abs(value) >= 1_000_000:
        return f"{value / 1e6:g}M"
    return f"{value / 1_000:g}k" if abs(value) >= 1_000 else f"{value:g}"
