"""Content of items as short dense rows: what networks read of labels and of each modality.

    inputs = content_inputs(items, num_components=64)           {"labels": (I, C), "text": (I, C), ...}

Rows are those of mmrec.zoo.item_content (TF-IDF labels, centered vectors, each of length 1), in their first principal
directions as a random projection finds them (Halko, Martinsson and Tropp, SIAM Review 2011), so that cosines stay about
what they were. Axes: I items, C components.
"""

import numpy as np
import numpy.typing as npt

from mmrec.evaluation.interactions import LABELS, Float32Array, ItemFeatures
from mmrec.zoo.history_matrix import Sparse
from mmrec.zoo.item_content import ItemContent

_SPARE = 10
"""Directions drawn beside those that are kept."""
_NUM_ROUNDS = 2
"""Each makes the directions that are found more those of the largest values."""


def content_inputs(items: ItemFeatures, *, num_components: int) -> dict[str, Float32Array]:
    """Kind of content -> a row per item, of length 1 at most; 0 where the item has none of it.

    Args:
        num_components: At most; kinds with fewer numbers keep theirs, and kinds that tell nothing are left out.
    """
    content = ItemContent.of(items)
    kinds: dict[str, Sparse | Float32Array] = dict(zip(sorted(items.vectors), content.vectors_ID, strict=True))
    if content.labels_IA is not None:
        kinds[LABELS] = content.labels_IA
    found = {name: principal(rows, num_components=num_components) for name, rows in sorted(kinds.items())}
    return {name: rows for name, rows in found.items() if np.any(rows)}


def principal(rows_IX: Sparse | Float32Array, *, num_components: int) -> Float32Array:
    """Rows in their first principal directions, the same for the same rows, shape (I, C)."""
    num_rows, num_columns = rows_IX.shape
    size = min(num_components + _SPARE, num_rows, num_columns)
    if not size:
        return np.zeros((num_rows, 0), dtype=np.float32)
    basis: npt.NDArray[np.float64] = rows_IX @ np.random.default_rng(0).normal(size=(num_columns, size))
    for _ in range(_NUM_ROUNDS):
        basis, _ = np.linalg.qr(basis)
        basis = rows_IX @ (rows_IX.T @ basis)
    basis, _ = np.linalg.qr(basis)
    left, sizes, _ = np.linalg.svd((rows_IX.T @ basis).T, full_matrices=False)
    found: Float32Array = ((basis @ left) * sizes)[:, :num_components].astype(np.float32)
    found[np.abs(found) < 1e-7] = 0.0
    return found
