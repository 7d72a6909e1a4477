"""EASE: a linear model from items to items, in closed form (Steck, WWW 2019; METHODS M36).

    P = (X' X + regularization * I)^-1        X: (U, I), 1 where a user touched an item
    B = I - P / diag(P)                       no item is explained by itself
    score_n = a_n B                           a: mmrec.zoo.history_matrix; as printed where order_decay is 1

P is dense: the model is of the `max_items` items with the most users; others are neither read nor scored (0). 13,000
items need 2 GB and about 5e12 operations.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import AtLeastOne, NotNegative, Positive, Share, check
from mmrec.zoo.history_matrix import BehaviorWeights, HistoryWeighting, Sparse
from mmrec.zoo.touched_pairs import TouchedPairs
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class EASEOptions:
    """Strength of regularization, and how a user's own items count."""

    regularization: Positive = 100.0
    order_decay: Share = 0.7
    decay_per_day: NotNegative = 0.0
    weights: BehaviorWeights = "equal"
    max_items: AtLeastOne = 13_000

    def __post_init__(self) -> None:
        check(self, "ease")


class EASE:
    """Item-to-item weights that explain each item by all others at once."""

    name = "ease"

    def __init__(self, options: EASEOptions) -> None:
        self._options = options

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Invert; draws nothing."""
        del items, seed
        options = self._options
        self._weighting = HistoryWeighting.asked(data, options)
        pairs = TouchedPairs.of(data)
        counts_I = np.bincount(pairs.items_P, minlength=data.num_items)
        most = np.argsort(-counts_I, kind="stable")[: options.max_items]
        self._kept = np.sort(most[counts_I[most] > 0])
        self._weights_KK = _weights(pairs.matrix()[:, self._kept], regularization=options.regularization)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """0 for items that the model is not of."""
        del users_N
        own_NI = self._weighting.matrix(histories).astype(np.float32)
        scores_NI = np.zeros(own_NI.shape, dtype=np.float32)
        if len(self._kept):
            scores_NI[:, self._kept] = own_NI[:, self._kept] @ self._weights_KK
        return scores_NI


def _weights(touched_UK: Sparse, *, regularization: float) -> Float32Array:
    """B of K kept items, shape (K, K)."""
    if not touched_UK.shape[1]:
        return np.zeros((0, 0), dtype=np.float32)
    gram_KK = (touched_UK.T @ touched_UK).toarray(order="F")
    gram_KK[np.diag_indices_from(gram_KK)] += np.float32(regularization)
    # The inverse of a positive definite matrix by its Cholesky factor, which LAPACK writes into the lower half.
    factor_KK, failed = linalg.lapack.spotrf(gram_KK, lower=1, overwrite_a=1)
    if failed:
        raise ValueError(f"regularization {regularization} leaves a matrix that cannot be inverted; give more")
    inverse_KK, _ = linalg.lapack.spotri(factor_KK, lower=1, overwrite_c=1)
    inverse_KK = np.tril(inverse_KK)
    inverse_KK += np.tril(inverse_KK, -1).T
    inverse_KK /= -np.diag(inverse_KK).copy()
    np.fill_diagonal(inverse_KK, 0.0)
    weights_KK: Float32Array = np.ascontiguousarray(inverse_KK, dtype=np.float32)
    return weights_KK


EASE_MODEL = ZooModel(
    name="ease",
    options=EASEOptions,
    build=EASE,
    about="closed-form linear item-item model (Steck, WWW 2019)",
    space={
        "regularization": Choice((1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)),
        "order_decay": Choice((0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
        "decay_per_day": Choice((0.0, 0.01, 0.1, 1.0)),
        "weights": Choice(("equal", "usual")),
    },
)
