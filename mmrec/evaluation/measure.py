"""Metrics of lists with any number of positives, from places alone (METHODS M33).

    HR@k         whether any positive is in the first k          recall@k     positives in the first k / positives
    precision@k  positives in the first k / k                    F1@k         2 p r / (p + r)
    NDCG@k       sum of 1 / log2(1 + place) within k, over that of the best list (Järvelin, Kekäläinen, TOIS 2002)
    graded NDCG  the same with the grade of each positive as its gain
    MRR          1 / place of the first positive                 AUC          others that a positive stands before
    HR each@k, NDCG each@k   means over positives of [rank <= k] and [rank <= k] / log2(1 + rank); rank: place among the
        candidates without other positives, as where m negatives are drawn for each positive

Every metric has a value per target; what is reported is their mean. Ties were broken at random, so a tie counts half
in the mean. Axes: N targets, P positives one after the other.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from mmrec.evaluation.interactions import BoolArray, FloatArray, IntArray
from mmrec.evaluation.judging import NOT_ASKED, Places
from mmrec.evaluation.metrics import hits_at_k, ndcg_at_k
from mmrec.evaluation.task import Targets

CUTS: Final = (1, 3, 5, 10, 20)
HEADLINE: Final = ("hr_at_5", "ndcg_at_5", "hr_at_10", "ndcg_at_10")
"""What is told first, with intervals."""


def per_target(
    places: Places, targets: Targets, *, cuts: Sequence[int] = CUTS, kept_P: BoolArray | None = None
) -> dict[str, FloatArray]:
    """Metric -> a value per target, shape (N,); NaN where nothing of a target was asked.

    Args:
        kept_P: Positives that count, as for a stratum; the others are not there, but keep their place in the list.
    """
    asked_P = places.positions_P != NOT_ASKED
    if kept_P is not None:
        asked_P = asked_P & kept_P
    ranks_P = ranks_alone(places, targets)[asked_P]
    num_targets, target_P = len(targets), targets.targets_P[asked_P]
    positions_P, grades_P = places.positions_P[asked_P], targets.grades_P[asked_P]
    num_N = np.bincount(target_P, minlength=num_targets)
    found: dict[str, FloatArray] = {}
    first_N = np.full(num_targets, np.inf)
    np.minimum.at(first_N, target_P, positions_P.astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        discounts_P = 1.0 / np.log2(1.0 + positions_P)
        for k in cuts:
            within_P = positions_P <= k
            hits_N = np.bincount(target_P, weights=within_P, minlength=num_targets)
            recall_N, precision_N = hits_N / num_N, hits_N / k
            found[f"hr_at_{k}"] = (hits_N > 0).astype(np.float64)
            found[f"recall_at_{k}"], found[f"precision_at_{k}"] = recall_N, precision_N
            both_N = recall_N + precision_N
            found[f"f1_at_{k}"] = np.where(both_N > 0, 2.0 * recall_N * precision_N / both_N, 0.0)
            for name, gains_P in (("ndcg", np.ones(len(positions_P))), ("graded_ndcg", grades_P)):
                gained_N = np.bincount(target_P, weights=gains_P * discounts_P * within_P, minlength=num_targets)
                found[f"{name}_at_{k}"] = gained_N / _best(gains_P, target_P, num_targets, k)
            for name, worth_P in (("hr_each", hits_at_k(ranks_P, k)), ("ndcg_each", ndcg_at_k(ranks_P, k))):
                found[f"{name}_at_{k}"] = np.bincount(target_P, weights=worth_P, minlength=num_targets) / num_N
        found["mrr"] = 1.0 / first_N
        found["auc"] = _auc(places, ranks_P, target_P)
    return {name: np.where(num_N > 0, values_N, np.nan) for name, values_N in found.items()}


def ranks_alone(places: Places, targets: Targets) -> IntArray:
    """1-based rank of each positive among the candidates beside positives, shape (P,); NOT_ASKED where it is none.

    The place in the list minus the positives before it. A random scorer therefore gets HR@k = k / (m + 1) among m
    candidates, however many positives share them.
    """
    ranks_P = np.full(len(places.positions_P), NOT_ASKED, dtype=np.int64)
    asked = np.flatnonzero(places.positions_P != NOT_ASKED)
    asked = asked[np.lexsort((places.positions_P[asked], targets.targets_P[asked]))]
    ranks_P[asked] = places.positions_P[asked] - _place_within(targets.targets_P[asked])
    return ranks_P


def mean_of(values_N: FloatArray) -> float:
    """Mean over targets of which something was asked; 0 where there are none."""
    asked_N = values_N[~np.isnan(values_N)]
    return float(asked_N.mean()) if len(asked_N) else 0.0


def _best(gains_P: FloatArray, target_P: IntArray, num_targets: int, k: int) -> FloatArray:
    """Discounted gains of the best list of each target."""
    order = np.lexsort((-gains_P, target_P))
    place_P = _place_within(target_P[order])
    worth_P = np.where(place_P < k, gains_P[order] / np.log2(2.0 + place_P), 0.0)
    best_N: FloatArray = np.bincount(target_P[order], weights=worth_P, minlength=num_targets).astype(np.float64)
    return best_N


def _auc(places: Places, ranks_P: IntArray, target_P: IntArray) -> FloatArray:
    """Mean over a target's positives of the share of others that stand behind."""
    num_targets = len(places.num_others_N)
    others_P = np.maximum(places.num_others_N[target_P], 1)
    behind_P = np.clip(1.0 - (ranks_P - 1) / others_P, 0.0, 1.0)
    sums_N = np.bincount(target_P, weights=behind_P, minlength=num_targets)
    auc_N: FloatArray = sums_N / np.bincount(target_P, minlength=num_targets)
    return auc_N


def _place_within(target_P: IntArray) -> IntArray:
    """0, 1, 2, ... within each run of equal targets."""
    if not len(target_P):
        return np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.diff(target_P, prepend=target_P[0] - 1))
    return np.arange(len(target_P)) - np.repeat(starts, np.diff(starts, append=len(target_P)))
