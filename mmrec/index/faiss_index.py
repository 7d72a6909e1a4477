"""Search in the replica's own memory: serving_index() gives the faster one for a number of items.

Flat up to FLAT_ITEMS (2 ms for 100,000 items on one thread), clusters above. A selective filter is always searched
exactly, by bitmap: filtered approximate search loses half of its recall.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmrec.index.vectors import BoolArray, ExactIndex, Float32Array, SearchResult, VectorIndex, checked_vectors

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


def serving_index(item_ids: Sequence[str], vectors_ID: Float32Array) -> VectorIndex:
    """The index that answers soonest for so many items."""
    return (ExactIndex if len(item_ids) <= MATRIX_ITEMS else FaissIndex)(item_ids, vectors_ID)


class FaissIndex:
    """Fast form of ExactIndex; equal to it up to FLAT_ITEMS items."""

    def __init__(self, item_ids: Sequence[str], vectors_ID: Float32Array) -> None:
        faiss.omp_set_num_threads(1)
        self.item_ids = tuple(item_ids)
        self.vectors_ID = checked_vectors(self.item_ids, vectors_ID)
        embedding_dim = self.vectors_ID.shape[1]
        self._flat = faiss.IndexFlatIP(embedding_dim)
        self._flat.add(self.vectors_ID)
        self._clusters = None
        if len(self.item_ids) > FLAT_ITEMS:
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
        if not self.item_ids:
            shape = (len(queries_QD), num_results)
            return SearchResult(
                rows_QK=np.full(shape, -1, dtype=np.int64), scores_QK=np.full(shape, -np.inf, dtype=np.float32)
            )
        approximate = self._clusters
        if allowed_I is None:
            index = self._flat if approximate is None else approximate
            scores_QK, rows_QK = index.search(queries_QD, num_results)
        else:
            selector = faiss.IDSelectorBitmap(np.packbits(allowed_I, bitorder="little"))
            if approximate is not None and allowed_I.mean() >= SELECTIVE_SHARE:
                parameters = faiss.SearchParametersIVF(sel=selector, nprobe=NUM_PROBES)
                scores_QK, rows_QK = approximate.search(queries_QD, num_results, params=parameters)
            else:
                parameters = faiss.SearchParameters(sel=selector)
                scores_QK, rows_QK = self._flat.search(queries_QD, num_results, params=parameters)
        scores_QK[rows_QK < 0] = -np.inf
        return SearchResult(rows_QK=rows_QK, scores_QK=scores_QK)
