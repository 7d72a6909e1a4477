"""A graph of items alike in content, made once for the same items and size: trials of FREEDOM share it (METHODS M36).

    G = D^-1/2 S D^-1/2,   S_ij = 1 where j is among the `num_alike` items most like i in content, else 0

Likeness is the sum of the cosines of mmrec.zoo.item_content. Axes: N rows of scores, I items, K neighbors.
"""

from weakref import WeakKeyDictionary

import numpy as np
from scipy import sparse

from mmrec.evaluation.interactions import BoolArray, Float32Array, ItemFeatures
from mmrec.zoo.history_matrix import Sparse
from mmrec.zoo.item_content import ItemContent

_BLOCK = 1_000
"""Items whose likeness to all others is looked at at once."""
_MADE: WeakKeyDictionary[ItemFeatures, dict[int, Sparse]] = WeakKeyDictionary()
"""Graphs by size, as long as the items are there."""


def content_graph(items: ItemFeatures, *, num_alike: int) -> Sparse:
    """G, shape (I, I), not to be changed; items without content, or like no other, have an empty row. Ties go to the
    lower row.
    """
    made = _MADE.setdefault(items, {})
    if num_alike not in made:
        made[num_alike] = _content_graph(items, num_alike=num_alike)
    return made[num_alike]


def _content_graph(items: ItemFeatures, *, num_alike: int) -> Sparse:
    content, num_items = ItemContent.of(items), items.num_items
    firsts, others = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    num_kept = min(num_alike, num_items)
    everything = sparse.eye_array(num_items, format="csr")
    for start in range(0, num_items, _BLOCK):
        cosines = content.scores(everything[start : start + _BLOCK])
        rows, near = np.nonzero(highest(cosines, num_kept) & (cosines > 1e-6))
        firsts.append(start + rows)
        others.append(near)
    first, other = np.concatenate(firsts), np.concatenate(others)
    edges_II = sparse.csr_array((np.ones(len(first)), (first, other)), shape=(num_items, num_items))
    scale_I = 1.0 / np.sqrt(np.maximum(np.asarray(edges_II.sum(axis=1)).ravel(), 1.0))
    graph: Sparse = (sparse.diags_array(scale_I) @ edges_II @ sparse.diags_array(scale_I)).tocsr()
    return graph


def highest(scores_NI: Float32Array, num_kept: int) -> BoolArray:
    """Which are the `num_kept` highest of each row, shape (N, I); of equal ones those in front."""
    num_items = scores_NI.shape[1]
    last_N = np.partition(scores_NI, num_items - num_kept, axis=1)[:, num_items - num_kept, None]
    above_NI, tied_NI = scores_NI > last_N, scores_NI == last_N
    room_N = num_kept - above_NI.sum(axis=1, keepdims=True)
    found: BoolArray = above_NI | (tied_NI & (tied_NI.cumsum(axis=1) <= room_N))
    return found
