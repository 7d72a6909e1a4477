"""BPR: factors that order a touched item before a drawn one, through the package implicit (METHODS M36).

    maximize  sum over (u, i, j) of  ln sigmoid(u . (v_i - v_j) + b_i - b_j) - regularization * |all|^2
    i touched by u, j drawn evenly and not touched by u                         (Rendle et al., UAI 2009)

Users whom fitting saw no event of are the mean of their own items' vectors; without a history, of length 0.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mmrec.evaluation.interactions import (
    UNKNOWN,
    BoolArray,
    Float32Array,
    Histories,
    IntArray,
    Interactions,
    ItemFeatures,
)
from mmrec.evaluation.search_space import Between, Choice
from mmrec.wire.declared import AtLeastOne, NotNegative, Positive, check
from mmrec.zoo.history_matrix import HistoryWeighting
from mmrec.zoo.ials import touched
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class BPROptions:
    """Size and how long and fast it learns."""

    embedding_dim: AtLeastOne = 64
    learning_rate: Positive = 0.05
    regularization: NotNegative = 0.01
    num_epochs: AtLeastOne = 100

    def __post_init__(self) -> None:
        check(self, "bpr")


class BPR:
    """User and item factors with a bias per item, which stands in the last column."""

    name = "bpr"

    def __init__(self, options: BPROptions) -> None:
        self._options = options

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Learn on one thread, so that one seed gives one result."""
        # Imported here: loading it starts a search for a GPU, which the other models need not wait for. torch comes
        # first: it carries the libgomp that implicit needs and that a small machine may lack.
        import torch  # noqa: F401
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        del items
        options = self._options
        self._weighting = HistoryWeighting.of(data, order_decay=1.0, decay_per_day=0.0, weights="equal")
        self._known_U: BoolArray = np.bincount(data.users_E, minlength=data.num_users) > 0
        self._users_UD = np.zeros((data.num_users, options.embedding_dim + 1), dtype=np.float32)
        self._items_ID = np.zeros((data.num_items, options.embedding_dim + 1), dtype=np.float32)
        if len(data):
            learner = BayesianPersonalizedRanking(
                factors=options.embedding_dim,
                learning_rate=options.learning_rate,
                regularization=options.regularization,
                iterations=options.num_epochs,
                random_state=seed,
                num_threads=1,
            )
            learner.fit(touched(data), show_progress=False)
            self._users_UD, self._items_ID = learner.user_factors, learner.item_factors

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Known users by their own factors, others by their items'."""
        own_NI = self._weighting.matrix(histories).astype(np.float32)
        own_NI = sparse.diags_array(1.0 / np.maximum(own_NI.sum(axis=1), 1.0)) @ own_NI
        users_ND = np.asarray(own_NI @ self._items_ID, dtype=np.float32)
        users_ND[:, -1] = 1.0  # the factor of the bias
        known_N = (users_N != UNKNOWN) & self._known_U[users_N]
        users_ND[known_N] = self._users_UD[users_N[known_N]]
        scores_NI: Float32Array = users_ND @ self._items_ID.T
        return scores_NI


BPR_MODEL = ZooModel(
    name="bpr",
    options=BPROptions,
    build=BPR,
    about="Bayesian personalized ranking (Rendle et al., UAI 2009), package implicit",
    space={
        "embedding_dim": Choice((32, 64, 128, 256)),
        "learning_rate": Between(0.005, 0.2, is_log=True),
        "regularization": Between(0.001, 0.1, is_log=True),
        "num_epochs": Choice((50, 100, 200)),
    },
)
