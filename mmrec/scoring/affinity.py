"""Affinity of a user for items: S[u, i] of METHODS M3, from decayed counts; and what undo behaviors do to counts.

Axes: I items, H half-lives, B behaviors.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mmrec.scoring.decay import decay

FloatArray = npt.NDArray[np.float64]


def affinity(counts_IB: FloatArray, ages_I: FloatArray, weights_B: FloatArray, *, decay_per_day: float) -> FloatArray:
    """Time-decayed multi-behavior affinity of one user for I items.

        affinity_i = sum_b  weight_b * count_ib * exp(-decay_per_day * age_i / 86_400)

    Args:
        counts_IB: Decayed event counts as of each item's reference time, net of what was cancelled (net_counts).
        ages_I: Seconds since that time, >= 0; a negative age would amplify, so callers check it.
        weights_B: Affinity that one event of each behavior adds.
        decay_per_day: lambda; 0.05 makes an event count half after 13.9 days.

    Returns:
        Affinities, shape (I,), in weight units.
    """
    affinity_I: FloatArray = (counts_IB @ weights_B) * decay(ages_I, decay_per_day=decay_per_day)
    return affinity_I


def net_counts(counts_xB: FloatArray, cancels: Sequence[tuple[int, int]]) -> FloatArray:
    """Counts less what undo behaviors cancelled.

        net_b = max(0, count_b - sum over behaviors c that cancel b of count_c),    net_c = 0

    Stored counts stay plain sums, so events may come in any order; since all counts of an item decay alike, the net
    count is the same whenever it is read. A net count has nothing left to cancel: doing it twice is doing it once.

    Args:
        counts_xB: Decayed counts; the last axis is B.
        cancels: (base, cancelling) positions on axis B, BehaviorSet.cancels.

    Returns:
        Counts of the same shape; the same array where nothing cancels.
    """
    if not cancels:
        return counts_xB
    net_xB: FloatArray = counts_xB.copy()
    for base, cancelling in cancels:
        net_xB[..., base] -= counts_xB[..., cancelling]
        net_xB[..., cancelling] = 0.0
    for base in {base for base, _ in cancels}:
        np.maximum(net_xB[..., base], 0.0, out=net_xB[..., base])
    return net_xB
