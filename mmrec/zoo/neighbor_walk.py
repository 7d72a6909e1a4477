"""A walk of a few steps over the graph of items that follow each other: nothing is trained (METHODS M36).

    t_ij  = w_ij / (sum_k w_ik) ** row_share            w: neighbor weights of mmrec.recall.neighbors
    score = sum over steps s = 1, 2, ...  step_decay ** (s - 1) * a T^s        a: mmrec.zoo.history_matrix

One step is ItemKNN; further ones reach items that share no user with an own one, as graph convolutions do: LightGCN
(He et al., SIGIR 2020) without its training, on edges that keep the order of events. A personalized walk of this kind
is ItemRank's (Gori and Pucci, IJCAI 2007).
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import AtLeastOne, Share, check
from mmrec.zoo.history_matrix import HistoryWeighting, dense
from mmrec.zoo.item_knn import KNN_SPACE, ItemKNNOptions, neighbor_matrix, neighbor_settings
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class NeighborWalkOptions(ItemKNNOptions):
    """Those of ItemKNN, which make the edges, and how far the walk goes."""

    num_neighbors: AtLeastOne = 100
    num_steps: AtLeastOne = 2
    step_decay: Share = 0.3
    row_share: Share = 0.5
    """1 makes rows sum to 1: an item with many neighbors passes no more on than one with few."""

    def __post_init__(self) -> None:
        check(self, "neighbor_walk")


class NeighborWalk:
    """Neighbors of own items, their neighbors, and so on."""

    name = "neighbor_walk"

    def __init__(self, options: NeighborWalkOptions) -> None:
        self._options = options

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Count pairs; draws nothing."""
        del items, seed
        options = self._options
        self._weighting = HistoryWeighting.asked(data, options)
        edges_II = neighbor_matrix(data, settings=neighbor_settings(options), weights=options.weights)
        sums_I = np.asarray(edges_II.sum(axis=1), dtype=np.float64).ravel()
        shares_I = np.where(sums_I > 0, sums_I, 1.0) ** -options.row_share
        self._edges_II = (sparse.diags_array(shares_I) @ edges_II).astype(np.float32).tocsr()

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """0 for items that the walk does not reach."""
        del users_N
        reached_NI = self._weighting.matrix(histories).astype(np.float32) @ self._edges_II
        scores_NI = dense(reached_NI)
        for step in range(1, self._options.num_steps):
            reached_NI = reached_NI @ self._edges_II
            scores_NI += dense(self._options.step_decay**step * reached_NI)
        return scores_NI


NEIGHBOR_WALK = ZooModel(
    name="neighbor_walk",
    options=NeighborWalkOptions,
    build=NeighborWalk,
    about="a walk over the graph of items that follow each other, without training",
    space={
        **KNN_SPACE,
        "num_steps": Choice((1, 2, 3)),
        "step_decay": Choice((0.03, 0.1, 0.3, 0.6, 1.0)),
        "row_share": Choice((0.0, 0.25, 0.5, 0.75, 1.0)),
    },
)
