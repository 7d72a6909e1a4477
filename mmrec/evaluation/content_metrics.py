"""How good vectors and attribute models are: nearest neighbors, retrieval, graded lists, classes, calibration.

Axes: Q queries, G items of the gallery, N judged items, C classes, K places of a list, D numbers of an embedding.
Labels and keys are compared for equality; items without a label are left out by the caller. Similarities are cosines
rounded to 1e-6, so that equal items tie whatever order their numbers were added in; a vector of zeros is at cosine 0.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mmrec.evaluation.metrics import AnyFloatArray, FloatArray, IntArray, tied_ranks

Labels = Sequence[Any] | npt.NDArray[Any]
_BLOCK: Final = 512
"""Queries whose similarities are held at a time."""


def nearest(
    queries_QD: AnyFloatArray,
    gallery_GD: AnyFloatArray,
    k: int,
    *,
    leave_out: Callable[[int], npt.NDArray[np.int64]] | None = None,
) -> IntArray:
    """Rows of the k most similar gallery items of each query, best first; equal ones in the gallery's order.

    Args:
        leave_out: Gallery rows that a query does not get, such as itself and its duplicates.

    Returns:
        Shape (Q, k), -1 where the gallery has fewer items.
    """
    found_QK = np.full((len(queries_QD), k), -1, dtype=np.int64)
    for start, scores in _similarities(queries_QD, gallery_GD):
        for offset, row in enumerate(scores):
            if leave_out is not None:
                row[leave_out(start + offset)] = -np.inf
            kept = min(k, int(np.isfinite(row).sum()))
            if kept:
                least = np.partition(row, len(row) - kept)[len(row) - kept]
                best = np.flatnonzero(row >= least)
                found_QK[start + offset, :kept] = best[np.argsort(-row[best], kind="stable")][:kept]
    return found_QK


def knn_labels(
    queries_QD: AnyFloatArray, gallery_GD: AnyFloatArray, gallery_labels: Labels, *, k: int = 5
) -> npt.NDArray[Any]:
    """The label that most of the k nearest gallery items have; of several, that of the nearest item; shape (Q,)."""
    if not len(gallery_labels) or len(gallery_labels) != len(gallery_GD):
        raise ValueError(f"{len(gallery_labels)} labels of {len(gallery_GD)} items; give one per item, at least one")
    names, label_G = np.unique(np.asarray(gallery_labels), return_inverse=True)
    found_QK = nearest(queries_QD, gallery_GD, min(k, len(gallery_GD)))
    winners = np.empty(len(found_QK), dtype=np.int64)
    for query, rows in enumerate(found_QK):
        labels = label_G[rows]
        votes = np.bincount(labels)
        winners[query] = labels[votes[labels].argmax()]
    voted: npt.NDArray[Any] = names[winners]
    return voted


def first_right_ranks(
    queries_QD: AnyFloatArray, gallery_GD: AnyFloatArray, *, query_keys: Labels, gallery_keys: Labels, seed: int = 1
) -> IntArray:
    """1-based rank of the best right item of each query; right is what has the query's key; shape (Q,).

    Wrong items as similar as the best right one come before it by chance, as tied_ranks() has it, with this seed; right
    items do not stand in each other's way. Keys that are rows ask for the very item; keys that are item_groups()
    count every item of the same title or picture as right. recall@k is hit_rate() of these ranks.

    Returns:
        0 where the gallery has no right item.
    """
    query_keys, gallery_keys = np.asarray(query_keys), np.asarray(gallery_keys)
    generator = np.random.default_rng(seed)
    ranks = np.zeros(len(queries_QD), dtype=np.int64)
    for start, scores in _similarities(queries_QD, gallery_GD):
        right = query_keys[start : start + len(scores), None] == gallery_keys[None, :]
        best = np.where(right, scores, -np.inf).max(axis=1, initial=-np.inf)[:, None]
        better = ((scores > best) & ~right).sum(axis=1)
        equal = ((scores == best) & ~right).sum(axis=1)
        at_best = ((scores == best) & right).sum(axis=1)
        first = tied_ranks(better, equal, generator=generator, num_right_x=np.maximum(at_best, 1))
        ranks[start : start + len(scores)] = np.where(right.any(axis=1), first, 0)
    return ranks


def graded_ndcg(listed_K: Sequence[float] | FloatArray, all_G: Sequence[float] | FloatArray, k: int) -> float:
    """NDCG@k of one list: sum of gain / log2(1 + rank), over that of the best list (Järvelin, Kekäläinen, TOIS 2002).

    Args:
        listed_K: Gain of each listed item, best place first, >= 0; a shorter list than k is worth what it holds.
        all_G: Gains of all items that could have been listed, in any order.

    Returns:
        0 to 1; 0 where no item is worth anything: leave such queries out.
    """
    best = np.sort(np.asarray(all_G, dtype=np.float64))[::-1]
    possible = _discounted(best[:k])
    return _discounted(np.asarray(listed_K, dtype=np.float64)[:k]) / possible if possible > 0 else 0.0


def _discounted(gains_K: FloatArray) -> float:
    return float((gains_K / np.log2(2.0 + np.arange(len(gains_K)))).sum())


def accuracy(true_N: Labels, predicted_N: Labels) -> float:
    """Share of items whose label is right; 0 where there are none."""
    true, predicted = _aligned(true_N, predicted_N)
    return float((true == predicted).mean()) if len(true) else 0.0


def majority_accuracy(train_N: Labels, true_N: Labels) -> float:
    """Accuracy of always saying the most frequent label of the training items (of several, the first by order)."""
    names, counts = np.unique(np.asarray(train_N), return_counts=True)
    return accuracy(true_N, np.full(len(true_N), names[counts.argmax()]))


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """How often each class was taken for each."""

    labels: tuple[Any, ...]
    """Ascending; those that occur, as truth or as prediction."""
    counts_CC: IntArray
    """Row: the true label; column: the predicted one."""


def confusion(true_N: Labels, predicted_N: Labels) -> Confusion:
    """Counts of (true label, predicted label)."""
    true, predicted = _aligned(true_N, predicted_N)
    labels, codes = np.unique(np.concatenate([true, predicted]), return_inverse=True)
    pairs = codes[: len(true)] * len(labels) + codes[len(true) :]
    counts = np.bincount(pairs, minlength=len(labels) ** 2).reshape(len(labels), len(labels))
    return Confusion(labels=tuple(labels.tolist()), counts_CC=counts.astype(np.int64))


def macro_f1(true_N: Labels, predicted_N: Labels) -> float:
    """Mean of 2 tp / (2 tp + fp + fn) over classes that occur as truth or prediction, as scikit-learn has it."""
    counts_CC = confusion(true_N, predicted_N).counts_CC
    hits_C = np.diag(counts_CC)
    return float((2.0 * hits_C / (counts_CC.sum(axis=0) + counts_CC.sum(axis=1))).mean()) if len(hits_C) else 0.0


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Confidence against what it was worth, by bins of equal width; empty bins are left out."""

    confidence_B: FloatArray
    """Mean confidence of a bin."""
    accuracy_B: FloatArray
    """Share of its predictions that were right."""
    counts_B: IntArray

    @property
    def error(self) -> float:
        """Expected calibration error: |accuracy - confidence| of bins, weighted by size (Guo et al., ICML 2017)."""
        total = self.counts_B.sum()
        return float((np.abs(self.accuracy_B - self.confidence_B) * self.counts_B).sum() / total) if total else 0.0


def reliability(confidence_N: AnyFloatArray, right_N: npt.NDArray[np.bool_], *, num_bins: int = 10) -> Reliability:
    """The reliability curve of predictions.

    Args:
        confidence_N: Probability given to the predicted class, 0 to 1.
        right_N: Whether the prediction was right.
    """
    confidence, right = _aligned(confidence_N, right_N)
    bins = np.minimum((confidence * num_bins).astype(np.int64), num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    kept = counts > 0
    return Reliability(
        confidence_B=np.bincount(bins, weights=confidence, minlength=num_bins)[kept] / counts[kept],
        accuracy_B=np.bincount(bins, weights=right.astype(np.float64), minlength=num_bins)[kept] / counts[kept],
        counts_B=counts[kept].astype(np.int64),
    )


def unit_rows(vectors_ND: AnyFloatArray) -> AnyFloatArray:
    """Rows of length one; rows of zeros stay."""
    lengths = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    units: AnyFloatArray = vectors_ND / np.where(lengths > 0, lengths, 1.0)
    return units


def _similarities(queries_QD: AnyFloatArray, gallery_GD: AnyFloatArray) -> Iterator[tuple[int, AnyFloatArray]]:
    gallery = unit_rows(gallery_GD).T
    for start in range(0, len(queries_QD), _BLOCK):
        yield start, np.round(unit_rows(queries_QD[start : start + _BLOCK]) @ gallery, 6)


def _aligned(one_N: Any, other_N: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    one, other = np.asarray(one_N), np.asarray(other_N)
    if one.shape != other.shape:
        raise ValueError(f"{one.shape} values beside {other.shape}; give one per item")
    return one, other
