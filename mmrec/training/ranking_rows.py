"""Ranking examples -> feature rows, once the towers are fit: assemble() over what recall would have proposed.

The examples hold what sources without a model propose. Here the towers add their own nearest items, so that the ranker
meets the candidates that serving will hand it. A label that nobody proposed is no training example (serving would
never rank it) and a miss in every figure of the ranker.

Axes: G lists, N candidates of a list, I items, F features, D embedding.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmrec.features.assemble import NOT_OWN, assemble
from mmrec.features.item_columns import ContentColumns
from mmrec.models.serving_model import ServingModel
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.item_statistics import popularities
from mmrec.scoring.profile import UserProfile
from mmrec.training.examples import NOT_A_LABEL, RankingExamples, user_history

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedList:
    """One list as the ranker reads it, with scores of the baselines beside it."""

    features_NF: npt.NDArray[np.float32]
    labels_N: npt.NDArray[np.int16]
    """Position on axis B of the behavior that followed, NOT_A_LABEL where none did."""
    proposed_N: npt.NDArray[np.bool_]
    """Whether a source, or the towers, had proposed the candidate. Of a list with several labels the sources count
    only where they had proposed all of them, so figures err on the low side."""
    own_N: npt.NDArray[np.bool_]
    """Whether the user had touched it before."""
    popularity_N: FloatArray
    """Decayed counts at the half-life that popularity uses."""
    neighbor_N: FloatArray
    tower_N: FloatArray
    """Cosine to the user's embedding; -1 where there is none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TowerView:
    """The towers over the vocabulary of the examples."""

    model: ServingModel
    vectors_ID: npt.NDArray[np.float32]
    num_candidates: int
    """Nearest items that the towers add to each list."""


def ranked_lists(
    examples: RankingExamples,
    numbers: npt.NDArray[np.integer],
    *,
    content: ContentColumns,
    towers: TowerView,
    behaviors: BehaviorSet,
    decay_per_day: float,
) -> Iterator[RankedList]:
    """The lists of those numbers, in order.

    Args:
        content: Serving fields of the examples' vocabulary, one row each.
        decay_per_day: Rate of the profile's first half-life.
    """
    for number in numbers.tolist():
        as_of_s = float(examples.label_times_N[number])
        profile = examples.profile(number)
        similarity_I = _similarity(profile, examples, towers, as_of_s)
        near = _nearest(similarity_I, examples.allowed(number, content), towers.num_candidates)
        inputs = examples.inputs(number, content, more_rows=near)
        rows_N, facts = inputs.rows_N.astype(np.int64), inputs.items
        tower_N = np.full(len(rows_N), np.nan) if similarity_I is None else similarity_I[rows_N].astype(np.float64)
        features_NF = assemble(
            profile,
            facts,
            inputs.signals(tower_N),
            as_of_s=as_of_s,
            behaviors=behaviors,
            decay_per_day=decay_per_day,
        )
        proposed_N = (inputs.labels_N == NOT_A_LABEL) | bool(examples.recalled_N[number]) | np.isin(rows_N, near)
        yield RankedList(
            features_NF=features_NF,
            labels_N=inputs.labels_N,
            proposed_N=proposed_N,
            own_N=facts.own_positions_N != NOT_OWN,
            popularity_N=popularities(
                facts.counts_NHB,
                facts.reference_times_N,
                weights_B=behaviors.weights_B,
                decay_per_day_H=facts.decay_per_day_H,
            ),
            neighbor_N=inputs.neighbor_score_N,
            tower_N=np.nan_to_num(tower_N, nan=-1.0),
        )


def _similarity(
    profile: UserProfile, examples: RankingExamples, towers: TowerView, as_of_s: float
) -> npt.NDArray[np.float32] | None:
    history = user_history(profile, examples.row_of, as_of_s=as_of_s)
    if not len(history.rows_L):
        return None
    user_D = towers.model.user_embedding(
        towers.vectors_ID[history.rows_L], history.behavior_ids_L, history.ages_s_L.astype(np.float64)
    )
    similarity_I: npt.NDArray[np.float32] = towers.vectors_ID @ user_D
    return similarity_I


def _nearest(
    similarity_I: npt.NDArray[np.float32] | None, allowed_I: npt.NDArray[np.bool_], num_candidates: int
) -> IntArray:
    if similarity_I is None or num_candidates == 0:
        return np.zeros(0, dtype=np.int64)
    scores_I = np.where(allowed_I, similarity_I, -np.inf)
    kept = min(num_candidates, len(scores_I))
    rows = np.argpartition(-scores_I, kept - 1)[:kept]
    return np.sort(rows[np.isfinite(scores_I[rows])]).astype(np.int64)
