"""Search in the replica's own memory: serving_index() gives the faster one for a number of items.

Flat up to FLAT_ITEMS (2 ms for 100,000 items on one thread), clusters above. A selective filter is always searched
exactly, by bitmap: filtered approximate search loses half of its recall. The flat search reads the vectors where they
are, so an index whose items changed costs nothing to make; clusters are kept for the items that did not change, the
others are searched exactly, and when these are many the clusters are made anew.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.index.vectors import (
    NO_ROW,
    BoolArray,
    ExactIndex,
    Float32Array,
    SearchResult,
    VectorIndex,
    VectorQuery,
    best_positions,
    checked_vectors,
)
from mmrec.wire.portions import portions

# Untyped on purpose: faiss's stubs describe its C++ constructors, not the Python ones.
faiss: Any = importlib.import_module("faiss")
MATRIX_ITEMS = 5_000
"""Up to this size the plain matrix product is faster: 15 us against 36 for 400 of 1,000 items, alike at 5,000."""
FLAT_ITEMS = 100_000
"""Catalogues up to this size are searched exactly."""
NUM_PROBES = 32
"""Clusters visited per query above that size: recall@100 about .99."""
SELECTIVE_SHARE = 0.2
"""Filters that leave less than this share of the catalogue are searched exactly."""
_BLOCK_SCORES = 4_000_000
"""Scores of one block of queries that are searched together."""
MAX_LOOSE_SHARE = 0.05
"""When more of the items than this changed since the clusters were made, they are made anew."""


def serving_index(item_ids: Sequence[str], vectors_ID: Float32Array) -> VectorIndex:
    """The index that answers soonest for so many items."""
    return (ExactIndex if len(item_ids) <= MATRIX_ITEMS else FaissIndex)(item_ids, vectors_ID)


def changed_index(
    before: VectorIndex | None,
    item_ids: tuple[str, ...],
    vectors_ID: Float32Array,
    *,
    changed_rows: npt.NDArray[np.int64],
) -> VectorIndex:
    """serving_index() of items of which most are those of `before`: costs as much as what changed.

    Args:
        before: None where there was none.
        item_ids: Those of `before` first; the caller vouches that none repeats.
        vectors_ID: Float32, contiguous, finite in all but perhaps `changed_rows`; it is kept, not copied.
        changed_rows: Rows whose vectors are new or differ from `before`, ascending.
    """
    if before is None:
        return serving_index(item_ids, vectors_ID)
    checked_vectors([str(row) for row in changed_rows.tolist()], vectors_ID[changed_rows])
    if len(item_ids) <= MATRIX_ITEMS:
        return ExactIndex.of_checked(item_ids, vectors_ID)
    return FaissIndex.of_checked(
        item_ids, vectors_ID, before=before if isinstance(before, FaissIndex) else None, changed_rows=changed_rows
    )


class FaissIndex:
    """Fast form of ExactIndex; equal to it up to FLAT_ITEMS items."""

    def __init__(self, item_ids: Sequence[str], vectors_ID: Float32Array, *, num_flat: int = FLAT_ITEMS) -> None:
        """An index of all items.

        Args:
            num_flat: More items than this are searched by clusters.
        """
        self._num_flat = num_flat
        self.item_ids = tuple(item_ids)
        self.vectors_ID = checked_vectors(self.item_ids, vectors_ID)
        self._cluster()

    @classmethod
    def of_checked(
        cls,
        item_ids: tuple[str, ...],
        vectors_ID: Float32Array,
        *,
        before: "FaissIndex | None",
        changed_rows: npt.NDArray[np.int64],
    ) -> "FaissIndex":
        """See changed_index()."""
        index = cls.__new__(cls)
        index.item_ids, index.vectors_ID = item_ids, vectors_ID
        index._num_flat = before._num_flat if before is not None else FLAT_ITEMS
        clusters = before._clusters if before is not None else None
        loose = np.union1d(before._loose_rows, changed_rows) if before is not None else changed_rows
        if clusters is None or len(loose) > MAX_LOOSE_SHARE * len(item_ids):
            index._cluster()
        else:
            index._clusters, index._loose_rows = clusters, loose
        return index

    def _cluster(self) -> None:
        """Make clusters of all items where there are enough to need them."""
        faiss.omp_set_num_threads(1)
        self._clusters: Any = None
        self._loose_rows = np.zeros(0, dtype=np.int64)
        """Rows whose vectors are not those of the clusters: changed or added since."""
        if len(self.item_ids) > self._num_flat:
            embedding_dim = self.vectors_ID.shape[1]
            num_clusters = 4 * int(np.sqrt(len(self.item_ids)))
            self._clusters = faiss.IndexIVFFlat(
                faiss.IndexFlatIP(embedding_dim), embedding_dim, num_clusters, faiss.METRIC_INNER_PRODUCT
            )
            self._clusters.train(self.vectors_ID)
            self._clusters.add(self.vectors_ID)
            self._clusters.nprobe = NUM_PROBES

    def search(self, queries_QD: Float32Array, *, num_results: int, allowed_I: BoolArray | None = None) -> SearchResult:
        """See VectorIndex."""
        queries_QD = np.ascontiguousarray(queries_QD, dtype=np.float32)
        is_selective = allowed_I is not None and allowed_I.mean() < SELECTIVE_SHARE
        if self._clusters is None or is_selective:
            return _flat_search(queries_QD, self.vectors_ID, num_results, allowed_I)
        if not len(self._loose_rows):
            return self._search_clusters(queries_QD, num_results, allowed_I)
        settled_I = np.ones(len(self.item_ids), dtype=np.bool_) if allowed_I is None else allowed_I.copy()
        settled_I[self._loose_rows] = False
        loose_rows = self._loose_rows if allowed_I is None else self._loose_rows[allowed_I[self._loose_rows]]
        settled = self._search_clusters(queries_QD, num_results, settled_I)
        loose = _flat_search(queries_QD, self.vectors_ID[loose_rows], num_results, None)
        own_QK = np.append(loose_rows, NO_ROW)[loose.rows_QK]  # NO_ROW is -1, the place of the one appended
        rows_QK = np.concatenate([settled.rows_QK, own_QK], axis=1)
        scores_QK = np.concatenate([settled.scores_QK, loose.scores_QK], axis=1)
        best_QK = (-scores_QK).argsort(axis=1, kind="stable")[:, :num_results]
        return SearchResult(
            rows_QK=np.take_along_axis(rows_QK, best_QK, axis=1),
            scores_QK=np.take_along_axis(scores_QK, best_QK, axis=1),
        )

    def _search_clusters(self, queries_QD: Float32Array, num_results: int, allowed_I: BoolArray | None) -> SearchResult:
        if allowed_I is None:
            scores_QK, rows_QK = self._clusters.search(queries_QD, num_results)
        else:
            selector = _selector(allowed_I)
            parameters = faiss.SearchParametersIVF(sel=selector, nprobe=NUM_PROBES)
            scores_QK, rows_QK = self._clusters.search(queries_QD, num_results, params=parameters)
        scores_QK[rows_QK < 0] = -np.inf
        return SearchResult(rows_QK=rows_QK, scores_QK=scores_QK)


def search_together(index: VectorIndex, queries: Sequence[VectorQuery], *, allowed_I: BoolArray) -> list[SearchResult]:
    """index.search() of many queries, as one matrix product per block of them where the search is exact.

    Args:
        allowed_I: Items that any of the queries may allow: each allows some of these.
    """
    if len(index.item_ids) > FLAT_ITEMS:
        return [index.search(q.queries_QD, num_results=q.num_results, allowed_I=q.allowed_I) for q in queries]
    rows_A = allowed_I.nonzero()[0]
    vectors_DA = np.ascontiguousarray(index.vectors_ID[rows_A].T)
    found: list[SearchResult] = []
    for block in portions(queries, max(1, _BLOCK_SCORES // max(1, len(rows_A)))):
        scores_SA = np.concatenate([q.queries_QD for q in block]) @ vectors_DA
        starts = np.cumsum([0, *(len(q.queries_QD) for q in block)])
        for query, start in zip(block, starts.tolist(), strict=False):
            scores_QA = scores_SA[start : start + len(query.queries_QD)]
            scores_QA[:, ~query.allowed_I[rows_A]] = -np.inf
            found.append(_best_of(scores_QA, rows_A, query.num_results))
    return found


def _best_of(scores_QA: Float32Array, rows_A: npt.NDArray[np.int64], num_results: int) -> SearchResult:
    rows_QK = np.full((len(scores_QA), num_results), NO_ROW, dtype=np.int64)
    scores_QK = np.full((len(scores_QA), num_results), -np.inf, dtype=np.float32)
    for query, scores_A in enumerate(scores_QA):
        best = best_positions(scores_A, num_results)
        rows_QK[query, : len(best)] = rows_A[best]
        scores_QK[query, : len(best)] = scores_A[best]
    rows_QK[np.isneginf(scores_QK)] = NO_ROW
    return SearchResult(rows_QK=rows_QK, scores_QK=scores_QK)


def _flat_search(
    queries_QD: Float32Array, vectors_ID: Float32Array, num_results: int, allowed_I: BoolArray | None
) -> SearchResult:
    """Exact search of vectors where they are; as faiss.IndexFlatIP, without its copy of them."""
    assert queries_QD.shape[1] == vectors_ID.shape[1], (queries_QD.shape, vectors_ID.shape)
    rows_QK = np.full((len(queries_QD), num_results), NO_ROW, dtype=np.int64)
    scores_QK = np.full((len(queries_QD), num_results), -np.inf, dtype=np.float32)
    if len(vectors_ID) and len(queries_QD):
        selector = None if allowed_I is None else _selector(allowed_I)
        faiss.knn_inner_product(
            faiss.swig_ptr(queries_QD),
            faiss.swig_ptr(vectors_ID),
            vectors_ID.shape[1],
            len(queries_QD),
            len(vectors_ID),
            num_results,
            faiss.swig_ptr(scores_QK),
            faiss.swig_ptr(rows_QK),
            selector,
        )
        scores_QK[rows_QK < 0] = -np.inf
    return SearchResult(rows_QK=rows_QK, scores_QK=scores_QK)


def _selector(allowed_I: BoolArray) -> Any:
    return faiss.IDSelectorBitmap(np.packbits(allowed_I, bitorder="little"))
