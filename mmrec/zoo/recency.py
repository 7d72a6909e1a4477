"""What a user touched last comes first: the baseline where people return to the same items (METHODS M36).

    score_i = sum over own events e on i of  weight_b(e) * order_decay ** newer_i * exp(-decay_per_day * age_e)
              + 1e-6 * share of all events that are on i

Items that the user has touched with one of `bought` get no score of their own, as a shop's list leaves them out; with
an empty `bought` they do. The second term orders the rest by popularity.
"""

from dataclasses import dataclass, replace

import numpy as np

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import NotNegative, Share, check
from mmrec.zoo.history_matrix import BehaviorWeights, HistoryWeighting, dense
from mmrec.zoo.zoo_model import ZooModel

_POPULARITY_SHARE = 1e-6


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
        self._weighting = HistoryWeighting.of(
            data,
            order_decay=options.order_decay,
            decay_per_day=options.decay_per_day,
            weights=options.weights,
        )
        self._bought = replace(
            self._weighting,
            weights_B=np.array([float(name == options.bought) for name in data.behavior_names]),
            order_decay=1.0,
            decay_per_day=0.0,
        )
        counts_I = np.bincount(data.items_E, minlength=data.num_items)
        self._popularity_I = (_POPULARITY_SHARE * counts_I / max(len(data), 1)).astype(np.float32)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Own items first."""
        del users_N
        own_NI = dense(self._weighting.matrix(histories))
        own_NI[dense(self._bought.matrix(histories)) > 0] = 0.0
        return own_NI + self._popularity_I


RECENCY = ZooModel(
    name="recency",
    options=RecencyOptions,
    build=Recency,
    about="own items, the newest first; then popularity",
    space={
        "order_decay": Choice((0.5, 0.7, 0.8, 0.9, 0.95, 1.0)),
        "decay_per_day": Choice((0.0, 0.1, 0.3, 1.0, 3.0)),
        "weights": Choice(("equal", "shop")),
        "bought": Choice(("purchase", "")),
    },
)
