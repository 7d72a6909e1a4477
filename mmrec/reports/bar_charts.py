"""Bars and colored matrices as plain SVG: one bar of shares, a bar per name, two attributes crossed, a confusion."""

import html
from collections.abc import Mapping, Sequence
from typing import Final

from mmrec.reports.charts import COLORS, LEFT, RIGHT, WIDTH, short, svg

MAX_BARS: Final = 40
MAX_CELLS: Final = 40
"""Rows and columns of a matrix that are drawn."""
_NAME_WIDTH, _BAR_HEIGHT, _CELL = 150, 17, 22
_MAX_NAME: Final = 24


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
    return svg(parts, 84 + 16 * ((len(kept) - 1) // 3))


def bar_chart(title: str, values: Mapping[str, float]) -> str:
    """A bar per name, in the order given; of more than MAX_BARS the first ones, and how many were left out."""
    kept = dict(list(values.items())[:MAX_BARS])
    if not kept:
        return ""
    most = max(*kept.values(), 0.0) or 1.0
    parts = [_title(title)]
    for number, (name, value) in enumerate(kept.items()):
        down, width = 28 + number * _BAR_HEIGHT, max(value, 0.0) / most * (WIDTH - _NAME_WIDTH - 70)
        parts.append(_row_name(name, down + 11))
        parts.append(f'<rect x="{_NAME_WIDTH}" y="{down}" width="{width:.1f}" height="13" fill="{COLORS[0]}"/>')
        parts.append(f'<text x="{_NAME_WIDTH + width + 5:.1f}" y="{down + 11}" class="tick">{_number(value)}</text>')
    height = 34 + len(kept) * _BAR_HEIGHT
    if len(values) > len(kept):
        parts.append(f'<text x="{_NAME_WIDTH}" y="{height}" class="tick">and {len(values) - len(kept)} more</text>')
        height += _BAR_HEIGHT
    return svg(parts, height)


def heat_map(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    row_name: str,
    column_name: str,
    by_row: bool = False,
) -> str:
    """A matrix in colors with its numbers as tooltips, and in the cells where there is room.

    Args:
        by_row: Colors show shares of the row, as of a confusion; else shares of the largest value.
    """
    rows, columns = rows[:MAX_CELLS], columns[:MAX_CELLS]
    if not rows or not columns:
        return ""
    top = 40 + 6 * max(min(len(name), _MAX_NAME) for name in columns)
    cell = max(_CELL, min(44, (WIDTH - _NAME_WIDTH) // len(columns)))
    most = max(max(row) for row in values) or 1.0
    named = f"{title}: {row_name} down, {column_name} across"
    parts = [_title(named)]
    for number, name in enumerate(columns):
        across = _NAME_WIDTH + number * cell + cell / 2 + 4
        parts.append(
            f'<text x="{across}" y="{top - 5}" class="tick" transform="rotate(-60 {across} {top - 5})">'
            f"{html.escape(_cut(name))}</text>"
        )
    for number, name in enumerate(rows):
        down, of_row = top + number * _CELL, (sum(values[number]) or 1.0) if by_row else most
        parts.append(_row_name(name, down + 15))
        for place, value in enumerate(values[number][: len(columns)]):
            across, share = _NAME_WIDTH + place * cell, max(value, 0.0) / of_row
            parts.append(
                f'<rect x="{across}" y="{down}" width="{cell - 1}" height="{_CELL - 1}" fill="{COLORS[2]}" '
                f'fill-opacity="{0.04 + 0.9 * share:.2f}"><title>{html.escape(name)}, {html.escape(columns[place])}: '
                f"{_number(value)}</title></rect>"
            )
            if value and len(columns) <= 12:
                parts.append(
                    f'<text x="{across + cell / 2}" y="{down + 15}" class="tick" text-anchor="middle" '
                    f'style="font-size:10px{";fill:#fff" if share > 0.45 else ""}">{short(round(value, 3))}</text>'
                )
    return svg(parts, top + len(rows) * _CELL + 6, width=max(WIDTH, _NAME_WIDTH + len(columns) * cell + 60))


def _title(title: str) -> str:
    return f'<text x="8" y="16" class="title">{html.escape(title)}</text>'


def _row_name(name: str, down: int) -> str:
    return (
        f'<text x="{_NAME_WIDTH - 6}" y="{down}" class="tick" text-anchor="end">{html.escape(_cut(name))}'
        f"<title>{html.escape(name)}</title></text>"
    )


def _cut(name: str) -> str:
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:.3f}"
