"""The best allowed rows of many: NumPy's partial sort finds them, and compiled loops ask only of these what is allowed.

Equal scores are ordered by row; NaN is no score. Axes: M rows offered, Q queries, I items, K results.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.compiled import FLOAT, INT, SINGLE, compiled, reads, writes
from mmrec.index.allowed import ALLOWED, AllowedItems, is_allowed

FloatArray = npt.NDArray[np.float64]
RowArray = npt.NDArray[np.int64]
_SPARE = 16
"""More rows looked at than are wanted, as a few of the best are not allowed."""


def best_rows(
    rows_M: RowArray, scores_M: FloatArray, num_results: int, allowed: AllowedItems
) -> tuple[RowArray, FloatArray]:
    """(rows, scores) of the best allowed rows, best first, at most `num_results`.

    Args:
        rows_M: In any order, each once; -1 is left out.
    """
    rows, scores = _kept(rows_M, scores_M, allowed.parts)
    if len(rows) > num_results:
        least = np.partition(scores, len(scores) - num_results)[len(scores) - num_results] if num_results else np.inf
        near = (scores >= least).nonzero()[0]  # more than num_results where several are the last
        rows, scores = rows[near], scores[near]
    order = (-scores).argsort()
    rows, scores = rows[order], scores[order]
    _order_equal_ones(rows, scores)
    return rows[:num_results], scores[:num_results]


def best_of_each(
    scores_QI: npt.NDArray[np.float32], num_results: int, allowed: AllowedItems
) -> tuple[RowArray, npt.NDArray[np.float32]]:
    """(rows, scores) of the best allowed items of each query, shape (Q, K); -1 and -inf beyond the last one."""
    rows_QK = np.full((len(scores_QI), num_results), -1, dtype=np.int64)
    scores_QK = np.full((len(scores_QI), num_results), -np.inf, dtype=np.float32)
    for query, scores_I in enumerate(scores_QI):
        rows, scores = _best_of(scores_I, num_results, allowed)
        rows_QK[query, : len(rows)], scores_QK[query, : len(rows)] = rows, scores
    return rows_QK, scores_QK


def _best_of(scores_I: npt.NDArray[np.float32], num_results: int, allowed: AllowedItems) -> tuple[RowArray, FloatArray]:
    num_items = len(scores_I)
    num_asked = num_results + num_results // 4 + len(allowed.closed_rows) + _SPARE
    while num_asked < num_items:
        least = np.partition(scores_I, num_items - num_asked)[num_items - num_asked]
        rows = (scores_I >= least).nonzero()[0]
        found = best_rows(rows, scores_I[rows].astype(np.float64), num_results, allowed)
        if len(found[0]) == num_results:
            return found
        num_asked *= 4
    return best_rows(np.arange(num_items), scores_I.astype(np.float64), num_results, allowed)


@compiled(reads(INT, 1), reads(FLOAT, 1), ALLOWED)
def _kept(rows_M: RowArray, scores_M: FloatArray, parts: Any) -> tuple[RowArray, FloatArray]:
    """(rows, scores) of those that are allowed and have a score, in their order."""
    shown_I, publish_I, expire_I, earliest_s, latest_s, passing_I, embedded_I, closed_S, closed = parts
    rows, scores, size = np.empty(len(rows_M), dtype=np.int64), np.empty(len(rows_M)), 0
    for m in range(len(rows_M)):
        row = rows_M[m]
        if row < 0 or np.isnan(scores_M[m]):
            continue
        if is_allowed(row, shown_I, publish_I, expire_I, earliest_s, latest_s, passing_I, embedded_I, closed_S, closed):
            rows[size], scores[size] = row, scores_M[m]
            size += 1
    return rows[:size], scores[:size]


@compiled(writes(INT, 1), reads(FLOAT, 1))
def _order_equal_ones(rows_K: RowArray, scores_K: FloatArray) -> None:
    """Order rows among equal scores, which lie side by side, ascending."""
    start = 0
    for k in range(1, len(rows_K) + 1):
        if k == len(rows_K) or scores_K[k] != scores_K[start]:
            if k - start > 1:
                rows_K[start:k] = np.sort(rows_K[start:k])
            start = k


@compiled(reads(INT, 1), INT, ALLOWED)
def first_rows(rows_M: RowArray, num_results: int, parts: Any) -> RowArray:
    """The first allowed rows of an order, at most `num_results`."""
    shown_I, publish_I, expire_I, earliest_s, latest_s, passing_I, embedded_I, closed_S, closed = parts
    rows_K, size = np.empty(min(num_results, len(rows_M)), dtype=np.int64), 0
    for m in range(len(rows_M)):
        if size == len(rows_K):
            break
        row = rows_M[m]
        if is_allowed(row, shown_I, publish_I, expire_I, earliest_s, latest_s, passing_I, embedded_I, closed_S, closed):
            rows_K[size] = row
            size += 1
    return rows_K[:size]


@compiled(reads(INT, 2), reads(SINGLE, 2), INT, ALLOWED)
def allowed_of_each(found_rows_QM: Any, found_scores_QM: Any, num_results: int, parts: Any) -> Any:
    """(rows, scores, least number of a query) of the first allowed rows of each query, as best_of_each() gives them.

    Args:
        found_rows_QM: Best first; -1 beyond the last one.
    """
    shown_I, publish_I, expire_I, earliest_s, latest_s, passing_I, embedded_I, closed_S, closed = parts
    num_queries, num_found = found_rows_QM.shape
    rows_QK = np.full((num_queries, num_results), -1, dtype=np.int64)
    scores_QK = np.full((num_queries, num_results), -np.inf, dtype=np.float32)
    least = num_results
    for q in range(num_queries):
        size = 0
        for m in range(num_found):
            row = found_rows_QM[q, m]
            if size == num_results or row < 0:
                break
            if is_allowed(
                row, shown_I, publish_I, expire_I, earliest_s, latest_s, passing_I, embedded_I, closed_S, closed
            ):
                rows_QK[q, size], scores_QK[q, size] = row, found_scores_QM[q, m]
                size += 1
        least = min(least, size)
    return rows_QK, scores_QK, least
