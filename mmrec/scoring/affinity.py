"""Affinity of a user for items: S[u, i] of METHODS M3, from decayed counts.

Axes: I items, H half-lives, B behaviors.
"""

import numpy as np
import numpy.typing as npt

from mmrec.scoring.decay import decay

FloatArray = npt.NDArray[np.float64]


def affinity(counts_IB: FloatArray, ages_I: FloatArray, weights_B: FloatArray, *, decay_per_day: float) -> FloatArray:
    """Time-decayed multi-behavior affinity of one user for I items.

        affinity_i = sum_b  weight_b * count_ib * exp(-decay_per_day * age_i / 86_400)

    Args:
        counts_IB: Decayed event counts as of each item's reference time, >= 0.
        ages_I: Seconds since that time, >= 0; a negative age would amplify, so callers check it.
        weights_B: Affinity that one event of each behavior adds.
        decay_per_day: lambda; 0.05 makes an event count half after 13.9 days.

    Returns:
        Affinities, shape (I,), in weight units.
    """
    affinity_I: FloatArray = (counts_IB @ weights_B) * decay(ages_I, decay_per_day=decay_per_day)
    return affinity_I
