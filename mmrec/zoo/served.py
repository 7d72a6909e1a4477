"""The models that ship, asked as they are asked in serving (mmrec.zoo.shipped).

    towers         score = u . v_i                        the user tower over the newest events
    fused_recall   the order in which all recall sources together propose, with the weights that training learned
    served         what recall proposes in the ranker's order; then what else sources proposed, in fused order

What no source proposed comes last, the more popular first: so would the popular source go on.

Axes: N targets or candidates, I items.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from mmrec.evaluation.interactions import Float32Array, FloatArray, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice, SearchSpace
from mmrec.recall.fusion import fuse
from mmrec.scoring.profile import UserProfile
from mmrec.serving.recommend import RecommendedList
from mmrec.zoo.shipped import Replica, shipped
from mmrec.zoo.shipped_options import ShippedOptions
from mmrec.zoo.shipped_world import asked
from mmrec.zoo.zoo_model import ZooModel

_TRAINING: Final = (
    "build choose_ranker drawn_lists event_columns example_config example_folder examples figures fit_ranker "
    "fit_sources fit_towers fit_trees item_history known_before labels list_world profiles_as_of ranking_lists "
    "ranking_rows retrieval_labels run stalling tower_data tower_sequences workers"
)
RESTS_ON: Final = (
    *(f"training/{name}.py" for name in _TRAINING.split()),
    "models/*.py",
    "recall/**/*.py",
    "scoring/*.py",
    "features/assemble.py",
    "features/item_columns.py",
    "serving/recommend.py",
    "serving/rerank.py",
)
"""What trains a release and makes its lists."""
Order = Callable[[Replica, UserProfile, float], FloatArray]
"""Scores of all items for a profile at an instant, shape (I,)."""


class Shipped:
    """A release that is trained by fit() and asked by score(); alike for all items where there was no event."""

    def __init__(self, name: str, options: ShippedOptions, *, order: Order, with_lists: bool) -> None:
        """Not fitted yet.

        Args:
            name: Of the model.
            options: What differs from what ships.
            order: What is asked of the replica.
            with_lists: Whether that needs what is learned from lists: ranker, weights of sources.
        """
        self.name = name
        self._options, self._order, self._with_lists = options, order, with_lists
        self.replica: Replica | None = None
        """What fit() left; None where there was no event."""

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Train a release on the log that these events make."""
        self._num_items, self._positions = data.num_items, data.clock == "positions"
        self.replica = None
        if len(data):
            self.replica = shipped(data, items, self._options, with_lists=self._with_lists, seed=seed)

    @property
    def learning_curve(self) -> Sequence[tuple[float, float]]:
        """Loss of the towers by epoch."""
        return self.replica.loss_by_epoch if self.replica is not None else ()

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """As the order says; users are known by their histories alone."""
        del users_N
        scores_NI = np.zeros((len(histories), self._num_items), dtype=np.float32)
        replica = self.replica
        if replica is None or not len(histories):
            return scores_NI
        requests = asked(
            histories, positions=self._positions, num_items=self._num_items, scoring=replica.settings.scoring
        )
        for n, (profile, as_of_s) in enumerate(zip(requests.profiles, requests.as_of_N.tolist(), strict=True)):
            scores_NI[n] = self._order(replica, profile, as_of_s)
        return scores_NI


def by_towers(replica: Replica, profile: UserProfile, as_of_s: float) -> FloatArray:
    """Cosine to the user's embedding; 0 for all where there is no history."""
    catalogue, vector_D = replica.catalogue, replica.context(profile, as_of_s).user_vector_D
    if catalogue.index is None or vector_D is None:
        return np.zeros(len(catalogue.item_ids))
    found: FloatArray = (catalogue.index.vectors_ID @ vector_D).astype(np.float64)
    return found


def by_recall(replica: Replica, profile: UserProfile, as_of_s: float) -> FloatArray:
    """The fused order of everything that sources propose, above 1, then popularity, 1 and less."""
    return _fused(replica, replica.answer(profile, as_of_s))


def by_serving(replica: Replica, profile: UserProfile, as_of_s: float) -> FloatArray:
    """The ranker's order of the candidates, above 2, then the fused order of the rest, then popularity."""
    found = replica.answer(profile, as_of_s)
    scores_I = _fused(replica, found)
    rows_N = found.candidates.rows_N
    if found.features_NF is not None and len(rows_N):
        scores_I[rows_N] = 2.0 + _places(replica.bundle.rank(found.features_NF))
    return scores_I


def _fused(replica: Replica, found: RecommendedList) -> FloatArray:
    catalogue, candidates = replica.catalogue, found.candidates
    scores_I = _places(catalogue.popularity_I)
    everything = fuse(candidates.found, num_candidates=len(catalogue.item_ids), weights=candidates.weights)
    scores_I[everything.rows_N] = 1.0 + _places(everything.recall_scores_N)
    return scores_I


def _places(scores_N: FloatArray) -> FloatArray:
    """The same order in (0, 1], equal scores equal."""
    distinct, place_N = np.unique(scores_N, return_inverse=True)
    places_N: FloatArray = (1.0 + place_N) / max(len(distinct), 1)
    return places_N


def _entry(name: str, about: str, *, order: Order, with_lists: bool, space: SearchSpace) -> ZooModel:
    return ZooModel(
        name=name,
        options=ShippedOptions,
        build=lambda options: Shipped(name, options, order=order, with_lists=with_lists),
        about=about,
        reads_content=True,
        rests_on=RESTS_ON,
        space=space,
    )


_NEIGHBORS: SearchSpace = {"order_decay": Choice((0.6, 0.7, 0.8, 0.9)), "decay_per_day": Choice((0.0, 0.005, 0.02))}
TOWERS = _entry(
    "towers",
    "the two towers that ship",
    order=by_towers,
    with_lists=False,
    space={
        "epochs": Choice((8, 16, 24)),
        "user_tower": Choice(("pooling", "causal")),
        "learning_rate": Choice((0.001, 0.003)),
        "id_shrinkage": Choice((0.3, 1.0, 5.0)),
        "fusion": Choice(("attention", "concat", "weighted-sum")),
    },
)
FUSED_RECALL = _entry(
    "fused_recall",
    "all recall sources that ship, fused by learned weights",
    order=by_recall,
    with_lists=True,
    space=_NEIGHBORS,
)
SERVED = _entry(
    "served",
    "recall and ranker as a replica serves them",
    order=by_serving,
    with_lists=True,
    space=_NEIGHBORS,
)
