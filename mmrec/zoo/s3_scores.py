"""The score S[u,i] of paper S3 as models of the zoo learn it: decayed, weighted sums of a user's events (METHODS M3).

    S_ui = sum over events of u on i of  weight_b * exp(-decay_per_day * age)        mmrec.zoo.history_matrix

Axes: U users, I items, N targets, B behaviors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from mmrec.errors import SettingError
from mmrec.evaluation.interactions import Interactions, histories_of
from mmrec.evaluation.search_space import Choice, SearchSpace
from mmrec.wire.declared import NotNegative
from mmrec.zoo.history_matrix import BehaviorWeights, HistoryWeighting, Sparse

SCORE_SPACE: Final[SearchSpace] = {
    "decay_per_day": Choice((0.0, 0.01, 0.05, 0.2)),
    "weights": Choice(("usual", "equal")),
}


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """What an event adds to a score."""

    decay_per_day: NotNegative = 0.05
    """Lambda; without meaning where times are positions."""
    weights: BehaviorWeights = "usual"
    changed_weights: Mapping[str, NotNegative] = field(default_factory=dict)
    """Weight by behavior, in place of the one that `weights` gives it."""


def score_weighting(data: Interactions, options: ScoreOptions) -> HistoryWeighting:
    """S of targets by their histories.

    Raises:
        SettingError: a weight is given to a behavior that the data have not.
    """
    if strange := sorted(set(options.changed_weights) - set(data.behavior_names)):
        raise SettingError(
            ("changed_weights",), f"names {', '.join(strange)}; behaviors are {', '.join(data.behavior_names)}"
        )
    usual = HistoryWeighting.of(data, order_decay=1.0, decay_per_day=options.decay_per_day, weights=options.weights)
    pairs = zip(data.behavior_names, usual.weights_B.tolist(), strict=True)
    weights = [options.changed_weights.get(name, weight) for name, weight in pairs]
    return replace(usual, weights_B=np.array(weights, dtype=np.float64))


def score_matrix(data: Interactions, weighting: HistoryWeighting) -> Sparse:
    """S of all users as of the newest event, shape (U, I)."""
    now_U = np.full(data.num_users, np.nextafter(data.end, np.inf))
    return weighting.matrix(histories_of(data, users_N=np.arange(data.num_users), as_of_N=now_U))
