"""Figures of a run on labels nothing was fitted on: ranker, popularity, neighbors, towers, on the same labels.

Labels are what the user did at the very instant of the list. The others are what was proposed, with what followed
later where that was proposed: the window of labels adds no rival, so that figures of two windows compare. "any" counts
every label; "new" only items the user had not touched; both are said, because returning to an item is much easier to
foresee.
"""

import numpy as np
import numpy.typing as npt

from mmrec.evaluation.metrics import hit_rate, ndcg_at_k, ranks_among
from mmrec.training.ranking_rows import RankedList

MISSED = 1_000_000
"""Rank of a label that nobody proposed."""
METHODS = ("ranker", "popularity", "neighbors", "towers")


class RankingFigures:
    """Collects ranks list by list."""

    def __init__(self, *, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._ranks: dict[str, list[npt.NDArray[np.int64]]] = {method: [] for method in METHODS}
        self._own: list[npt.NDArray[np.bool_]] = []
        self._proposed: list[npt.NDArray[np.bool_]] = []

    def add(self, one: RankedList, scores_N: npt.NDArray[np.float64]) -> None:
        """One list with the ranker's scores."""
        chosen = one.next_N
        others = ~chosen & one.proposed_N
        scores = {
            "ranker": scores_N,
            "popularity": one.popularity_N,
            "neighbors": one.neighbor_N,
            "towers": one.tower_N,
        }
        for method, of_method in scores.items():
            ranks = ranks_among(of_method[chosen], of_method[others], generator=self._generator)
            if method == "ranker":
                ranks = np.where(one.proposed_N[chosen], ranks, MISSED)
            self._ranks[method].append(ranks)
        self._own.append(one.own_N[chosen])
        self._proposed.append(one.proposed_N[chosen])

    def summary(self) -> dict[str, float]:
        """Flat figures; hr_at_10 and hr_at_10_popularity are what publishing gates on."""
        if not self._own:
            return {"validation_labels": 0.0}
        own = np.concatenate(self._own)
        found = {"validation_labels": float(len(own)), "validation_share_own": float(own.mean())}
        found["recall_of_candidates"] = float(np.concatenate(self._proposed).mean())
        for method in METHODS:
            ranks = np.concatenate(self._ranks[method])
            suffix = "" if method == "ranker" else f"_{method}"
            for name, kept in (("", np.ones(len(own), dtype=np.bool_)), ("_new", ~own)):
                if kept.any():
                    found[f"hr_at_10{name}{suffix}"] = hit_rate(ranks[kept], 10)
                    found[f"ndcg_at_10{name}{suffix}"] = float(ndcg_at_k(ranks[kept], 10).mean())
        return found
