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


def tied_ranks(
    num_better_x: IntArray, num_equal_x: IntArray, *, generator: np.random.Generator, num_right_x: IntArray | int = 1
) -> IntArray:
    """1-based ranks behind what is better, and anywhere among what is equal: the one rule for ties (METHODS M35).

        rank = 1 + better + Binomial(equal, U),    U = 1 - V ** (1 / right),    V uniform in [0, 1)

    Every item at one score stands at a uniform place of its own, and U is the first place of the `right` ones: with
    one, all ranks from 1 + better to 1 + better + equal are as likely. A constant scorer therefore gets what chance
    gets, HR@k = k / n, whatever the order of its input.

    Args:
        num_better_x: Other items with a higher score, any shape.
        num_equal_x: Other items with the same score, >= 0.
        generator: Source of the tie breaks; one seed gives one result.
        num_right_x: Relevant items that share the score, >= 1, of which the first one's rank is asked.
    """
    first = 1.0 - generator.random(np.shape(num_better_x)) ** (1.0 / num_right_x)
    ranks_x: IntArray = 1 + num_better_x + generator.binomial(num_equal_x, first)
    return ranks_x


FEW = 8
"""So many scores are counted against all others; more are found in the sorted ones."""


def ranks_among(relevant_R: AnyFloatArray, others_C: AnyFloatArray, *, generator: np.random.Generator) -> IntArray:
    """1-based rank of each relevant item among the same C others, ties as tied_ranks() has them; shape (R,).

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
    return tied_ranks(*_better_and_equal(relevant_R, others_C), generator=generator)


def places_among(relevant_R: AnyFloatArray, others_C: AnyFloatArray, *, generator: np.random.Generator) -> IntArray:
    """1-based place of each relevant item in the one list of R relevant items and C others; shape (R,).

    Relevant items stand in each other's way here. Of m relevant and e other items at one score, the relevant ones take
    m distinct places of e + m, all as likely: alone, an item's place is its rank by ranks_among(). Scores are finite.
    """
    better_R, equal_R = _better_and_equal(relevant_R, others_C)
    if len(relevant_R) == 1:
        return tied_ranks(better_R, equal_R, generator=generator)
    places_R = np.empty(len(relevant_R), dtype=np.int64)
    ahead = 0
    for score in np.unique(relevant_R)[::-1]:
        alike = np.flatnonzero(relevant_R == score)
        drawn = generator.choice(int(equal_R[alike[0]]) + len(alike), len(alike), replace=False)
        places_R[alike] = 1 + ahead + better_R[alike[0]] + drawn
        ahead += len(alike)
    return places_R


def _better_and_equal(relevant_R: AnyFloatArray, others_C: AnyFloatArray) -> tuple[IntArray, IntArray]:
    """How many others have a higher and how many the same score."""
    if len(relevant_R) <= FEW:
        better_R = np.array([np.count_nonzero(others_C > own) for own in relevant_R], dtype=np.int64)
        return better_R, np.array([np.count_nonzero(others_C == own) for own in relevant_R], dtype=np.int64)
    ordered_C = np.sort(others_C)
    not_better_R = np.searchsorted(ordered_C, relevant_R, side="right")
    return len(ordered_C) - not_better_R, not_better_R - np.searchsorted(ordered_C, relevant_R, side="left")


def ranks_in_rows(scores_NC: AnyFloatArray, own_N: AnyFloatArray, *, generator: np.random.Generator) -> IntArray:
    """1-based rank of own_N[n] among row n, in which it stands, ties as tied_ranks() has them; shape (N,).

    A score that is no number loses to every other, and others that are none stand before it: a model that diverged
    gains nothing, and early stopping can go on comparing.
    """
    num_equal_N = np.maximum((scores_NC == own_N[:, None]).sum(axis=1) - 1, 0)
    num_worse_N = (scores_NC < own_N[:, None]).sum(axis=1)
    return tied_ranks(scores_NC.shape[1] - 1 - num_worse_N - num_equal_N, num_equal_N, generator=generator)


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
