"""Parts of a catalogue by an attribute, such as its domains (METHODS M22) or its categories.

    parts_by(items, "domain")             ("beauty", "fashion"): an item is in the part of its first value
    parts_by(items, "genres=Drama")       ("Drama", ""): items that have this value, and all others
    means_by_part(weights_IM, parts)      what items of a part have in common, such as modality weights

Every item is in one part. Names are in their order; items without a value are the last part, "".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmrec.evaluation.interactions import BoolArray, FloatArray, IntArray, ItemFeatures

NAMELESS: Final = ""
"""The part of items without a value."""
DOMAIN: Final = "domain"
"""The attribute that says which domain an item is of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """A catalogue divided by one attribute."""

    names: tuple[str, ...]
    """One at least; each is the part of some item, unless there are no items."""
    part_I: IntArray
    """Row of names, of each item."""


def parts_by(items: ItemFeatures, attribute: str) -> Parts:
    """Parts of a catalogue; one part, NAMELESS, where no item has the attribute.

    Args:
        attribute: Name of an attribute, whose values are the parts; or name=value, for those with that value and those
            without it.
    """
    labels = items.labels
    codes = _codes(labels.names if labels is not None else (), attribute)
    if labels is None or not codes:
        return Parts(names=(NAMELESS,), part_I=np.zeros(items.num_items, dtype=np.int64))
    values = sorted(codes)
    row_of_code = np.full(len(labels.names), len(values), dtype=np.int64)
    row_of_code[[codes[value] for value in values]] = np.arange(len(values))
    part_I = np.full(items.num_items, len(values), dtype=np.int64)
    items_A = np.repeat(np.arange(items.num_items), np.diff(labels.offsets))
    np.minimum.at(part_I, items_A, row_of_code[labels.codes_A])
    used, part_I = np.unique(part_I, return_inverse=True)  # a value that is no item's first one makes no part
    names = [*values, NAMELESS]
    return Parts(names=tuple(names[row] for row in used) or (NAMELESS,), part_I=part_I.astype(np.int64))


def _codes(names: Sequence[str], attribute: str) -> dict[str, int]:
    """Value -> row of `names`, of one attribute or of one of its values."""
    found: dict[str, int] = {}
    for code, label in enumerate(names):
        name, separator, value = label.partition("=")
        if separator and attribute in (name, label):
            found[value] = code
    return found


def means_by_part(values_IM: FloatArray, parts: Parts, *, counted_I: BoolArray) -> FloatArray:
    """Mean of the values of a part's items, one row per name; NaN where none of them counts; shape (names, M).

    Args:
        counted_I: Which items count, such as those that have any modality.
    """
    sums_PM = np.zeros((len(parts.names), values_IM.shape[1]))
    np.add.at(sums_PM, parts.part_I[counted_I], values_IM[counted_I])
    num_P1 = np.bincount(parts.part_I[counted_I], minlength=len(parts.names))[:, None]
    found: FloatArray = np.divide(sums_PM, num_P1, out=np.full_like(sums_PM, np.nan), where=num_P1 > 0)
    return found
