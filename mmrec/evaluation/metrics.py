"""Ranking metrics: HR, NDCG, MRR, recall, precision, coverage, AUC (METHODS M33), in one place.

Axes: N users or events, R relevant items, C candidates. `ranks` are 1-based; 0 means that an item is not on the list.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
AnyFloatArray = npt.NDArray[np.float32] | FloatArray


def rank_of(item_id: str, ranked: Sequence[str]) -> int:
    """1-based rank of an item in a list; 0 where it is not in it."""
    try:
        return ranked.index(item_id) + 1
    except ValueError:
        return 0


def ranks_among(relevant_R: FloatArray, others_C: FloatArray, *, generator: np.random.Generator) -> IntArray:
    """1-based rank of each relevant item among the same C others, ties broken at random; shape (R,).

    A constant scorer therefore ranks an item anywhere with equal probability: HR@k is k / (C + 1) (METHODS M35).

    Args:
        relevant_R: Scores of the relevant items, higher is better. They do not stand in each other's way.
        others_C: Scores of the other candidates.
        generator: Source of the tie breaks.

    Raises:
        ValueError: a score is no number: the model diverged and must not be judged.
    """
    num_wrong = int((~np.isfinite(relevant_R)).sum() + (~np.isfinite(others_C)).sum())
    if num_wrong:
        raise ValueError(f"{num_wrong} of {len(relevant_R) + len(others_C)} scores are no numbers; train again")
    ordered_C = np.sort(others_C)
    not_better_R = np.searchsorted(ordered_C, relevant_R, side="right")
    ties_R = not_better_R - np.searchsorted(ordered_C, relevant_R, side="left")
    ranks_R: IntArray = 1 + len(ordered_C) - not_better_R + generator.integers(0, ties_R + 1)
    return ranks_R


def middle_ranks(scores_NC: AnyFloatArray, own_N: AnyFloatArray) -> FloatArray:
    """1-based rank of own_N[n] among row n, in which it stands; equal scores share the middle of their ranks.

    A score that is no number loses to every other, and others that are none stand before it: a model that collapsed or
    diverged gains nothing.
    """
    not_worse_N = (~(scores_NC < own_N[:, None])).sum(axis=1) - np.isfinite(own_N)
    equal_N = (scores_NC == own_N[:, None]).sum(axis=1) - 1
    ranks_N: FloatArray = 1.0 + not_worse_N - np.maximum(equal_N, 0) / 2.0
    return ranks_N


def ranks_within(scores_NC: AnyFloatArray, own_N: AnyFloatArray, *, generator: np.random.Generator) -> IntArray:
    """1-based rank of own_N[n] among row n, in which it stands, ties broken at random as in ranks_among(); shape (N,).

    A constant scorer gets HR@k = k / C. A score that is no number loses to every other, and others that are none stand
    before it: a model that diverged gains nothing.
    """
    scores_NC, own_N = (np.where(np.isfinite(scores), scores, np.nan) for scores in (scores_NC, own_N))
    before_N = (~(scores_NC <= own_N[:, None])).sum(axis=1) - np.isnan(own_N)
    equal_N = (scores_NC == own_N[:, None]).sum(axis=1) - 1
    ranks_N: IntArray = 1 + before_N + generator.integers(0, np.maximum(equal_N, 0) + 1)
    return ranks_N


def hits_at_k(ranks_N: IntArray | FloatArray, k: int) -> FloatArray:
    """1 where the relevant item is among the first k."""
    return ((ranks_N >= 1) & (ranks_N <= k)).astype(np.float64)


def ndcg_at_k(ranks_N: IntArray, k: int) -> FloatArray:
    """1 / log2(1 + rank) within the first k, else 0: NDCG with one relevant item (Järvelin, Kekäläinen, TOIS 2002)."""
    within = (ranks_N >= 1) & (ranks_N <= k)
    return np.where(within, 1.0 / np.log2(1.0 + np.maximum(ranks_N, 1)), 0.0)


def hit_rate(ranks_N: IntArray | FloatArray, k: int) -> float:
    """HR@k: share of ranks within the first k; 0 where there are none."""
    return float(hits_at_k(ranks_N, k).mean()) if len(ranks_N) else 0.0
