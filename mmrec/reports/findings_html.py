"""Findings as sections of a page: one drawing per kind of part (mmrec.reports.findings).

findings_section(findings, shown_of)        shown_of: item id -> title and photograph, for lists of items
"""

import html
from collections.abc import Callable
from dataclasses import dataclass

from mmrec.reports import bar_charts, charts, page
from mmrec.reports.findings import (
    AnyPart,
    Bars,
    Calibration,
    Curves,
    Figures,
    Findings,
    Heat,
    Histograms,
    Scatter,
    Strip,
    Strips,
    Table,
    Text,
)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An item as a page shows it."""

    title: str
    image: bytes | None = None


ShownOf = Callable[[str], Shown]


def findings_section(findings: Findings, shown_of: ShownOf) -> str:
    """A heading, what the findings depend on, and every part."""
    facts = [*findings.facts.items(), *([("made by", findings.command)] if findings.command else [])]
    text = "; ".join(f"{name}: {value}" for name, value in facts)
    return page.section(findings.title, *(part_html(part, shown_of) for part in findings.parts), text=text)


def part_html(part: AnyPart, shown_of: ShownOf) -> str:
    """One part with its note."""
    note = f"<p>{html.escape(part.note)}</p>" if part.note else ""
    match part:
        case Curves() | Bars() | Histograms() | Heat() | Calibration() | Scatter():
            return f'<div class="part">{_drawn(part)}{note}</div>'  # a drawing has its title inside
        case Text(paragraphs=paragraphs):
            body = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs)
        case Figures(values=values):
            body = page.named_values(values)
        case Table(columns=columns, rows=rows):
            body = page.table(rows, columns)
        case Strips(strips=strips):
            body = "".join(_strip(strip, shown_of) for strip in strips)
    return f'<div class="part"><h3>{html.escape(part.title)}</h3>{note}{body}</div>'


def _drawn(part: Curves | Bars | Histograms | Heat | Calibration | Scatter) -> str:
    match part:
        case Curves(lines=lines):
            drawn = [
                charts.Line(name=line.name, points=list(zip(line.xs, line.ys, strict=True)), with_dots=True)
                for line in lines
            ]
            return charts.line_chart(part.title, drawn, x=part.x, y=part.y, from_zero=part.from_zero)
        case Bars(values=values):
            return bar_charts.bar_chart(part.title, values)
        case Histograms(edges=edges, counts=counts):
            return charts.histogram_chart(part.title, edges, counts, x=part.x)
        case Heat():
            return bar_charts.heat_map(
                part.title,
                part.rows,
                part.columns,
                part.values,
                row_name=part.row_name,
                column_name=part.column_name,
                by_row=part.by_row,
            )
        case Calibration(confidence=confidence, accuracy=accuracy):
            curve = charts.Line(
                name=f"error {part.error:.3f}", points=list(zip(confidence, accuracy, strict=True)), with_dots=True
            )
            ideal = charts.Line(name="calibrated", points=[(0.0, 0.0), (1.0, 1.0)], is_dashed=True)
            return charts.line_chart(part.title, [curve, ideal], x="confidence", y="accuracy")
        case Scatter():
            return charts.scatter_chart(part.title, part.xs, part.ys, part.labels, x=part.x, y=part.y)


def _strip(strip: Strip, shown_of: ShownOf) -> str:
    cards = []
    if strip.query_item_id:
        cards.append(page.card(strip.query, shown_of(strip.query_item_id).image, asked=True))
    captions = strip.captions or [""] * len(strip.item_ids)
    for item_id, caption in zip(strip.item_ids, captions, strict=True):
        found = shown_of(item_id)
        cards.append(page.card(found.title, found.image, caption=caption))
    heading = "" if strip.query_item_id else f"<p>{html.escape(strip.query)}</p>"
    return f'{heading}<div class="strip">{"".join(cards)}</div>'
