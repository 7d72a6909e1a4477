"""ItemKNN: items that people touched close to the user's own, the newest of these counting most (METHODS M36).

    score_nj = sum_i  a_ni * w_ij

w_ij is the neighbor weight of mmrec.recall.neighbors, which serving reads, too, and a_ni what the user cares about
(mmrec.zoo.history_matrix).
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import sparse

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice, SearchSpace
from mmrec.recall.neighbors import NeighborSettings, build_neighbors
from mmrec.scoring.behaviors import Behavior, BehaviorSet
from mmrec.wire.declared import AtLeastOne, NotNegative, Positive, Share, check
from mmrec.zoo.history_matrix import BehaviorWeights, HistoryWeighting, Sparse, behavior_weights, dense
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class ItemKNNOptions:
    """How neighbors are built, and how a user's own items count."""

    order_decay: Share = 0.7
    decay_per_day: NotNegative = 0.01
    weights: BehaviorWeights = "equal"
    num_neighbors: AtLeastOne = 200
    pair_decay_per_day: NotNegative = 0.001
    position_scale: Positive = 3.0
    backward: NotNegative = 0.3
    user_discount: NotNegative = 0.25
    popularity_discount: NotNegative = 0.7
    shrinkage: NotNegative = 3.0

    def __post_init__(self) -> None:
        check(self, "item_knn")


def neighbor_settings(options: ItemKNNOptions) -> NeighborSettings:
    """The part that builds neighbors."""
    return NeighborSettings(
        num_neighbors=options.num_neighbors,
        decay_per_day=options.pair_decay_per_day,
        position_scale=options.position_scale,
        backward=options.backward,
        user_discount=options.user_discount,
        popularity_discount=options.popularity_discount,
        shrinkage=options.shrinkage,
    )


def neighbor_matrix(data: Interactions, *, settings: NeighborSettings, weights: BehaviorWeights) -> Sparse:
    """w_ij of all items with neighbors, shape (I, I)."""
    weights_B = behavior_weights(data.behavior_names, weights)
    behaviors = BehaviorSet(
        tuple(
            Behavior(name=f"behavior {row}", behavior_id=row, weight=float(weight))
            for row, weight in enumerate(weights_B)
        )
    )
    rows_I = np.arange(data.num_items).astype(str)
    events = pa.table(
        {
            "user_key": pa.array(data.users_E).cast(pa.string()),
            "item_id": pa.array(rows_I, pa.string()).take(pa.array(data.items_E)),
            "behavior": pa.array(behaviors.names, pa.string()).take(pa.array(data.behaviors_E)),
            "event_time_s": pa.array(data.times_E),
        }
    )
    found = build_neighbors(events, behaviors=behaviors, as_of_s=data.end, settings=settings)
    firsts = np.repeat([int(item) for item in found], [len(near.item_ids) for near in found.values()]).astype(np.int64)
    others = np.array([int(other) for near in found.values() for other in near.item_ids], dtype=np.int64)
    values = np.concatenate([near.weights_K for near in found.values()] or [np.zeros(0, dtype=np.float32)])
    matrix: Sparse = sparse.csr_array((values, (firsts, others)), shape=(data.num_items, data.num_items))
    return matrix


class ItemKNN:
    """Neighbors of own items."""

    name = "item_knn"

    def __init__(self, options: ItemKNNOptions) -> None:
        self._options = options

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Count pairs; draws nothing."""
        del items, seed
        options = self._options
        self._weighting = HistoryWeighting.asked(data, options)
        self._neighbors_II = neighbor_matrix(data, settings=neighbor_settings(options), weights=options.weights)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """0 for items that are no neighbor of an own one."""
        del users_N
        return dense(self._weighting.matrix(histories) @ self._neighbors_II)


KNN_SPACE: SearchSpace = {
    "order_decay": Choice((0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
    "decay_per_day": Choice((0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)),
    "weights": Choice(("equal", "usual")),
    "num_neighbors": Choice((100, 200, 500)),
    "pair_decay_per_day": Choice((0.0, 0.001, 0.01)),
    "position_scale": Choice((1.0, 3.0, 10.0)),
    "backward": Choice((0.15, 0.3, 0.6, 1.0)),
    "user_discount": Choice((0.0, 0.25, 0.5)),
    "popularity_discount": Choice((0.5, 0.7, 0.85)),
    "shrinkage": Choice((1.0, 3.0, 10.0)),
}
"""What tuning tries; pair_decay_per_day and decay_per_day do nothing where times are positions."""

ITEM_KNN = ZooModel(
    name="item_knn",
    options=ItemKNNOptions,
    build=ItemKNN,
    about="neighbors of own items, by decayed pairs and their order",
    space=KNN_SPACE,
)
