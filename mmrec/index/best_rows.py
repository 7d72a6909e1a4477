"""The best rows of many, compiled: a heap of the best so far, so that a row that is not among them costs a comparison.

Equal scores are ordered by row; NaN is no score. Axes: M rows offered, Q queries, I items, K results.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.compiled import FLOAT, INT, SINGLE, compiled, formula, reads
from mmrec.index.allowed import ALLOWED, is_allowed

Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


@formula
def is_worse(score: float, row: int, other_score: float, other_row: int) -> bool:
    """Whether a row comes after another one."""
    return score < other_score or (score == other_score and row > other_row)


@formula
def sift_down(scores_K: Any, rows_K: Any, place: int, size: int) -> None:
    """Restore a heap, the worst on top, of which one place may be better than those below it."""
    score, row = scores_K[place], rows_K[place]
    below = 2 * place + 1
    while below < size:
        if below + 1 < size and is_worse(scores_K[below + 1], rows_K[below + 1], scores_K[below], rows_K[below]):
            below += 1
        if not is_worse(scores_K[below], rows_K[below], score, row):
            break
        scores_K[place], rows_K[place] = scores_K[below], rows_K[below]
        place = below
        below = 2 * place + 1
    scores_K[place], rows_K[place] = score, row


@formula
def sift_up(scores_K: Any, rows_K: Any, place: int) -> None:
    """Restore a heap of which the last place may be worse than those above it."""
    score, row = scores_K[place], rows_K[place]
    while place > 0:
        above = (place - 1) // 2
        if not is_worse(score, row, scores_K[above], rows_K[above]):
            break
        scores_K[place], rows_K[place] = scores_K[above], rows_K[above]
        place = above
    scores_K[place], rows_K[place] = score, row


@formula
def sort_heap(scores_K: Any, rows_K: Any, size: int) -> None:
    """Bring a heap into order, the best first (heapsort)."""
    for last in range(size - 1, 0, -1):
        scores_K[0], scores_K[last] = scores_K[last], scores_K[0]
        rows_K[0], rows_K[last] = rows_K[last], rows_K[0]
        sift_down(scores_K, rows_K, 0, last)


@formula
def offered(scores_K: Any, rows_K: Any, size: int, score: float, row: int) -> int:
    """Put a row into a heap where it belongs there; the heap's size after that."""
    if size < len(scores_K):
        scores_K[size], rows_K[size] = score, row
        sift_up(scores_K, rows_K, size)
        return size + 1
    scores_K[0], rows_K[0] = score, row
    sift_down(scores_K, rows_K, 0, size)
    return size


@formula
def belongs(scores_K: Any, rows_K: Any, size: int, score: float, row: int) -> bool:
    """Whether a row is better than the worst of a heap, or the heap has room."""
    if np.isnan(score):
        return False
    return size < len(scores_K) or (size > 0 and is_worse(scores_K[0], rows_K[0], score, row))


@compiled(reads(INT, 1), reads(FLOAT, 1), INT, ALLOWED)
def best_rows(rows_M: Any, scores_M: Any, num_results: int, parts: Any) -> Found:
    """(rows, scores) of the best allowed rows, best first, at most `num_results`; rows of -1 are left out."""
    size, num_kept = 0, min(num_results, len(rows_M))
    rows_K, scores_K = np.empty(num_kept, dtype=np.int64), np.empty(num_kept)
    for m in range(len(rows_M)):
        row, score = rows_M[m], scores_M[m]
        if row >= 0 and belongs(scores_K, rows_K, size, score, row) and is_allowed(parts, row):
            size = offered(scores_K, rows_K, size, score, row)
    sort_heap(scores_K, rows_K, size)
    return rows_K[:size], scores_K[:size]


@compiled(reads(INT, 1), INT, ALLOWED)
def first_rows(rows_M: Any, num_results: int, parts: Any) -> npt.NDArray[np.int64]:
    """The first allowed rows of an order, at most `num_results`."""
    rows_K, size = np.empty(min(num_results, len(rows_M)), dtype=np.int64), 0
    for m in range(len(rows_M)):
        if size == len(rows_K):
            break
        if is_allowed(parts, rows_M[m]):
            rows_K[size] = rows_M[m]
            size += 1
    return rows_K[:size]


@compiled(reads(SINGLE, 2), INT, ALLOWED)
def best_of_each(scores_QI: Any, num_results: int, parts: Any) -> Any:
    """(rows, scores) of the best allowed items of each query, shape (Q, K); -1 and -inf beyond the last one.

    A score of -inf is none.
    """
    num_queries, num_items = scores_QI.shape
    rows_QK = np.full((num_queries, num_results), -1, dtype=np.int64)
    scores_QK = np.full((num_queries, num_results), -np.inf, dtype=np.float32)
    for q in range(num_queries):
        scores_K, rows_K, size = scores_QK[q], rows_QK[q], 0
        least = np.float32(-np.inf)
        for row in range(num_items):
            score = scores_QI[q, row]
            # Rows come in order, so one that is equal to the worst of a full heap comes after it.
            if score > least and num_results > 0 and is_allowed(parts, row):
                size = offered(scores_K, rows_K, size, score, row)
                if size == num_results:
                    least = scores_K[0]
        sort_heap(scores_K, rows_K, size)
    return rows_QK, scores_QK


@compiled(reads(INT, 2), reads(SINGLE, 2), INT, ALLOWED)
def allowed_of_each(found_rows_QM: Any, found_scores_QM: Any, num_results: int, parts: Any) -> Any:
    """(rows, scores, least number of a query) of the first allowed rows of each query, as best_of_each() gives them.

    Args:
        found_rows_QM: Best first; -1 beyond the last one.
    """
    num_queries, num_found = found_rows_QM.shape
    rows_QK = np.full((num_queries, num_results), -1, dtype=np.int64)
    scores_QK = np.full((num_queries, num_results), -np.inf, dtype=np.float32)
    least = num_results
    for q in range(num_queries):
        size = 0
        for m in range(num_found):
            row = found_rows_QM[q, m]
            if size < num_results and row >= 0 and is_allowed(parts, row):
                rows_QK[q, size], scores_QK[q, size] = row, found_scores_QM[q, m]
                size += 1
        least = min(least, size)
    return rows_QK, scores_QK, least
