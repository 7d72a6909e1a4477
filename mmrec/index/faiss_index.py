"""Search in the replica's own memory: serving_index() gives the faster one for a number of items.

Flat up to FLAT_ITEMS, clusters above. The flat search is one matrix product for all queries, and asks only of the best
items whether they are allowed (best_rows); it reads the vectors where they are, so an index whose items changed costs
nothing to make. Clusters are asked for more than is wanted, and the allowed ones are kept; where these do not suffice
they are searched by bitmap, and exactly under a selective filter, since filtered approximate search loses half of its
recall. Clusters are kept for the items that did not change, the others are searched exactly, and when these are many
the clusters are made anew.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.index.allowed import EVERYTHING, AllowedItems, of_mask
from mmrec.index.best_rows import allowed_of_each, best_of_each
from mmrec.index.near_rows import NearRows
from mmrec.index.vectors import NO_ROW, BoolArray, Float32Array, SearchResult, VectorIndex, checked_vectors

# Untyped on purpose: faiss's stubs describe its C++ constructors, not the Python ones.
faiss: Any = importlib.import_module("faiss")
FLAT_ITEMS = 100_000
"""Catalogues up to this size are searched exactly."""
NUM_PROBES = 32
"""Clusters visited per query above that size: recall@100 about .99."""
SELECTIVE_SHARE = 0.2
"""Filters that leave less than this share of the catalogue are searched exactly."""
OVER_FETCH = 2
"""Results asked of the clusters for one that is wanted, before anybody looks at what is allowed."""
MAX_LOOSE_SHARE = 0.05
"""When more of the items than this changed since the clusters were made, they are made anew."""


def serving_index(item_ids: Sequence[str], vectors_ID: Float32Array) -> VectorIndex:
    """The index that answers soonest for so many items."""
    return FaissIndex(item_ids, vectors_ID)


def changed_index(
    before: VectorIndex | None,
    item_ids: Sequence[str],
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
    return FaissIndex.of_checked(
        item_ids, vectors_ID, before=before if isinstance(before, FaissIndex) else None, changed_rows=changed_rows
    )


class FaissIndex:
    """Fast form of ExactIndex; equal to it up to FLAT_ITEMS items, and no slower for a few."""

    def __init__(self, item_ids: Sequence[str], vectors_ID: Float32Array, *, num_flat: int = FLAT_ITEMS) -> None:
        """An index of all items.

        Args:
            num_flat: More items than this are searched by clusters.
        """
        self._num_flat, self._near = num_flat, NearRows()
        self.item_ids: Sequence[str] = tuple(item_ids)
        self.vectors_ID = checked_vectors(self.item_ids, vectors_ID)
        self._cluster()

    @classmethod
    def of_checked(
        cls,
        item_ids: Sequence[str],
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
        index._near = before._near.carried(before, index, changed_rows) if before is not None else NearRows()
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

    def search(
        self, queries_QD: Float32Array, *, num_results: int, allowed_I: BoolArray | AllowedItems | None = None
    ) -> SearchResult:
        """See VectorIndex."""
        queries_QD = np.ascontiguousarray(queries_QD, dtype=np.float32)
        allowed = EVERYTHING if allowed_I is None else allowed_I
        allowed = allowed if isinstance(allowed, AllowedItems) else of_mask(allowed)
        if self._clusters is None:
            return _flat_search(queries_QD, self.vectors_ID, num_results, allowed)
        if not len(self._loose_rows):
            return self._search_clusters(queries_QD, num_results, allowed)
        loose_rows = self._loose_rows[allowed.at(self._loose_rows)]
        settled = self._search_clusters(queries_QD, num_results, allowed.without(self._loose_rows))
        loose = _flat_search(queries_QD, self.vectors_ID[loose_rows], num_results, EVERYTHING)
        own_QK = np.append(loose_rows, NO_ROW)[loose.rows_QK]  # NO_ROW is -1, the place of the one appended
        rows_QK = np.concatenate([settled.rows_QK, own_QK], axis=1)
        scores_QK = np.concatenate([settled.scores_QK, loose.scores_QK], axis=1)
        best_QK = (-scores_QK).argsort(axis=1, kind="stable")[:, :num_results]
        return SearchResult(
            rows_QK=np.take_along_axis(rows_QK, best_QK, axis=1),
            scores_QK=np.take_along_axis(scores_QK, best_QK, axis=1),
        )

    def near(self, rows_Q: npt.NDArray[np.int64], *, num_results: int, allowed: AllowedItems) -> SearchResult:
        """See VectorIndex."""
        return self._near.search(self, rows_Q, num_results=num_results, allowed=allowed)

    def _search_clusters(self, queries_QD: Float32Array, num_results: int, allowed: AllowedItems) -> SearchResult:
        num_asked = min(OVER_FETCH * num_results + len(allowed.closed_rows), len(self.item_ids))
        scores_QM, rows_QM = self._clusters.search(queries_QD, num_asked)
        rows_QK, scores_QK, least = allowed_of_each(rows_QM, scores_QM, num_results, allowed.parts)
        if least == num_results:
            return SearchResult(rows_QK=rows_QK, scores_QK=scores_QK)
        allowed_I = allowed.mask(len(self.item_ids))
        if allowed_I.mean() < SELECTIVE_SHARE:
            return _flat_search(queries_QD, self.vectors_ID, num_results, allowed)
        parameters = faiss.SearchParametersIVF(sel=_selector(allowed_I), nprobe=NUM_PROBES)
        scores_QK, rows_QK = self._clusters.search(queries_QD, num_results, params=parameters)
        scores_QK[rows_QK < 0] = -np.inf
        return SearchResult(rows_QK=rows_QK, scores_QK=scores_QK)


def _flat_search(
    queries_QD: Float32Array, vectors_ID: Float32Array, num_results: int, allowed: AllowedItems
) -> SearchResult:
    """Exact search of vectors where they are."""
    assert queries_QD.shape[1] == vectors_ID.shape[1], (queries_QD.shape, vectors_ID.shape)
    rows_QK, scores_QK = best_of_each(queries_QD @ vectors_ID.T, num_results, allowed)
    return SearchResult(rows_QK=rows_QK, scores_QK=scores_QK)


def _selector(allowed_I: BoolArray) -> Any:
    return faiss.IDSelectorBitmap(np.packbits(allowed_I, bitorder="little"))
