"""Network and trees over the same lists; the one that orders the latest lists better ranks (METHODS M25).

    NDCG@k of a list = sum over its labels of  gain / log2(1 + rank) where rank <= k,  over that of the best order

Both end by these held-out lists, too, and neither has learned from them. Axes: G lists, C candidates, B behaviors.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from mmrec.models.forms import EXACT, FORMS, KEPT_NDCG
from mmrec.models.losses import log_utility
from mmrec.models.ranker import Ranker
from mmrec.models.trees import TreeRanker
from mmrec.training.fit_ranker import ListTensors, RankerFitConfig, fit_ranker, held_out_split, learn_ranking
from mmrec.training.fit_trees import TreesFitConfig, fit_trees

RankerKind = Literal["better", "network", "trees"]
"""Which ranker ships: the better one on held-out lists (the network where none are held out), or always this one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedRanker:
    """What ranks, and how it came to that."""

    network: Ranker
    """Fitted where it ranks or was compared."""
    trees: TreeRanker | None = None
    """Where they rank."""
    curve: list[dict[str, float]] = field(default_factory=list)
    """Of the network, by epoch."""
    figures: dict[str, float] = field(default_factory=dict)
    """NDCG@10 on the held-out lists of each ranker that was fitted, and whether the trees rank."""
    judged: ListTensors | None = None
    """The held-out lists; None where there are none."""

    def kept_forms(self) -> dict[str, float]:
        """NDCG@10 on the held-out lists of the fastest form that may serve the network, and of EXACT.

        Forms are tried from the fastest on (mmrec.models.forms). Empty where trees rank or nothing is held out.
        """
        if self.trees is not None or self.judged is None:
            return {}
        rows_NF, shape = self.judged.features_GCF.flatten(0, 1).numpy(), self.judged.valid_GC.shape

        def ndcg(name: str) -> float:
            assert self.judged is not None
            return list_ndcg(FORMS[name](self.network)(rows_NF).reshape(shape), self.judged)

        exact = ndcg(EXACT)
        tried = ((name, ndcg(name)) for name in FORMS if name != EXACT)
        fastest = next(((name, found) for name, found in tried if found >= KEPT_NDCG * exact), None)
        return {**dict([fastest] if fastest else []), EXACT: exact}


def fit_rankers(
    fresh: Ranker,
    lists: ListTensors | None,
    *,
    kind: RankerKind,
    feature_names: Sequence[str],
    network: RankerFitConfig,
    trees: TreesFitConfig,
) -> FittedRanker:
    """Fit what may rank, and choose.

    Args:
        fresh: A network before its first step; fitted in place.
        lists: In the order of time; None where there are none: the network ranks as it is.
        kind: Which ones are fitted.
        feature_names: Of axis F.
        network: Its `held_out` says which lists are held out for both.
        trees: How they are fit.
    """
    if lists is None:
        return FittedRanker(network=fresh)
    _, judged = held_out_split(lists, network.held_out)
    curve = fit_ranker(fresh, lists, config=network) if kind != "trees" else []
    fitted: dict[str, float] = {}
    if kind != "trees":
        fitted["ranker_ndcg_network"] = list_ndcg(network_scores(fresh, judged), judged)
    boosted: TreeRanker | None = None
    if kind == "trees" or (kind == "better" and len(judged)):
        boosted = fit_trees(lists, feature_names=feature_names, config=trees, held_out=network.held_out)
        fitted["ranker_ndcg_trees"] = list_ndcg(tree_scores(boosted, judged), judged)
        if kind == "better" and not fitted["ranker_ndcg_trees"] > fitted["ranker_ndcg_network"]:
            boosted = None
    figures = {**(fitted if len(judged) else {}), "ranker_is_trees": float(boosted is not None)}
    return FittedRanker(
        network=fresh, trees=boosted, curve=curve, figures=figures, judged=judged if len(judged) else None
    )


def further_ranker(
    network: Ranker, trees: TreeRanker | None, lists: ListTensors | None, *, config: RankerFitConfig
) -> FittedRanker:
    """What ranks already, or its network learned further: the better one on the latest lists.

    Trees stay as they are: adding to them with every refit would make them larger without end.

    Args:
        network: Not changed.
        trees: Where they rank; None where the network does.
        lists: In the order of time, newer than what was learned from; None leaves everything as it is.
        config: Its learning rate is the one to learn further by.
    """
    if lists is None or not len(held_out_split(lists, config.held_out)[1]):
        return FittedRanker(network=copy.deepcopy(network), trees=trees)
    _, judged = held_out_split(lists, config.held_out)
    further = copy.deepcopy(network)
    curve = learn_ranking(further, lists, config=config)
    before_GC = tree_scores(trees, judged) if trees is not None else network_scores(network, judged)
    figures = {
        "ranker_ndcg_before": list_ndcg(before_GC, judged),
        "ranker_ndcg_network": list_ndcg(network_scores(further, judged), judged),
    }
    if figures["ranker_ndcg_network"] > figures["ranker_ndcg_before"]:
        network, trees = further, None
    figures["ranker_is_trees"] = float(trees is not None)
    return FittedRanker(network=copy.deepcopy(network), trees=trees, curve=curve, figures=figures, judged=judged)


def network_scores(ranker: Ranker, lists: ListTensors) -> npt.NDArray[np.float64]:
    """Of every candidate, shape (G, C)."""
    with torch.inference_mode():
        found: npt.NDArray[np.float64] = log_utility(ranker(lists.features_GCF), ranker.weights_B).double().numpy()
    return found


def tree_scores(trees: TreeRanker, lists: ListTensors) -> npt.NDArray[np.float64]:
    """Of every candidate, shape (G, C)."""
    return trees(lists.features_GCF.flatten(0, 1).numpy()).reshape(lists.valid_GC.shape)


def list_ndcg(scores_GC: npt.NDArray[np.float64], lists: ListTensors, *, depth: int = 10) -> float:
    """Mean NDCG@depth of some orders; of equal scores each gets the middle of their ranks. 0 without lists."""
    gains_GC, valid_GC = lists.gains_GC.numpy(), lists.valid_GC.numpy()
    found = []
    for scores_C, gains_C, valid_C in zip(scores_GC, gains_GC, valid_GC, strict=True):
        others_C, own_L = scores_C[valid_C], scores_C[gains_C > 0]
        above_L = (others_C[None, :] > own_L[:, None]).sum(axis=1)
        equal_L = (others_C[None, :] == own_L[:, None]).sum(axis=1) - 1
        ranks_L = 1 + above_L + equal_L / 2
        reached = np.where(ranks_L <= depth, gains_C[gains_C > 0] / np.log2(1.0 + ranks_L), 0.0).sum()
        best = np.sort(gains_C[gains_C > 0])[::-1][:depth]
        found.append(reached / (best / np.log2(np.arange(2, 2 + len(best)))).sum())
    return float(np.mean(found)) if found else 0.0
