"""How strongly each of a user's own items pulls its neighbors into the list: by what was done, how long ago, and by how
many items came after it (METHODS M36).

    pull_i  = strength_i * decay(age_i) * order_decay ** newer_i          strength_i = sum_b weight_b * count_ib
    score_j = sum_i  pull_i * w_ij                                        w_ij: mmrec/recall/neighbors.py

newer_i is the number of own items whose newest event is later than that of i, so items of one instant pull alike. Age
alone says little where all of a history is old, or all of it from one evening; what came last still leads to what comes
next. Axis: J own items.
"""

import numpy as np
import numpy.typing as npt

from mmrec.scoring.as_of import ProfileAsOf
from mmrec.scoring.decay import decay
from mmrec.scoring.settings import ScoringConfig

FloatArray = npt.NDArray[np.float64]


def pulls(strengths_J: FloatArray, ages_J: FloatArray, *, decay_per_day: float, order_decay: float) -> FloatArray:
    """pull_i of a user's own items, shape (J,), >= 0.

    Args:
        strengths_J: Weighted counts as of each item's newest event, in weight units; what is negative pulls nothing.
        ages_J: Seconds since that event, >= 0.
        decay_per_day: Of the age; 0 leaves the age out.
        order_decay: Factor for each newer item, above 0, at most 1; 1 leaves the order out.
    """
    pulls_J: FloatArray = np.maximum(strengths_J, 0.0) * decay(ages_J, decay_per_day=decay_per_day)
    if order_decay < 1.0:
        pulls_J *= order_decay ** np.searchsorted(np.sort(ages_J), ages_J, side="left")
    return pulls_J


def profile_pulls(state: ProfileAsOf, weights_B: FloatArray, scoring: ScoringConfig) -> FloatArray:
    """pull_i of a profile as of an instant, by these weights, shape (J,)."""
    return pulls(
        state.counts_IB @ weights_B,
        state.ages_I,
        decay_per_day=scoring.neighbor_decay_per_day,
        order_decay=scoring.neighbor_order_decay,
    )


def neighbor_decays(scoring: ScoringConfig) -> tuple[float, float]:
    """By age, per day, and by order: a ranker reads what comes of them, so its release is for these alone."""
    return scoring.neighbor_decay_per_day, scoring.neighbor_order_decay
