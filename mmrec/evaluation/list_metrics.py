"""What lists are like, whether right or not: coverage, novelty, personalization, diversity (METHODS M33).

    coverage           items on any list / items
    novelty            mean of -log2(share of events of a listed item)
    personalization    mean over pairs of lists of 1 - common items / K (inter-user diversity: Zhou et al., PNAS 2010)
    diversity          mean over lists of 1 - cosine of two of its items, over all pairs (Ziegler et al., WWW 2005)

Axes: N lists of K item rows, -1 where a list is shorter; I items; D numbers of a vector.
"""

import numpy as np

from mmrec.evaluation.interactions import Float32Array, IntArray


def coverage(lists_NK: IntArray, *, num_items: int) -> float:
    """Share of the catalogue that is on any list; 0 of an empty catalogue."""
    return len(np.unique(lists_NK[lists_NK >= 0])) / num_items if num_items else 0.0


def novelty(lists_NK: IntArray, *, events_I: IntArray) -> float:
    """Mean bits of surprise of a listed item; one event is added to each item. 0 without lists.

    Args:
        events_I: Events per item that the fit saw.
    """
    listed = lists_NK[lists_NK >= 0]
    shares_I = (events_I + 1.0) / (events_I.sum() + len(events_I))
    return float(-np.log2(shares_I[listed]).mean()) if len(listed) else 0.0


def personalization(lists_NK: IntArray) -> float:
    """How much two lists differ: 0 where everybody has the same one, 1 where none share an item; 0 of fewer than two.

    Of c lists that hold an item, c (c - 1) ordered pairs share it: no pair is looked at.
    """
    num_lists = int((lists_NK >= 0).any(axis=1).sum())
    if num_lists < 2:
        return 0.0
    counts = np.bincount(lists_NK[lists_NK >= 0])
    shared = float((counts * (counts - 1)).sum()) / (num_lists * (num_lists - 1))
    return 1.0 - shared / lists_NK.shape[1]


def diversity(lists_NK: IntArray, vectors_ID: Float32Array) -> float:
    """Mean over lists with two items or more that have a vector; 0 where there are none.

    Args:
        vectors_ID: Content of one modality; rows of zeros have none.
    """
    lengths_I = np.linalg.norm(vectors_ID, axis=1)
    has_I, units_ID = lengths_I > 0, vectors_ID / np.maximum(lengths_I, 1e-12)[:, None]
    found = []
    for items_K in lists_NK:
        kept = items_K[(items_K >= 0) & has_I[items_K]]
        if (num := len(kept)) >= 2:
            # |sum of units|^2 = num + sum of cosines of ordered pairs
            total = float(np.square(units_ID[kept].sum(axis=0)).sum())
            found.append(1.0 - (total - num) / (num * (num - 1)))
    return float(np.mean(found)) if found else 0.0
