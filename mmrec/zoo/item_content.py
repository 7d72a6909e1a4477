"""How much items are alike by what they are: cosines of labels and of vectors, never formed as a matrix of all pairs.

    labels     x_ia = log(I / items with label a) where item i has it        (TF-IDF: Salton and Buckley, 1988)
    modality   x_i  = vector less the mean vector of the items that have one
    cos_ij     = norm(x_i) . norm(x_j)          0 where one of them has none
    score_nj   = sum over kinds k of content  sum_{i != j}  a_ni * cos_kij

An item is no likeness of itself: what a user touched gains nothing by it.

Axes: N targets, I items, A labels, D numbers of a vector.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mmrec.evaluation.interactions import Float32Array, ItemFeatures
from mmrec.zoo.history_matrix import Sparse


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemContent:
    """Content of all items, each row of length 1 or 0."""

    num_items: int
    labels_IA: Sparse | None = None
    vectors_ID: tuple[Float32Array, ...] = ()
    """One array per modality."""

    @classmethod
    def of(cls, items: ItemFeatures) -> "ItemContent":
        """Labels, where there are any, and every modality."""
        return cls(
            num_items=items.num_items,
            labels_IA=_label_rows(items),
            vectors_ID=tuple(_vector_rows(items, name) for name in sorted(items.vectors)),
        )

    def scores(self, own_NI: Sparse) -> Float32Array:
        """score_nj for weights a_ni of own items; 0 where nothing is known of either; shape (N, I)."""
        found_NI = np.zeros((own_NI.shape[0], self.num_items), dtype=np.float32)
        own = own_NI.astype(np.float32).tocoo()
        if self.labels_IA is not None:
            found_NI += ((own_NI @ self.labels_IA) @ self.labels_IA.T).astype(np.float32).toarray()
            lengths_I = np.asarray(self.labels_IA.multiply(self.labels_IA).sum(axis=1)).ravel()
            np.subtract.at(found_NI, (own.row, own.col), (own.data * lengths_I[own.col]).astype(np.float32))
        for vectors_ID in self.vectors_ID:
            found_NI += (own_NI.astype(np.float32) @ vectors_ID) @ vectors_ID.T
            lengths_I = (vectors_ID**2).sum(axis=1)
            np.subtract.at(found_NI, (own.row, own.col), own.data * lengths_I[own.col])
        return found_NI


def _label_rows(items: ItemFeatures) -> Sparse | None:
    labels = items.labels
    if labels is None or not len(labels.codes_A):
        return None
    counts_A = np.bincount(labels.codes_A, minlength=len(labels.names))
    rows_A = np.repeat(np.arange(items.num_items), np.diff(labels.offsets))
    # A label that every item has tells nothing: its weight is 0.
    weights = np.log(max(items.num_items, 1) / np.maximum(counts_A, 1))[labels.codes_A]
    lengths_I = np.sqrt(np.bincount(rows_A, weights=weights**2, minlength=items.num_items))
    weights = weights / np.where(lengths_I > 0, lengths_I, 1.0)[rows_A]
    found: Sparse = sparse.csr_array((weights, (rows_A, labels.codes_A)), shape=(items.num_items, len(labels.names)))
    return found


def _vector_rows(items: ItemFeatures, modality: str) -> Float32Array:
    vectors_ID = items.vectors[modality].astype(np.float32, copy=True)
    has_I = items.present[modality]
    vectors_ID[~has_I] = 0.0
    if has_I.any():
        vectors_ID[has_I] -= vectors_ID[has_I].mean(axis=0)
    lengths_I = np.linalg.norm(vectors_ID, axis=1, keepdims=True)
    rows_ID: Float32Array = np.divide(vectors_ID, lengths_I, out=np.zeros_like(vectors_ID), where=lengths_I > 1e-12)
    return rows_ID
