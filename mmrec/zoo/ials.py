"""iALS: factors of users and items by weighted least squares, through the package implicit (METHODS M36).

    minimize  sum_ui c_ui (p_ui - u . v_i)^2 + regularization * (sum |u|^2 + sum |v_i|^2)        (Hu et al., ICDM 2008)
    p_ui = 1 where u touched i, else 0;        c_ui = alpha where u touched i, else 1

A target's vector is solved for its history, known user or not, with alpha * a_ni (mmrec.zoo.history_matrix) in the
place of alpha; where order_decay is 1, that is the vector that fitting ends with.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import AtLeastOne, NotNegative, Positive, Share, check
from mmrec.zoo.history_matrix import BehaviorWeights, HistoryWeighting
from mmrec.zoo.touched_pairs import TouchedPairs
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class IALSOptions:
    """Size, strength of regularization, and how a user's own items count."""

    embedding_dim: AtLeastOne = 64
    regularization: Positive = 0.1
    alpha: Positive = 10.0
    num_iterations: AtLeastOne = 15
    order_decay: Share = 0.8
    decay_per_day: NotNegative = 0.0
    weights: BehaviorWeights = "equal"

    def __post_init__(self) -> None:
        check(self, "ials")


class IALS:
    """Item factors; users are solved for when they are asked about."""

    name = "ials"

    def __init__(self, options: IALSOptions) -> None:
        self._options = options

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Alternate on one thread, so that one seed gives one result."""
        # Imported here: loading it starts a search for a GPU, which the other models need not wait for. torch comes
        # first: it carries the libgomp that implicit needs and that a small machine may lack.
        import torch  # noqa: F401
        from implicit.cpu.als import AlternatingLeastSquares

        del items
        options = self._options
        self._weighting = HistoryWeighting.asked(data, options)
        self._solver = AlternatingLeastSquares(
            factors=options.embedding_dim,
            regularization=options.regularization,
            alpha=options.alpha,
            iterations=options.num_iterations,
            random_state=seed,
            num_threads=1,
        )
        self._has_events = len(data) > 0
        if self._has_events:
            self._solver.fit(touched(data), show_progress=False)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """0 for every item where there is no history."""
        del users_N
        if not self._has_events:
            return np.zeros((len(histories), self._weighting.num_items), dtype=np.float32)
        own_NI = sparse.csr_matrix(self._weighting.matrix(histories), dtype=np.float32)
        users_ND = self._solver.recalculate_user(np.arange(len(histories)), own_NI)
        scores_NI: Float32Array = users_ND @ self._solver.item_factors.T
        return scores_NI


def touched(data: Interactions) -> sparse.csr_matrix:
    """1 where a user touched an item, shape (U, I), in the form that implicit takes."""
    return sparse.csr_matrix(TouchedPairs.of(data).matrix())


IALS_MODEL = ZooModel(
    name="ials",
    options=IALSOptions,
    build=IALS,
    about="implicit alternating least squares (Hu et al., ICDM 2008), package implicit",
    space={
        "embedding_dim": Choice((32, 64, 128, 256)),
        "regularization": Choice((0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)),
        "alpha": Choice((1.0, 3.0, 10.0, 30.0, 100.0)),
        "num_iterations": Choice((5, 10, 15)),
        "order_decay": Choice((0.6, 0.8, 0.9, 1.0)),
        "decay_per_day": Choice((0.0, 0.01, 0.1, 1.0)),
        "weights": Choice(("equal", "usual")),
    },
)
