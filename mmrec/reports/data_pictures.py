"""Pictures of the data, as S4 draws them, from any catalogue: bars, crosses, what is missing, the balance of classes.

    data_findings(items, parts=group_split(...))        Findings that mmrec.reports.findings_html draws

An attribute with several values of an item counts under each. Attributes of more than MAX_CLASSES values are no classes
and are left to the table of the cleaning report.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.catalog.cleaning import UNKNOWN
from mmrec.catalog.cleaning_report import MAX_CLASSES
from mmrec.catalog.item import CatalogItem
from mmrec.catalog.values import attribute_values
from mmrec.reports.findings import AnyPart, Bars, Findings, Heat, Table

CROSSES: Final = (("gender", "articleType"), ("season", "gender"), ("gender", "category"), ("season", "category"))
"""Pairs that are drawn where a catalogue has both; S4 draws the first two."""
MAX_COLUMNS: Final = 20


def value_counts(items: Sequence[CatalogItem]) -> dict[str, Counter[str]]:
    """Attribute -> value -> items that have it, for attributes with classes, by name."""
    counts: dict[str, Counter[str]] = {}
    for item in items:
        for name, text in item.attributes.items():
            counts.setdefault(name, Counter()).update(set(attribute_values(text)))
    return {name: counts[name] for name in sorted(counts) if 1 < len(counts[name]) <= MAX_CLASSES}


def missing_shares(items: Sequence[CatalogItem]) -> dict[str, float]:
    """Attribute, "image", "description", "price" -> share of items without it, most first."""
    present: Counter[str] = Counter()
    for item in items:
        present.update(name for name, value in item.attributes.items() if value != UNKNOWN)
        present.update(
            {
                "image": bool(item.image or item.image_uri),
                "description": bool(item.description),
                "price": item.price > 0,
            }
        )
    names = {*(name for item in items for name in item.attributes), "image", "description", "price"}
    shares = {name: 1.0 - present[name] / len(items) for name in names} if items else {}
    return dict(sorted(shares.items(), key=lambda each: (-each[1], each[0])))


def crossed(items: Sequence[CatalogItem], row_name: str, column_name: str) -> Heat:
    """How many items have each pair of values; the most frequent values, most frequent first."""
    pairs: Counter[tuple[str, str]] = Counter()
    for item in items:
        for row in attribute_values(item.attributes.get(row_name, "")):
            pairs.update((row, column) for column in attribute_values(item.attributes.get(column_name, "")))
    rows, columns = Counter[str](), Counter[str]()
    for (row, column), count in pairs.items():
        rows[row] += count
        columns[column] += count
    named_rows, named_columns = _frequent(rows), _frequent(columns)
    return Heat(
        title="Items",
        row_name=row_name,
        column_name=column_name,
        rows=named_rows,
        columns=named_columns,
        values=[[float(pairs[row, column]) for column in named_columns] for row in named_rows],
    )


def class_balance(
    items: Sequence[CatalogItem], attribute: str, parts: Mapping[str, npt.NDArray[np.int64]], *, most: int = 12
) -> Table:
    """Share of each class within each part of a split; a good split has like numbers in a row."""
    values = [attribute_values(item.attributes.get(attribute, ""))[:1] for item in items]
    counts = {name: Counter(v for row in rows.tolist() for v in values[row]) for name, rows in parts.items()}
    frequent = _frequent(sum(counts.values(), Counter()))[:most]
    shares: list[list[float | str]] = [
        [value, *(round(counts[name][value] / max(sum(counts[name].values()), 1), 4) for name in parts)]
        for value in frequent
    ]
    sizes: list[float | str] = ["items", *(len(rows) for rows in parts.values())]
    return Table(title=f"Balance of {attribute} after the split", columns=[attribute, *parts], rows=[sizes, *shares])


def data_findings(items: Sequence[CatalogItem], *, parts: Mapping[str, npt.NDArray[np.int64]]) -> Findings:
    """All pictures of a catalogue.

    Args:
        items: Cleaned.
        parts: Rows of each part of a split, such as group_split() gives.
    """
    counts = value_counts(items)
    drawn: list[AnyPart] = [
        Bars(title=f"Items by {name}", values={v: float(n) for v, n in values.most_common()})
        for name, values in counts.items()
    ]
    drawn += [crossed(items, one, other) for one, other in CROSSES if one in counts and other in counts]
    drawn.append(Bars(title="Share of items without", values=missing_shares(items)))
    drawn += [class_balance(items, name, parts) for name in counts]
    facts = {"items": f"{len(items):,}", "with a picture": f"{sum(item.image is not None for item in items):,}"}
    return Findings(title="Pictures of the data", facts=facts, parts=drawn)


def _frequent(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))[:MAX_COLUMNS]
