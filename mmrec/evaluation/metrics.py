"""Ranking metrics: HR, NDCG, MRR, recall, precision, coverage, AUC (METHODS M33), in one place.

Axes: N users or events, K ranked results. `ranks` are 1-based; 0 means the relevant item is not on the list.
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def rank_of(item_id: str, ranked: Sequence[str]) -> int:
    """1-based rank of an item in a list; 0 where it is not in it."""
    try:
        return ranked.index(item_id) + 1
    except ValueError:
        return 0


def rank_among(scores_NC: FloatArray, *, generator: np.random.Generator) -> IntArray:
    """1-based rank of candidate 0 among C candidates, ties broken at random.

    A constant scorer therefore ranks candidate 0 anywhere with equal probability: HR@k is k / C (METHODS M35).

    Args:
        scores_NC: Scores, higher is better; column 0 is the relevant candidate.
        generator: Source of the tie breaks.
    """
    better = (scores_NC[:, 1:] > scores_NC[:, :1]).sum(axis=1)
    ties = (scores_NC[:, 1:] == scores_NC[:, :1]).sum(axis=1)
    ranks: IntArray = 1 + better + generator.integers(0, ties + 1)
    return ranks


def hits_at_k(ranks_N: IntArray, k: int) -> FloatArray:
    """1 where the relevant item is among the first k."""
    return ((ranks_N >= 1) & (ranks_N <= k)).astype(np.float64)


def ndcg_at_k(ranks_N: IntArray, k: int) -> FloatArray:
    """1 / log2(1 + rank) within the first k, else 0: NDCG with one relevant item (Järvelin, Kekäläinen, TOIS 2002)."""
    within = (ranks_N >= 1) & (ranks_N <= k)
    return np.where(within, 1.0 / np.log2(1.0 + np.maximum(ranks_N, 1)), 0.0)


def reciprocal_ranks(ranks_N: IntArray) -> FloatArray:
    """1 / rank, 0 where the item is not on the list; their mean is MRR."""
    return np.where(ranks_N >= 1, 1.0 / np.maximum(ranks_N, 1), 0.0)


def recall_at_k(ranked: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Share of the relevant items among the first k; nan where nothing is relevant."""
    if not relevant:
        return float("nan")
    return len(set(ranked[:k]) & set(relevant)) / len(set(relevant))


def precision_at_k(ranked: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Share of the first k that is relevant."""
    if k < 1:
        raise ValueError(f"precision at k={k}; k is at least 1")
    return len(set(ranked[:k]) & set(relevant)) / k


def coverage(lists: Iterable[Sequence[str]], *, num_items: int) -> float:
    """Share of the catalogue that is on at least one list."""
    if num_items < 1:
        raise ValueError(f"coverage of a catalogue of {num_items} items; give at least 1")
    return len({item_id for ranked in lists for item_id in ranked}) / num_items


def auc(scores_positive: FloatArray, scores_negative: FloatArray) -> float:
    """Probability that a positive scores above a negative, ties counting half; nan where one side is empty."""
    if not len(scores_positive) or not len(scores_negative):
        return float("nan")
    ordered = np.sort(scores_negative)
    below = np.searchsorted(ordered, scores_positive, side="left")
    not_above = np.searchsorted(ordered, scores_positive, side="right")
    return float((below + not_above).mean() / 2 / len(ordered))
