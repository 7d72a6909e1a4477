"""Figures of a run on labels nothing was fitted on: ranker, popularity, neighbors, towers, and recall's own order, on
the same labels.

Labels are what the user did at the very instant of the list. The others are what was proposed, with what followed
later where that was proposed: the window of labels adds no rival, so that figures of two windows compare. "any" counts
every label; "new" only items the user had not touched; both are said, because returning to an item is much easier to
foresee.

    utility_expected_to_seen = sum of exp(ranking score) over proposed candidates / sum of the weights of what followed

is 1 where scores say how much will follow (mmrec.models.ranker).
"""

import numpy as np
import numpy.typing as npt

from mmrec.evaluation.metrics import hit_rate, ndcg_at_k, ranks_among
from mmrec.recall.fusion import fuse
from mmrec.training.examples import NOT_A_LABEL
from mmrec.training.ranking_rows import RankedList

MISSED = 1_000_000
"""Rank of a label that nobody proposed."""
METHODS = ("ranker", "popularity", "neighbors", "towers", "recall")


class RankingFigures:
    """Collects ranks list by list."""

    def __init__(self, *, seed: int, weights_B: npt.NDArray[np.float64] | None = None) -> None:
        """Without a list.

        Args:
            seed: Of ties.
            weights_B: Of the behaviors, to say whether scores are calibrated; None does not say it.
        """
        self._generator = np.random.default_rng(seed)
        self._ranks: dict[str, list[npt.NDArray[np.int64]]] = {method: [] for method in METHODS}
        self._own: list[npt.NDArray[np.bool_]] = []
        self._proposed: list[npt.NDArray[np.bool_]] = []
        self._proposed_own_weights: list[npt.NDArray[np.bool_]] = []
        self._weights_B = weights_B
        self._expected = self._seen = 0.0

    def add(self, one: RankedList, scores_N: npt.NDArray[np.float64]) -> None:
        """One list with the ranker's scores."""
        chosen = one.next_N
        others = ~chosen & one.proposed_N
        scores = {
            "ranker": scores_N,
            "popularity": one.popularity_N,
            "neighbors": one.neighbor_N,
            "towers": one.tower_N,
            "recall": one.recall_N,
        }
        for method, of_method in scores.items():
            ranks = ranks_among(of_method[chosen], of_method[others], generator=self._generator)
            if method in ("ranker", "recall"):
                ranks = np.where(one.proposed_N[chosen], ranks, MISSED)
            self._ranks[method].append(ranks)
        self._own.append(one.own_N[chosen])
        self._proposed.append(one.proposed_N[chosen])
        by_own_weights = fuse(one.found, num_candidates=int(one.proposed_N.sum())).rows_N
        self._proposed_own_weights.append(np.isin(one.rows_N[chosen], by_own_weights))
        if self._weights_B is not None:
            followed = one.proposed_N & (one.labels_N != NOT_A_LABEL)
            self._seen += float(np.maximum(self._weights_B[one.labels_N[followed]], 0.0).sum())
            self._expected += float(np.exp(scores_N[one.proposed_N]).sum())

    def summary(self) -> dict[str, float]:
        """Flat figures; hr_at_10 and hr_at_10_popularity are what publishing gates on."""
        if not self._own:
            return {"validation_labels": 0.0}
        own = np.concatenate(self._own)
        found = {"validation_labels": float(len(own)), "validation_share_own": float(own.mean())}
        found["recall_of_candidates"] = float(np.concatenate(self._proposed).mean())
        found["recall_of_candidates_own_weights"] = float(np.concatenate(self._proposed_own_weights).mean())
        if self._seen > 0:
            found["utility_expected_to_seen"] = self._expected / self._seen
        for method in METHODS:
            ranks = np.concatenate(self._ranks[method])
            suffix = "" if method == "ranker" else f"_{method}"
            for name, kept in (("", np.ones(len(own), dtype=np.bool_)), ("_new", ~own)):
                if kept.any():
                    found[f"hr_at_10{name}{suffix}"] = hit_rate(ranks[kept], 10)
                    found[f"ndcg_at_10{name}{suffix}"] = float(ndcg_at_k(ranks[kept], 10).mean())
        return found
