"""Several models as one, weighed by what the newest event of each user says (METHODS M28, M36).

    x_k    = score_k / highest score_k of the target             per part k, 0 where that is not above 0
    score  = sum_k  a_k x_k + b_k sqrt(x_k)
    a, b   maximize  sum over users of  ln softmax(score)[the newest event's item]  -  |a, b|^2 / 2 * l2

The parts are fitted without the newest event of each user first, and without others of its instant; the softmax runs
over each part's `num_candidates` best items, and an event on an item that is none of them teaches nothing: it would say
that what no part proposes is right. It is a conditional logit (McFadden, 1974), so that there is one optimum.
Then the parts are fitted on everything, and the weights stay. No split but the one inside of what fit() sees is used.

Axes: N targets, C candidates of all targets one after the other, I items, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from mmrec.errors import SettingError
from mmrec.evaluation.interactions import (
    BoolArray,
    Float32Array,
    FloatArray,
    Histories,
    IntArray,
    Interactions,
    ItemFeatures,
    histories_of,
)
from mmrec.evaluation.model import Model
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import AtLeastOne, NotNegative, Share, check
from mmrec.zoo.content_likeness import CONTENT_LIKENESS
from mmrec.zoo.ease import EASE_MODEL
from mmrec.zoo.item_knn import ITEM_KNN
from mmrec.zoo.neighbor_walk import NEIGHBOR_WALK
from mmrec.zoo.popularity import POPULARITY
from mmrec.zoo.recency import RECENCY
from mmrec.zoo.sasrec import SASREC
from mmrec.zoo.zoo_model import ZooModel

PARTS = {
    entry.name: entry for entry in (ITEM_KNN, CONTENT_LIKENESS, NEIGHBOR_WALK, EASE_MODEL, POPULARITY, RECENCY, SASREC)
}
"""What may be a part, with its defaults."""
_BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class BlendOptions:
    """Which parts, and how their weights are learned."""

    parts: tuple[str, ...] = ("item_knn", "content_likeness", "neighbor_walk", "popularity")
    num_learned: AtLeastOne = 4_000
    """Users whose newest event teaches, drawn at random where there are more."""
    num_candidates: AtLeastOne = 100
    l2: NotNegative = 1.0
    min_repeat_share: Share = 0.1
    """Own items are candidates where at least this share of the newest events touch one again; else those events do not
    teach."""

    def __post_init__(self) -> None:
        check(self, "blend")
        if not self.parts or set(self.parts) - set(PARTS) or len(set(self.parts)) < len(self.parts):
            raise SettingError(("blend", "parts"), f"is {list(self.parts)}; give different ones of {sorted(PARTS)}")


class Blend:
    """Parts and their weights."""

    name = "blend"

    def __init__(self, options: BlendOptions) -> None:
        self._options = options
        self._parts: list[Model] = []

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Fit the parts twice."""
        self.weights_F = np.full(2 * len(self._options.parts), 0.5)
        newest = newest_events(data)
        again_N = touched_before(data)[newest]
        with_own = bool(len(newest)) and float(again_N.mean()) >= self._options.min_repeat_share
        teaching = newest if with_own else newest[~again_N]
        taught = np.sort(np.random.default_rng(seed).permutation(teaching)[: self._options.num_learned])
        if len(taught):
            self._fit_parts(data.take(before(data, newest)), items, seed=seed)
            self._learn(data, taught, with_own=with_own)
        self._fit_parts(data, items, seed=seed)

    def _fit_parts(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        self._parts = [PARTS[name].model() for name in self._options.parts]
        for part in self._parts:
            part.fit(data, items, seed=seed)

    def _learn(self, data: Interactions, taught: IntArray, *, with_own: bool) -> None:
        rows, sizes, own = [], [], []
        for start in range(0, len(taught), _BLOCK):
            events = taught[start : start + _BLOCK]
            users_N = data.users_E[events]
            histories = histories_of(data, users_N=users_N, as_of_N=data.times_E[events])
            features_FNI = self._features(users_N, histories)
            for n, item in enumerate(data.items_E[events].tolist()):
                seen = histories.items_H[histories.offsets[n] : histories.offsets[n + 1]][: 0 if with_own else None]
                chosen = candidates(features_FNI[::2, n], num_best=self._options.num_candidates, seen=seen)
                if item not in chosen:
                    continue
                rows.append(features_FNI[:, n, chosen].T)
                sizes.append(len(chosen))
                own.append(int(np.searchsorted(chosen, item)))
        if rows:
            self.weights_F = logit_weights(np.concatenate(rows), sizes=sizes, own=own, l2=self._options.l2)

    def _features(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """x_k and sqrt(x_k) in turn, shape (F, N, I)."""
        found = []
        for part in self._parts:
            scores_NI = np.maximum(part.score(users_N, histories), 0.0)
            highest_N = scores_NI.max(axis=1, keepdims=True)
            scores_NI /= np.where(highest_N > 0, highest_N, 1.0)
            found += [scores_NI, np.sqrt(scores_NI)]
        return np.stack(found)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Of every item, candidate of a part or not."""
        weights_F = self.weights_F.astype(np.float32)
        scores_NI: Float32Array = np.tensordot(weights_F, self._features(users_N, histories), axes=1)
        return scores_NI


def newest_events(data: Interactions) -> IntArray:
    """Row of the newest event of each user that has an earlier one, ascending."""
    last_U = np.full(data.num_users, -1)
    last_U[data.users_E] = np.arange(len(data))  # events are in the order of time: the last one stays
    first_U = np.full(data.num_users, -1)
    first_U[data.users_E[::-1]] = np.arange(len(data))[::-1]
    several = (last_U >= 0) & (data.times_E[last_U] > data.times_E[first_U] if len(data) else False)
    return np.sort(last_U[several])


def before(data: Interactions, newest: IntArray) -> BoolArray:
    """Which events came before their user's newest one, shape (E,): what came with it says too much of it.

    Args:
        newest: Rows as of newest_events(); events of users without one stay.
    """
    until_U = np.full(data.num_users, np.inf)
    until_U[data.users_E[newest]] = data.times_E[newest]
    found: BoolArray = data.times_E < until_U[data.users_E]
    return found


def touched_before(data: Interactions) -> BoolArray:
    """Which events are on an item that their user touched at an earlier instant, shape (E,)."""
    cells_E = data.users_E * data.num_items + data.items_E
    _, first_C, cell_E = np.unique(cells_E, return_index=True, return_inverse=True)
    found: BoolArray = data.times_E[first_C[cell_E]] < data.times_E
    return found


def candidates(scores_KI: Float32Array, *, num_best: int, seen: IntArray) -> IntArray:
    """The best items of each part, of those with a score above 0, that are not in the history; ascending."""
    num_kept = min(num_best, scores_KI.shape[1])
    best_KC = np.argpartition(-scores_KI, num_kept - 1, axis=1)[:, :num_kept]
    best = best_KC[np.take_along_axis(scores_KI, best_KC, axis=1) > 0]
    found: IntArray = np.unique(best[~np.isin(best, seen)])
    return found


def logit_weights(features_CF: Float32Array, *, sizes: Sequence[int], own: Sequence[int], l2: float) -> FloatArray:
    """Weights of a conditional logit, shape (F,).

    Args:
        features_CF: Of all targets' candidates one after the other.
        sizes: Candidates of each target, 1 or more.
        own: Position of the right one among each target's candidates.
    """
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    right = starts + np.asarray(own)
    target_C = np.repeat(np.arange(len(sizes)), sizes)
    features = features_CF.astype(np.float64)

    def loss(weights_F: FloatArray) -> tuple[float, FloatArray]:
        scores_C = features @ weights_F
        scores_C -= np.maximum.reduceat(scores_C, starts)[target_C]
        shares_C = np.exp(scores_C)
        sums_N = np.add.reduceat(shares_C, starts)
        value = np.log(sums_N).sum() - scores_C[right].sum() + l2 / 2 * weights_F @ weights_F
        gradient_F = features.T @ (shares_C / sums_N[target_C]) - features[right].sum(axis=0) + l2 * weights_F
        return float(value), gradient_F

    found: FloatArray = optimize.minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B").x
    return found


BLEND = ZooModel(
    name="blend",
    options=BlendOptions,
    build=Blend,
    about="several models, weighed by a conditional logit on each user's newest event",
    reads_content=True,
    space={
        "parts": Choice(
            (
                ("item_knn", "content_likeness", "neighbor_walk", "popularity"),
                ("item_knn", "content_likeness", "neighbor_walk", "popularity", "recency"),
                ("item_knn", "content_likeness", "ease", "popularity"),
                ("item_knn", "content_likeness", "neighbor_walk", "ease", "popularity", "sasrec"),
            )
        ),
        "num_candidates": Choice((50, 100, 200)),
        "l2": Choice((0.1, 1.0, 10.0)),
        "min_repeat_share": Choice((0.1, 1.0)),
    },
)
