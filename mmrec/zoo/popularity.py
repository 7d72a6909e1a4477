"""Decayed popularity: the same list for everybody (METHODS M36).

    score_i = sum over all users' events on i of  weight_b * exp(-decay_per_day * age)        age: days before the end

The end is the newest event that was seen; where times are positions, nothing decays.
"""

from dataclasses import dataclass

import numpy as np

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.scoring.decay import decay
from mmrec.wire.declared import NotNegative, check
from mmrec.zoo.history_matrix import BehaviorWeights, behavior_weights
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class PopularityOptions:
    """What an event counts."""

    decay_per_day: NotNegative = 0.0
    weights: BehaviorWeights = "equal"

    def __post_init__(self) -> None:
        check(self, "popularity")


class Popularity:
    """Decayed counts of events."""

    name = "popularity"

    def __init__(self, options: PopularityOptions) -> None:
        self._options = options
        self._scores_I: Float32Array = np.zeros(0, dtype=np.float32)

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Count; draws nothing."""
        del items, seed
        ages_E = data.end - data.times_E if data.clock == "seconds" else np.zeros(len(data))
        weights_E = behavior_weights(data.behavior_names, self._options.weights)[data.behaviors_E]
        weights_E = weights_E * decay(ages_E, decay_per_day=self._options.decay_per_day)
        counts_I = np.bincount(data.items_E, weights=weights_E, minlength=data.num_items)
        self._scores_I = counts_I.astype(np.float32)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """The same for everybody."""
        del histories
        return np.tile(self._scores_I, (len(users_N), 1))


POPULARITY = ZooModel(
    name="popularity",
    options=PopularityOptions,
    build=Popularity,
    about="decayed counts of events, the same for everybody",
    space={
        "decay_per_day": Choice((0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)),
        "weights": Choice(("equal", "usual")),
    },
)
