"""What a user touched last comes first: the baseline where people return to the same items (METHODS M36).

    a_i     = sum over own events e on i of  weight_b(e) * order_decay ** newer_i * exp(-decay_per_day * age_e)
    score_i = max(a_i, 1e-20) of an own item  +  1e-6 * min(1, lowest such a of the user) * share of all events on i

Items that the user has touched with one of `bought` get no score of their own, as a shop's list leaves them out; with
an empty `bought` they do. The second term orders the rest by popularity, below every own item however old.
"""

from dataclasses import dataclass, replace

import numpy as np

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import NotNegative, Share, check
from mmrec.zoo.history_matrix import BehaviorWeights, HistoryWeighting, dense
from mmrec.zoo.zoo_model import ZooModel

_POPULARITY_SHARE = 1e-6
_LEAST = 1e-20
"""What an own item counts at least: what decay leaves of a year may be no positive number any more."""


@dataclass(frozen=True, kw_only=True)
class RecencyOptions:
    """How own items are ordered."""

    order_decay: Share = 0.9
    decay_per_day: NotNegative = 0.1
    weights: BehaviorWeights = "equal"
    bought: str = "purchase"
    """Behavior after which an item is not wanted again; empty for none."""

    def __post_init__(self) -> None:
        check(self, "recency")


class Recency:
    """Own items by recency, then all others by popularity."""

    name = "recency"

    def __init__(self, options: RecencyOptions) -> None:
        self._options = options

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Count popularity; draws nothing."""
        del items, seed
        options = self._options
        self._weighting = HistoryWeighting.asked(data, options)
        self._bought = replace(
            self._weighting,
            weights_B=np.array([float(name == options.bought) for name in data.behavior_names]),
            order_decay=1.0,
            decay_per_day=0.0,
        )
        counts_I = np.bincount(data.items_E, minlength=data.num_items)
        self._shares_I = (counts_I / max(len(data), 1)).astype(np.float32)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Own items first."""
        del users_N
        weighed = self._weighting.matrix(histories)
        weighed.data = np.maximum(weighed.data, _LEAST)
        own_NI = dense(weighed)
        own_NI[dense(self._bought.matrix(histories)) > 0] = 0.0
        lowest_N = np.where(own_NI > 0, own_NI, 1.0).min(axis=1, initial=1.0)
        scores_NI: Float32Array = own_NI + _POPULARITY_SHARE * lowest_N[:, None] * self._shares_I
        return scores_NI


RECENCY = ZooModel(
    name="recency",
    options=RecencyOptions,
    build=Recency,
    about="own items, the newest first; then popularity",
    space={
        "order_decay": Choice((0.5, 0.7, 0.8, 0.9, 0.95, 1.0)),
        "decay_per_day": Choice((0.0, 0.1, 0.3, 1.0, 3.0)),
        "weights": Choice(("equal", "usual")),
        "bought": Choice(("purchase", "")),
    },
)
