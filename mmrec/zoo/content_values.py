"""Content of items as one array per modality, attributes among them: what models that learn from content read.

    labels   x_i = sum over labels a of  x_ia g_a,     x_ia as in mmrec.zoo.item_content, g_a drawn from a normal

A random projection keeps cosines within about 1 / sqrt(LABEL_DIM) (Johnson and Lindenstrauss, 1984), so that thousands
of labels become as wide as a text. Axes: I items, X width of a modality.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmrec.evaluation.interactions import LABELS, BoolArray, Float32Array, ItemFeatures
from mmrec.zoo.item_content import ItemContent

NOTHING: Final = "nothing"
"""The one modality of a catalogue without any, which no item has."""
LABEL_DIM: Final = 128


@dataclass(frozen=True, kw_only=True, eq=False)
class ContentValues:
    """One array per modality, and who has it."""

    values: Mapping[str, Float32Array]
    """Modality -> (I, X); 0 where an item has none. One modality at least."""
    present: Mapping[str, BoolArray]
    """Modality -> (I,)."""


def content_values(items: ItemFeatures, modalities: Sequence[str] = ()) -> ContentValues:
    """Modalities of a catalogue by name, LABELS for its attributes.

    Args:
        modalities: Which are read; those that are not there are left out. Empty reads all.
    """
    values = {name: np.where(items.present[name][:, None], x_IX, 0.0) for name, x_IX in items.vectors.items()}
    present = dict(items.present)
    content = ItemContent.of(ItemFeatures(num_items=items.num_items, labels=items.labels))
    if content.labels_IA is not None:
        drawn_AX = np.random.default_rng(0).normal(size=(content.labels_IA.shape[1], LABEL_DIM)) / LABEL_DIM**0.5
        values[LABELS] = np.asarray(content.labels_IA @ drawn_AX)
        present[LABELS] = np.any(values[LABELS] != 0, axis=1)
    kept = [name for name in values if not modalities or name in modalities]
    if not kept:
        nothing_I = np.zeros(items.num_items, dtype=np.bool_)
        return ContentValues(values={NOTHING: np.zeros((items.num_items, 1), np.float32)}, present={NOTHING: nothing_I})
    return ContentValues(
        values={name: values[name].astype(np.float32) for name in kept}, present={name: present[name] for name in kept}
    )
