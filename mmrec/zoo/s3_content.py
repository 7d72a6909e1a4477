"""Content of items as the strong towers read it: centered unit vectors, weighted attributes, how well an id is known.

    known_i = n_i / (n_i + shrinkage)                                          n: events on the item
    p_i     = (ln(1 + c_i) - mean) / deviation     c: decayed counts; 0 of an item without events: nothing is known

Mean and deviation are over items with events. Axes: I items, N some of them, M tokens.
"""

from dataclasses import dataclass

import numpy as np
import torch

from mmrec.evaluation.interactions import Float32Array, FloatArray, IntArray, ItemFeatures
from mmrec.zoo.history_matrix import Sparse
from mmrec.zoo.item_content import ItemContent
from mmrec.zoo.s3_strong_network import ItemRows


@dataclass(frozen=True, kw_only=True, eq=False)
class StrongContent:
    """All items."""

    content: ItemContent
    known_I: Float32Array
    """0 where an id says nothing."""
    present_IM: np.ndarray
    """Modalities, attributes if there are any, id."""

    @classmethod
    def of(cls, items: ItemFeatures, *, events_I: IntArray, id_shrinkage: float, id_share: float) -> "StrongContent":
        """Of items with so many events.

        Args:
            id_share: Factor of ids; 0 leaves them out.
        """
        content = ItemContent.of(items)
        known_I = (id_share * events_I / (events_I + id_shrinkage)).astype(np.float32)
        present = [items.present[name] for name in sorted(items.vectors)]
        if content.labels_IA is not None:
            present.append(np.diff(content.labels_IA.indptr) > 0)
        return cls(content=content, known_I=known_I, present_IM=np.stack([*present, known_I > 0], axis=1))

    @property
    def input_dims(self) -> tuple[int, ...]:
        """Numbers of a vector of each modality."""
        return tuple(vectors_ID.shape[1] for vectors_ID in self.content.vectors_ID)

    @property
    def num_labels(self) -> int:
        """Attribute values; 0 for none."""
        return 0 if self.content.labels_IA is None else int(self.content.labels_IA.shape[1])

    def rows(self, rows: IntArray) -> ItemRows:
        """Some items, as tensors."""
        labels = None
        if self.content.labels_IA is not None:
            chosen: Sparse = self.content.labels_IA[rows]
            labels = (
                torch.from_numpy(chosen.indices.astype(np.int64)),
                torch.from_numpy(chosen.data.astype(np.float32)),
                torch.from_numpy(chosen.indptr[:-1].astype(np.int64)),
            )
        return ItemRows(
            vectors=tuple(torch.from_numpy(vectors_ID[rows]) for vectors_ID in self.content.vectors_ID),
            labels=labels,
            rows_N=torch.from_numpy(rows),
            known_N=torch.from_numpy(self.known_I[rows]),
            present_NM=torch.from_numpy(self.present_IM[rows]),
        )


def popular(counts_I: FloatArray, *, among_I: FloatArray | None = None) -> Float32Array:
    """How popular each item is: p, shape (I,), 0 where nothing is counted.

    Args:
        among_I: Counts whose mean and deviation p is measured in; the same counts if left out.
    """
    known_I = np.log1p(counts_I if among_I is None else among_I)
    known = known_I[known_I > 0]
    if not len(known):
        return np.zeros(len(counts_I), dtype=np.float32)
    deviation = float(known.std())
    found_I = (np.log1p(counts_I) - known.mean()) / (deviation if deviation > 1e-6 else 1.0)
    return np.where(counts_I > 0, found_I, 0.0).astype(np.float32)
