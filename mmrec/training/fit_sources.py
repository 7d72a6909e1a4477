"""What each recall source counts in the fused order: learned from what users did next, not set by hand.

    x_si   = (k + 1) / (k + rank of i in source s), 0 where s did not propose i          k: mmrec.recall.fusion
    score  = sum_s  w_s x_si                                    what fuse() orders by, up to a factor
    w      maximizes  sum over lists of  mean over labels of  ln softmax(score)[label]  -  l2 / 2 * |w|^2,    w_s >= 0

A conditional logit (McFadden, 1974), so that there is one optimum. Weights are learned on the earlier lists and kept
where they order the latest ones better than the sources' own; then they are learned anew on all. No source falls below
a share of the strongest: the ranker judges what comes, and what nobody proposes it never sees.

Axes: G lists, C candidates of a list or of all lists one after the other, S sources.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from scipy import optimize

from mmrec.recall.fusion import FUSION_OFFSET, OWN_WEIGHTS, SourceWeights
from mmrec.recall.source import RecallSource
from mmrec.training.ranking_rows import Found, IntArray
from mmrec.wire.declared import AtLeastOne, NotNegative, check

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
MIN_LISTS = 20
"""With fewer to learn from or to judge by, sources keep their own weights."""


@dataclass(frozen=True, kw_only=True)
class SourceFitConfig:
    """How weights of recall sources are found."""

    weights: Literal["better", "own"] = "better"
    """Learned where that is better on the latest lists; or as the sources say themselves."""
    max_lists: AtLeastOne = 1_000
    """Lists learned from, the latest ones."""
    l2: NotNegative = 1.0
    least_share: Annotated[float, Meta(gt=0, le=1)] = 0.05
    """Of the largest weight: no source counts less."""
    held_out: Annotated[float, Meta(gt=0, lt=1)] = 0.3
    """Share of the lists, the latest ones, that decide."""

    def __post_init__(self) -> None:
        check(self, "fit_sources")


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceList:
    """What the sources proposed for one list, and what of it was right."""

    features_CS: Float32Array
    """x of each item that some source proposed."""
    shares_C: Float32Array
    """Share of the labels that were proposed: 1 / their number, 0 for other items."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedSources:
    """Weights, and how they came to be."""

    weights: SourceWeights
    """By name; empty where the sources keep their own, and as they were before where those stay."""
    figures: dict[str, float] = field(default_factory=dict)
    """NDCG of the fused order on the latest lists, with the weights of before and with learned ones."""


def source_lists(asked: Iterable[tuple[Found, IntArray]]) -> list[SourceList]:
    """Of (what each source proposed, rows of the labels); lists of which no label was proposed are left out."""
    made = (_source_list(found, labels) for found, labels in asked)
    return [one for one in made if one is not None]


def _source_list(found: Found, labels: IntArray) -> SourceList | None:
    rows_C = np.unique(np.concatenate([proposals.rows_K for _, proposals in found]))
    is_label_C = np.isin(rows_C, labels)
    if not is_label_C.any():
        return None
    features_CS = np.zeros((len(rows_C), len(found)), dtype=np.float32)
    for place, (_, proposals) in enumerate(found):
        ranks_K = np.arange(1, 1 + len(proposals.rows_K))
        features_CS[np.searchsorted(rows_C, proposals.rows_K), place] = (1 + FUSION_OFFSET) / (FUSION_OFFSET + ranks_K)
    return SourceList(features_CS=features_CS, shares_C=(is_label_C / is_label_C.sum()).astype(np.float32))


def fit_sources(
    lists: Sequence[SourceList],
    sources: Sequence[RecallSource],
    *,
    num_candidates: int,
    config: SourceFitConfig,
    before: SourceWeights = OWN_WEIGHTS,
) -> FittedSources:
    """Weights of the sources.

    Args:
        lists: In the order of time, each of these sources in this order.
        sources: With weights of their own.
        num_candidates: Where the fused order is cut: a label beyond it is a miss.
        before: What learned weights have to beat, by name; a source that is not named counts as it says itself.
    """
    lists = lists[-config.max_lists :]
    num_judged = int(len(lists) * config.held_out)
    if config.weights == "own" or min(num_judged, len(lists) - num_judged) < MIN_LISTS:
        return FittedSources(weights=before)
    own_S = np.array([before.get(source.name, source.weight) for source in sources])
    judged = lists[len(lists) - num_judged :]
    learned_S = learned_weights(lists[: len(lists) - num_judged], own_S, config=config)
    figures = {
        f"sources_ndcg_{name}": fused_ndcg(judged, weights_S, depth=num_candidates)
        for name, weights_S in (("own", own_S), ("learned", learned_S))
    }
    if not figures["sources_ndcg_learned"] > figures["sources_ndcg_own"]:
        return FittedSources(weights=before, figures=figures)
    weights_S = learned_weights(lists, own_S, config=config)
    names = [source.name for source in sources]
    return FittedSources(weights=dict(zip(names, weights_S.tolist(), strict=True)), figures=figures)


def learned_weights(lists: Sequence[SourceList], own_S: FloatArray, *, config: SourceFitConfig) -> FloatArray:
    """The optimum, with the sum of the sources' own weights, shape (S,); a source that proposed nothing keeps its own.

    Args:
        lists: One or more.
        own_S: Own weights, > 0.
    """
    features_CS = np.concatenate([one.features_CS for one in lists]).astype(np.float64)
    shares_C = np.concatenate([one.shares_C for one in lists]).astype(np.float64)
    sizes_G = np.array([len(one.shares_C) for one in lists])
    starts_G = np.concatenate([[0], np.cumsum(sizes_G)[:-1]])

    def loss(weights_S: FloatArray) -> tuple[float, FloatArray]:
        scores_C = features_CS @ weights_S
        largest_G = np.maximum.reduceat(scores_C, starts_G)
        parts_C = np.exp(scores_C - np.repeat(largest_G, sizes_G))
        totals_G = np.add.reduceat(parts_C, starts_G)
        value = (largest_G + np.log(totals_G)).sum() - scores_C @ shares_C + 0.5 * config.l2 * weights_S @ weights_S
        slope_C = parts_C / np.repeat(totals_G, sizes_G) - shares_C
        return float(value), features_CS.T @ slope_C + config.l2 * weights_S

    found = optimize.minimize(loss, own_S, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(own_S))
    proposed_S = features_CS.any(axis=0)
    weights_S: FloatArray = np.maximum(found.x, config.least_share * found.x[proposed_S].max(initial=0.0))
    total = weights_S[proposed_S].sum()
    if not total > 0:
        return own_S
    return np.where(proposed_S, weights_S * own_S[proposed_S].sum() / total, own_S)


def fused_ndcg(lists: Sequence[SourceList], weights_S: FloatArray, *, depth: int) -> float:
    """Mean over lists of the mean over labels of 1 / log2(1 + rank), 0 beyond `depth`; of equal scores the middle."""
    gains = []
    for one in lists:
        scores_C = one.features_CS @ weights_S
        labels_L = scores_C[one.shares_C > 0]
        above_L = (scores_C[None, :] > labels_L[:, None]).sum(axis=1)
        equal_L = (scores_C[None, :] == labels_L[:, None]).sum(axis=1) - 1
        ranks_L = 1 + above_L + equal_L / 2
        gains.append(np.where(ranks_L <= depth, 1.0 / np.log2(1.0 + ranks_L), 0.0).mean())
    return float(np.mean(gains)) if gains else 0.0
