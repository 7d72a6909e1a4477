"""Items into parts, such as train, validation and test, so that items that are alike never stand in two of them.

    group_split(titles, digests, shares=HOLD_OUT, seed=1)["test"]        rows of the items held out

Titles and pictures repeat in a catalogue (a quarter of the titles of Fashion Product Images): a random split would ask
about products that were seen in training. Items of one folded title or one picture make a group, and so do items that
are tied through a chain of such items; a group goes to one part as a whole (group k-fold, as in scikit-learn).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

HOLD_OUT: Final[Mapping[str, float]] = {"train": 0.56, "validation": 0.14, "test": 0.30}
"""30 % held out, 20 % of the rest for validation (S4)."""


def group_split(*columns: Sequence[str], shares: Mapping[str, float] = HOLD_OUT, seed: int) -> dict[str, IntArray]:
    """Rows of each part, ascending; every row is in exactly one.

    Args:
        columns: Aligned by item; items with an equal value in a column are alike. An empty value ties nothing. Titles
            are given folded (mmrec.catalog.values.folded), pictures as a digest of their bytes.
        shares: Part -> its share of the items, above 0, 1 together. Kept to within the larger of one item and the
            largest group.
        seed: Of the draws; the same seed and columns give the same parts.

    Raises:
        ValueError: columns of different lengths or none, or shares that are not that.
    """
    lengths = {len(column) for column in columns}
    if len(lengths) != 1:
        raise ValueError(f"columns of {sorted(lengths)} items; give at least one column, all of one value per item")
    if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1.0) > 1e-9:
        raise ValueError(f"shares are {dict(shares)}; give shares above 0 that sum to 1")
    groups = item_groups(*columns)
    num_items, generator = len(groups), np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1) if num_items else []
    # Large groups first, so that single items fill what is left to the item; equal ones in random order.
    drawn = generator.permutation(len(members))
    drawn = drawn[np.argsort([-len(members[group]) for group in drawn], kind="stable")]
    names = list(shares)
    room = np.array([shares[name] for name in names]) * num_items
    part_of_item = np.empty(num_items, dtype=np.int64)
    for group in drawn:
        # A part is drawn as often as it has room left, like items drawn from one urn; a part without room only where
        # no part has any.
        fits = np.where(room >= len(members[group]) - 0.5, room + 0.5, 0.0)
        part = int(generator.choice(len(names), p=fits / fits.sum())) if fits.any() else int(room.argmax())
        part_of_item[members[group]] = part
        room[part] -= len(members[group])
    return {name: np.flatnonzero(part_of_item == part) for part, name in enumerate(names)}


def item_groups(*columns: Sequence[str]) -> IntArray:
    """The group of each item: the lowest row that it is tied to by equal values, through any chain; shape (I,)."""
    parent = list(range(len(columns[0])))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for column in columns:
        first: dict[str, int] = {}
        for row, value in enumerate(column):
            if value:
                one, other = root(first.setdefault(value, row)), root(row)
                parent[max(one, other)] = min(one, other)
    return np.array([root(row) for row in range(len(parent))], dtype=np.int64)
